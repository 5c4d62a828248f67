//! The worker: leases queued runs, executes them on this machine, reports.
//!
//! Holds no truth: what it knows is in the workspace or in a file beside the process, so another
//! worker can take over at any moment. It speaks to the workspace through the client only.

mod begun;
mod cause;
mod container;
mod endings;
mod folders;
mod keep;
mod log;
mod metrics;
mod outputs;
mod ports;
mod recent;
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
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::watch,
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

use api::{
    Code, Error, Result,
    datastores::UNREACHABLE,
    environments::EnvironmentSettings,
    mirrors::Mirrors,
    work::{Assignment, Outcome, Progress, ReportRun, SyncWorker, WorkerOrders},
};
use begun::Begun;
use client::{Client, inputs, inputs::remove_all};
use endings::Endings;
use executor::{
    compiled,
    local::{Process, Supervisors},
    spares,
};
use folders::Folders;
use ports::Places;
use run::Execution;

/// How long one call waits for news.
const WAIT: Duration = Duration::from_secs(10);
/// How long to wait before a call that failed is made again: from, to.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How long nothing runs before what runs have left is removed.
const QUIET: Duration = Duration::from_secs(30);
/// Where something always runs, it is removed all the same after so long.
const LATEST: Duration = Duration::from_mins(5);

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
    /// It works for that very state directory, whose next command would start another one.
    pub within: bool,
    /// Runs executed at once.
    pub slots: u32,
    /// Leave after so long without a run.
    pub idle: Option<Duration>,
    /// Where the processes of runs reach the server.
    pub tracking_url: String,
    /// Variables of the machine that they get.
    pub variables: BTreeMap<String, String>,
    /// Those by which commands of theirs speak as the owner of the state directory that the worker
    /// works for, where there are no users.
    pub owner_variables: BTreeMap<String, String>,
    /// This program, and the folder where they find it as `aml`.
    pub program: PathBuf,
    pub tools: PathBuf,
    /// Name of the machine, recorded with the runs.
    pub node: String,
    /// What stands for addresses on this machine now.
    pub mirrors: fn() -> Result<Mirrors>,
    /// How environments are made on it now.
    pub environments: fn() -> Result<EnvironmentSettings>,
}

impl Settings {
    /// The state directory, where the one that works from within it shall have a successor.
    fn succeed_in(&self) -> Option<&Path> {
        self.within.then_some(&self.home)
    }

    /// Folders of the runs this worker has.
    fn work(&self) -> PathBuf {
        self.home.join("work").join(&self.name)
    }

    /// Environments that its runs have left as they were.
    fn spares(&self) -> PathBuf {
        spares::folder(&self.home).join(&self.name)
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
pub fn run(
    client: Client,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) -> BoxFuture<'static, Result<()>> {
    Box::pin(async move {
        private_dir(&settings.work())?;
        let mut worker = Worker {
            client,
            machine: Machine {
                supervisors: Arc::new(Supervisors::new(&settings.program, settings.succeed_in())),
                places: Arc::default(),
                folders: Arc::default(),
                endings: Arc::default(),
                settings: Arc::new(settings),
            },
            held: BTreeMap::new(),
            later: BTreeMap::new(),
            tasks: JoinSet::new(),
            names: HashMap::new(),
        };
        let Machine {
            settings, folders, ..
        } = worker.machine.clone();
        folders.forget(&settings.work());
        let worked = worker.work(&mut stop).await;
        folders.forget(&settings.work());
        spares::forget(&settings.spares());
        worked
    })
}

async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A run that this worker has, or whose folder it is still removing.
struct Held {
    fate: watch::Sender<Fate>,
    stage: Arc<Stage>,
}

/// How far a run is with its end.
#[derive(Debug, Default)]
struct Stage {
    /// Its process is over: what is left to do is to store what it leaves, beside the next run.
    over: AtomicBool,
    /// Its end was reported: it is nobody's any more and takes no slot.
    ended: AtomicBool,
}

/// What all runs of a worker share.
#[derive(Clone)]
struct Machine {
    settings: Arc<Settings>,
    supervisors: Arc<Supervisors>,
    places: Arc<Places>,
    folders: Arc<Folders>,
    endings: Arc<Endings>,
}

/// A call for orders that is under way.
struct Asked {
    capacity: u32,
    holding: Vec<String>,
    answer: Pin<Box<dyn Future<Output = Result<WorkerOrders>> + Send>>,
}

impl Asked {
    fn new(client: &Client, endings: &Arc<Endings>, request: SyncWorker) -> Self {
        let (client, endings) = (client.clone(), endings.clone());
        Self {
            capacity: request.capacity,
            holding: request.holding.clone(),
            answer: Box::pin(async move {
                endings.settled().await;
                endings.note_call();
                client.call(&request).await
            }),
        }
    }

