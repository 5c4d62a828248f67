//! Identities as stored.

use super::{
    Store,
    db::{Row, RowResult, json, params, to_json},
};
use api::{Result, identities::ManagedIdentity};

const COLUMNS: &str = "name, resource_group, location, tags, principal_id, client_id, created_at";

fn identity(row: &Row<'_>) -> RowResult<ManagedIdentity> {
    Ok(ManagedIdentity {
        name: row.get(0)?,
        resource_group: row.get(1)?,
        location: row.get(2)?,
        tags: json(row, 3)?,
        principal_id: row.get(4)?,
        client_id: row.get(5)?,
        created_at: row.get(6)?,
    })
}

impl Store {
    /// Adds an identity; the one of that name in the group keeps its ids.
    pub async fn put_identity(&self, new: ManagedIdentity) -> Result<Option<ManagedIdentity>> {
        self.db
            .write(move |tx| {
                tx.one(
                    &format!(
                        "INSERT INTO identities({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                         ON CONFLICT(resource_group, name) DO UPDATE SET tags = ?4 RETURNING {COLUMNS}"
                    ),
                    params![
                        new.name,
                        new.resource_group,
                        new.location,
                        to_json(&new.tags)?,
                        new.principal_id,
                        new.client_id,
                        new.created_at
                    ],
                    identity,
                )
            })
            .await
    }

    /// The identities by name, of one group or all.
    pub async fn list_identities(&self, group: Option<String>) -> Result<Vec<ManagedIdentity>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM identities \
                         WHERE ?1 IS NULL OR resource_group = ?1 ORDER BY name"
                    ),
                    params![group],
                    identity,
                )
            })
            .await
    }

    pub async fn delete_identity(&self, group: &str, name: &str) -> Result<bool> {
        let (group, name) = (group.to_owned(), name.to_owned());
        self.db
            .write(move |tx| {
                let sql = "DELETE FROM identities WHERE resource_group = ?1 AND name = ?2";
                Ok(tx.execute(sql, params![group, name])? > 0)
            })
            .await
    }
}
