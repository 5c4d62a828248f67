//! The database: one SQLite file, one writer with group commit, a pool of readers.
//!
//! With the columns, the writer and the migrations the only file of the store that knows `rusqlite`.
//! SQL elsewhere in the store uses `?1` placeholders and `RETURNING`, so that the same text can serve
//! PostgreSQL.

use std::{
    any::Any,
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, OnceLock},
    time::Duration,
};

use nix::unistd::{AccessFlags, access};
use rusqlite::{Connection, OpenFlags, config::DbConfig, functions::FunctionFlags, types};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    sync::Semaphore,
};
use url::Url;

use super::{
    column::Bound,
    home::{MAKE_ROOM, io_error, private_file},
    migrations,
    writer::{OnDisk, Patience, Writer},
};
use api::{Code, Error, Result};

pub(super) use super::column::{Params, Row, RowResult, Value, params, params_of};

/// How long a command waits for another process that is writing.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
/// Reads at once; more would only wait for the processor.
const READERS: usize = 32;

/// A handle on the database; shared by reference within a process.
pub struct Db {
    path: PathBuf,
    writer: OnceLock<Writer>,
    readers: Pool,
    /// For single rows, between writes: a map of the file would be made anew after each of these.
    lookers: Pool,
    /// How many may read at once: each has open files.
    seats: Semaphore,
    /// The one thread of this process has requests to answer.
    answers: bool,
    on_the_spot: Semaphore,
}

/// What some work came to, whatever its type: the ways through here are compiled once and not once
/// for each statement of the store.
pub(super) type Outcome = Box<dyn Any + Send>;
pub(super) type Work = Box<dyn FnOnce(&Tx<'_>) -> Result<Outcome> + Send>;

/// Forgets the type of what `work` comes to.
fn erase<T, F>(work: F) -> Work
where
    T: Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
{
    Box::new(move |tx| match work(tx) {
        Ok(outcome) => Ok(Box::new(outcome)),
        Err(error) => Err(error),
    })
}

fn restore<T: 'static>(outcome: Outcome) -> Result<T> {
    match outcome.downcast() {
        Ok(outcome) => Ok(*outcome),
        Err(_) => Err(Error::internal("The database answered another request")),
    }
}

impl Db {
    /// Opens the database at `path`, made or migrated when needed.
    pub fn open(path: &Path) -> Result<Self> {
        private_file(path)?;
        let reader = Reader::connect(path)?;
        migrations::run(&reader.connection, path)?;
        let db = Self {
            path: path.to_owned(),
            writer: OnceLock::new(),
            readers: Pool::new(path, ""),
            lookers: Pool::new(path, "PRAGMA mmap_size=0; PRAGMA cache_size=-2000"),
            seats: Semaphore::new(READERS),
            answers: false,
            on_the_spot: Semaphore::new(1),
        };
        db.readers.keep(reader);
        Ok(db)
    }

    /// From now on no thread waits for the disk or for another process to write.
    pub fn answer_requests(&mut self) {
        self.answers = true;
    }

