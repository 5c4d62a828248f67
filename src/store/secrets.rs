//! Sealed secrets. Nothing here can read one.

use super::{
    Store,
    db::{Row, RowResult, params},
};
use api::{Result, Time, secrets::Secret};

const COLUMNS: &str = "name, created_at, updated_at";

fn secret(row: &Row<'_>) -> RowResult<Secret> {
    Ok(Secret {
        name: row.get(0)?,
        created_at: row.get(1)?,
        updated_at: row.get(2)?,
    })
}

impl Store {
    /// Adds or replaces a secret; the name stays as it was first written.
    pub async fn set_secret(
        &self,
        workspace: i64,
        name: String,
        sealed: Vec<u8>,
        now: Time,
    ) -> Result<Option<Secret>> {
        self.db
            .write(move |tx| {
                tx.one(
                    &format!(
                        "INSERT INTO secrets(workspace_id, name, sealed_value, created_at, updated_at) \
                         SELECT id, ?2, ?3, ?4, ?4 FROM workspaces WHERE id = ?1 \
                         ON CONFLICT(workspace_id, name) DO UPDATE SET sealed_value = ?3, updated_at = ?4 \
                         RETURNING {COLUMNS}"
                    ),
                    params![workspace, name, sealed, now],
                    secret,
                )
            })
            .await
    }

    /// The name as first written and the sealed value.
    pub async fn sealed_secret(
        &self,
        workspace: i64,
        name: &str,
    ) -> Result<Option<(String, Vec<u8>)>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.one(
                    "SELECT name, sealed_value FROM secrets WHERE workspace_id = ?1 AND name = ?2",
                    params![workspace, name],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
            })
            .await
    }

    pub async fn list_secrets(&self, workspace: i64) -> Result<Vec<Secret>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!("SELECT {COLUMNS} FROM secrets WHERE workspace_id = ?1 ORDER BY name"),
                    params![workspace],
                    secret,
                )
            })
            .await
    }

    pub async fn delete_secret(&self, workspace: i64, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let deleted = tx.execute(
                    "DELETE FROM secrets WHERE workspace_id = ?1 AND name = ?2",
                    params![workspace, name],
                )?;
                Ok(deleted > 0)
            })
            .await
    }
}
