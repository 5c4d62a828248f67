//! Endpoints as stored, and the files their hosts write.

use super::{
    Store,
    db::{Row, RowResult, Tx, json, optional_json, params, to_json},
};
use api::{
    Result, Time,
    endpoints::{Deployment, EndpointState, FailedUpdate},
    files::Hash,
    models::{Lineage, ModelType},
};

/// An endpoint, what is deployed behind it and what its host said last.
#[derive(Debug, Clone)]
pub struct EndpointRow {
    pub id: i64,
    pub workspace: i64,
    pub workspace_name: String,
    pub name: String,
    pub deployment: Deployment,
    pub generation: u64,
    /// Someone wants it to run.
    pub desired: bool,
    pub state: EndpointState,
    /// The generation that the state is of.
    pub state_generation: u64,
    pub message: Option<String>,
    /// The newest deployment, when it could not be served and the one before it was taken up again.
    pub failed_update: Option<FailedUpdate>,
    pub port: Option<u16>,
    pub sealed_keys: Vec<u8>,
    pub created_at: Time,
    pub updated_at: Time,
    pub model_tree: Hash,
    pub model_kind: ModelType,
    pub model_lineage: Lineage,
}

/// What is to be served.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    pub name: String,
    pub deployment: Deployment,
    pub model_version: i64,
    /// For an endpoint that is new.
    pub sealed_keys: Vec<u8>,
    pub now: Time,
}

/// What a host says.
#[derive(Debug, Clone)]
pub struct EndpointReport {
    pub generation: u64,
    pub state: EndpointState,
    pub message: Option<String>,
    pub port: Option<u16>,
    /// The generation cannot be served: the last one that answered is to be served again.
    pub unfit: bool,
    /// The generation that answers all the same.
    pub answering: Option<u64>,
    pub now: Time,
}

const SELECT: &str = "SELECT e.id, e.workspace_id, w.name, e.name, e.deployment, e.generation, e.desired, e.state, \
                      e.state_generation, e.message, e.port, e.sealed_keys, e.created_at, e.updated_at, \
                      v.tree, v.kind, v.lineage, e.failed_update \
                      FROM endpoints e JOIN workspaces w ON w.id = e.workspace_id \
                      JOIN model_versions v ON v.id = e.model_version_id";

fn endpoint(row: &Row<'_>) -> RowResult<EndpointRow> {
    let state: String = row.get(7)?;
    Ok(EndpointRow {
        id: row.get(0)?,
        workspace: row.get(1)?,
        workspace_name: row.get(2)?,
        name: row.get(3)?,
        deployment: json(row, 4)?,
        generation: row.get(5)?,
        desired: row.get::<String>(6)? == RUNNING,
        state: EndpointState::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .unwrap_or(EndpointState::Failed),
        state_generation: row.get(8)?,
        message: row.get(9)?,
        port: row.get(10)?,
        sealed_keys: row.get(11)?,
        created_at: row.get(12)?,
        updated_at: row.get(13)?,
        model_tree: row.get(14)?,
        model_kind: super::models::kind(&row.get::<String>(15)?),
        model_lineage: json(row, 16)?,
        failed_update: optional_json(row, 17)?,
    })
}

const RUNNING: &str = "running";
const STOPPED: &str = "stopped";

fn find(tx: &Tx<'_>, id: i64) -> Result<Option<EndpointRow>> {
    tx.one(&format!("{SELECT} WHERE e.id = ?1"), params![id], endpoint)
}

/// Takes up the last deployment that answered in the place of one that cannot be served; false when
/// there is none.
fn fall_back(tx: &Tx<'_>, id: i64, report: &EndpointReport) -> Result<bool> {
    let failed = FailedUpdate {
        generation: report.generation,
        message: report.message.clone().unwrap_or_default(),
    };
    let changed = tx.execute(
        "UPDATE endpoints SET deployment = good_deployment, model_version_id = good_model_version_id, \
         generation = good_generation, state_generation = good_generation, message = NULL, \
         state = CASE good_generation WHEN ?3 THEN 'healthy' ELSE 'starting' END, \
         failed_update = ?4, updated_at = ?5 \
         WHERE id = ?1 AND generation = ?2 AND desired = 'running' AND good_generation <> ?2",
        params![
            id,
            report.generation,
            report.answering,
            to_json(&failed)?,
            report.now
        ],
    )?;
    Ok(changed > 0)
}

