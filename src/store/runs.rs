//! Runs as stored: rows, their history, params, tags and latest metrics.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store,
    db::{Row, RowResult, Tx, count, optional_json, params, to_json},
    experiments::{self, KEPT_HERE},
    metrics,
};
use api::{
    Error, Result, Time,
    files::TreeInfo,
    runs::{Goal, Job, Run, RunStatus, StatusChange, Usage},
};

/// The tag that always equals a run's display name.
pub const NAME_TAG: &str = "mlflow.runName";
/// The tag that names a run's parent.
pub const PARENT_TAG: &str = "mlflow.parentRunId";

/// A run and its number in the store.
#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: i64,
    pub workspace_id: i64,
    pub run: Run,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct RunChange {
    pub display_name: Option<String>,
    pub status: Option<RunStatus>,
    pub ended_at: Option<Time>,
    pub deleted: Option<bool>,
    /// Made when there is none of the name.
    pub experiment: Option<String>,
}

/// A query for [`run`] with what comes after `FROM`; tables are `r` (runs), `e` (its experiment).
pub(super) fn select(rest: &str) -> String {
    select_with("r.job", rest)
}

/// The same with this in place of the job.
fn select_with(job: &str, rest: &str) -> String {
    format!(
        "SELECT r.id, r.workspace_id, r.name, r.display_name, e.name, r.experiment_id, r.status, r.reason, \
         r.exit_code, {job}, r.snapshot, t.files, t.size, r.user, r.created_at, r.started_at, r.ended_at, \
         r.cpu_seconds, r.peak_memory, r.node, r.deleted, \
         e.artifact_location || '/' || r.name || '/artifacts' \
         FROM runs r JOIN experiments e ON e.id = r.experiment_id \
         LEFT JOIN trees t ON t.workspace_id = r.workspace_id AND t.hash = r.snapshot {rest}"
    )
}

/// Reads a row of [`select`]; [`fill`] adds what other tables know.
pub(super) fn run(row: &Row<'_>) -> RowResult<RunRow> {
    let mut found = as_kept(row)?;
    let described = found
        .run
        .job
        .as_mut()
        .and_then(|job| job.described.as_mut());
    if let Some(described) = described.filter(|described| described.leaves_ports_out()) {
        described.show_ports();
    }
    Ok(found)
}

/// The same, with a job that is not shown to anybody.
fn as_kept(row: &Row<'_>) -> RowResult<RunRow> {
    let snapshot = match row.get(10)? {
        Some(hash) if row.get::<Option<i64>>(11)?.is_some() => Some(TreeInfo {
            hash,
            files: count(row, 11)?,
            size: count(row, 12)?,
        }),
        _ => None,
    };
    let usage = match row.get(17)? {
        Some(cpu_seconds) => Some(Usage {
            cpu_seconds,
            peak_memory: count(row, 18)?,
        }),
        None => None,
    };
    Ok(RunRow {
        id: row.get(0)?,
        workspace_id: row.get(1)?,
        run: Run {
            name: row.get(2)?,
            display_name: row.get(3)?,
            experiment: row.get(4)?,
            experiment_id: row.get::<i64>(5)?.to_string(),
            status: status(row.get_ref(6)?.as_str()?),
            reason: row.get(7)?,
            exit_code: row.get(8)?,
            job: optional_json(row, 9)?,
            snapshot,
            user: row.get(13)?,
            parent: None,
            created_at: row.get(14)?,
            started_at: row.get(15)?,
            ended_at: row.get(16)?,
            usage,
            node: row.get(19)?,
            params: BTreeMap::new(),
            tags: BTreeMap::new(),
            metrics: BTreeMap::new(),
            history: Vec::new(),
            deleted: row.get(20)?,
            artifact_uri: row.get(21)?,
        },
    })
}

/// An unknown stored name, which only damage could bring, is a run that nobody works on.
pub(super) fn status(name: &str) -> RunStatus {
    RunStatus::ALL
        .into_iter()
        .find(|status| status.name() == name)
        .unwrap_or(RunStatus::Failed)
}

/// Adds params, tags and latest metrics to all rows, with one query each.
pub(super) fn fill(tx: &Tx<'_>, rows: &mut [RunRow]) -> Result<()> {
    fill_within(tx, rows, usize::MAX).map(drop)
}

