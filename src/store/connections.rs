//! Connections as stored, with sealed credentials.

use serde_json::Map;

use super::{
    Store,
    db::{Row, RowResult, json, params, to_json},
};
use api::{Result, connections::Connection};

/// A connection and its sealed credentials.
#[derive(Debug, Clone)]
pub struct ConnectionRow {
    pub connection: Connection,
    pub sealed_credentials: Option<Vec<u8>>,
}

const COLUMNS: &str = "name, kind, target, spec, credential_type, description, tags, created_by, \
                       created_at, updated_at, sealed_credentials";

fn connection(row: &Row<'_>) -> RowResult<ConnectionRow> {
    Ok(ConnectionRow {
        connection: Connection {
            name: row.get(0)?,
            kind: row.get(1)?,
            target: row.get(2)?,
            spec: json(row, 3)?,
            credential_type: row.get(4)?,
            credentials: Map::new(),
            description: row.get(5)?,
            tags: json(row, 6)?,
            created_by: row.get(7)?,
            created_at: row.get(8)?,
            updated_at: row.get(9)?,
        },
        sealed_credentials: row.get(10)?,
    })
}

impl Store {
    /// Adds a connection, or replaces the one of that name.
    pub async fn put_connection(
        &self,
        workspace: i64,
        row: ConnectionRow,
    ) -> Result<Option<ConnectionRow>> {
        self.db
            .write(move |tx| {
                let new = &row.connection;
                tx.one(
                    &format!(
                        "INSERT INTO connections(workspace_id, name, kind, target, spec, credential_type, \
                         sealed_credentials, description, tags, created_by, created_at, updated_at) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11) \
                         ON CONFLICT(workspace_id, name) DO UPDATE SET kind = ?3, target = ?4, spec = ?5, \
                         credential_type = ?6, sealed_credentials = ?7, description = ?8, tags = ?9, \
                         updated_at = ?11 RETURNING {COLUMNS}"
                    ),
                    params![
                        workspace,
                        new.name,
                        new.kind,
                        new.target,
                        to_json(&new.spec)?,
                        new.credential_type,
                        row.sealed_credentials,
                        new.description,
                        to_json(&new.tags)?,
                        new.created_by,
                        new.created_at
                    ],
                    connection,
                )
            })
            .await
    }

    pub async fn connection(&self, workspace: i64, name: &str) -> Result<Option<ConnectionRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.one(
                    &format!(
                        "SELECT {COLUMNS} FROM connections WHERE workspace_id = ?1 AND name = ?2"
                    ),
                    params![workspace, name],
                    connection,
                )
            })
            .await
    }

    /// The connections by name, of one type or all.
    pub async fn list_connections(
        &self,
        workspace: i64,
        kind: Option<String>,
    ) -> Result<Vec<ConnectionRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM connections WHERE workspace_id = ?1 \
                         AND (?2 IS NULL OR kind = ?2) ORDER BY name"
                    ),
                    params![workspace, kind],
                    connection,
                )
            })
            .await
    }

    pub async fn delete_connection(&self, workspace: i64, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let sql = "DELETE FROM connections WHERE workspace_id = ?1 AND name = ?2";
                Ok(tx.execute(sql, params![workspace, name])? > 0)
            })
            .await
    }
}
