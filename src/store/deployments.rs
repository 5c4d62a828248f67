//! Deployments as stored.

use super::{
    Store,
    db::{Row, RowResult, Tx, json, optional_json, params, to_json},
    endpoints::{self, EndpointRow, RUNNING},
};
use api::{
    Result, Time,
    autoscale::Autoscale,
    deployments::{Deployment, FailedUpdate},
    endpoints::{EndpointState, Traffic},
    files::Hash,
    models::Lineage,
};

/// A deployment and what its host said of it last.
#[derive(Debug, Clone)]
pub struct DeploymentRow {
    pub id: i64,
    pub name: String,
    pub deployment: Deployment,
    pub generation: u64,
    pub state: EndpointState,
    /// The generation that the state is of.
    pub state_generation: u64,
    pub message: Option<String>,
    /// It has answered, in this generation or one before it.
    pub answered: bool,
    /// The newest update, when it could not be served and the one before it was taken up again.
    pub failed_update: Option<FailedUpdate>,
    pub created_at: Time,
    pub updated_at: Time,
    pub model_tree: Option<Hash>,
    pub model_lineage: Option<Lineage>,
    /// The workspace or registry that the model is of.
    pub model_workspace: Option<String>,
    pub autoscale: Option<Autoscale>,
}

/// What is to be served.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// The endpoint, which is made if new.
    pub endpoint: String,
    pub name: String,
    pub deployment: Deployment,
    pub model_version: Option<i64>,
    pub all_traffic: bool,
    /// Gets all requests from now on when no deployment gets any.
    pub first_traffic: bool,
    pub port: Option<u16>,
    /// For an endpoint that is new.
    pub sealed_keys: Vec<u8>,
    pub now: Time,
}

/// What a host says.
#[derive(Debug, Clone)]
pub struct DeploymentReport {
    pub deployment: i64,
    pub generation: u64,
    pub state: EndpointState,
    pub message: Option<String>,
    /// The generation cannot be served: the last one that answered is to be served again.
    pub unfit: bool,
    /// The generation that answers all the same.
    pub answering: Option<u64>,
    pub now: Time,
}

const SELECT: &str = "SELECT d.id, d.name, d.spec, d.generation, d.state, d.state_generation, d.message, \
                      d.failed_update, d.created_at, d.updated_at, v.tree, v.lineage, w.name, \
                      d.good_generation IS NOT NULL, d.autoscale \
                      FROM deployments d LEFT JOIN model_versions v ON v.id = d.model_version_id \
                      LEFT JOIN models m ON m.id = v.model_id LEFT JOIN workspaces w ON w.id = m.workspace_id";