    /// Whether the answer is one to this request too: with more room than was said the first of several
    /// runs comes all the same, and then the others.
    fn is_of(&self, request: &SyncWorker) -> bool {
        let room = self.capacity == request.capacity
            || (self.capacity > 0 && request.capacity > self.capacity);
        room && self.holding == request.holding
    }
}

/// Waits for a time; for ever where there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

struct Worker {
    client: Client,
    machine: Machine,
    /// By `workspace/run`.
    held: BTreeMap<String, Held>,
    /// Runs that it was given again while it still ends what it had of them.
    later: BTreeMap<String, Assignment>,
    tasks: JoinSet<()>,
    names: HashMap<Id, String>,
}

impl Worker {
    /// Works until told to stop, or until there was nothing to do for as long as the settings say.
    async fn work(&mut self, stop: &mut watch::Receiver<bool>) -> Result<()> {
        let mut retry = RETRY.0;
        let mut busy_at = Instant::now();
        let mut begun = false;
        let endings = self.machine.endings.clone();
        let mut asked: Option<Asked> = None;
        loop {
            if !self.held.is_empty() || compiled::under_way() {
                busy_at = Instant::now();
            }
            let idle = self.machine.settings.idle.map(|idle| busy_at + idle);
            if idle.is_some_and(|until| until <= Instant::now()) {
                return Ok(());
            }
            let tidy_at = self.machine.folders.aside_since().map(|since| {
                let late = since + LATEST;
                if self.held.is_empty() {
                    late.min(busy_at + QUIET)
                } else {
                    late
                }
            });
            let request = self.request(idle);
            let slots = self.machine.settings.slots;
            endings.set_slots((request.capacity > 0).then_some(slots));
            // What is asked already is not asked anew because something else has happened.
            let call = match &mut asked {
                Some(asked) if asked.is_of(&request) => asked,
                asked => asked.insert(Asked::new(&self.client, &endings, request)),
            };
            tokio::select! {
                biased;
                () = told(stop) => return Ok(()),
                Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
                    self.forget(ended).await;
                }
                () = endings.changed() => {
                    asked = None;
                    for assignment in endings.take_given() {
                        if !self.held.contains_key(&name_of(&assignment)) {
                            self.take(assignment);
                        }
                    }
                }
                () = endings.has_room() => {}
                () = at(idle) => {}
                () = at(tidy_at) => self.tidy(),
                orders = &mut call.answer => {
                    asked = None;
                    match orders {
                        Ok(orders) => {
                            retry = RETRY.0;
                            endings.note_call();
                            self.follow(orders);
                            if !begun {
                                begun = true;
                                self.clear_leftovers();
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
    }

    /// Removes what runs have left, beside what is to be done.
    fn tidy(&self) {
        let work = self.machine.settings.work();
        if let Some(gone) = self.machine.folders.take_aside(&work) {
            tokio::task::spawn_blocking(move || remove_all(&gone));
        }
    }

    fn request(&self, idle: Option<Instant>) -> SyncWorker {
        let until_idle = idle.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = until_idle.map_or(WAIT, |left| left.min(WAIT));
        let open = self.held.iter();
        let open = open.filter(|(_, held)| !held.stage.ended.load(Ordering::Relaxed));
        let (mut holding, mut cancelling) = (Vec::new(), Vec::new());
        let mut over = 0;
        for (name, held) in open {
            holding.push(name.clone());
            over += usize::from(held.stage.over.load(Ordering::Relaxed));
            if *held.fate.borrow() == Fate::Cancel {
                cancelling.push(name.clone());
            }
        }
        SyncWorker {
            worker: self.machine.settings.name.clone(),
            capacity: room(self.machine.settings.slots, holding.len(), over),
            holding,
            cancelling: Some(cancelling),
            wait_ms: u64::try_from(wait.as_millis()).unwrap_or(0),
        }
    }

    fn follow(&mut self, orders: WorkerOrders) {
        let tell = |names: Vec<String>, fate: Fate| {
            for held in names.iter().filter_map(|name| self.held.get(name)) {
                held.fate.send_if_modified(|old| {
                    let changed = *old != fate;
                    *old = fate;
                    changed
                });
            }
        };
        tell(orders.cancel, Fate::Cancel);
        tell(orders.lost, Fate::Lost);
        for assignment in orders.take {
            let name = name_of(&assignment);
            if self.held.contains_key(&name) {
                // What this worker has of that run ends first.
                self.later.insert(name, assignment);
            } else {
                self.take(assignment);
            }
        }
    }

    fn take(&mut self, assignment: Assignment) {
        let name = name_of(&assignment);
        let fate = if assignment.cancel {
            Fate::Cancel
        } else {
            Fate::GoOn
        };
        let (sender, receiver) = watch::channel(fate);
        let execution = Execution::new(&self.client, &self.machine, assignment, receiver);
        let held = Held {
            fate: sender,
            stage: execution.stage(),
        };
        // It is large, and moved several times where it is no box.
        let task = self.tasks.spawn(Box::pin(execution.execute()));
        self.names.insert(task.id(), name.clone());
        self.held.insert(name, held);
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
        let again = self.later.remove(&name);
        let Some((workspace, run)) = name.split_once('/') else {
            return;
        };
        if let Some(assignment) = again {
            return self.take(assignment);
        }
        self.leave(workspace);
        if let Some(error) = failed {
            let report = ReportRun {
                workspace: workspace.to_owned(),
                run: run.to_owned(),
                worker: self.machine.settings.name.clone(),
                before: None,
                slots: None,
                progress: Progress::Ended {
                    outcome: Outcome::Failed,
                    exit_code: None,
                    reason: Some(format!("The worker failed: {error}")),
                    usage: None,
                    artifacts: Vec::new(),
                    uses: Vec::new(),
                    made: Vec::new(),
                },
            };
            let _ = self.client.call(&report).await;
        }
    }

    /// Removes folders of runs that a worker before this one left behind and that nobody wants.
    fn clear_leftovers(&self) {
        inputs::forget_unused(&self.machine.settings.home.join("cache/inputs"));
        spares::forget(&self.machine.settings.spares());
        let work = self.machine.settings.work();
        for workspace in names_in(&work) {
            if workspace == folders::SPARE {
                continue;
            }
            let folder = work.join(&workspace);
            for run in names_in(&folder) {
                let folder = folder.join(&run);
                if self.held.contains_key(&format!("{workspace}/{run}")) {
                    continue;
                }
                if let Some(process) = Process::find(&folder) {
                    process.stop();
                }
                if let Some(containers) = Begun::read(&folder).containers {
                    tokio::spawn(async move { containers.remove().await });
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
            let _ = fs::remove_dir(self.machine.settings.work().join(workspace));
        }
    }
}

/// How many more runs a worker takes that holds so many, of which some are over. These leave their slots,
/// but only as many as there are slots, so that what cannot be stored does not pile up.
fn room(slots: u32, held: usize, over: usize) -> u32 {
    let taken = held - over.min(slots as usize);
    slots.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
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

#[cfg(test)]
mod tests {
    use super::room;

    #[test]
    fn a_run_that_is_over_leaves_its_slot_but_what_is_ending_does_not_pile_up() {
        assert_eq!((room(2, 0, 0), room(2, 2, 0)), (2, 0));
        assert_eq!((room(2, 2, 1), room(2, 3, 1)), (1, 0));
        assert_eq!((room(2, 4, 2), room(2, 3, 3), room(2, 4, 4)), (0, 1, 0));
        assert_eq!((room(1, 1, 1), room(1, 2, 2)), (1, 0));
    }
}