impl Store {
    /// Puts a deployment behind an endpoint, made if new; it is then wanted and starting. None when
    /// the model version was deleted meanwhile.
    pub async fn deploy(&self, workspace: i64, new: NewDeployment) -> Result<Option<EndpointRow>> {
        self.db
            .write(move |tx| {
                let id = tx.one(
                    "INSERT INTO endpoints(workspace_id, name, deployment, model_version_id, generation, desired, \
                     state, port, sealed_keys, created_at, updated_at) \
                     SELECT ?1, ?2, ?3, id, 1, 'running', 'starting', ?5, ?6, ?7, ?7 \
                     FROM model_versions WHERE id = ?4 AND tree IS NOT NULL \
                     ON CONFLICT(workspace_id, name) DO UPDATE SET deployment = excluded.deployment, \
                     model_version_id = excluded.model_version_id, generation = deployments + 1, \
                     deployments = deployments + 1, failed_update = NULL, \
                     desired = 'running', state = 'starting', message = NULL, \
                     port = coalesce(excluded.port, port), updated_at = excluded.updated_at \
                     RETURNING id",
                    params![
                        workspace,
                        new.name,
                        to_json(&new.deployment)?,
                        new.model_version,
                        new.deployment.port,
                        new.sealed_keys,
                        new.now
                    ],
                    |row| row.get(0),
                )?;
                match id {
                    Some(id) => find(tx, id),
                    None => Ok(None),
                }
            })
            .await
    }

    pub async fn endpoint(&self, workspace: i64, name: &str) -> Result<Option<EndpointRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.one(
                    &format!("{SELECT} WHERE e.workspace_id = ?1 AND e.name = ?2"),
                    params![workspace, name],
                    endpoint,
                )
            })
            .await
    }

    pub async fn endpoint_by_id(&self, id: i64) -> Result<Option<EndpointRow>> {
        self.db.read(move |tx| find(tx, id)).await
    }

    /// The endpoints of a workspace, or of all, by name.
    pub async fn list_endpoints(&self, workspace: Option<i64>) -> Result<Vec<EndpointRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!("{SELECT} WHERE ?1 IS NULL OR e.workspace_id = ?1 ORDER BY e.name"),
                    params![workspace],
                    endpoint,
                )
            })
            .await
    }

    /// Records whether an endpoint is wanted to run. One that shall run is starting.
    pub async fn want_endpoint(
        &self,
        id: i64,
        running: bool,
        now: Time,
    ) -> Result<Option<EndpointRow>> {
        self.db
            .write(move |tx| {
                let (desired, state) = if running {
                    (RUNNING, EndpointState::Starting)
                } else {
                    (STOPPED, EndpointState::Stopped)
                };
                tx.execute(
                    "UPDATE endpoints SET desired = ?2, state = ?3, state_generation = 0, message = NULL, \
                     failed_update = CASE WHEN ?2 = ?5 THEN failed_update END, \
                     updated_at = ?4 WHERE id = ?1",
                    params![id, desired, state.name(), now, RUNNING],
                )?;
                find(tx, id)
            })
            .await
    }

    /// Records what a host says; false when the endpoint was deleted.
    pub async fn report_endpoint(&self, id: i64, report: EndpointReport) -> Result<bool> {
        self.db
            .write(move |tx| {
                let known = tx.execute(
                    "UPDATE endpoints SET port = coalesce(?2, port) WHERE id = ?1",
                    params![id, report.port],
                )?;
                if report.unfit && fall_back(tx, id, &report)? {
                    return Ok(true);
                }
                let current = "WHERE id = ?1 AND generation = ?2 AND desired = 'running'";
                tx.execute(
                    &format!("UPDATE endpoints SET state = ?3, message = ?4, state_generation = ?2, updated_at = ?5 {current}"),
                    params![
                        id,
                        report.generation,
                        report.state.name(),
                        report.message,
                        report.now
                    ],
                )?;
                if report.state == EndpointState::Healthy {
                    tx.execute(
                        &format!(
                            "UPDATE endpoints SET good_generation = generation, good_deployment = deployment, \
                             good_model_version_id = model_version_id {current}"
                        ),
                        params![id, report.generation],
                    )?;
                }
                Ok(known > 0)
            })
            .await
    }

    /// Puts new keys in the place of `old`; false when others came before, or the endpoint was deleted.
    pub async fn replace_endpoint_keys(
        &self,
        id: i64,
        old: Vec<u8>,
        sealed: Vec<u8>,
    ) -> Result<bool> {
        self.db
            .write(move |tx| {
                let changed = tx.execute(
                    "UPDATE endpoints SET sealed_keys = ?3 WHERE id = ?1 AND sealed_keys = ?2",
                    params![id, old, sealed],
                )?;
                Ok(changed > 0)
            })
            .await
    }

    pub async fn delete_endpoint(&self, id: i64) -> Result<bool> {
        self.db
            .write(move |tx| {
                Ok(tx.execute("DELETE FROM endpoints WHERE id = ?1", params![id])? > 0)
            })
            .await
    }
}