fn deployment(row: &Row<'_>) -> RowResult<DeploymentRow> {
    let state: String = row.get(4)?;
    Ok(DeploymentRow {
        id: row.get(0)?,
        name: row.get(1)?,
        deployment: json(row, 2)?,
        generation: row.get(3)?,
        state: EndpointState::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .unwrap_or(EndpointState::Failed),
        state_generation: row.get(5)?,
        message: row.get(6)?,
        failed_update: optional_json(row, 7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
        model_tree: row.get(10)?,
        model_lineage: optional_json(row, 11)?,
        model_workspace: row.get(12)?,
        answered: row.get(13)?,
        autoscale: optional_json(row, 14)?,
    })
}

/// The deployments of an endpoint, by name.
pub(super) fn of(tx: &Tx<'_>, endpoint: i64) -> Result<Vec<DeploymentRow>> {
    let sql = format!("{SELECT} WHERE d.endpoint_id = ?1 ORDER BY d.name");
    tx.all(&sql, params![endpoint], deployment)
}

/// The shares under the names as they are stored; those of what is not there keep theirs.
pub(super) fn named(shares: Traffic, deployments: &[DeploymentRow]) -> Traffic {
    let mut named = Traffic::new();
    for (key, share) in shares {
        let known = deployments
            .iter()
            .find(|row| row.name.eq_ignore_ascii_case(&key));
        let sum = named
            .entry(known.map_or(key, |row| row.name.clone()))
            .or_default();
        *sum = u8::saturating_add(*sum, share);
    }
    named
}

/// No deployment is to get all requests any more when it answers: something else was said since.
pub(super) fn take_none(tx: &Tx<'_>, endpoint: i64) -> Result<()> {
    tx.execute(
        "UPDATE deployments SET takes_traffic = 0 WHERE endpoint_id = ?1",
        params![endpoint],
    )?;
    Ok(())
}

/// Gives all requests of an endpoint to one deployment.
fn give_all(tx: &Tx<'_>, endpoint: i64, name: &str) -> Result<()> {
    let stored: Option<String> = tx.one(
        "SELECT name FROM deployments WHERE endpoint_id = ?1 AND name = ?2",
        params![endpoint, name],
        |row| row.get(0),
    )?;
    let traffic = Traffic::from([(stored.unwrap_or_else(|| name.to_owned()), 100)]);
    tx.execute(
        "UPDATE endpoints SET traffic = ?2, mirror_traffic = '{}', orders = orders + 1 WHERE id = ?1",
        params![endpoint, to_json(&traffic)?],
    )?;
    Ok(())
}

/// Takes up what answered last in the place of what cannot be served; false when there is nothing.
fn fall_back(tx: &Tx<'_>, report: &DeploymentReport) -> Result<bool> {
    let failed = FailedUpdate {
        generation: report.generation,
        message: report.message.clone().unwrap_or_default(),
    };
    let changed = tx.execute(
        "UPDATE deployments SET spec = good_spec, model_version_id = good_model_version_id, \
         generation = good_generation, state_generation = good_generation, message = NULL, \
         takes_traffic = 0, state = CASE good_generation WHEN ?3 THEN 'healthy' ELSE 'starting' END, \
         failed_update = ?4, updated_at = ?5 \
         WHERE id = ?1 AND generation = ?2 AND good_generation <> ?2",
        params![
            report.deployment,
            report.generation,
            report.answering,
            to_json(&failed)?,
            report.now
        ],
    )?;
    if changed > 0 {
        order(tx, report.deployment)?;
    }
    Ok(changed > 0)
}

/// Has the host of a deployment look at its orders.
fn order(tx: &Tx<'_>, deployment: i64) -> Result<()> {
    tx.execute(
        "UPDATE endpoints SET orders = orders + 1 \
         WHERE id = (SELECT endpoint_id FROM deployments WHERE id = ?1)",
        params![deployment],
    )?;
    Ok(())
}

/// Keeps what answers as what to go back to, and gives it the requests that it was to get.
fn answered(tx: &Tx<'_>, report: &DeploymentReport) -> Result<()> {
    let current = "WHERE id = ?1 AND generation = ?2";
    let key = params![report.deployment, report.generation];
    tx.execute(
        &format!(
            "UPDATE deployments SET good_generation = generation, good_spec = spec, \
             good_model_version_id = model_version_id {current}"
        ),
        key,
    )?;
    let taking = tx.one(
        &format!("SELECT endpoint_id, name FROM deployments {current} AND takes_traffic = 1"),
        key,
        |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)),
    )?;
    if let Some((endpoint, name)) = taking {
        give_all(tx, endpoint, &name)?;
        tx.execute(
            "UPDATE deployments SET takes_traffic = 0 WHERE id = ?1",
            params![report.deployment],
        )?;
    }
    Ok(())
}

impl Store {
    /// Says by what a deployment is scaled, and has its host look. Answers false, and changes nothing, when
    /// another deployment of the workspace is scaled under the same name, or this one not as it was
    /// `before`, if that is said.
    pub async fn put_autoscale(
        &self,
        deployment: i64,
        new: Option<Autoscale>,
        before: Option<Autoscale>,
    ) -> Result<bool> {
        self.db
            .write(move |tx| {
                let text = new.as_ref().map(to_json).transpose()?;
                if before.is_some() {
                    let read = "SELECT autoscale FROM deployments WHERE id = ?1";
                    let now = tx.one(read, params![deployment], |row| optional_json(row, 0))?;
                    if now.flatten() != before {
                        return Ok(false);
                    }
                }
                let changed = tx.execute(
                    "UPDATE deployments SET autoscale = ?2 \
                     WHERE id = ?1 AND NOT EXISTS ( \
                       SELECT 1 FROM deployments d JOIN endpoints e ON e.id = d.endpoint_id \
                       WHERE d.id <> ?1 AND json_extract(d.autoscale, '$.name') = ?3 COLLATE NOCASE \
                         AND e.workspace_id = (SELECT o.workspace_id FROM endpoints o \
                           JOIN deployments t ON t.endpoint_id = o.id WHERE t.id = ?1))",
                    params![deployment, text, new.map(|new| new.name)],
                )?;
                if changed > 0 {
                    order(tx, deployment)?;
                }
                Ok(changed > 0)
            })
            .await
    }

