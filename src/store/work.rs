//! The work queue as stored: which worker has which run, and until when.
//!
//! Open work is every run with a job that has not ended. A worker keeps what it holds by renewing
//! its leases; what a dead worker held goes to the next one that asks, with the handle of its process.

use std::collections::BTreeSet;

use super::{
    Store,
    artifacts::{self, Holder},
    db::{Tx, params},
    driven, lineage,
    runs::{self, RunRow},
    slots,
    writer::OnDisk,
};
use api::{
    Code, Error, Result, Time,
    files::TreeEntry,
    lineage::RunLink,
    runs::RunStatus,
    work::{Outcome, Progress},
};

/// A worker's regular call.
#[derive(Debug, Clone)]
pub struct Sync {
    pub worker: String,
    /// It is on this machine.
    pub here: bool,
    pub capacity: u32,
    /// (workspace name, run name).
    pub holding: Vec<(String, String)>,
    /// Other workers that are known to be dead, whatever their leases say.
    pub dead: BTreeSet<String>,
    /// Leases that ran out before this have lapsed.
    pub lapsed_before: Time,
    pub now: Time,
    pub lease_until: Time,
}

/// What a worker has to do.
#[derive(Debug, Clone, Default)]
pub struct Orders {
    pub take: Vec<Taken>,
    /// Held runs to cancel.
    pub cancel: Vec<(String, String)>,
    /// One of `cancel` has not been told before.
    pub cancel_is_new: bool,
    /// Held runs that another worker has, or that are gone.
    pub lost: Vec<(String, String)>,
    /// The worker is on this machine and no other one was seen lately, which could take its runs over.
    pub alone: bool,
}

impl Orders {
    /// Whether there is anything the worker has not been told before.
    pub fn are_news(&self) -> bool {
        self.cancel_is_new || !self.take.is_empty() || !self.lost.is_empty()
    }
}

/// A run given to a worker.
#[derive(Debug, Clone)]
pub struct Taken {
    pub workspace: String,
    /// Where the workspace is.
    pub subscription: String,
    pub resource_group: String,
    /// Without what other tables know of it.
    pub row: RunRow,
    pub handle: Option<String>,
    pub cancel: bool,
    /// The driven run that made it.
    pub driver: Option<i64>,
}

/// What came of asking a run to stop.
#[derive(Debug)]
pub enum Cancel {
    /// Nobody had it; it has ended.
    Ended(RunRow),
    /// Its worker will be told.
    Requested(RunRow),
    /// It had ended before.
    TooLate(RunRow),
    Missing,
}

/// Open work.
pub(super) const OPEN: &str = "job IS NOT NULL AND ended_at IS NULL";

