//! Endpoints as stored.

use std::collections::BTreeMap;

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
    deployments::{self, DeploymentRow},
};
use api::{
    Error, Result, Time,
    endpoints::{AuthMode, Traffic},
};

/// An endpoint, what is deployed behind it and what its host said last.
#[derive(Debug, Clone)]
pub struct EndpointRow {
    pub id: i64,
    pub workspace: i64,
    pub workspace_name: String,
    pub name: String,
    pub auth_mode: AuthMode,
    pub traffic: Traffic,
    pub mirror_traffic: Traffic,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
    /// Someone wants it to run.
    pub desired: bool,
    /// Counts the changes that its host shall heed.
    pub orders: u64,
    /// The last of them that a host has read.
    pub seen: u64,
    /// Why its host does not listen.
    pub message: Option<String>,
    pub port: Option<u16>,
    pub pinned_port: Option<u16>,
    pub sealed_keys: Vec<u8>,
    pub created_at: Time,
    pub updated_at: Time,
    /// By name.
    pub deployments: Vec<DeploymentRow>,
}

impl EndpointRow {
    pub fn deployment(&self, name: &str) -> Option<&DeploymentRow> {
        let mut all = self.deployments.iter();
        all.find(|row| row.name.eq_ignore_ascii_case(name))
    }
}

/// What an endpoint shall be; what is absent stays as it is, or is nothing.
#[derive(Debug, Clone)]
pub struct EndpointChange {
    pub name: String,
    /// Number and orders of the endpoint that was looked at; none when there was none.
    pub of: Option<(i64, u64)>,
    pub auth_mode: Option<AuthMode>,
    pub traffic: Option<Traffic>,
    pub mirror_traffic: Option<Traffic>,
    pub description: Option<String>,
    pub tags: Option<BTreeMap<String, String>>,
    pub properties: Option<BTreeMap<String, String>>,
    pub port: Option<u16>,
    /// For an endpoint that is new.
    pub sealed_keys: Vec<u8>,
    pub now: Time,
}

const SELECT: &str = "SELECT e.id, e.workspace_id, w.name, e.name, e.auth_mode, e.traffic, e.mirror_traffic, \
                      e.description, e.tags, e.properties, e.desired, e.orders, e.seen, e.message, e.port, \
                      e.pinned_port, e.sealed_keys, e.created_at, e.updated_at \
                      FROM endpoints e JOIN workspaces w ON w.id = e.workspace_id";

fn endpoint(row: &Row<'_>) -> RowResult<EndpointRow> {
    Ok(EndpointRow {
        id: row.get(0)?,
        workspace: row.get(1)?,
        workspace_name: row.get(2)?,
        name: row.get(3)?,
        auth_mode: AuthMode::called(&row.get::<String>(4)?).unwrap_or_default(),
        traffic: json(row, 5)?,
        mirror_traffic: json(row, 6)?,
        description: row.get(7)?,
        tags: json(row, 8)?,
        properties: json(row, 9)?,
        desired: row.get::<String>(10)? == RUNNING,
        orders: row.get(11)?,
        seen: row.get(12)?,
        message: row.get(13)?,
        port: row.get(14)?,
        pinned_port: row.get(15)?,
        sealed_keys: row.get(16)?,
        created_at: row.get(17)?,
        updated_at: row.get(18)?,
        deployments: Vec::new(),
    })
}

pub(super) const RUNNING: &str = "running";
const STOPPED: &str = "stopped";

pub(super) fn find(tx: &Tx<'_>, id: i64) -> Result<Option<EndpointRow>> {
    let found = tx.one(&format!("{SELECT} WHERE e.id = ?1"), params![id], endpoint)?;
    found.map(|row| with_deployments(tx, row)).transpose()
}

fn with_deployments(tx: &Tx<'_>, mut row: EndpointRow) -> Result<EndpointRow> {
    row.deployments = deployments::of(tx, row.id)?;
    row.traffic = deployments::named(row.traffic, &row.deployments);
    row.mirror_traffic = deployments::named(row.mirror_traffic, &row.deployments);
    Ok(row)
}

/// Makes an endpoint with the given keys unless it is there; answers its id.
pub(super) fn ensure(
    tx: &Tx<'_>,
    workspace: i64,
    name: &str,
    sealed_keys: &[u8],
    now: Time,
) -> Result<i64> {
    tx.execute(
        "INSERT INTO endpoints(workspace_id, name, desired, sealed_keys, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT(workspace_id, name) DO NOTHING",
        params![workspace, name, RUNNING, sealed_keys, now],
    )?;
    let id = tx.one(
        "SELECT id FROM endpoints WHERE workspace_id = ?1 AND name = ?2",
        params![workspace, name],
        |row| row.get(0),
    )?;
    Ok(id.unwrap_or_default())
}

