//! The worker: leases queued runs, executes them on this machine, reports.
//!
//! Holds no truth: what it knows is in the workspace or in a file beside the process, so another
//! worker can take over at any moment. It speaks to the workspace through the client only.

mod cause;
mod keep;
mod log;
mod metrics;
mod outputs;
mod ports;
mod redact;
mod run;
mod services;
mod shell;
mod tables;
mod task;
mod variables;

use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use crate::executor::local::Process;
use api::{
    Code, Error, Result,
    datastores::UNREACHABLE,
    mirrors::Mirrors,
    work::{Assignment, Outcome, Progress, ReportRun, SyncWorker, WorkerOrders},
};
use client::{Client, inputs};
use run::Execution;

/// How long one call waits for news.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait before a call that failed is made again: from, to.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How often a call is made that a full disk does not let through: about three seconds.
const FULL_TRIES: u32 = 5;

/// How often a call is made that a storage beyond the server does not let through: about half a minute,
/// and what the storage itself takes to fail.
const BEYOND_TRIES: u32 = 10;

/// What a worker is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// No two living workers of a workspace have the same name; a new one with the name of a dead
    /// one goes on with its runs.
    pub name: String,
    /// State directory for environments and for the folders of runs.
    pub home: PathBuf,
    /// Runs executed at once.
    pub slots: u32,
    /// Leave after so long without a run.
    pub idle: Option<Duration>,
    /// Where the processes of runs reach the server.
    pub tracking_url: String,
    /// Variables of the machine that they get.
    pub variables: BTreeMap<String, String>,
    /// This program, and the folder where they find it as `aml`.
    pub program: PathBuf,
    pub tools: PathBuf,
    /// Name of the machine, recorded with the runs.
    pub node: String,
    /// What stands for addresses on this machine now.
    pub mirrors: fn() -> Result<Mirrors>,
}

impl Settings {
    /// Folders of the runs this worker has.
    fn work(&self) -> PathBuf {
        self.home.join("work").join(&self.name)
    }
}

/// What becomes of a run that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    GoOn,
    Cancel,
    /// It is no longer this worker's.
    Lost,
}