impl Store {
    /// The handles of the processes of which a worker has said that they run, and nothing since.
    pub async fn processes_of(&self, worker: &'static str) -> Result<Vec<String>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT handle FROM runs WHERE {OPEN} AND worker = ?1 \
                         AND handle IS NOT NULL AND status = ?2"
                    ),
                    params![worker, RunStatus::Running.name()],
                    |row| row.get(0),
                )
            })
            .await
    }

    /// Renews a worker's leases, gives it new work, says what was cancelled and what is lost. On disk at
    /// once only where the worker goes on when this machine loses its power.
    pub async fn sync_worker(&self, sync: Sync) -> Result<Orders> {
        let here = sync.here;
        let work = move |tx: &Tx<'_>| {
            tx.execute(
                "INSERT INTO workers(name, seen_at) VALUES (?1, ?2) \
                     ON CONFLICT(name) DO UPDATE SET seen_at = ?2",
                params![sync.worker, sync.now],
            )?;
            let mut orders = Orders {
                alone: sync.here && !others(tx, &sync)?,
                ..Orders::default()
            };
            let mut held = BTreeSet::new();
            for name in &sync.holding {
                renew(tx, &sync, name, &mut held, &mut orders)?;
            }
            for (id, found) in candidates(tx, &sync)? {
                let free = orders.take.len() < sync.capacity as usize;
                if !held.contains(&id) && (free || found == Found::Own) {
                    orders.take.extend(take(tx, &sync, id, found)?);
                }
            }
            Ok(orders)
        };
        let when = if here { OnDisk::Soon } else { OnDisk::First };
        self.db.write_when(when, work).await
    }

    /// Gives a worker on this machine queued runs, as far as it holds fewer than its capacity. What it was
    /// given before without hearing of it is for its regular call.
    pub async fn fill_worker(&self, sync: Sync) -> Result<Orders> {
        self.db.write_soon(move |tx| fill(tx, &sync)).await
    }

    /// Waits until all that was answered before is on disk.
    pub async fn settle(&self) -> Result<()> {
        self.db.settle().await
    }

    /// Takes down what the holder of a run says of it; from anyone else it is a conflict. On disk, with all
    /// before, unless it may be there `soon`.
    pub async fn report_run(
        &self,
        run: i64,
        (worker, soon): (String, bool),
        (before, progress): (Option<Progress>, Progress),
        now: Time,
    ) -> Result<()> {
        let work = move |tx: &Tx<'_>| {
            let found = tx.one(
                "SELECT worker, ended_at IS NOT NULL FROM runs WHERE id = ?1",
                params![run],
                |row| Ok((row.get::<Option<String>>(0)?, row.get(1)?)),
            )?;
            match found {
                Some((Some(holder), false)) if holder == worker => {
                    let mut all = before.iter().chain([&progress]);
                    all.try_for_each(|progress| report(tx, run, progress, now))
                }
                // The answer to the report of its end was lost, and it is sent again.
                Some((Some(holder), true)) if holder == worker => Ok(()),
                _ => Err(Error::conflict(format!(
                    "The run is not held by the worker `{worker}`"
                ))),
            }
        };
        let when = if soon { OnDisk::Soon } else { OnDisk::First };
        self.db.write_when(when, work).await
    }

    /// Asks a run to stop: at once when no worker has it, else through its worker.
    pub async fn cancel_run(&self, run: i64, reason: String, now: Time) -> Result<Cancel> {
        self.db
            .write(move |tx| {
                let Some(row) = runs::by_id(tx, run)? else {
                    return Ok(Cancel::Missing);
                };
                if row.run.status.ended() {
                    return Ok(Cancel::TooLate(row));
                }
                let ended = request_cancel(tx, run, &reason, now)?;
                let kind = if ended {
                    Cancel::Ended
                } else {
                    Cancel::Requested
                };
                Ok(runs::by_id(tx, run)?.map_or(Cancel::Missing, kind))
            })
            .await
    }

    /// Ends or queues again the runs whose lease ran out before, for there may be no other worker to
    /// take them: one whose process was started ends with `reason`, or as cancelled when it was to
    /// be; another one waits for a worker again. Answers how many there were.
    pub async fn release_lapsed(&self, before: Time, reason: String, now: Time) -> Result<usize> {
        self.db
            .write(move |tx| {
                let lapsed = tx.all(
                    &format!(
                        "SELECT id, handle IS NOT NULL, cancel > 0 FROM runs \
                         WHERE {OPEN} AND worker IS NOT NULL AND lease_until < ?1"
                    ),
                    params![before],
                    |row| Ok((row.get::<i64>(0)?, row.get(1)?, row.get(2)?)),
                )?;
                for (id, started, cancelled) in &lapsed {
                    match (started, cancelled) {
                        (_, true) => end(tx, *id, RunStatus::Canceled, None, now)?,
                        (true, false) => end(tx, *id, RunStatus::Failed, Some(&reason), now)?,
                        (false, false) => requeue(tx, *id, now)?,
                    }
                }
                Ok(lapsed.len())
            })
            .await
    }

    /// Fails a run that cannot be given to a worker.
    pub async fn fail_run(&self, run: i64, reason: String, now: Time) -> Result<()> {
        self.db
            .write(move |tx| end(tx, run, RunStatus::Failed, Some(&reason), now))
            .await
    }
}

