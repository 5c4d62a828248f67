//! Schedules as stored, and the times at which they were due.
//!
//! Claiming a due time is one step: it moves the schedule on and writes down the job that is to be
//! created, so that of several processes one does it, and another one goes on with it when that dies.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
};
use api::{Result, Time, schedules::Firing};

/// Firings of a schedule that are kept to be looked at.
const KEPT: u32 = 100;

/// What a schedule says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ScheduleSpec {
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    pub trigger: Map<String, Value>,
    pub create_job: Map<String, Value>,
    #[serde(default)]
    pub create_monitor: Option<Map<String, Value>>,
    pub experiment: String,
    #[serde(default)]
    pub search_path: Option<String>,
    /// What times are counted from when the trigger does not say it.
    pub counted_from: Option<Time>,
}

#[derive(Debug, Clone)]
pub struct ScheduleRow {
    pub id: i64,
    /// Name of its workspace.
    pub workspace: String,
    pub name: String,
    pub spec: ScheduleSpec,
    pub enabled: bool,
    pub next_at: Option<Time>,
    pub created_by: String,
    pub created_by_id: Option<i64>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A time of a schedule whose job is to be created by whoever claimed it.
#[derive(Debug, Clone)]
pub struct Claim {
    pub schedule: ScheduleRow,
    pub due_at: Time,
    pub job: String,
    /// Somebody triggered it.
    pub by_hand: bool,
}

const SELECT: &str = "SELECT s.id, w.name, s.name, s.spec, s.enabled, s.next_at, s.created_by, \
                      s.created_by_id, s.created_at, s.updated_at \
                      FROM schedules s JOIN workspaces w ON w.id = s.workspace_id";

fn schedule(row: &Row<'_>) -> RowResult<ScheduleRow> {
    Ok(ScheduleRow {
        id: row.get(0)?,
        workspace: row.get(1)?,
        name: row.get(2)?,
        spec: json(row, 3)?,
        enabled: row.get(4)?,
        next_at: row.get(5)?,
        created_by: row.get(6)?,
        created_by_id: row.get(7)?,
        created_at: row.get(8)?,
        updated_at: row.get(9)?,
    })
}

fn by_id(tx: &Tx<'_>, id: i64) -> Result<Option<ScheduleRow>> {
    tx.one(&format!("{SELECT} WHERE s.id = ?1"), params![id], schedule)
}

fn firing(row: &Row<'_>) -> RowResult<Firing> {
    Ok(Firing {
        due_at: row.get(0)?,
        job: row.get(1)?,
        error: row.get(2)?,
        done_at: row.get(3)?,
    })
}

/// Writes down that a job is to be created, unless that was done before. What was triggered by hand and
/// came to nothing may be triggered again.
fn claim(tx: &Tx<'_>, claimed: &Claim, until: Time) -> Result<bool> {
    let id = claimed.schedule.id;
    let new = tx.execute(
        "INSERT INTO schedule_firings(schedule_id, job, due_at, leased_until, by_hand) \
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE \
         SET due_at = ?3, leased_until = ?4, done_at = NULL, error = NULL \
         WHERE by_hand AND ?5 AND done_at IS NOT NULL AND error IS NOT NULL",
        params![id, claimed.job, claimed.due_at, until, claimed.by_hand],
    )?;
    tx.execute(
        "DELETE FROM schedule_firings WHERE schedule_id = ?1 AND done_at IS NOT NULL AND due_at < \
         (SELECT due_at FROM schedule_firings WHERE schedule_id = ?1 ORDER BY due_at DESC LIMIT 1 OFFSET ?2)",
        params![id, KEPT],
    )?;
    Ok(new > 0)
}

impl Store {
    /// Adds a schedule, or replaces the one of that name, which keeps what it did.
    pub async fn put_schedule(
        &self,
        workspace: i64,
        new: ScheduleRow,
    ) -> Result<Option<ScheduleRow>> {
        self.db
            .write(move |tx| {
                let id = tx.one(
                    "INSERT INTO schedules(workspace_id, name, spec, enabled, next_at, created_by, \
                     created_by_id, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8) \
                     ON CONFLICT(workspace_id, name) DO UPDATE SET spec = ?3, enabled = ?4, \
                     next_at = ?5, created_by = ?6, created_by_id = ?7, updated_at = ?8 RETURNING id",
                    params![
                        workspace,
                        new.name,
                        to_json(&new.spec)?,
                        new.enabled,
                        new.next_at,
                        new.created_by,
                        new.created_by_id,
                        new.updated_at
                    ],
                    |row| row.get(0),
                )?;
                id.map_or(Ok(None), |id| by_id(tx, id))
            })
            .await
    }

    /// Changes a schedule that is still as it was when it was last changed at `known`; none when it
    /// is not.
    pub async fn update_schedule(
        &self,
        changed: ScheduleRow,
        known: Time,
    ) -> Result<Option<ScheduleRow>> {
        self.db
            .write(move |tx| {
                let done = tx.execute(
                    "UPDATE schedules SET spec = ?3, enabled = ?4, next_at = ?5, updated_at = ?6, \
                     created_by = ?7, created_by_id = ?8 WHERE id = ?1 AND updated_at = ?2",
                    params![
                        changed.id,
                        known,
                        to_json(&changed.spec)?,
                        changed.enabled,
                        changed.next_at,
                        changed.updated_at,
                        changed.created_by,
                        changed.created_by_id
                    ],
                )?;
                if done == 0 {
                    return Ok(None);
                }
                by_id(tx, changed.id)
            })
            .await
    }