/// The same; answers false, and leaves some out, when params and tags have more bytes.
pub(super) fn fill_within(tx: &Tx<'_>, rows: &mut [RunRow], bytes: usize) -> Result<bool> {
    if rows.is_empty() {
        return Ok(true);
    }
    let mut left = bytes;
    let mut within = true;
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let place: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    let ids = to_json(&ids)?;
    for table in ["params", "tags"] {
        tx.all(
            &format!(
                "SELECT run_id, key, value FROM {table} \
                 WHERE run_id IN (SELECT value FROM json_each(?1))"
            ),
            params![ids],
            |row| {
                if !within {
                    return Ok(());
                }
                let run = &mut rows[place[&row.get(0)?]].run;
                let map = match table {
                    "params" => &mut run.params,
                    _ => &mut run.tags,
                };
                let value: String = row.get(2)?;
                match left.checked_sub(value.len()) {
                    Some(rest) => left = rest,
                    None => within = false,
                }
                map.insert(row.get(1)?, value);
                Ok(())
            },
        )?;
    }
    for row in rows.iter_mut() {
        row.run.parent = row.run.tags.get(PARENT_TAG).cloned();
    }
    for (id, key, summary) in metrics::summaries(tx, &ids)? {
        rows[place[&id]].run.metrics.insert(key, summary);
    }
    Ok(within)
}

/// One run without what other tables know of it, for who executes it.
pub(super) fn bare(tx: &Tx<'_>, id: i64) -> Result<Option<RunRow>> {
    tx.one(&select("WHERE r.id = ?1"), params![id], as_kept)
}

/// One run with everything known of it but its job.
fn without_job(tx: &Tx<'_>, id: i64) -> Result<Option<RunRow>> {
    let sql = select_with("NULL", "WHERE r.id = ?1");
    complete(tx, tx.one(&sql, params![id], run)?)
}

/// One run with everything known of it, its history too.
pub(super) fn by_id(tx: &Tx<'_>, id: i64) -> Result<Option<RunRow>> {
    let found = tx.one(&select("WHERE r.id = ?1"), params![id], run)?;
    complete(tx, found)
}