/// See [`Store::fill_worker`].
pub(super) fn fill(tx: &Tx<'_>, sync: &Sync) -> Result<Orders> {
    let held = tx.one(
        &format!("SELECT COUNT(*) FROM runs WHERE {OPEN} AND worker = ?1"),
        params![sync.worker],
        |row| row.get::<u32>(0),
    )?;
    let free = sync.capacity.saturating_sub(held.unwrap_or(0));
    let queued = match free {
        0 => Vec::new(),
        free => slots::queued(tx, free)?,
    };
    let mut orders = Orders::default();
    for id in queued {
        orders.take.extend(take(tx, sync, id, Found::Queued)?);
    }
    orders.alone = !orders.take.is_empty() && !others(tx, sync)?;
    Ok(orders)
}

fn renew(
    tx: &Tx<'_>,
    sync: &Sync,
    name: &(String, String),
    held: &mut BTreeSet<i64>,
    orders: &mut Orders,
) -> Result<()> {
    let renewed = tx.one(
        &format!(
            "UPDATE runs SET lease_until = ?4 WHERE name = ?2 AND worker = ?3 AND {OPEN} \
             AND workspace_id = (SELECT id FROM workspaces WHERE name = ?1) RETURNING id, cancel"
        ),
        params![name.0, name.1, sync.worker, sync.lease_until],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
    )?;
    let Some((id, cancel)) = renewed else {
        orders.lost.push(name.clone());
        return Ok(());
    };
    held.insert(id);
    if cancel > 0 {
        orders.cancel.push(name.clone());
        orders.cancel_is_new |= cancel == 1;
        tx.execute("UPDATE runs SET cancel = 2 WHERE id = ?1", params![id])?;
    }
    Ok(())
}