/// Works until told to stop, or until there was nothing to do for as long as the settings say. Runs
/// that go on then are left to the next worker of the same name.
pub async fn run(
    client: Client,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    private_dir(&settings.work())?;
    let mut worker = Worker {
        client,
        settings: Arc::new(settings),
        held: BTreeMap::new(),
        tasks: JoinSet::new(),
        names: HashMap::new(),
    };
    let mut retry = RETRY.0;
    let mut busy_at = Instant::now();
    let mut begun = false;
    loop {
        if !worker.held.is_empty() {
            busy_at = Instant::now();
        }
        let idle = worker.settings.idle.map(|idle| busy_at + idle);
        if idle.is_some_and(|until| until <= Instant::now()) {
            return Ok(());
        }
        let request = worker.request(idle);
        tokio::select! {
            biased;
            () = told(&mut stop) => return Ok(()),
            Some(ended) = worker.tasks.join_next_with_id(), if !worker.tasks.is_empty() => {
                worker.forget(ended).await;
            }
            orders = worker.client.call(&request) => match orders {
                Ok(orders) => {
                    retry = RETRY.0;
                    worker.follow(orders);
                    if !begun {
                        begun = true;
                        worker.clear_leftovers();
                    }
                }
                // A defect of the server is mended by others, and the runs go on meanwhile.
                Err(error) if error.code.retryable() || error.code == Code::Internal => {
                    tokio::time::sleep(retry).await;
                    retry = (retry * 2).min(RETRY.1);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

struct Worker {
    client: Client,
    settings: Arc<Settings>,
    /// By `workspace/run`.
    held: BTreeMap<String, watch::Sender<Fate>>,
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Worker {
    fn request(&self, idle: Option<Instant>) -> SyncWorker {
        let until_idle = idle.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = until_idle.map_or(WAIT, |left| left.min(WAIT));
        let held = u32::try_from(self.held.len()).unwrap_or(u32::MAX);
        SyncWorker {
            worker: self.settings.name.clone(),
            capacity: self.settings.slots.saturating_sub(held),
            holding: self.held.keys().cloned().collect(),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(0),
        }
    }

    fn follow(&mut self, orders: WorkerOrders) {
        for assignment in orders.take {
            self.take(assignment);
        }
        let tell = |names: Vec<String>, fate: Fate| {
            for sender in names.iter().filter_map(|name| self.held.get(name)) {
                sender.send_if_modified(|old| {
                    let changed = *old != fate;
                    *old = fate;
                    changed
                });
            }
        };
        tell(orders.cancel, Fate::Cancel);
        tell(orders.lost, Fate::Lost);
    }

    fn take(&mut self, assignment: Assignment) {
        let name = name_of(&assignment);
        let fate = if assignment.cancel {
            Fate::Cancel
        } else {
            Fate::GoOn
        };
        let (sender, receiver) = watch::channel(fate);
        let execution = Execution::new(&self.client, &self.settings, assignment, receiver);
        let task = self.tasks.spawn(execution.execute());
        self.names.insert(task.id(), name.clone());
        self.held.insert(name, sender);
    }

    /// A task that came down takes its run with it, or it would come down again and again.
    async fn forget(&mut self, ended: std::result::Result<(Id, ()), JoinError>) {
        let (id, failed) = match ended {
            Ok((id, ())) => (id, None),
            Err(error) => (error.id(), Some(error)),
        };
        let Some(name) = self.names.remove(&id) else {
            return;
        };
        self.held.remove(&name);
        let Some((workspace, run)) = name.split_once('/') else {
            return;
        };
        self.leave(workspace);
        if let Some(error) = failed {
            let report = ReportRun {
                workspace: workspace.to_owned(),
                run: run.to_owned(),
                worker: self.settings.name.clone(),
                progress: Progress::Ended {
                    outcome: Outcome::Failed,
                    exit_code: None,
                    reason: Some(format!("The worker failed: {error}")),
                    usage: None,
                },
            };
            let _ = self.client.call(&report).await;
        }
    }

    /// Removes folders of runs that a worker before this one left behind and that nobody wants.
    fn clear_leftovers(&self) {
        inputs::forget_unused(&self.settings.home.join("cache/inputs"));
        let work = self.settings.work();
        for workspace in names_in(&work) {
            let folder = work.join(&workspace);
            for run in names_in(&folder) {
                let folder = folder.join(&run);
                if self.held.contains_key(&format!("{workspace}/{run}")) {
                    continue;
                }
                if let Some(process) = Process::find(&folder) {
                    process.stop();
                }
                let _ = client::inputs::remove_all(&folder);
            }
            self.leave(&workspace);
        }
    }

    /// Removes the folder of a workspace when it is empty and no run that was just taken is about to
    /// make its own in it.
    fn leave(&self, workspace: &str) {
        let prefix = format!("{workspace}/");
        if !self.held.keys().any(|name| name.starts_with(&prefix)) {
            let _ = fs::remove_dir(self.settings.work().join(workspace));
        }
    }
}

fn name_of(assignment: &Assignment) -> String {
    format!("{}/{}", assignment.workspace, assignment.run)
}

fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

/// Makes a call again and again while the server cannot be reached, but only for a while because a
/// disk is full or a storage beyond the server cannot be reached. Stops when dropped.
async fn persist<T, F: Future<Output = Result<T>>>(call: impl Fn() -> F) -> Result<T> {
    persist_until(Some(FULL_TRIES), call).await
}

/// The same, with this many tries on a full disk.
async fn persist_until<T, F: Future<Output = Result<T>>>(
    full_tries: Option<u32>,
    call: impl Fn() -> F,
) -> Result<T> {
    let mut retry = RETRY.0;
    let (mut full, mut beyond) = (0, 0);
    loop {
        match call().await {
            Err(error)
                if error.target.as_deref() == Some(UNREACHABLE) && beyond + 1 >= BEYOND_TRIES =>
            {
                return Err(error);
            }
            Err(error)
                if error.code == Code::Full && full_tries.is_some_and(|most| full + 1 >= most) =>
            {
                return Err(error);
            }
            Err(error) if error.code.retryable() => {
                full += u32::from(error.code == Code::Full);
                beyond += u32::from(error.target.as_deref() == Some(UNREACHABLE));
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY.1);
            }
            other => return other,
        }
    }
}

/// Whether an error says that the run is not this worker's any more.
fn means_lost(error: &Error) -> bool {
    matches!(error.code, Code::Conflict | Code::NotFound)
}

/// Makes a folder, and those above it, that only its owner can enter.
fn private_dir(path: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|e| io_error("make", path, &e))
}

fn io_error(verb: &str, path: &Path, error: &io::Error) -> Error {
    let message = format!("Cannot {verb} `{}`: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull => Error::full(message),
        _ => Error::unavailable(message),
    }
}
