//! Computes as stored.

use serde_json::{Map, Value};

use super::{
    Store,
    db::{Row, RowResult, json, params, to_json},
};
use api::{
    Result, Time,
    computes::{Compute, ComputeState, IDLE_SHUTDOWN},
};

/// A compute and its sealed passwords.
#[derive(Debug, Clone)]
pub struct ComputeRow {
    pub compute: Compute,
    pub sealed_secrets: Option<Vec<u8>>,
}

/// A compute instance that runs and on which nothing is executed.
#[derive(Debug, Clone)]
pub struct IdleInstance {
    pub workspace: i64,
    pub name: String,
    pub spec: Map<String, Value>,
    /// When something was last done to it, or a run on it ended.
    pub since: Time,
}

const COLUMNS: &str = "name, kind, location, spec, description, tags, state, last_operation, created_by, \
                       created_at, updated_at, sealed_secrets";

fn compute(row: &Row<'_>) -> RowResult<ComputeRow> {
    let state: String = row.get(6)?;
    Ok(ComputeRow {
        compute: Compute {
            name: row.get(0)?,
            kind: row.get(1)?,
            location: row.get(2)?,
            spec: json(row, 3).unwrap_or_else(|_| Map::new()),
            description: row.get(4)?,
            tags: json(row, 5)?,
            state: match state.as_str() {
                "Running" => Some(ComputeState::Running),
                "Stopped" => Some(ComputeState::Stopped),
                _ => None,
            },
            last_operation: row.get(7)?,
            size: None,
            created_by: row.get(8)?,
            created_at: row.get(9)?,
            updated_at: row.get(10)?,
        },
        sealed_secrets: row.get(11)?,
    })
}

fn state_name(state: Option<ComputeState>) -> &'static str {
    state.map_or("", ComputeState::name)
}

impl Store {
    /// Adds a compute, or replaces what one of the same name and type says; its state and its
    /// passwords stay, unless there are new ones. None when the name belongs to another type.
    pub async fn put_compute(&self, workspace: i64, row: ComputeRow) -> Result<Option<ComputeRow>> {
        self.db
            .write(move |tx| {
                let new = &row.compute;
                tx.one(
                    &format!(
                        "INSERT INTO computes(workspace_id, name, kind, location, spec, sealed_secrets, \
                         description, tags, state, last_operation, created_by, created_at, updated_at) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12) \
                         ON CONFLICT(workspace_id, name) DO UPDATE SET location = ?4, spec = ?5, \
                         sealed_secrets = coalesce(?6, sealed_secrets), description = ?7, tags = ?8, \
                         updated_at = ?12 WHERE kind = ?3 RETURNING {COLUMNS}"
                    ),
                    params![
                        workspace,
                        new.name,
                        new.kind,
                        new.location,
                        to_json(&new.spec)?,
                        row.sealed_secrets,
                        new.description,
                        to_json(&new.tags)?,
                        state_name(new.state),
                        new.last_operation,
                        new.created_by,
                        new.created_at
                    ],
                    compute,
                )
            })
            .await
    }

    pub async fn compute(&self, workspace: i64, name: &str) -> Result<Option<ComputeRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.one(
                    &format!(
                        "SELECT {COLUMNS} FROM computes WHERE workspace_id = ?1 AND name = ?2"
                    ),
                    params![workspace, name],
                    compute,
                )
            })
            .await
    }

    /// The computes by name, of one type or all.
    pub async fn list_computes(
        &self,
        workspace: i64,
        kind: Option<String>,
    ) -> Result<Vec<ComputeRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM computes WHERE workspace_id = ?1 \
                         AND (?2 IS NULL OR kind = ?2) ORDER BY name"
                    ),
                    params![workspace, kind],
                    compute,
                )
            })
            .await
    }

    /// Notes what was done to a compute and its new state, unless it is not there.
    pub async fn switch_compute(
        &self,
        workspace: i64,
        name: &str,
        state: ComputeState,
        operation: &'static str,
        now: Time,
    ) -> Result<Option<ComputeRow>> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                tx.one(
                    &format!(
                        "UPDATE computes SET state = ?3, last_operation = ?4, updated_at = ?5 \
                         WHERE workspace_id = ?1 AND name = ?2 RETURNING {COLUMNS}"
                    ),
                    params![workspace, name, state.name(), operation, now],
                    compute,
                )
            })
            .await
    }

    /// The compute instances that run, with when something was last done to or on them. One on which a
    /// run is executed, or waits since then, is left out.
    pub async fn idle_instances(&self) -> Result<Vec<IdleInstance>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT workspace_id, name, spec, since FROM (SELECT c.workspace_id, c.name, c.spec, \
                     max(c.updated_at, coalesce((SELECT max(r.ended_at) FROM runs r \
                     WHERE r.workspace_id = c.workspace_id AND r.compute = c.name AND r.job IS NOT NULL \
                     AND r.ended_at IS NOT NULL), 0)) AS since FROM computes c \
                     WHERE c.kind = 'computeinstance' AND c.state = 'Running' \
                     AND c.spec LIKE '%idle_time_before_shutdown%' \
                     AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.workspace_id = c.workspace_id \
                     AND r.compute = c.name AND r.job IS NOT NULL AND r.ended_at IS NULL))",
                    &[],
                    |row| {
                        Ok(IdleInstance {
                            workspace: row.get(0)?,
                            name: row.get(1)?,
                            spec: json(row, 2)?,
                            since: row.get(3)?,
                        })
                    },
                )
            })
            .await
    }

    /// Stops a compute instance that has been idle since then, unless something was done meanwhile.
    pub async fn stop_idle_instance(&self, idle: &IdleInstance, now: Time) -> Result<()> {
        let (workspace, name, since) = (idle.workspace, idle.name.clone(), idle.since);
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE computes SET state = 'Stopped', last_operation = ?4, updated_at = ?5 \
                     WHERE workspace_id = ?1 AND name = ?2 AND state = 'Running' AND updated_at <= ?3 \
                     AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.workspace_id = ?1 AND r.compute = ?2 \
                     AND r.job IS NOT NULL AND (r.ended_at IS NULL OR r.ended_at > ?3))",
                    params![workspace, name, since, IDLE_SHUTDOWN, now],
                )
            })
            .await
            .map(drop)
    }

    pub async fn delete_compute(&self, workspace: i64, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let sql = "DELETE FROM computes WHERE workspace_id = ?1 AND name = ?2";
                Ok(tx.execute(sql, params![workspace, name])? > 0)
            })
            .await
    }
}