/// Whether another worker was seen since before all leases there are.
fn others(tx: &Tx<'_>, sync: &Sync) -> Result<bool> {
    let lately = sync.now.plus_ms(-2 * sync.lease_until.since(sync.now));
    let found = tx.one(
        "SELECT 1 FROM workers WHERE name <> ?1 AND seen_at > ?2 LIMIT 1",
        params![sync.worker, lately],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Why a worker may have a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Found {
    /// It was given to this worker, which does not know of it: the answer was lost, or it began anew.
    Own,
    /// Its worker is dead.
    Orphan,
    Queued,
}

/// Open runs this worker could take: its own, then orphans, then the queue, oldest first.
fn candidates(tx: &Tx<'_>, sync: &Sync) -> Result<Vec<(i64, Found)>> {
    let held = tx.all(
        &format!("SELECT id, worker, lease_until FROM runs WHERE {OPEN} AND worker IS NOT NULL"),
        &[],
        |row| {
            let lease: Option<Time> = row.get(2)?;
            Ok((row.get(0)?, row.get::<String>(1)?, lease))
        },
    )?;
    let mut found: Vec<(i64, Found)> = held
        .into_iter()
        .filter_map(|(id, worker, lease)| {
            let lapsed = lease.is_none_or(|until| until < sync.lapsed_before);
            if worker == sync.worker {
                Some((id, Found::Own))
            } else if lapsed || sync.dead.contains(&worker) {
                Some((id, Found::Orphan))
            } else {
                None
            }
        })
        .collect();
    let queued = slots::queued(tx, sync.capacity)?;
    found.extend(queued.into_iter().map(|id| (id, Found::Queued)));
    found.sort_by_key(|(id, found)| (*found, *id));
    Ok(found)
}

fn take(tx: &Tx<'_>, sync: &Sync, id: i64, found: Found) -> Result<Option<Taken>> {
    tx.execute(
        "UPDATE runs SET worker = ?2, lease_until = ?3, cancel = CASE cancel WHEN 0 THEN 0 ELSE 2 END \
         WHERE id = ?1",
        params![id, sync.worker, sync.lease_until],
    )?;
    let taken = tx.one(
        "SELECT runs.handle, runs.cancel > 0, runs.driver, \
         workspaces.name, workspaces.subscription, workspaces.resource_group \
         FROM runs JOIN workspaces ON workspaces.id = runs.workspace_id WHERE runs.id = ?1",
        params![id],
        |row| {
            let place = (row.get(3)?, row.get(4)?, row.get(5)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, place))
        },
    )?;
    let Some((handle, cancel, driver, place)) = taken else {
        return Ok(None);
    };
    let (workspace, subscription, resource_group) = place;
    match found {
        Found::Own => {}
        Found::Orphan => {
            let status = runs::status_of(tx, id)?.unwrap_or(RunStatus::Queued);
            let reason = format!("Its worker ended; taken over by {}", sync.worker);
            runs::record(tx, id, status, sync.now, Some(&reason))?;
        }
        Found::Queued => advance(tx, id, RunStatus::Preparing, None, sync.now)?,
    }
    Ok(runs::bare(tx, id)?.map(|row| Taken {
        workspace,
        subscription,
        resource_group,
        row,
        handle,
        cancel,
        driver,
    }))
}

/// Gives back a run of which nothing was started.
fn requeue(tx: &Tx<'_>, run: i64, now: Time) -> Result<()> {
    tx.execute(
        "UPDATE runs SET worker = NULL, lease_until = NULL, status = ?2 WHERE id = ?1",
        params![run, RunStatus::Queued.name()],
    )?;
    let reason = "Its worker ended before the process was started";
    runs::record(tx, run, RunStatus::Queued, now, Some(reason))
}

fn report(tx: &Tx<'_>, run: i64, progress: &Progress, now: Time) -> Result<()> {
    match progress {
        Progress::Preparing { message } => {
            advance(tx, run, RunStatus::Preparing, Some(message), now)
        }
        Progress::Running {
            handle,
            node,
            ago_ms,
            messages,
            uses,
        } => {
            let began = now.plus_ms(-i64::try_from(*ago_ms).unwrap_or_default());
            for message in messages {
                advance(tx, run, RunStatus::Preparing, Some(message), began)?;
            }
            link(tx, run, true, uses, now)?;
            let status = runs::status_of(tx, run)?.unwrap_or(RunStatus::Running);
            // A row may be long: it is written once.
            tx.execute(
                "UPDATE runs SET handle = ?2, node = ?3, started_at = COALESCE(started_at, ?4), \
                 status = ?5 WHERE id = ?1",
                params![
                    run,
                    handle,
                    node,
                    began,
                    status.max(RunStatus::Running).name()
                ],
            )?;
            if status < RunStatus::Running {
                runs::record(tx, run, RunStatus::Running, began, None)?;
            }
            Ok(())
        }
        Progress::Finalizing => advance(tx, run, RunStatus::Finalizing, None, now),
        Progress::Ended {
            outcome,
            exit_code,
            reason,
            usage,
            artifacts,
            uses,
            made,
        } => {
            keep(tx, run, artifacts, now)?;
            link(tx, run, true, uses, now)?;
            link(tx, run, false, made, now)?;
            if runs::status_of(tx, run)? == Some(RunStatus::Running) {
                runs::record(tx, run, RunStatus::Finalizing, now, None)?;
            }
            let peak_memory =
                usage.map(|usage| i64::try_from(usage.peak_memory).unwrap_or(i64::MAX));
            // One that has completed was faster than a request to stop it.
            tx.execute(
                "UPDATE runs SET exit_code = ?2, cpu_seconds = ?3, peak_memory = ?4, \
                 reason = CASE WHEN ?5 THEN NULL ELSE reason END WHERE id = ?1",
                params![
                    run,
                    exit_code,
                    usage.map(|usage| usage.cpu_seconds),
                    peak_memory,
                    *outcome == Outcome::Completed
                ],
            )?;
            let status = match outcome {
                Outcome::Completed => RunStatus::Completed,
                Outcome::Failed => RunStatus::Failed,
                Outcome::Canceled => RunStatus::Canceled,
            };
            end(tx, run, status, reason.as_deref(), now)
        }
    }
}

/// Records what a run uses, or has made.
fn link(tx: &Tx<'_>, run: i64, is_input: bool, links: &[RunLink], now: Time) -> Result<()> {
    if links.is_empty() {
        return Ok(());
    }
    let found = tx.one(
        "SELECT workspace_id, name FROM runs WHERE id = ?1",
        params![run],
        |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)),
    )?;
    let Some((workspace, name)) = found else {
        return Ok(());
    };
    let each = |link| lineage::record(tx, (workspace, &name), is_input, link, now);
    links.iter().try_for_each(each)
}

