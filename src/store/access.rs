//! Users, token hashes and role assignments.

use super::{
    Store,
    db::{Row, RowResult, params},
};
use api::{
    Error, Result, Time,
    access::{Role, RoleAssignment, User},
};

/// A user as stored.
#[derive(Debug, Clone)]
pub struct UserRow {
    pub id: i64,
    pub user: User,
    /// Of the token that is good now.
    pub token_hash: Vec<u8>,
}

const COLUMNS: &str = "id, name, admin, created_at, token_hash";

fn user(row: &Row<'_>) -> RowResult<UserRow> {
    Ok(UserRow {
        id: row.get(0)?,
        user: User {
            name: row.get(1)?,
            admin: row.get(2)?,
            created_at: row.get(3)?,
        },
        token_hash: row.get(4)?,
    })
}

impl Store {
    /// Adds a user; none when the name is taken.
    pub async fn create_user(&self, new: User, token_hash: [u8; 32]) -> Result<Option<UserRow>> {
        self.db
            .write(move |tx| {
                tx.one(
                    &format!(
                        "INSERT INTO users(name, admin, token_hash, created_at) VALUES (?1, ?2, ?3, ?4) \
                         ON CONFLICT(name) DO NOTHING RETURNING {COLUMNS}"
                    ),
                    params![new.name, new.admin, &token_hash[..], new.created_at],
                    user,
                )
            })
            .await
    }

    pub async fn replace_token(
        &self,
        name: String,
        token_hash: [u8; 32],
    ) -> Result<Option<UserRow>> {
        self.db
            .write(move |tx| {
                tx.one(
                    &format!(
                        "UPDATE users SET token_hash = ?2 WHERE name = ?1 RETURNING {COLUMNS}"
                    ),
                    params![name, &token_hash[..]],
                    user,
                )
            })
            .await
    }

    pub async fn user_by_token(&self, token_hash: [u8; 32]) -> Result<Option<UserRow>> {
        self.db
            .look(|tx| {
                tx.one(
                    &format!("SELECT {COLUMNS} FROM users WHERE token_hash = ?1"),
                    params![&token_hash[..]],
                    user,
                )
            })
            .await
    }

    pub async fn user(&self, id: i64) -> Result<Option<UserRow>> {
        self.db
            .look(move |tx| {
                let sql = format!("SELECT {COLUMNS} FROM users WHERE id = ?1");
                tx.one(&sql, params![id], user)
            })
            .await
    }

    pub async fn list_users(&self) -> Result<Vec<UserRow>> {
        self.db
            .read(|tx| {
                tx.all(
                    &format!("SELECT {COLUMNS} FROM users ORDER BY name"),
                    &[],
                    user,
                )
            })
            .await
    }

    pub async fn has_users(&self) -> Result<bool> {
        self.db
            .look(|tx| {
                Ok(tx
                    .one("SELECT 1 FROM users LIMIT 1", &[], |_| Ok(()))?
                    .is_some())
            })
            .await
    }

    /// Removes a user with its role assignments. The last admin stays while other users exist.
    pub async fn delete_user(&self, name: String) -> Result<bool> {
        self.db
            .write(move |tx| {
                let deleted = tx.execute("DELETE FROM users WHERE name = ?1", params![name])?;
                let stranded = tx.one(
                    "SELECT 1 FROM users WHERE NOT EXISTS (SELECT 1 FROM users WHERE admin) LIMIT 1",
                    &[],
                    |_| Ok(()),
                )?;
                if deleted > 0 && stranded.is_some() {
                    return Err(Error::conflict(format!(
                        "`{name}` is the last admin; nobody could manage the other users"
                    ))
                    .hint("Make another admin first: aml user create NAME --admin"));
                }
                Ok(deleted > 0)
            })
            .await
    }

    /// Gives a user one role in a workspace; none when there is no such user.
    pub async fn assign_role(
        &self,
        workspace: i64,
        name: String,
        role: Role,
        now: Time,
    ) -> Result<Option<RoleAssignment>> {
        self.db
            .write(move |tx| {
                let Some(found) = tx.one(
                    &format!("SELECT {COLUMNS} FROM users WHERE name = ?1"),
                    params![name],
                    user,
                )?
                else {
                    return Ok(None);
                };
                tx.execute(
                    "INSERT INTO role_assignments(workspace_id, user_id, role, created_at) \
                     VALUES (?1, ?2, ?3, ?4) \
                     ON CONFLICT(workspace_id, user_id) DO UPDATE SET role = ?3, created_at = ?4",
                    params![workspace, found.id, role.name(), now],
                )?;
                Ok(Some(RoleAssignment {
                    user: found.user.name,
                    role,
                    created_at: now,
                }))
            })
            .await
    }

    pub async fn list_roles(&self, workspace: i64) -> Result<Vec<RoleAssignment>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT u.name, r.role, r.created_at FROM role_assignments r \
                     JOIN users u ON u.id = r.user_id WHERE r.workspace_id = ?1 ORDER BY u.name",
                    params![workspace],
                    |row| {
                        Ok(RoleAssignment {
                            user: row.get(0)?,
                            role: role(&row.get::<String>(1)?),
                            created_at: row.get(2)?,
                        })
                    },
                )
            })
            .await
    }

    pub async fn remove_role(&self, workspace: i64, name: String) -> Result<bool> {
        self.db
            .write(move |tx| {
                let removed = tx.execute(
                    "DELETE FROM role_assignments WHERE workspace_id = ?1 \
                     AND user_id = (SELECT id FROM users WHERE name = ?2)",
                    params![workspace, name],
                )?;
                Ok(removed > 0)
            })
            .await
    }

    pub async fn role_of(&self, workspace: i64, user: i64) -> Result<Option<Role>> {
        self.db
            .look(|tx| {
                tx.one(
                    "SELECT role FROM role_assignments WHERE workspace_id = ?1 AND user_id = ?2",
                    params![workspace, user],
                    |row| Ok(role(&row.get::<String>(0)?)),
                )
            })
            .await
    }
}

/// An unknown stored name, which only damage could bring, gives the least.
fn role(name: &str) -> Role {
    Role::ALL
        .into_iter()
        .find(|role| role.name() == name)
        .unwrap_or(Role::Reader)
}