    /// Runs `work` in a transaction and answers when it is on disk. On an error nothing of it is kept.
    pub async fn write<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.write_when(OnDisk::First, work).await
    }

    /// The same, but answers before it is on disk: for what can be found out or done again where it is
    /// lost with the power. Whoever kills this process loses nothing of it.
    pub async fn write_soon<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.write_when(OnDisk::Soon, work).await
    }

    /// Either, as the case is.
    pub async fn write_when<T, F>(&self, when: OnDisk, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        restore(self.write_erased(erase(work), when).await?)
    }

    /// Waits until all that was answered before is on disk.
    pub async fn settle(&self) -> Result<()> {
        self.writer()?.settle().await
    }

    async fn write_erased(&self, work: Work, when: OnDisk) -> Result<Outcome> {
        let patience = if self.answers {
            Patience::LeaveAll
        } else if may_wait() {
            Patience::Wait
        } else {
            Patience::Leave
        };
        self.writer()?.write(work, patience, when).await
    }

    /// Runs `work` on a consistent view of the database.
    pub async fn read<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T> + Send + 'static,
    {
        restore(self.read_erased(erase(work)).await?)
    }

    async fn read_erased(&self, work: Work) -> Result<Outcome> {
        // One read at a time may keep one of its threads, which is done before another one is woken.
        let on_the_spot = self.on_the_spot.try_acquire();
        if may_wait() || on_the_spot.is_ok() {
            return self.readers.view(work);
        }
        let _seat = self.seats.acquire().await;
        let reader = self.readers.take()?;
        let run = move || (view(&reader.connection, work), reader);
        let (result, reader) = tokio::task::spawn_blocking(run)
            .await
            .map_err(|e| Error::internal(format!("A database read ended early: {e}")))?;
        self.readers.keep(reader);
        result
    }

    /// The same on the caller's thread: for a few rows found by their key, which are read sooner than
    /// another thread is woken.
    #[expect(clippy::unused_async, reason = "another database may have to wait")]
    pub async fn look<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        // A command opens no more than it needs.
        let pool = if may_wait() {
            &self.readers
        } else {
            &self.lookers
        };
        pool.view(work)
    }

    pub(super) fn writer(&self) -> Result<&Writer> {
        if let Some(writer) = self.writer.get() {
            return Ok(writer);
        }
        let writer = Writer::start(&self.path)?;
        Ok(self.writer.get_or_init(|| writer))
    }
}

/// A connection to read by.
struct Reader {
    connection: Connection,
    /// Has the database for itself, until it is closed.
    alone: bool,
}

impl Reader {
    /// Readers share an index of the log of writes, which is a file. Where a full disk has no room
    /// for it, a connection that has the database for itself keeps one in memory. Where nothing can be
    /// written and there is no log, nobody writes, and none is needed.
    fn connect(path: &Path) -> Result<Self> {
        let shared = connect(path).and_then(|connection| {
            migrations::known(&connection)?;
            Ok(connection)
        });
        let (connection, alone) = match shared {
            Err(error) if error.code == Code::Full => {
                (connect_as(path, "PRAGMA locking_mode=EXCLUSIVE")?, true)
            }
            Err(_) if is_at_rest(path) => {
                let connection = connect_at_rest(path)?;
                migrations::known(&connection)?;
                (connection, true)
            }
            shared => (shared?, false),
        };
        Ok(Self { connection, alone })
    }
}

/// Connections that nobody is using.
struct Pool {
    path: PathBuf,
    settings: &'static str,
    free: Mutex<Vec<Reader>>,
}

impl Pool {
    fn new(path: &Path, settings: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            settings,
            free: Mutex::default(),
        }
    }

    fn take(&self) -> Result<Reader> {
        let pooled = self.free.lock().ok().and_then(|mut free| free.pop());
        if let Some(reader) = pooled {
            return Ok(reader);
        }
        let reader = Reader::connect(&self.path)?;
        reader
            .connection
            .execute_batch(self.settings)
            .map_err(db_error)?;
        Ok(reader)
    }

    fn keep(&self, reader: Reader) {
        if !reader.alone
            && reader.connection.is_autocommit()
            && let Ok(mut free) = self.free.lock()
        {
            free.push(reader);
        }
    }

    fn view<T>(&self, work: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
        let reader = self.take()?;
        let result = view(&reader.connection, work);
        self.keep(reader);
        result
    }
}

/// A command has one thread and nothing else to do; a server must not block its own for long.
fn may_wait() -> bool {
    matches!(
        Handle::current().runtime_flavor(),
        RuntimeFlavor::CurrentThread
    )
}

