//! The writer: one connection, on which writes that come at the same time share a commit.
//!
//! Whoever has something to write and finds the connection free commits it on the spot, for waking
//! another thread takes as long as writing. What comes meanwhile is left to a thread of the writer.
//!
//! What need not be on disk at once is committed without waiting for that: the next commit that must
//! be takes it along, or a moment later the thread does.

use std::{
    collections::VecDeque,
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use tokio::sync::oneshot;

use super::{
    checkpoint::Checkpoints,
    db::{BUSY_TIMEOUT, Outcome, Tx, Work, connect, db_error},
    home::io_error,
};
use api::{Error, Result};

/// Writes joined into one commit at most.
const GROUP: usize = 512;
/// How long what need not be on disk at once may take to get there.
const SOON: Duration = Duration::from_millis(500);
/// Nothing happens when it is over.
const IDLE: Duration = Duration::from_hours(1);

/// Dropped, its thread ends.
pub struct Writer(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    /// Rung when there may be something for the thread to do.
    bell: Condvar,
    connection: Mutex<Connection>,
    checkpoints: Checkpoints,
    /// The file that commits go to.
    log: PathBuf,
    /// Commits wait for the disk now.
    waits: AtomicBool,
    /// The last ones did not.
    owes: AtomicBool,
    /// Held while those are brought to disk.
    paying: Mutex<()>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

struct Job {
    work: Work,
    answer: oneshot::Sender<Result<Outcome>>,
    when: OnDisk,
}

/// When a write is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDisk {
    /// Before it is answered.
    First,
    /// In a moment. It survives this process, but a power loss only then; all that was written before
    /// what survives survives too.
    Soon,
}

/// What a thread does when another process is writing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    Wait,
    /// Leaves it to the writer's own thread.
    Leave,
    /// Leaves all writing to the writer's own thread.
    LeaveAll,
}

