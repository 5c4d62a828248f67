//! Batch endpoints and deployments as stored.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
};
use api::{
    Result, Time,
    batch::{BatchDeployment, BatchEndpoint},
};

/// A batch endpoint with its number; its address is not known to the store.
#[derive(Debug, Clone)]
pub struct BatchEndpointRow {
    pub id: i64,
    pub endpoint: BatchEndpoint,
}

/// What a batch endpoint shall be; what is absent stays as it is, or is nothing.
#[derive(Debug, Clone)]
pub struct BatchEndpointChange {
    pub name: String,
    pub description: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub properties: Option<BTreeMap<String, String>>,
    pub default_deployment: Option<String>,
    pub now: Time,
}

const ENDPOINT: &str = "SELECT id, name, description, tags, properties, default_deployment, created_at, \
                        updated_at FROM batch_endpoints";
const DEPLOYMENT: &str = "SELECT e.name, d.name, d.definition, d.created_at, d.updated_at \
                          FROM batch_deployments d JOIN batch_endpoints e ON e.id = d.endpoint_id";

fn endpoint(row: &Row<'_>) -> RowResult<BatchEndpointRow> {
    Ok(BatchEndpointRow {
        id: row.get(0)?,
        endpoint: BatchEndpoint {
            name: row.get(1)?,
            description: row.get(2)?,
            tags: json(row, 3)?,
            properties: json(row, 4)?,
            default_deployment: row.get(5)?,
            scoring_uri: String::new(),
            deployments: Vec::new(),
            created_at: row.get(6)?,
            updated_at: row.get(7)?,
        },
    })
}

fn deployment(row: &Row<'_>) -> RowResult<BatchDeployment> {
    Ok(BatchDeployment {
        endpoint: row.get(0)?,
        name: row.get(1)?,
        definition: json(row, 2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
    })
}

fn with_names(tx: &Tx<'_>, mut row: BatchEndpointRow) -> Result<BatchEndpointRow> {
    row.endpoint.deployments = tx.all(
        "SELECT name FROM batch_deployments WHERE endpoint_id = ?1 ORDER BY name",
        params![row.id],
        |row| row.get(0),
    )?;
    Ok(row)
}

fn find(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<BatchEndpointRow>> {
    let sql = format!("{ENDPOINT} WHERE workspace_id = ?1 AND name = ?2");
    let found = tx.one(&sql, params![workspace, name], endpoint)?;
    found.map(|row| with_names(tx, row)).transpose()
}

impl Store {
    /// Makes a batch endpoint or changes it.
    pub async fn put_batch_endpoint(
        &self,
        workspace: i64,
        change: BatchEndpointChange,
    ) -> Result<Option<BatchEndpointRow>> {
        self.db
            .write(move |tx| {
                let map =
                    |map: &Option<BTreeMap<String, String>>| map.as_ref().map(to_json).transpose();
                tx.execute(
                    "INSERT INTO batch_endpoints(workspace_id, name, created_at, updated_at) \
                     VALUES (?1, ?2, ?3, ?3) ON CONFLICT(workspace_id, name) DO NOTHING",
                    params![workspace, change.name, change.now],
                )?;
                tx.execute(
                    "UPDATE batch_endpoints SET description = coalesce(?3, description), \
                     tags = coalesce(?4, tags), properties = coalesce(?5, properties), \
                     default_deployment = coalesce(?6, default_deployment), updated_at = ?7 \
                     WHERE workspace_id = ?1 AND name = ?2",
                    params![
                        workspace,
                        change.name,
                        change.description,
                        map(&change.tags)?,
                        map(&change.properties)?,
                        change.default_deployment,
                        change.now
                    ],
                )?;
                find(tx, workspace, &change.name)
            })
            .await
    }

    pub async fn batch_endpoint(
        &self,
        workspace: i64,
        name: &str,
    ) -> Result<Option<BatchEndpointRow>> {
        let name = name.to_owned();
        self.db.read(move |tx| find(tx, workspace, &name)).await
    }

    /// The batch endpoints of a workspace, by name.
    pub async fn list_batch_endpoints(&self, workspace: i64) -> Result<Vec<BatchEndpointRow>> {
        self.db
            .read(move |tx| {
                let sql = format!("{ENDPOINT} WHERE workspace_id = ?1 ORDER BY name");
                let rows = tx.all(&sql, params![workspace], endpoint)?;
                rows.into_iter().map(|row| with_names(tx, row)).collect()
            })
            .await
    }

    pub async fn delete_batch_endpoint(&self, id: i64) -> Result<bool> {
        self.db
            .write(move |tx| {
                Ok(tx.execute("DELETE FROM batch_endpoints WHERE id = ?1", params![id])? > 0)
            })
            .await
    }

    /// Puts a deployment behind a batch endpoint, which runs when none is named if that is asked for
    /// or there is no other.
    pub async fn put_batch_deployment(
        &self,
        endpoint: i64,
        name: &str,
        definition: Map<String, Value>,
        set_default: bool,
        now: Time,
    ) -> Result<Option<BatchDeployment>> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                tx.execute(
                    "INSERT INTO batch_deployments(endpoint_id, name, definition, created_at, updated_at) \
                     VALUES (?1, ?2, ?3, ?4, ?4) ON CONFLICT(endpoint_id, name) DO UPDATE SET \
                     definition = excluded.definition, updated_at = excluded.updated_at",
                    params![endpoint, name, to_json(&definition)?, now],
                )?;
                tx.execute(
                    "UPDATE batch_endpoints SET updated_at = ?4, default_deployment = \
                     CASE WHEN ?3 OR default_deployment IS NULL THEN ?2 ELSE default_deployment END \
                     WHERE id = ?1",
                    params![endpoint, name, set_default, now],
                )?;
                let sql = format!("{DEPLOYMENT} WHERE d.endpoint_id = ?1 AND d.name = ?2");
                tx.one(&sql, params![endpoint, name], deployment)
            })
            .await
    }

    /// The deployments of a batch endpoint, by name.
    pub async fn batch_deployments(&self, endpoint: i64) -> Result<Vec<BatchDeployment>> {
        self.db
            .read(move |tx| {
                let sql = format!("{DEPLOYMENT} WHERE d.endpoint_id = ?1 ORDER BY d.name");
                tx.all(&sql, params![endpoint], deployment)
            })
            .await
    }

    /// Deletes a deployment, which is then nobody's default.
    pub async fn delete_batch_deployment(
        &self,
        endpoint: i64,
        name: &str,
        now: Time,
    ) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let deleted = tx.execute(
                    "DELETE FROM batch_deployments WHERE endpoint_id = ?1 AND name = ?2",
                    params![endpoint, name],
                )?;
                tx.execute(
                    "UPDATE batch_endpoints SET updated_at = ?3, default_deployment = \
                     CASE WHEN default_deployment = ?2 COLLATE NOCASE THEN NULL ELSE default_deployment END \
                     WHERE id = ?1",
                    params![endpoint, name, now],
                )?;
                Ok(deleted > 0)
            })
            .await
    }
}
