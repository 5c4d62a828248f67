//! Driven runs as stored: runs that no worker executes, whose course is decided step by step.
//!
//! What happens to them is noted as *wakes* in the transaction in which it happens. A step is decided
//! elsewhere from what is read here and written in one transaction, if nothing was decided meanwhile.

use super::{
    Store,
    db::{Tx, optional_json, params, to_json},
    run_create::{Created, NewRun, create},
    runs::{self, RunRow},
    work::{Orders, Sync, end, fill, request_cancel},
    writer::OnDisk,
};
use api::{
    Error, Result, Time,
    files::Hash,
    runs::{Job, RunStatus},
};

/// What makes a new run a driven one.
#[derive(Debug, Clone)]
pub struct NewDriven {
    /// Who decides its course.
    pub kind: String,
    /// What never changes of it.
    pub plan: String,
    pub state: String,
    /// The metric of its runs whose values matter to its course.
    pub watches: Option<String>,
}

/// Where a driven run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Grows with each step.
    pub revision: i64,
    pub status: RunStatus,
    /// Wakes up to this one are in [`Driven::woken`] or [`News::woken`].
    pub last_wake: i64,
}

impl Head {
    /// Of a run that was just made.
    pub fn of_new(status: RunStatus) -> Self {
        Self {
            revision: 0,
            status,
            last_wake: 0,
        }
    }
}

/// A run that a driven run made.
#[derive(Debug, Clone)]
pub struct Child {
    pub id: i64,
    pub place: i64,
    pub name: String,
    pub status: RunStatus,
    /// Why it failed.
    pub reason: Option<String>,
    /// The run whose outputs it has, because nothing had changed.
    pub reuses: Option<String>,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
}

/// A driven run with all that is kept of its course.
#[derive(Debug, Clone)]
pub struct Driven {
    pub head: Head,
    pub kind: String,
    pub plan: String,
    pub state: String,
    pub row: RunRow,
    pub children: Vec<Child>,
}

/// What has happened to a driven run since its last step.
#[derive(Debug, Clone)]
pub struct News {
    pub head: Head,
    /// Children of which something has happened, as they are now.
    pub children: Vec<Child>,
}

/// The next step of a driven run.
#[derive(Debug, Clone, Default)]
pub struct Advance {
    pub create: Vec<NewRun>,
    /// Children to stop.
    pub cancel: Vec<i64>,
    pub cancel_reason: String,
    pub state: Option<String>,
    /// How it goes on, or ends.
    pub status: Option<(RunStatus, Option<String>)>,
    /// Why it ends as soon as nothing is open any more that it has made; kept as its reason.
    pub failing: Option<String>,
    /// When to look again although nothing happens; replaces what was said before.
    pub wake_at: Option<Time>,
    /// Tags to set on it.
    pub tags: Vec<(String, String)>,
    /// Where outputs of it are, which was not known when it was made.
    pub outputs: Vec<(String, String)>,
}

/// How a step came out.
#[derive(Debug)]
pub enum Advanced {
    /// The runs that were made, in order.
    Done(Vec<Child>),
    /// Another step came first: decide again.
    Stale,
}

impl Store {
    /// Driven runs to which something has happened, or whose time has come. Cheap.
    pub async fn due_drivers(&self, now: Time) -> Result<Vec<i64>> {
        self.db.look(|tx| due(tx, now)).await
    }

    /// When the next driven run wants to be looked at.
    pub async fn next_wake(&self) -> Result<Option<Time>> {
        let found: Option<Option<Time>> = self
            .db
            .look(|tx| {
                tx.one(
                    "SELECT MIN(wake_at) FROM driven WHERE wake_at IS NOT NULL",
                    &[],
                    |row| row.get(0),
                )
            })
            .await?;
        Ok(found.flatten())
    }

    /// Everything of a driven run; none when it is gone or no driven one.
    pub async fn driven(&self, run: i64) -> Result<Option<Driven>> {
        self.db
            .read(move |tx| {
                let found = tx.one(
                    "SELECT d.kind, p.plan, d.state FROM driven d \
                     JOIN driven_plans p ON p.run_id = d.run_id WHERE d.run_id = ?1",
                    params![run],
                    |row| {
                        Ok((
                            row.get::<String>(0)?,
                            row.get::<String>(1)?,
                            row.get::<String>(2)?,
                        ))
                    },
                )?;
                let (Some((kind, plan, state)), Some(head), Some(row)) =
                    (found, head(tx, run)?, runs::by_id(tx, run)?)
                else {
                    return Ok(None);
                };
                Ok(Some(Driven {
                    head,
                    kind,
                    plan,
                    state,
                    row,
                    children: children(tx, "r.driver = ?1", run)?,
                }))
            })
            .await
    }

