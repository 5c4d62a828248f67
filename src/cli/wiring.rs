//! What commands need of what is below the client: a client for a target, servers, workers, the processes
//! of runs and endpoints, the state directory. The program gives it; commands know no more of it.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use futures_util::future::BoxFuture;

use api::{Error, Result, Time};
use client::{Client, Remote};

/// What a command talks to.
#[derive(Clone)]
pub enum Target {
    /// The state directory, without a socket.
    Local {
        home: PathBuf,
    },
    Remote(Remote),
}

/// What is told once it has begun.
pub type Begun<'a, T> = Box<dyn FnOnce(&T) + Send + 'a>;

/// All that commands need.
pub trait Wiring: Send + Sync {
    /// Opens a client. In local mode a worker is kept in the background as long as there is something to
    /// do.
    fn open_client<'a>(&self, target: &'a Target) -> BoxFuture<'a, Result<Client>>;

    /// Finds the server of the target. In local mode one is started on loopback, which nobody may use
    /// without its token: other people of this machine can reach the port as well.
    fn lend<'a>(&self, target: &'a Target) -> BoxFuture<'a, Result<Lent>>;

    /// The address of a server of this state directory, started in the background when there is none.
    fn ensure_server<'a>(&self, home: &'a Path) -> BoxFuture<'a, Result<String>>;

    /// Serves a state directory until the process is asked to stop. `listening` is told when requests
    /// are answered, and where.
    fn serve<'a>(
        &self,
        settings: ServeSettings,
        listening: Begun<'a, Served>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Serves this account's processes on loopback until nobody has asked for long; at once no more when
    /// another server has the state directory.
    fn serve_in_background(&self, home: PathBuf) -> BoxFuture<'static, Result<()>>;

    /// Works for a state directory until asked to stop; what runs then goes on and is found again. In
    /// the background it leaves when there has been nothing to do, and at once when another works.
    fn work_here<'a>(
        &self,
        settings: WorkerSettings,
        background: bool,
        begun: Begun<'a, str>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Works for a server on another machine until asked to stop.
    fn work_for<'a>(
        &self,
        remote: Remote,
        settings: WorkerSettings,
        begun: Begun<'a, str>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Supervises the commands of runs, one after the other. A worker in the background of the state
    /// directory that is killed meanwhile has a successor.
    fn supervise(&self, succeed_in: Option<PathBuf>) -> BoxFuture<'static, Result<()>>;

    /// Serves an endpoint in this process until it is stopped; nothing happens when another process
    /// does. `variables` are what the scoring process gets of the machine's.
    fn host_endpoint<'a>(
        &self,
        home: &'a Path,
        endpoint: i64,
        variables: BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Runs the scoring process of an endpoint, maybe kept apart, and ends it when stdin closes; answers
    /// its exit code. What it writes is in the log without the secrets.
    fn watch_endpoint(
        &self,
        command: &[String],
        log: &Path,
        apart: Option<Apart>,
        secrets: &[String],
    ) -> io::Result<u8>;

    /// Whether Python environments can be made here; the error says what is missing and how to get it.
    fn check_python<'a>(
        &self,
        variables: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<()>>;

    /// Looks at a state directory, which need not exist.
    fn inspect(&self, directory: &Path) -> StateReport;

    /// Whether nothing more can be written where a directory lies.
    fn disk_is_full(&self, directory: &Path) -> bool;

    /// The wall clock.
    fn now(&self) -> Time;
}

/// What a process needs to be let in, for as long as it is lent.
pub struct Lent {
    pub url: String,
    /// None where the server asks for none.
    pub token: Option<String>,
    /// Ends the server that was started, after the requests that have begun.
    pub take_back: BoxFuture<'static, ()>,
}

/// What a worker is told on the command line and in the configuration.
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// State directory; of a remote worker only environments and run folders are there.
    pub home: PathBuf,
    /// Runs executed at once; one per core when absent.
    pub slots: Option<u32>,
    /// Seconds without work after which one in the background leaves.
    pub idle_seconds: Option<u64>,
    /// Variables of the machine that runs get.
    pub variables: BTreeMap<String, String>,
    /// Those by which commands in them speak as the owner, as long as there are no users.
    pub owner_variables: BTreeMap<String, String>,
}

/// What `aml serve` was told.
#[derive(Debug)]
pub struct ServeSettings {
    pub home: PathBuf,
    pub host: String,
    pub port: u16,
    /// What clients call the server by, when it is not the address listened on.
    pub url: Option<String>,
    /// The folder that relative locations of artifacts are meant from.
    pub folder: PathBuf,
    /// Where clients write the artifacts of new experiments by themselves.
    pub artifact_root: Option<String>,
    /// Need a token on loopback too.
    pub require_token: bool,
    pub tls: Tls,
    pub verbosity: Verbosity,
    /// How runs are executed here; absent when they are not.
    pub worker: Option<WorkerSettings>,
}

#[derive(Debug)]
pub enum Tls {
    Off,
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    /// Signed by the state directory's own authority.
    SelfSigned,
}

/// The requests that a server writes a line about.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Verbosity {
    /// Only those that met a defect
    Errors,
    /// Also those that change something or were refused
    Changes,
    /// All
    Requests,
}

/// How a server can be reached.
#[derive(Debug)]
pub struct Served {
    pub url: String,
    /// The certificate to give to clients.
    pub authority: Option<PathBuf>,
    /// Listens on the network without TLS.
    pub exposed: bool,
    /// What another server of the same state directory says of itself.
    pub other: Option<String>,
}

/// What a scoring process sees of the state directory.
#[derive(Debug, Clone)]
pub struct Apart {
    /// The directory that it is kept out of.
    pub state: PathBuf,
    /// What is its own in there.
    pub own: Vec<PathBuf>,
    /// What it may read in there.
    pub readable: Vec<PathBuf>,
}

/// What there is to say of a state directory.
#[derive(Debug, Default)]
pub struct StateReport {
    /// Why it cannot be used.
    pub problem: Option<Error>,
    /// The format of its database; none when there is no database yet.
    pub format: Option<i64>,
    /// Bytes of its database.
    pub size: u64,
    /// The uv that was got for its environments.
    pub uv: Option<PathBuf>,
    /// Others can see what lies in it.
    pub open_to_others: bool,
    /// Bytes that can still be written where it lies.
    pub free: Option<u64>,
    /// The living processes that work in it.
    pub holders: Vec<String>,
}