pub(super) fn id_of(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<i64>> {
    tx.one(
        "SELECT id FROM runs WHERE workspace_id = ?1 AND name = ?2",
        params![workspace, name],
        |row| row.get(0),
    )
}

pub(super) fn by_name(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<RunRow>> {
    let sql = select("WHERE r.workspace_id = ?1 AND r.name = ?2");
    complete(tx, tx.one(&sql, params![workspace, name], run)?)
}

fn complete(tx: &Tx<'_>, found: Option<RunRow>) -> Result<Option<RunRow>> {
    let Some(mut row) = found else {
        return Ok(None);
    };
    fill(tx, std::slice::from_mut(&mut row))?;
    row.run.history = tx.all(
        "SELECT status, at, reason FROM run_history WHERE run_id = ?1 ORDER BY position",
        params![row.id],
        |row| {
            Ok(StatusChange {
                status: status(row.get_ref(0)?.as_str()?),
                at: row.get(1)?,
                reason: row.get(2)?,
            })
        },
    )?;
    Ok(Some(row))
}

pub(super) fn status_of(tx: &Tx<'_>, id: i64) -> Result<Option<RunStatus>> {
    tx.one(
        "SELECT status FROM runs WHERE id = ?1",
        params![id],
        |row| Ok(status(row.get_ref(0)?.as_str()?)),
    )
}

/// Adds a line to a run's history.
pub(super) fn record(
    tx: &Tx<'_>,
    id: i64,
    status: RunStatus,
    at: Time,
    reason: Option<&str>,
) -> Result<()> {
    tx.execute(
        "INSERT INTO run_history(run_id, position, status, at, reason) VALUES (?1, \
         (SELECT COALESCE(MAX(position) + 1, 0) FROM run_history WHERE run_id = ?1), ?2, ?3, ?4)",
        params![id, status.name(), at, reason],
    )?;
    Ok(())
}

impl Store {
    pub async fn run(&self, workspace: i64, name: &str) -> Result<Option<RunRow>> {
        let name = name.to_owned();
        self.db.read(move |tx| by_name(tx, workspace, &name)).await
    }

    /// A run without what it executes, which may be long.
    pub async fn run_without_job(&self, id: i64) -> Result<Option<RunRow>> {
        self.db.read(move |tx| without_job(tx, id)).await
    }

    /// What a run executes, if that is anything; none when there is no such run.
    pub async fn job_of(&self, workspace: i64, name: &str) -> Result<Option<Job>> {
        self.db
            .look(|tx| {
                tx.one(
                    "SELECT job FROM runs WHERE workspace_id = ?1 AND name = ?2",
                    params![workspace, name],
                    |row| Ok(optional_json(row, 0)?.unwrap_or_default()),
                )
            })
            .await
    }

    /// A run's number.
    pub async fn run_id(&self, workspace: i64, name: &str) -> Result<Option<i64>> {
        self.db.look(|tx| id_of(tx, workspace, name)).await
    }

    /// A run's name; none when it is gone.
    pub async fn run_name(&self, id: i64) -> Result<Option<String>> {
        self.db
            .look(|tx| {
                tx.one("SELECT name FROM runs WHERE id = ?1", params![id], |row| {
                    row.get(0)
                })
            })
            .await
    }

    /// Where a run stands; none when it is gone.
    pub async fn run_status(&self, id: i64) -> Result<Option<RunStatus>> {
        self.db.look(|tx| status_of(tx, id)).await
    }

    /// Whether a run is another one or was started by it, directly or through its children.
    pub async fn run_descends(&self, run: i64, from: i64) -> Result<bool> {
        self.db
            .look(|tx| {
                let found = tx.one(
                    "WITH RECURSIVE up(id, depth) AS (SELECT ?1, 0 UNION ALL \
                     SELECT p.id, up.depth + 1 FROM up JOIN runs r ON r.id = up.id \
                     JOIN tags g ON g.run_id = up.id AND g.key = ?3 \
                     JOIN runs p ON p.workspace_id = r.workspace_id AND p.name = g.value \
                     WHERE up.depth < 10) SELECT 1 FROM up WHERE id = ?2 LIMIT 1",
                    params![run, from, PARENT_TAG],
                    |_| Ok(()),
                )?;
                Ok(found.is_some())
            })
            .await
    }

    /// Name and display name of the newest runs, for suggestions.
    pub async fn newest_run_names(&self, workspace: i64) -> Result<Vec<(String, String)>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT name, display_name FROM runs WHERE workspace_id = ?1 AND deleted = 0 \
                     ORDER BY created_at DESC, id DESC LIMIT 1000",
                    params![workspace],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )
            })
            .await
    }

    /// Changes a run. A status is taken as it is: which may follow which is the service's to say.
    pub async fn update_run(
        &self,
        id: i64,
        change: RunChange,
        now: Time,
    ) -> Result<Option<RunRow>> {
        self.db
            .write(move |tx| {
                let Some(found) = by_id(tx, id)? else {
                    return Ok(None);
                };
                if let Some(name) = &change.display_name {
                    set_display_name(tx, id, name)?;
                    metrics::set_tag(tx, id, NAME_TAG, name)?;
                }
                if let Some(experiment) = &change.experiment {
                    move_run(tx, &found, experiment, now)?;
                }
                if let Some(deleted) = change.deleted {
                    tx.execute(
                        "UPDATE runs SET deleted = ?2 WHERE id = ?1",
                        params![id, deleted],
                    )?;
                }
                set_status(tx, &found, &change, now)?;
                by_id(tx, id)
            })
            .await
    }

    /// Removes a run and every row that belongs to it.
    pub async fn delete_run(&self, id: i64) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute("DELETE FROM runs WHERE id = ?1", params![id])?;
                Ok(())
            })
            .await
    }

    /// The completed run whose latest value of `metric` is best, the first of equals, and how many
    /// equals there are with it.
    pub async fn best_run(
        &self,
        experiment: i64,
        metric: String,
        goal: Goal,
    ) -> Result<Option<(RunRow, u64)>> {
        self.db
            .read(move |tx| {
                let order = match goal {
                    Goal::Minimize => "ASC",
                    Goal::Maximize => "DESC",
                };
                let compared = "FROM metric_latest m JOIN runs r ON r.id = m.run_id \
                                WHERE m.experiment_id = ?1 AND r.deleted = 0 AND r.status = 'Completed' \
                                AND m.key_id = (SELECT id FROM metric_keys WHERE key = ?2)";
                let best: Option<(i64, f64)> = tx.one(
                    &format!(
                        "SELECT r.id, m.value {compared} AND m.value IS NOT NULL \
                         ORDER BY m.value {order}, r.id LIMIT 1"
                    ),
                    params![experiment, metric],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                let Some((id, value)) = best else {
                    return Ok(None);
                };
                let equals = tx.one(
                    &format!("SELECT COUNT(*) {compared} AND m.value = ?3"),
                    params![experiment, metric, value],
                    |row| count(row, 0),
                )?;
                Ok(by_id(tx, id)?.map(|row| (row, equals.unwrap_or(1))))
            })
            .await
    }

    /// How many runs of an experiment have completed, and how many of them have each metric.
    pub async fn metrics_of_completed(
        &self,
        experiment: i64,
    ) -> Result<(u64, BTreeMap<String, u64>)> {
        self.db
            .read(move |tx| {
                let completed = tx.one(
                    "SELECT COUNT(*) FROM runs WHERE experiment_id = ?1 AND deleted = 0 \
                     AND status = 'Completed'",
                    params![experiment],
                    |row| count(row, 0),
                )?;
                let keys = tx.all(
                    "SELECT k.key, COUNT(*) FROM runs r JOIN metric_latest m ON m.run_id = r.id \
                     JOIN metric_keys k ON k.id = m.key_id WHERE r.experiment_id = ?1 \
                     AND r.deleted = 0 AND r.status = 'Completed' GROUP BY k.key",
                    params![experiment],
                    |row| Ok((row.get(0)?, count(row, 1)?)),
                )?;
                Ok((completed.unwrap_or(0), keys.into_iter().collect()))
            })
            .await
    }
}