/// Refuses a share of a deployment that was deleted since the shares were looked at.
fn check_there(tx: &Tx<'_>, endpoint: i64, name: &str) -> Result<()> {
    let there = tx.one(
        "SELECT id FROM deployments WHERE endpoint_id = ?1 AND name = ?2",
        params![endpoint, name],
        |row| row.get::<i64>(0),
    )?;
    match there {
        Some(_) => Ok(()),
        None => Err(
            Error::conflict(format!("The deployment `{name}` was deleted meanwhile"))
                .at("traffic")
                .hint("See what there is: aml endpoint show NAME"),
        ),
    }
}

impl Store {
    /// Makes an endpoint or changes it; none when it is not the one any more that was looked at. One
    /// that is made shall run. Shares are of deployments by their stored names; one that is not there is
    /// an error.
    pub async fn put_endpoint(
        &self,
        workspace: i64,
        change: EndpointChange,
    ) -> Result<Option<EndpointRow>> {
        self.db
            .write(move |tx| {
                let now = tx.one(
                    "SELECT id, orders FROM endpoints WHERE workspace_id = ?1 AND name = ?2",
                    params![workspace, change.name],
                    |row| Ok((row.get::<i64>(0)?, row.get::<u64>(1)?)),
                )?;
                if now != change.of {
                    return Ok(None);
                }
                let id = ensure(tx, workspace, &change.name, &change.sealed_keys, change.now)?;
                let shared = [&change.traffic, &change.mirror_traffic];
                for name in shared.into_iter().flatten().flat_map(Traffic::keys) {
                    check_there(tx, id, name)?;
                }
                if change.traffic.is_some() {
                    deployments::take_none(tx, id)?;
                }
                let map = |map: &Option<BTreeMap<String, String>>| {
                    map.as_ref().map(to_json).transpose()
                };
                let shares = |shares: &Option<Traffic>| shares.as_ref().map(to_json).transpose();
                tx.execute(
                    "UPDATE endpoints SET auth_mode = coalesce(?2, auth_mode), traffic = coalesce(?3, traffic), \
                     mirror_traffic = coalesce(?4, mirror_traffic), description = coalesce(?5, description), \
                     tags = coalesce(?6, tags), properties = coalesce(?7, properties), \
                     pinned_port = coalesce(?8, pinned_port), orders = orders + 1, updated_at = ?9 WHERE id = ?1",
                    params![
                        id,
                        change.auth_mode.map(AuthMode::name),
                        shares(&change.traffic)?,
                        shares(&change.mirror_traffic)?,
                        change.description,
                        map(&change.tags)?,
                        map(&change.properties)?,
                        change.port,
                        change.now
                    ],
                )?;
                find(tx, id)
            })
            .await
    }

    pub async fn endpoint(&self, workspace: i64, name: &str) -> Result<Option<EndpointRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                let found = tx.one(
                    &format!("{SELECT} WHERE e.workspace_id = ?1 AND e.name = ?2"),
                    params![workspace, name],
                    endpoint,
                )?;
                found.map(|row| with_deployments(tx, row)).transpose()
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
                let rows = tx.all(
                    &format!("{SELECT} WHERE ?1 IS NULL OR e.workspace_id = ?1 ORDER BY e.name"),
                    params![workspace],
                    endpoint,
                )?;
                rows.into_iter()
                    .map(|row| with_deployments(tx, row))
                    .collect()
            })
            .await
    }

    /// Records whether an endpoint is wanted to run, and on which port if that is asked for. Deployments of one that shall run are starting.
    pub async fn want_endpoint(
        &self,
        id: i64,
        running: bool,
        port: Option<u16>,
        now: Time,
    ) -> Result<Option<EndpointRow>> {
        self.db
            .write(move |tx| {
                let (desired, state) = if running {
                    (RUNNING, "starting")
                } else {
                    (STOPPED, "stopped")
                };
                tx.execute(
                    "UPDATE endpoints SET desired = ?2, orders = orders + 1, message = NULL, updated_at = ?3, \
                     port = coalesce(?4, port), pinned_port = coalesce(?4, pinned_port) WHERE id = ?1",
                    params![id, desired, now, port],
                )?;
                tx.execute(
                    "UPDATE deployments SET state = ?2, state_generation = 0, message = NULL, \
                     failed_update = CASE WHEN ?4 = ?5 THEN failed_update END, updated_at = ?3 \
                     WHERE endpoint_id = ?1",
                    params![id, state, now, desired, RUNNING],
                )?;
                find(tx, id)
            })
            .await
    }

    /// Records which orders a host has read and where it listens; false when the endpoint was deleted.
    pub async fn host_seen(
        &self,
        id: i64,
        seen: u64,
        port: Option<u16>,
        message: Option<String>,
    ) -> Result<bool> {
        self.db
            .write(move |tx| {
                let changed = tx.execute(
                    "UPDATE endpoints SET seen = ?2, port = coalesce(?3, port), message = ?4 WHERE id = ?1",
                    params![id, seen, port, message],
                )?;
                Ok(changed > 0)
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