impl Writer {
    pub fn start(path: &Path) -> Result<Self> {
        let mut connection = connect(path)?;
        let checkpoints = Checkpoints::of(&mut connection, path.to_owned())?;
        // It has most pages in its cache; a map would be made anew whenever the file grows.
        connection
            .execute_batch("PRAGMA mmap_size=0")
            .map_err(db_error)?;
        let mut log = path.as_os_str().to_owned();
        log.push("-wal");
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            bell: Condvar::new(),
            connection: Mutex::new(connection),
            checkpoints,
            log: log.into(),
            waits: AtomicBool::new(true),
            owes: AtomicBool::new(false),
            paying: Mutex::default(),
        });
        let thread = shared.clone();
        std::thread::Builder::new()
            .name("db-writer".into())
            .spawn(move || thread.serve())
            .map_err(|e| Error::unavailable(format!("Cannot start the database writer: {e}")))?;
        Ok(Self(shared))
    }

    /// Runs `work` in a transaction and answers when it is committed.
    pub async fn write(&self, work: Work, patience: Patience, when: OnDisk) -> Result<Outcome> {
        let (answer, answered) = oneshot::channel();
        let job = Job { work, answer, when };
        self.0.queue().jobs.push_back(job);
        match patience {
            Patience::LeaveAll => self.0.bell.notify_one(),
            patience => self.0.commit_if_free(patience),
        }
        answered
            .await
            .map_err(|_| Error::internal("The database writer dropped a request"))?
    }

    /// Waits until what was committed before is on disk, beside whoever writes meanwhile.
    pub async fn settle(&self) -> Result<()> {
        let shared = self.0.clone();
        let paid = tokio::task::spawn_blocking(move || shared.pay());
        paid.await.map_err(|e| Error::internal(e.to_string()))?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.queue().closed = true;
        self.0.bell.notify_all();
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits one group, unless somebody else is at it; the rest is the thread's.
    fn commit_if_free(&self, patience: Patience) {
        match self.connection.try_lock() {
            Ok(connection) => self.commit(&connection, patience),
            Err(TryLockError::Poisoned(broken)) => self.commit(&broken.into_inner(), patience),
            Err(TryLockError::WouldBlock) => {}
        }
        if !self.queue().jobs.is_empty() || self.checkpoints.are_due() {
            self.bell.notify_one();
        }
    }

    fn serve(&self) {
        let mut pay_at = None;
        while self.wait(&mut pay_at) {
            let connection = self.connection.lock();
            let connection = connection.unwrap_or_else(PoisonError::into_inner);
            while !self.queue().jobs.is_empty() {
                self.commit(&connection, Patience::Wait);
            }
            self.checkpoints.finish(&connection);
        }
        let _ = self.pay();
    }

    /// Answers no when nothing more will come.
    fn wait(&self, pay_at: &mut Option<Instant>) -> bool {
        let mut queue = self.queue();
        loop {
            if !self.owes.load(Ordering::Acquire) {
                *pay_at = None;
            } else if *pay_at.get_or_insert_with(|| Instant::now() + SOON) <= Instant::now() {
                *pay_at = None;
                drop(queue);
                // What cannot be synced now is tried again.
                let _ = self.pay();
                queue = self.queue();
                continue;
            }
            if !queue.jobs.is_empty() || self.checkpoints.are_due() {
                return true;
            }
            if queue.closed {
                return false;
            }
            let longest = pay_at.map_or(IDLE, |at| at.saturating_duration_since(Instant::now()));
            let waited = self.bell.wait_timeout(queue, longest);
            queue = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Brings to disk what was committed without waiting for it.
    fn pay(&self) -> Result<()> {
        let _paying = self.paying.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.owes.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let synced = File::open(&self.log).and_then(|log| log.sync_data());
        synced.map_err(|e| {
            self.owe(true);
            io_error("write", &self.log, &e)
        })
    }

    /// Notes whether what was committed last is on disk. Who waits for that hears of it.
    fn owe(&self, owes: bool) {
        let _queue = self.queue();
        if !self.owes.swap(owes, Ordering::AcqRel) && owes {
            self.bell.notify_one();
        }
    }

    /// Lets the next commit wait for the disk, or not.
    fn set_waits(&self, connection: &Connection, waits: bool) {
        if self.waits.load(Ordering::Relaxed) == waits {
            return;
        }
        let level = if waits { "FULL" } else { "NORMAL" };
        let set = connection.execute_batch(&format!("PRAGMA synchronous={level}"));
        if set.is_ok() {
            self.waits.store(waits, Ordering::Relaxed);
        }
    }

    /// Commits what has come so far and answers it.
    fn commit(&self, connection: &Connection, patience: Patience) {
        let group: Vec<Job> = {
            let mut queue = self.queue();
            let size = queue.jobs.len().min(GROUP);
            queue.jobs.drain(..size).collect()
        };
        if group.is_empty() {
            return;
        }
        let first = group.iter().any(|job| job.when == OnDisk::First);
        self.set_waits(connection, first);
        let begun = begin(connection, patience);
        if let Err(error) = &begun
            && error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
            && patience != Patience::Wait
        {
            let mut queue = self.queue();
            group
                .into_iter()
                .rev()
                .for_each(|job| queue.jobs.push_front(job));
            return;
        }
        let begun = begun.map_err(db_error);
        let tx = Tx { connection };
        let is_open = || match &begun {
            Ok(()) if connection.is_autocommit() => Err(undone()),
            begun => begun.clone(),
        };
        let alone = group.len() == 1;
        let run = |job: Job| {
            let write = if alone { attempt } else { part };
            let result = is_open().and_then(|()| write(&tx, job.work));
            (job.answer, result)
        };
        let answers: Vec<_> = group.into_iter().map(run).collect();
        let before = self.checkpoints.commits();
        let undone = alone && answers.iter().any(|(_, result)| result.is_err());
        let ended = if undone {
            Ok(())
        } else {
            is_open().and_then(|()| tx.control("COMMIT"))
        };
        if (undone || ended.is_err()) && !connection.is_autocommit() {
            let _ = tx.control("ROLLBACK");
        }
        if self.checkpoints.commits() > before {
            // One that waited has taken all before it along.
            self.owe(!self.waits.load(Ordering::Relaxed));
        }
        // What a write has found without changing it may not be on disk either.
        let ended = ended.and_then(|()| if first { self.pay() } else { Ok(()) });
        for (answer, result) in answers {
            let result = match &ended {
                Ok(()) => result,
                Err(error) => result.and(Err(error.clone())),
            };
            let _ = answer.send(result);
        }
    }
}

fn begin(connection: &Connection, patience: Patience) -> rusqlite::Result<()> {
    connection.busy_timeout(match patience {
        Patience::Wait => BUSY_TIMEOUT,
        Patience::Leave | Patience::LeaveAll => Duration::ZERO,
    })?;
    connection
        .prepare_cached("BEGIN IMMEDIATE")?
        .execute([])
        .map(drop)
}

/// Runs one write. A defect of it is not the end of the writer.
fn attempt(tx: &Tx<'_>, work: Work) -> Result<Outcome> {
    catch_unwind(AssertUnwindSafe(|| work(tx)))
        .unwrap_or_else(|_| Err(Error::internal("A write came down")))
}

/// Runs one write of several in a group; on an error nothing of it is kept.
fn part(tx: &Tx<'_>, work: Work) -> Result<Outcome> {
    tx.control("SAVEPOINT request")?;
    let result = attempt(tx, work);
    // A full disk, for one, makes SQLite undo the whole transaction.
    if result.is_err() && tx.connection.is_autocommit() {
        return result;
    }
    if result.is_err() {
        tx.control("ROLLBACK TO request")?;
    }
    tx.control("RELEASE request")?;
    result
}

/// What the others of a group hear when one made SQLite undo all of it.
fn undone() -> Error {
    Error::unavailable("A write was undone together with another one that failed")
        .hint("Try again; if it fails again, check the disk's free space: aml doctor")
}

#[cfg(test)]
mod tests {
    use crate::db::{Db, count, params};
    use api::{Error, Result};

    #[tokio::test]
    async fn a_write_that_panics_fails_alone() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("aml.db")).unwrap();
        let sql = "INSERT INTO workers(name, seen_at) VALUES ('w', 0)";
        let bad = db.write(move |tx| -> Result<()> {
            tx.execute(sql, &[])?;
            panic!("a defect")
        });
        assert_eq!(bad.await.unwrap_err().message, "A write came down");
        db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
    }

    /// What a full disk does to a group of writes.
    #[tokio::test(flavor = "multi_thread")]
    async fn all_writes_of_a_transaction_that_is_undone_hear_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let db = std::sync::Arc::new(Db::open(&folder.path().join("aml.db")).unwrap());
        let insert = |name: &'static str| {
            let sql = "INSERT INTO workers(name, seen_at) VALUES (?1, 0)";
            db.write(move |tx| tx.execute(sql, params![name]))
        };
        // While the first one waits, the others become one group.
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, is_begun) = tokio::sync::oneshot::channel();
        let shared = db.clone();
        let first = tokio::spawn(async move {
            let waits = shared.write(move |_| {
                let _ = begun.send(());
                wait.recv().map_err(|e| Error::internal(e.to_string()))
            });
            waits.await
        });
        is_begun.await.unwrap();
        let full = db.write(|tx| -> Result<()> {
            tx.execute("ROLLBACK", &[])?;
            Err(Error::unavailable("The disk is full"))
        });
        let (before, after) = (insert("before"), insert("after"));
        let go = async { go.send(()).unwrap() };
        let (first, before, full, after, ()) = tokio::join!(first, before, full, after, go);
        first.unwrap().unwrap();
        assert_eq!(full.unwrap_err().message, "The disk is full");
        let undone = super::undone();
        assert_eq!(before.unwrap_err().message, undone.message);
        assert_eq!(after.unwrap_err().message, undone.message);
        insert("later").await.unwrap();
        let sql = "SELECT COUNT(*) FROM workers";
        let rows = db.read(|tx| tx.one(sql, &[], |row| count(row, 0))).await;
        assert_eq!(rows.unwrap(), Some(1));
    }

    #[tokio::test]
    async fn what_need_not_be_on_disk_at_once_is_read_at_once_and_the_next_commit_takes_it_along() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&folder.path().join("aml.db")).unwrap();
        let insert = |name: &'static str| {
            move |tx: &crate::db::Tx<'_>| {
                let sql = "INSERT INTO workers(name, seen_at) VALUES (?1, 0)";
                tx.execute(sql, params![name])
            }
        };
        let level =
            |tx: &crate::db::Tx<'_>| tx.one("PRAGMA synchronous", &[], |row| row.get::<i64>(0));
        assert_eq!(db.write(level).await.unwrap(), Some(2), "FULL");
        assert_eq!(db.write_soon(level).await.unwrap(), Some(1), "NORMAL");
        db.write_soon(insert("soon")).await.unwrap();
        let sql = "SELECT COUNT(*) FROM workers";
        let rows = db.read(|tx| tx.one(sql, &[], |row| count(row, 0))).await;
        assert_eq!(rows.unwrap(), Some(1));
        let shared = &db.writer().unwrap().0;
        assert!(shared.owes.load(super::Ordering::Relaxed));
        db.write(insert("now")).await.unwrap();
        assert!(!shared.owes.load(super::Ordering::Relaxed));
        db.write_soon(insert("later")).await.unwrap();
        while shared.owes.load(super::Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    }

    /// A server's threads do not wait for other processes; the writer's own does.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_write_waits_for_another_process_on_the_writers_thread() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let db = Db::open(&path).unwrap();
        let insert = |name: &'static str| {
            let sql = "INSERT INTO workers(name, seen_at) VALUES (?1, 0)";
            db.write(move |tx| tx.execute(sql, params![name]))
        };
        insert("before").await.unwrap();
        let other = super::connect(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut write = std::pin::pin!(insert("after"));
        // Comes back without an answer instead of blocking here.
        let polled = std::future::poll_fn(|context| {
            std::task::Poll::Ready(write.as_mut().poll(context).is_pending())
        });
        assert!(polled.await);
        other.execute_batch("COMMIT").unwrap();
        write.await.unwrap();
    }

    /// Nor does the one thread of a process that answers requests.
    #[tokio::test]
    async fn where_requests_are_answered_one_thread_goes_on_while_another_process_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("aml.db");
        let mut db = Db::open(&path).unwrap();
        db.answer_requests();
        let other = super::connect(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let write = db.write(|tx| {
            let sql = "INSERT INTO workers(name, seen_at) VALUES ('w', 0)";
            tx.execute(sql, &[])
        });
        // Joined on one thread: the second part runs only if the first one lets go of it.
        let release = async { other.execute_batch("COMMIT").unwrap() };
        let (written, ()) = tokio::join!(write, release);
        assert_eq!(written.unwrap(), 1);
    }
}