/// Parameters as the driver takes them.
fn bound(params: Params<'_>) -> impl rusqlite::Params + use<'_> {
    rusqlite::params_from_iter(params.iter().map(|value| Bound(*value)))
}

/// Runs `work` in a transaction that only reads.
fn view<T>(connection: &Connection, work: impl FnOnce(&Tx<'_>) -> Result<T>) -> Result<T> {
    let tx = Tx { connection };
    tx.control("BEGIN")?;
    let result = work(&tx);
    tx.control("COMMIT")?;
    result
}

pub(super) fn connect(path: &Path) -> Result<Connection> {
    connect_as(path, "")
}

/// A connection for which `before` is said before anything is read.
fn connect_as(path: &Path, before: &str) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(db_error)?;
    set_up(connection, before)
}

/// Whether this process cannot write beside the database, and it has no log of writes: whoever had it open
/// has closed it.
fn is_at_rest(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let log = fs::metadata(log).is_ok_and(|log| log.len() > 0);
    !log && access(folder, AccessFlags::W_OK).is_err()
}

/// A connection that reads the file as it is, without locks. Where its owner begins to write in this very
/// moment, a query may fail or read what is half written; no page of the file is mapped, so nothing worse.
fn connect_at_rest(path: &Path) -> Result<Connection> {
    let path = std::path::absolute(path).map_err(|e| io_error("open", path, &e))?;
    let mut uri = Url::from_file_path(&path)
        .map_err(|()| Error::internal(format!("`{}` is no address", path.display())))?;
    uri.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri.as_str(), flags).map_err(db_error)?;
    let connection = set_up(connection, "")?;
    connection
        .execute_batch("PRAGMA mmap_size=0")
        .map_err(db_error)?;
    Ok(connection)
}

fn set_up(connection: Connection, before: &str) -> Result<Connection> {
    connection.busy_timeout(BUSY_TIMEOUT).map_err(db_error)?;
    // A plan is made once, not for every value that is bound.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(db_error)?;
    connection.set_prepared_statement_cache_capacity(256);
    connection.execute_batch(before).map_err(db_error)?;
    connection
        .execute_batch(
            "PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-16000; \
             PRAGMA mmap_size=268435456; PRAGMA temp_store=MEMORY;",
        )
        .map_err(db_error)?;
    connection
        .create_scalar_function(
            "regexp",
            2,
            FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC,
            matches,
        )
        .map_err(db_error)?;
    Ok(connection)
}

/// `text REGEXP pattern`; a pattern is compiled once a statement.
fn matches(context: &mut rusqlite::functions::Context<'_>) -> rusqlite::Result<Option<bool>> {
    let pattern = context.get_or_create_aux(0, |pattern| {
        regex::Regex::new(pattern.as_str()?)
            .map_err(Into::<Box<dyn std::error::Error + Send + Sync>>::into)
    })?;
    let text = match context.get_raw(1) {
        types::ValueRef::Null => return Ok(None),
        text => text.as_str()?,
    };
    Ok(Some(pattern.is_match(text)))
}

/// An open transaction.
pub struct Tx<'a> {
    pub(super) connection: &'a Connection,
}

impl Tx<'_> {
    /// Runs a statement and answers how many rows it changed. Where a statement runs often, what it changed
    /// is read by a second one: for `RETURNING`, SQLite keeps what a statement changes, to be able to undo
    /// it.
    pub fn execute(&self, sql: &str, params: Params<'_>) -> Result<usize> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(bound(params)))
            .map_err(db_error)
    }

    /// Adds a row and answers its number.
    pub fn insert(&self, sql: &str, params: Params<'_>) -> Result<i64> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.insert(bound(params)))
            .map_err(db_error)
    }

    /// The first row, if there is one.
    pub fn one<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        map: impl FnOnce(&Row<'_>) -> RowResult<T>,
    ) -> Result<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(db_error)?;
        let mut rows = statement.query(bound(params)).map_err(db_error)?;
        match rows.next().map_err(db_error)? {
            Some(row) => map(&Row(row)).map(Some).map_err(db_error),
            None => Ok(None),
        }
    }

    /// All rows.
    pub fn all<T>(
        &self,
        sql: &str,
        params: Params<'_>,
        mut map: impl FnMut(&Row<'_>) -> RowResult<T>,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        self.each(sql, params, |row| {
            found.push(map(row)?);
            Ok(true)
        })?;
        Ok(found)
    }

    /// Rows one after the other, until `take` answers no.
    pub fn each(
        &self,
        sql: &str,
        params: Params<'_>,
        mut take: impl FnMut(&Row<'_>) -> RowResult<bool>,
    ) -> Result<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(db_error)?;
        let mut rows = statement.query(bound(params)).map_err(db_error)?;
        while let Some(row) = rows.next().map_err(db_error)? {
            if !take(&Row(row)).map_err(db_error)? {
                break;
            }
        }
        Ok(())
    }

    /// Begins or ends a transaction or a part of one.
    pub(super) fn control(&self, sql: &str) -> Result<()> {
        self.execute(sql, &[]).map(drop)
    }
}