    pub async fn schedule(&self, workspace: i64, name: &str) -> Result<Option<ScheduleRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                tx.one(
                    &format!("{SELECT} WHERE s.workspace_id = ?1 AND s.name = ?2"),
                    params![workspace, name],
                    schedule,
                )
            })
            .await
    }

    /// The schedules of a workspace by name.
    pub async fn list_schedules(&self, workspace: i64) -> Result<Vec<ScheduleRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!("{SELECT} WHERE s.workspace_id = ?1 ORDER BY s.name"),
                    params![workspace],
                    schedule,
                )
            })
            .await
    }

    pub async fn delete_schedule(&self, workspace: i64, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let sql = "DELETE FROM schedules WHERE workspace_id = ?1 AND name = ?2";
                Ok(tx.execute(sql, params![workspace, name])? > 0)
            })
            .await
    }

    /// What a schedule did last, newest first.
    pub async fn firings(&self, schedule: i64, limit: u32) -> Result<Vec<Firing>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT due_at, job, error, done_at FROM schedule_firings WHERE schedule_id = ?1 \
                     ORDER BY due_at DESC LIMIT ?2",
                    params![schedule, limit],
                    firing,
                )
            })
            .await
    }

    /// What came of the firing of a schedule that creates a job of this name.
    pub async fn firing(&self, schedule: i64, job: &str) -> Result<Option<Firing>> {
        let job = job.to_owned();
        self.db
            .read(move |tx| {
                tx.one(
                    "SELECT due_at, job, error, done_at FROM schedule_firings \
                     WHERE schedule_id = ?1 AND job = ?2",
                    params![schedule, job],
                    firing,
                )
            })
            .await
    }

    /// The schedules that are due, and when the next of the others is.
    pub async fn due_schedules(&self, now: Time) -> Result<(Vec<ScheduleRow>, Option<Time>)> {
        self.db
            .read(move |tx| {
                let due = tx.all(
                    &format!("{SELECT} WHERE s.next_at <= ?1 ORDER BY s.next_at"),
                    params![now],
                    schedule,
                )?;
                let next = tx.one(
                    "SELECT MIN(next_at) FROM schedules WHERE next_at > ?1",
                    params![now],
                    |row| row.get(0),
                )?;
                Ok((due, next.flatten()))
            })
            .await
    }

    /// Claims the time at which a schedule is due, and moves it on to `next_at`. False when another
    /// process did it, or when the schedule was changed meanwhile.
    pub async fn claim_due(
        &self,
        claimed: Claim,
        next_at: Option<Time>,
        until: Time,
    ) -> Result<bool> {
        self.db
            .write(move |tx| {
                let moved = tx.execute(
                    "UPDATE schedules SET next_at = ?3 WHERE id = ?1 AND next_at = ?2",
                    params![claimed.schedule.id, claimed.schedule.next_at, next_at],
                )?;
                if moved == 0 {
                    return Ok(false);
                }
                claim(tx, &claimed, until)
            })
            .await
    }

    /// Writes down a time that nobody waited for. False when its job was written down before.
    pub async fn claim_triggered(&self, claimed: Claim, until: Time) -> Result<bool> {
        self.db.write(move |tx| claim(tx, &claimed, until)).await
    }

    /// Claims one of those that whoever claimed them has not brought to an end in time, the one that
    /// has waited longest.
    pub async fn claim_abandoned(&self, now: Time, until: Time) -> Result<Option<Claim>> {
        self.db
            .write(move |tx| {
                let open = tx.one(
                    "UPDATE schedule_firings SET leased_until = ?2 WHERE (schedule_id, job) = \
                     (SELECT schedule_id, job FROM schedule_firings WHERE done_at IS NULL \
                     AND leased_until <= ?1 ORDER BY leased_until LIMIT 1) \
                     RETURNING schedule_id, due_at, job, by_hand",
                    params![now, until],
                    |row| Ok((row.get::<i64>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
                )?;
                let Some((id, due_at, job, by_hand)) = open else {
                    return Ok(None);
                };
                Ok(by_id(tx, id)?.map(|schedule| Claim {
                    schedule,
                    due_at,
                    job,
                    by_hand,
                }))
            })
            .await
    }

    /// When the lease of what is being created ends first.
    pub async fn open_firings_until(&self) -> Result<Option<Time>> {
        self.db
            .read(|tx| {
                let until = tx.one(
                    "SELECT MIN(leased_until) FROM schedule_firings WHERE done_at IS NULL",
                    &[],
                    |row| row.get(0),
                )?;
                Ok(until.flatten())
            })
            .await
    }

    /// Writes down what came of a claim, unless somebody else did.
    pub async fn end_firing(
        &self,
        schedule: i64,
        job: String,
        error: Option<String>,
        now: Time,
    ) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE schedule_firings SET done_at = ?3, error = ?4 \
                     WHERE schedule_id = ?1 AND job = ?2 AND done_at IS NULL",
                    params![schedule, job, now, error],
                )
            })
            .await
            .map(drop)
    }
}