    /// What has happened since the last step of a driven run; none when it is gone.
    pub async fn driven_news(&self, run: i64) -> Result<Option<News>> {
        self.db
            .look(|tx| {
                let Some(head) = head(tx, run)? else {
                    return Ok(None);
                };
                // By their numbers, not by going through all that it has made.
                let woken = "+r.driver = ?1 AND r.id IN (SELECT run FROM wakes WHERE driver = ?1)";
                Ok(Some(News {
                    head,
                    children: children(tx, woken, run)?,
                }))
            })
            .await
    }

    /// Takes the next step of a driven run as it was decided from where the run stood, all of it or
    /// nothing: an error is a child that cannot be made, because its name is taken or what it needs is
    /// gone. Unless it ends by it, it is on disk only in a moment: what it was decided from is, and by
    /// that it is decided again.
    pub async fn advance_driven(
        &self,
        run: i64,
        from: Head,
        step: Advance,
        now: Time,
    ) -> Result<Advanced> {
        let advanced = self.advance_and_fill(run, from, step, None, now).await;
        advanced.map(|(advanced, _)| advanced)
    }

    /// The same; a worker is given queued runs with it, see [`Store::fill_worker`].
    pub async fn advance_and_fill(
        &self,
        run: i64,
        from: Head,
        step: Advance,
        worker: Option<Sync>,
        now: Time,
    ) -> Result<(Advanced, Orders)> {
        let ends = matches!(&step.status, Some((status, _)) if status.ended());
        let work = move |tx: &Tx<'_>| {
            let advanced = advance(tx, run, from, step, now)?;
            let orders = match (&advanced, worker) {
                (Advanced::Done(_), Some(worker)) => fill_or_leave(tx, &worker)?,
                _ => Orders::default(),
            };
            Ok((advanced, orders))
        };
        let when = if ends { OnDisk::First } else { OnDisk::Soon };
        self.db.write_when(when, work).await
    }

    /// The newest completed run with a key that was made before another run and is not deleted.
    pub async fn reusable(&self, workspace: i64, key: Hash, before: i64) -> Result<Option<String>> {
        self.db
            .look(|tx| {
                tx.one(
                    "SELECT name FROM runs WHERE workspace_id = ?1 AND reuse_key = ?2 \
                     AND status = 'Completed' AND deleted = 0 AND reuses IS NULL AND id < ?3 \
                     ORDER BY id DESC LIMIT 1",
                    params![workspace, key, before],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Names of the newest driven runs of a kind in an experiment that no other one made.
    pub async fn newest_driven(
        &self,
        workspace: i64,
        experiment: &str,
        kind: &str,
        limit: u32,
    ) -> Result<Vec<String>> {
        self.db
            .look(|tx| {
                tx.all(
                    "SELECT r.name FROM runs r JOIN driven d ON d.run_id = r.id \
                     JOIN experiments e ON e.id = r.experiment_id WHERE r.workspace_id = ?1 \
                     AND e.name = ?2 AND d.kind = ?3 AND r.driver IS NULL AND r.deleted = 0 \
                     ORDER BY r.id DESC LIMIT ?4",
                    params![workspace, experiment, kind, limit],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Kind and name of the nearest driven run that has not ended and that a run is a part of.
    pub async fn open_driver(&self, run: i64) -> Result<Option<(String, String)>> {
        self.db
            .look(move |tx| {
                let mut run = run;
                loop {
                    let found = tx.one(
                        "SELECT p.id, p.name, p.status, d.kind FROM runs r \
                         JOIN runs p ON p.id = r.driver JOIN driven d ON d.run_id = p.id \
                         WHERE r.id = ?1",
                        params![run],
                        |row| {
                            let status = runs::status(row.get_ref(2)?.as_str()?);
                            let named = (row.get::<String>(3)?, row.get::<String>(1)?);
                            Ok((row.get::<i64>(0)?, status, named))
                        },
                    )?;
                    match found {
                        Some((driver, status, _)) if status.ended() => run = driver,
                        found => return Ok(found.map(|(_, _, named)| named)),
                    }
                }
            })
            .await
    }

    /// Number and name of the driven run that no other one made and that a run is or is a part of. The
    /// rows of driven runs are long.
    pub async fn root_of(&self, run: i64) -> Result<Option<(i64, String)>> {
        self.db.look(|tx| root_of(tx, run)).await
    }

    /// Lets a driven run be looked at because of one of its children, or of itself.
    pub async fn wake(&self, driver: i64, run: i64) -> Result<()> {
        self.db.write(move |tx| wake(tx, driver, run)).await
    }

    /// Forgets that something happened to a run that is not driven, or not any more.
    pub async fn forget_wakes(&self, driver: i64) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute("DELETE FROM wakes WHERE driver = ?1", params![driver])?;
                tx.execute(
                    "UPDATE driven SET wake_at = NULL WHERE run_id = ?1",
                    params![driver],
                )?;
                Ok(())
            })
            .await
    }
}

pub(super) fn due(tx: &Tx<'_>, now: Time) -> Result<Vec<i64>> {
    tx.all(
        "SELECT driver FROM wakes UNION SELECT run_id FROM driven WHERE wake_at <= ?1",
        params![now],
        |row| row.get(0),
    )
}

/// Number and name of the driven run that no other one made and that a run is or is a part of.
fn root_of(tx: &Tx<'_>, run: i64) -> Result<Option<(i64, String)>> {
    tx.one(
        "WITH RECURSIVE up(id, name, driver) AS ( \
         SELECT id, name, driver FROM runs WHERE id = ?1 UNION ALL \
         SELECT p.id, p.name, p.driver FROM up JOIN runs p ON p.id = up.driver) \
         SELECT id, name FROM up WHERE driver IS NULL",
        params![run],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

pub(super) fn insert(tx: &Tx<'_>, run: i64, new: &NewDriven) -> Result<()> {
    tx.execute(
        "INSERT INTO driven(run_id, kind, state, watches) VALUES (?1, ?2, ?3, ?4)",
        params![run, new.kind, new.state, new.watches],
    )?;
    tx.execute(
        "INSERT INTO driven_plans(run_id, plan) VALUES (?1, ?2)",
        params![run, new.plan],
    )?;
    wake(tx, run, run)
}

pub(super) fn wake(tx: &Tx<'_>, driver: i64, run: i64) -> Result<()> {
    tx.execute(
        "INSERT INTO wakes(driver, run) VALUES (?1, ?2)",
        params![driver, run],
    )?;
    Ok(())
}

/// Tells the driver of a run, if it watches one of these metrics, that it has a new value; whether there
/// is one.
pub(super) fn wake_watcher<'a>(
    tx: &Tx<'_>,
    run: i64,
    mut metrics: impl Iterator<Item = &'a str>,
) -> Result<bool> {
    let watched = tx.one(
        "SELECT d.run_id, d.watches FROM runs r JOIN driven d ON d.run_id = r.driver \
         WHERE r.id = ?1 AND d.watches IS NOT NULL",
        params![run],
        |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)),
    )?;
    match watched {
        Some((driver, watched)) if metrics.any(|metric| metric == watched) => {
            wake(tx, driver, run)?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

fn head(tx: &Tx<'_>, run: i64) -> Result<Option<Head>> {
    let found = tx.one(
        "SELECT d.revision, (SELECT MAX(id) FROM wakes WHERE driver = ?1) FROM driven d \
         WHERE d.run_id = ?1",
        params![run],
        |row| Ok((row.get(0)?, row.get::<Option<i64>>(1)?)),
    )?;
    let (Some((revision, last)), Some(status)) = (found, runs::status_of(tx, run)?) else {
        return Ok(None);
    };
    Ok(Some(Head {
        revision,
        status,
        last_wake: last.unwrap_or_default(),
    }))
}

fn children(tx: &Tx<'_>, condition: &str, run: i64) -> Result<Vec<Child>> {
    tx.all(
        &format!(
            "SELECT r.id, r.place, r.name, r.status, r.reuses, r.started_at, r.ended_at, \
             CASE r.status WHEN 'Failed' THEN r.reason END FROM runs r WHERE {condition} ORDER BY r.id"
        ),
        params![run],
        |row| {
            Ok(Child {
                id: row.get(0)?,
                place: row.get::<Option<i64>>(1)?.unwrap_or_default(),
                name: row.get(2)?,
                status: runs::status(row.get_ref(3)?.as_str()?),
                reuses: row.get(4)?,
                started_at: row.get(5)?,
                ended_at: row.get(6)?,
                reason: row.get(7)?,
            })
        },
    )
}

fn advance(tx: &Tx<'_>, run: i64, from: Head, mut step: Advance, now: Time) -> Result<Advanced> {
    // Somebody may have cancelled it meanwhile.
    if runs::status_of(tx, run)? != Some(from.status) {
        return Ok(Advanced::Stale);
    }
    let moved = tx.execute(
        "UPDATE driven SET revision = revision + 1, state = COALESCE(?3, state), wake_at = ?4 \
         WHERE run_id = ?1 AND revision = ?2",
        params![run, from.revision, step.state, step.wake_at],
    )?;
    if moved == 0 {
        return Ok(Advanced::Stale);
    }
    let mut made = Vec::with_capacity(step.create.len());
    for new in std::mem::take(&mut step.create) {
        made.push(make(tx, new)?);
    }
    tx.execute(
        "DELETE FROM wakes WHERE driver = ?1 AND id <= ?2",
        params![run, from.last_wake],
    )?;
    for child in &step.cancel {
        request_cancel(tx, *child, &step.cancel_reason, now)?;
    }
    for (key, value) in &step.tags {
        super::metrics::set_tag(tx, run, key, value)?;
    }
    if !step.outputs.is_empty() {
        place_outputs(tx, run, &step.outputs)?;
    }
    if step.failing.is_some() {
        tx.execute(
            "UPDATE runs SET reason = ?2 WHERE id = ?1",
            params![run, step.failing],
        )?;
    }
    go_on(tx, run, &step, now)?;
    Ok(Advanced::Done(made))
}

/// That a worker can be given nothing is no reason for the step to fail: it asks again.
fn fill_or_leave(tx: &Tx<'_>, worker: &Sync) -> Result<Orders> {
    tx.control("SAVEPOINT fill")?;
    let filled = fill(tx, worker);
    if filled.is_err() {
        tx.control("ROLLBACK TO fill")?;
    }
    tx.control("RELEASE fill")?;
    Ok(filled.unwrap_or_default())
}

/// Says where outputs of a run are. In its job, which nobody changes but who drives it.
fn place_outputs(tx: &Tx<'_>, run: i64, outputs: &[(String, String)]) -> Result<()> {
    let found: Option<Option<Job>> =
        tx.one("SELECT job FROM runs WHERE id = ?1", params![run], |row| {
            optional_json(row, 0)
        })?;
    let Some(mut job) = found.flatten() else {
        return Ok(());
    };
    for (name, path) in outputs {
        let described = job.described.as_mut();
        if let Some(output) = described.and_then(|job| job.outputs.get_mut(name)) {
            output.path.clone_from(path);
        }
    }
    tx.execute(
        "UPDATE runs SET job = ?2 WHERE id = ?1",
        params![run, to_json(&job)?],
    )?;
    Ok(())
}

/// Says how a driven run stands after a step.
fn go_on(tx: &Tx<'_>, run: i64, step: &Advance, now: Time) -> Result<()> {
    match &step.status {
        Some((status, reason)) if status.ended() => {
            tx.execute(
                "UPDATE driven SET wake_at = NULL WHERE run_id = ?1",
                params![run],
            )?;
            end(tx, run, *status, reason.as_deref(), now)
        }
        Some((status, reason)) => {
            tx.execute(
                "UPDATE runs SET status = ?2, started_at = CASE WHEN ?2 = 'Running' \
                 THEN COALESCE(started_at, ?3) ELSE started_at END WHERE id = ?1",
                params![run, status.name(), now],
            )?;
            runs::record(tx, run, *status, now, reason.as_deref())
        }
        None => Ok(()),
    }
}

fn make(tx: &Tx<'_>, new: NewRun) -> Result<Child> {
    let place = new.driver.map_or(0, |(_, place)| place);
    let reuses = new.reuses.clone();
    match create(tx, new)? {
        Created::New(row) => Ok(Child {
            id: row.id,
            place,
            name: row.run.name,
            status: row.run.status,
            reason: None,
            reuses,
            started_at: row.run.started_at,
            ended_at: row.run.ended_at,
        }),
        Created::Taken(row, _) => Err(Error::conflict(format!(
            "There is a run `{}` already",
            row.run.name
        ))),
        Created::NoExperiment | Created::ExperimentDeleted => {
            Err(Error::conflict("Its experiment was deleted"))
        }
        Created::NoSnapshot => Err(Error::conflict("Its code was deleted")),
    }
}