fn full() -> Error {
    Error::full("The disk that holds the state directory is full").hint(MAKE_ROOM)
}

/// `SQLITE_IOERR_SHMSIZE`: the index of the log of writes cannot grow.
const SHM_SIZE: i32 = 0x130a;

fn is_extended(error: &rusqlite::Error, code: i32) -> bool {
    let found = error.sqlite_error();
    found.is_some_and(|found| found.extended_code == code)
}

/// Says what a failure of the database means to the person who meets it.
#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function in `map_err`"
)]
pub(super) fn db_error(error: rusqlite::Error) -> Error {
    use rusqlite::ErrorCode;
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => full(),
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::unavailable(
            "Another process has held the state directory's database for too long",
        )
        .hint("See which with `aml doctor`, and try again"),
        Some(ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            Error::unavailable(format!("The state directory cannot be written: {error}"))
                .hint("Check its owner and permissions, or choose another one: set AML_HOME")
        }
        Some(ErrorCode::SystemIoFailure) if is_extended(&error, SHM_SIZE) => full(),
        Some(ErrorCode::SystemIoFailure) => Error::unavailable(format!(
            "Reading or writing the state directory failed: {error}"
        ))
        .hint("Check the disk's free space and health"),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Error::unavailable(format!(
            "The state directory's database is damaged: {error}"
        ))
        .hint("Restore the state directory from a copy"),
        _ => Error::new(
            Code::Internal,
            format!("The database refused a statement: {error}"),
        ),
    }
}

/// Reads a JSON column.
pub fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, index: usize) -> RowResult<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text).map_err(|e| {
        rusqlite::Error::FromSqlConversionFailure(index, types::Type::Text, Box::new(e))
    })
}

/// Reads a JSON column that may be absent.
pub fn optional_json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    index: usize,
) -> RowResult<Option<T>> {
    match row.get_ref(index)? {
        types::ValueRef::Null => Ok(None),
        _ => json(row, index).map(Some),
    }
}

/// Reads a number that is never negative.
pub fn count(row: &Row<'_>, index: usize) -> RowResult<u64> {
    Ok(row.get::<i64>(index)?.try_into().unwrap_or(0))
}

/// Writes a JSON column.
pub fn to_json<T: serde::Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::internal(format!("Cannot store a value: {e}")))
}

#[cfg(test)]
mod tests {
    use super::Db;

    #[tokio::test]
    async fn only_the_owner_can_read_it_in_a_folder_that_is_open_to_all() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let db = Db::open(&folder.path().join("aml.db")).unwrap();
        let sql = "INSERT INTO workers(name, seen_at) VALUES ('w', 0)";
        db.write(move |tx| tx.execute(sql, &[])).await.unwrap();
        // Also what was made before with other permissions.
        let names = ["aml.db", "aml.db-wal", "aml.db-shm"];
        for name in names {
            let open = PermissionsExt::from_mode(0o644);
            std::fs::set_permissions(folder.path().join(name), open).unwrap();
        }
        let _again = Db::open(&folder.path().join("aml.db")).unwrap();
        for name in names {
            let metadata = std::fs::metadata(folder.path().join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
}