pub(super) fn set_display_name(tx: &Tx<'_>, id: i64, name: &str) -> Result<()> {
    tx.execute(
        "UPDATE runs SET display_name = ?2 WHERE id = ?1",
        params![id, name],
    )?;
    Ok(())
}

/// Moves a run with what it has logged to an experiment, made when there is none of the name.
fn move_run(tx: &Tx<'_>, found: &RunRow, experiment: &str, now: Time) -> Result<()> {
    let to = experiments::ensure(tx, found.workspace_id, experiment, now)?;
    if experiments::is_deleted(tx, found.workspace_id, to)? == Some(true) {
        return Err(
            Error::conflict(format!("The experiment `{experiment}` is deleted"))
                .at("experiment")
                .hint("Choose another name for the experiment"),
        );
    }
    // The address of a run's files begins with its experiment's: files kept here are found by the run
    // alone, others would not be found any more.
    let from = found.run.experiment_id.parse().unwrap_or(to);
    let homes = [from, to].map(|id| experiments::home(tx, found.workspace_id, id));
    for home in homes {
        let elsewhere = home?.filter(|home| !home.artifact_location.starts_with(KEPT_HERE));
        if let Some(home) = elsewhere.filter(|_| from != to) {
            return Err(Error::conflict(format!(
                "The experiment `{}` keeps its files at `{}`, where those of a run stay",
                home.name, home.artifact_location
            ))
            .at("experiment"));
        }
    }
    for statement in [
        "UPDATE runs SET experiment_id = ?2 WHERE id = ?1",
        "UPDATE metric_latest SET experiment_id = ?2 WHERE run_id = ?1",
        "UPDATE traces SET experiment_id = ?2 WHERE run_id = ?1",
        "UPDATE logged_models SET experiment_id = ?2 WHERE run_id = ?1",
    ] {
        tx.execute(statement, params![found.id, to])?;
    }
    Ok(())
}

fn set_status(tx: &Tx<'_>, found: &RunRow, change: &RunChange, now: Time) -> Result<()> {
    let status = change.status.unwrap_or(found.run.status);
    let ended_at = match change.ended_at {
        Some(at) => Some(at),
        None if !status.ended() => None,
        None => found.run.ended_at.or(Some(now)),
    };
    let started_at = match status {
        RunStatus::Running => found.run.started_at.or(Some(now)),
        _ => found.run.started_at,
    };
    tx.execute(
        "UPDATE runs SET status = ?2, started_at = ?3, ended_at = ?4 WHERE id = ?1",
        params![found.id, status.name(), started_at, ended_at],
    )?;
    if status != found.run.status {
        record(tx, found.id, status, ended_at.unwrap_or(now), None)?;
    }
    Ok(())
}