/// Keeps what a run leaves with its end. Where that cannot be, it has ended all the same.
fn keep(tx: &Tx<'_>, run: i64, files: &[TreeEntry], now: Time) -> Result<()> {
    // One file is added or is not; of several some might be.
    let several = files.len() > 1;
    if several {
        tx.control("SAVEPOINT artifacts")?;
    }
    match artifacts::add(tx, Holder::Run(run), files.to_vec(), now) {
        Err(error) if error.code != Code::Conflict => return Err(error),
        Err(_) if several => tx.control("ROLLBACK TO artifacts")?,
        _ => {}
    }
    if several {
        tx.control("RELEASE artifacts")?;
    }
    Ok(())
}

/// Moves a run's status forward; a step back or the same again leaves the status as it is. What a
/// worker has to say while it prepares is a line of the history of its own.
fn advance(tx: &Tx<'_>, run: i64, to: RunStatus, message: Option<&str>, now: Time) -> Result<()> {
    let Some(status) = runs::status_of(tx, run)? else {
        return Ok(());
    };
    if to > status {
        tx.execute(
            "UPDATE runs SET status = ?2 WHERE id = ?1",
            params![run, to.name()],
        )?;
        return runs::record(tx, run, to, now, message);
    }
    if to == status && message.is_some() {
        return runs::record(tx, run, to, now, message);
    }
    Ok(())
}

/// Asks an open run to stop; whether it has ended by that, because nobody had it.
pub(super) fn request_cancel(tx: &Tx<'_>, run: i64, reason: &str, now: Time) -> Result<bool> {
    let Some(status) = runs::status_of(tx, run)?.filter(|status| !status.ended()) else {
        return Ok(true);
    };
    let found = tx.one(
        "SELECT driven, worker IS NOT NULL FROM runs WHERE id = ?1",
        params![run],
        |row| Ok((row.get::<bool>(0)?, row.get::<bool>(1)?)),
    )?;
    let (driven, held) = found.unwrap_or_default();
    if !held && !driven {
        end(tx, run, RunStatus::Canceled, Some(reason), now)?;
        return Ok(true);
    }
    if status != RunStatus::CancelRequested {
        tx.execute(
            "UPDATE runs SET status = ?2, reason = ?3, cancel = 1 WHERE id = ?1",
            params![run, RunStatus::CancelRequested.name(), reason],
        )?;
        runs::record(tx, run, RunStatus::CancelRequested, now, Some(reason))?;
        if driven {
            driven::wake(tx, run, run)?;
        }
    }
    Ok(false)
}

/// Ends a run. Without a reason the one given before, by who cancelled it, stays.
pub(super) fn end(
    tx: &Tx<'_>,
    run: i64,
    status: RunStatus,
    reason: Option<&str>,
    now: Time,
) -> Result<()> {
    tx.execute(
        "UPDATE runs SET status = ?2, reason = COALESCE(?3, reason), ended_at = ?4, lease_until = NULL, \
         handle = NULL WHERE id = ?1",
        params![run, status.name(), reason, now],
    )?;
    let ended = tx.one(
        "SELECT reason, driver FROM runs WHERE id = ?1",
        params![run],
        |row| Ok((row.get::<Option<String>>(0)?, row.get::<Option<i64>>(1)?)),
    )?;
    let (reason, driver) = ended.unwrap_or_default();
    if let Some(driver) = driver {
        driven::wake(tx, driver, run)?;
    }
    runs::record(tx, run, status, now, reason.as_deref())
}