    /// Puts a deployment behind an endpoint, made if new; the endpoint is then wanted and the
    /// deployment starting. None when the model version was deleted meanwhile.
    pub async fn deploy(&self, workspace: i64, new: NewDeployment) -> Result<Option<EndpointRow>> {
        self.db
            .write(move |tx| {
                if let Some(version) = new.model_version {
                    let there = "SELECT id FROM model_versions WHERE id = ?1 AND tree IS NOT NULL";
                    if tx.one(there, params![version], |row| row.get::<i64>(0))?.is_none() {
                        return Ok(None);
                    }
                }
                let endpoint =
                    endpoints::ensure(tx, workspace, &new.endpoint, &new.sealed_keys, new.now)?;
                if new.all_traffic {
                    take_none(tx, endpoint)?;
                }
                tx.execute(
                    "INSERT INTO deployments(endpoint_id, name, spec, model_version_id, generation, generations, \
                     state, takes_traffic, created_at, updated_at) \
                     VALUES (?1, ?2, ?3, ?4, 1, 1, 'starting', ?5, ?6, ?6) \
                     ON CONFLICT(endpoint_id, name) DO UPDATE SET spec = excluded.spec, \
                     model_version_id = excluded.model_version_id, generation = generations + 1, \
                     generations = generations + 1, failed_update = NULL, state = 'starting', message = NULL, \
                     takes_traffic = excluded.takes_traffic, updated_at = excluded.updated_at",
                    params![
                        endpoint,
                        new.name,
                        to_json(&new.deployment)?,
                        new.model_version,
                        new.all_traffic,
                        new.now
                    ],
                )?;
                tx.execute(
                    "UPDATE endpoints SET desired = ?2, orders = orders + 1, message = NULL, \
                     pinned_port = coalesce(?3, pinned_port), updated_at = ?4 WHERE id = ?1",
                    params![endpoint, RUNNING, new.port, new.now],
                )?;
                let traffic: Option<Traffic> = tx.one(
                    "SELECT traffic FROM endpoints WHERE id = ?1",
                    params![endpoint],
                    |row| json(row, 0),
                )?;
                if new.first_traffic && traffic.is_some_and(|all| all.values().all(|p| *p == 0)) {
                    give_all(tx, endpoint, &new.name)?;
                }
                endpoints::find(tx, endpoint)
            })
            .await
    }

    /// Records what a host says; false when the deployment was deleted.
    pub async fn report_deployment(&self, report: DeploymentReport) -> Result<bool> {
        self.db
            .write(move |tx| {
                if report.unfit && fall_back(tx, &report)? {
                    return Ok(true);
                }
                let known = tx.execute(
                    "UPDATE deployments SET \
                     updated_at = CASE WHEN generation = ?2 THEN ?5 ELSE updated_at END, \
                     state = CASE WHEN generation = ?2 THEN ?3 ELSE state END, \
                     message = CASE WHEN generation = ?2 THEN ?4 ELSE message END, \
                     state_generation = CASE WHEN generation = ?2 THEN ?2 ELSE state_generation END, \
                     takes_traffic = CASE WHEN generation = ?2 AND ?6 THEN 0 ELSE takes_traffic END \
                     WHERE id = ?1",
                    params![
                        report.deployment,
                        report.generation,
                        report.state.name(),
                        report.message,
                        report.now,
                        report.unfit || report.state == EndpointState::Failed
                    ],
                )?;
                if report.state == EndpointState::Healthy {
                    answered(tx, &report)?;
                }
                Ok(known > 0)
            })
            .await
    }

    /// Deletes a deployment, one that gets requests only when it is to be forced: then the others get
    /// them, in proportion. Answers the share that keeps it.
    pub async fn delete_deployment(
        &self,
        endpoint: i64,
        name: &str,
        force: bool,
        now: Time,
    ) -> Result<std::result::Result<(), u8>> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let Some(row) = endpoints::find(tx, endpoint)? else {
                    return Ok(Ok(()));
                };
                let is_it = |other: &str| other.eq_ignore_ascii_case(&name);
                let own = row.traffic.iter().find(|(other, _)| is_it(other));
                match own {
                    Some((_, share)) if *share > 0 && !force => return Ok(Err(*share)),
                    _ => {}
                }
                tx.execute(
                    "DELETE FROM deployments WHERE endpoint_id = ?1 AND name = ?2",
                    params![endpoint, name],
                )?;
                let without = |mut shares: Traffic| {
                    shares.retain(|other, _| !is_it(other));
                    shares
                };
                tx.execute(
                    "UPDATE endpoints SET traffic = ?2, mirror_traffic = ?3, orders = orders + 1, updated_at = ?4 \
                     WHERE id = ?1",
                    params![
                        endpoint,
                        to_json(&made_whole(without(row.traffic)))?,
                        to_json(&without(row.mirror_traffic))?,
                        now
                    ],
                )?;
                Ok(Ok(()))
            })
            .await
    }
}

/// Shares that are 100 percent together, as near to these as whole numbers can be; none stay none.
fn made_whole(mut shares: Traffic) -> Traffic {
    let sum: u32 = shares.values().map(|share| u32::from(*share)).sum();
    if sum == 0 {
        return shares;
    }
    let mut left = 100;
    for share in shares.values_mut() {
        let exact = u32::from(*share) * 100 / sum;
        *share = u8::try_from(exact).unwrap_or(100);
        left -= exact;
    }
    // What rounding left over goes to those that get requests already.
    let served = shares.values_mut().filter(|share| **share > 0);
    for share in served.take(usize::try_from(left).unwrap_or(0)) {
        *share += 1;
    }
    shares
}
