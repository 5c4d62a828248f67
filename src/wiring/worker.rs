//! Workers: being one, starting one in the background, waking the one that is there.
//!
//! One worker at a time works for a state directory from within: the holder of the lock of
//! [`LOCAL`], which is a background process, `aml worker`, or the server.

use std::{
    fs::{self, File},
    io,
    os::unix::{fs::DirBuilderExt, net::UnixDatagram, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::{asked_to_stop, install_tls, machine_name, open_service_for, serve::deliver};
use api::{Error, Result, access::WhoAmI};
use cli::{
    config::Config,
    wiring::{Begun, WorkerSettings},
};
use client::{Client, Remote};
use executor::{local, succession::Successor};
use server::{Listener, Trust};
use service::Service;
use store::{Home, Lock};

/// The name of the one worker that works from within a state directory.
const LOCAL: &str = "local";
/// How the note of one in the background begins; its process follows.
const IN_BACKGROUND: &str = "worker in the background, process ";
/// The file that keeps the port for the processes of runs.
const RUNS_PORT: &str = "port";
/// How long a worker in the background waits for more.
const IDLE: Duration = Duration::from_mins(1);

/// How long a command waits for the worker to say what is over, for one that it has started itself,
/// and how often it looks.
const SETTLING: Duration = Duration::from_secs(1);
const STARTING: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(10);
/// How often one that goes on looks whether a worker is there; at most after how long where those that it
/// starts do not come up.
const WATCH: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// What a worker is told, with what this machine adds.
fn resolve(settings: WorkerSettings, name: String, tracking_url: String) -> worker::Settings {
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let own = std::env::current_exe().unwrap_or_default();
    worker::Settings {
        within: name == LOCAL,
        name,
        slots: settings
            .slots
            .unwrap_or(u32::try_from(cores).unwrap_or(1))
            .max(1),
        idle: None,
        tracking_url,
        variables: settings.variables,
        owner_variables: settings.owner_variables,
        program: program(),
        tools: own.parent().unwrap_or(Path::new("/")).to_owned(),
        node: machine_name().unwrap_or_default(),
        home: settings.home,
        mirrors: Config::mirrors,
        environments: Config::environments,
    }
}

/// Works for a state directory until asked to stop; what runs then goes on and is found again. In
/// the background it leaves when there has been nothing to do, and at once when another works.
pub async fn work_here(
    settings: WorkerSettings,
    background: bool,
    begun: Begun<'_, str>,
) -> Result<()> {
    if background {
        // No terminal reaches it any more.
        let _ = nix::unistd::setsid();
    }
    let home = Home::open(settings.home.clone())?;
    let idle = settings.idle_seconds.map_or(IDLE, Duration::from_secs);
    let idle = background.then_some(idle);
    let Some(mut lock) = take_lock(&home, background)? else {
        return if background {
            Ok(())
        } else {
            Err(taken(&home))
        };
    };
    begun(LOCAL);
    let (stop, stopped) = watch::channel(false);
    let asked = asked_to_stop()?;
    tokio::spawn(async move {
        asked.await;
        stop.send(true)
    });
    loop {
        let worked = work_once(&home, &settings, idle, &stopped).await;
        // One that leaves, whatever for, needs no successor.
        lock.note("");
        let (service, ear) = worked?;
        drop((ear, lock));
        // Work that came after the last look and before the lock was free has nobody else.
        let left = *stopped.borrow() || !has_work(&service).await?;
        lock = match take_lock(&home, background)? {
            Some(lock) if !left => lock,
            // It was taken only for a moment.
            Some(lock) => {
                lock.note("");
                return Ok(());
            }
            None => return Ok(()),
        };
    }
}

/// Works until there is nothing to do, or until asked to stop; answers what it worked with.
async fn work_once(
    home: &Home,
    settings: &WorkerSettings,
    idle: Option<Duration>,
    stopped: &watch::Receiver<bool>,
) -> Result<(Service, Option<Ear>)> {
    let listener = loopback(home, RUNS_PORT)?;
    let url = format!("http://{}", listener.address());
    let service = open_service_for(home, url.clone(), None)?;
    let ear = Ear::open(home, &service);
    host_runs(listener, service.clone());
    let mut own = resolve(settings.clone(), LOCAL.to_owned(), url);
    own.idle = idle;
    let (leave, left) = watch::channel(false);
    let courier = tokio::spawn(deliver(service.clone(), left));
    let worked = spawned(worker::run(inside(&service), own, stopped.clone())).await;
    let _ = leave.send(true);
    let _ = courier.await;
    worked?;
    Ok((service, ear))
}

/// Works inside a server until `stop` is told, unless another worker does.
pub async fn work_inside(
    service: Service,
    settings: WorkerSettings,
    stop: watch::Receiver<bool>,
) -> Result<()> {
    let home = Home::open(settings.home.clone())?;
    let mut told = stop.clone();
    // One in the background leaves soon, or takes what the server gets meanwhile.
    let _lock = loop {
        if let Some(lock) = take_lock(&home, false)? {
            break lock;
        }
        tokio::select! {
            () = async { drop(told.wait_for(|stop| *stop).await) } => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    };
    let listener = loopback(&home, RUNS_PORT)?;
    let url = format!("http://{}", listener.address());
    let _ear = Ear::open(&home, &service);
    host_runs(listener, service.clone());
    worker::run(
        inside(&service),
        resolve(settings, LOCAL.to_owned(), url),
        stop,
    )
    .await
}

/// Works for a server on another machine until asked to stop.
pub async fn work_for(
    remote: Remote,
    settings: WorkerSettings,
    begun: Begun<'_, str>,
) -> Result<()> {
    install_tls();
    let home = Home::open(settings.home.clone())?;
    let url = remote.url.clone();
    let node = machine_name().unwrap_or_default();
    let node: String = node.chars().filter(char::is_ascii_alphanumeric).collect();
    let place = blake3::hash(format!("{} {url}", settings.home.display()).as_bytes());
    let name = format!("{node}-{}", &place.to_hex()[..8]);
    let Some(_lock) = Lock::try_take(&home.worker_lock(&name))? else {
        return Err(
            Error::conflict(format!("A worker on this machine works for {url} already"))
                .hint("Another one needs a state directory of its own: set AML_HOME"),
        );
    };
    let client = Client::remote(remote)?;
    let identity = client.call(&WhoAmI {}).await?;
    if !identity.admin {
        return Err(Error::denied(format!(
            "`{}` is not an admin of {url} and may not execute its runs",
            identity.name
        ))
        .hint("An admin can work for it, or make one who may: aml user create NAME --admin"));
    }
    begun(&name);
    let (stop, stopped) = watch::channel(false);
    let asked = asked_to_stop()?;
    tokio::spawn(async move {
        asked.await;
        stop.send(true)
    });
    spawned(worker::run(client, resolve(settings, name, url), stopped)).await
}

/// Runs a worker on a thread that also runs what it begins, where one goes on when the other has come
/// to its end. The thread of the program would have to be woken each time.
async fn spawned(work: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
    let worked = tokio::spawn(work).await;
    worked.map_err(|e| Error::internal(format!("The worker came down: {e}")))?
}

/// Sees to it that a worker takes what there is to do, and waits until it has said so of what is over:
/// nothing is answered to run that does not. One that does not get to it in time is not waited for: one
/// that works could have said it before. Never fails a command: what is queued waits for the next one.
pub async fn ensure_worker(home: &Home, service: &Service) {
    let begun = Instant::now();
    let mut started = None;
    loop {
        // Looked for each time: one that is being killed still holds the lock for a moment.
        if started.is_none() && !Lock::is_held(&home.worker_lock(LOCAL)) {
            if !has_work(service).await.unwrap_or(false) {
                return;
            }
            let Ok(worker) = start(home) else { return };
            started = Some(worker);
        }
        let comes_up = started
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        let patience = if comes_up { STARTING } else { SETTLING };
        if begun.elapsed() >= patience || !has_untold_end(service).await {
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Whether a run is over of which the worker has not said so.
async fn has_untold_end(service: &Service) -> bool {
    let handles = service.processes_of(LOCAL).await.unwrap_or_default();
    handles.iter().any(|handle| local::is_over(handle))
}

/// Sees to it for as long as this process goes on: what a command waits for is done by a worker that may
/// be killed meanwhile, or was about to go when it was looked for.
pub fn keep_worker(home: Home, service: Service) {
    tokio::spawn(async move {
        let mut started: Vec<Child> = Vec::new();
        let mut pause = WATCH.0;
        loop {
            tokio::time::sleep(pause).await;
            let is_there = Lock::is_held(&home.worker_lock(LOCAL));
            started.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
            if is_there {
                pause = WATCH.0;
            } else if started.is_empty() && has_work(&service).await.unwrap_or(false) {
                started.extend(start(&home).ok());
                pause = (pause * 2).min(WATCH.1);
            }
        }
    });
}

/// Whether there are runs to execute, now or later, or deliveries to make.
async fn has_work(service: &Service) -> Result<bool> {
    Ok(service.has_open_work().await?
        || service.has_later_steps().await?
        || service.has_due_deliveries().await?)
}

/// Wakes the worker, or starts one when there is none.
pub fn wake_or_start(home: &Home) {
    if Lock::is_held(&home.worker_lock(LOCAL)) {
        Ear::call(home);
    } else {
        let _ = start(home);
    }
}

/// What a supervisor starts in the place of a worker in the background that was killed. One that has left,
/// was told to stop or works for a server was not killed, or is started again by others.
pub(super) fn successor(home: PathBuf) -> Successor {
    let home = Home::at(home);
    let place = home.clone();
    Successor {
        is_missing: Box::new(move || {
            let note = Lock::abandoned(&home.worker_lock(LOCAL));
            note.is_some_and(|note| note.starts_with(IN_BACKGROUND)) && home.database().exists()
        }),
        program: Box::new(move || in_background(&place)),
    }
}

/// Starts a worker in the background.
fn start(home: &Home) -> io::Result<Child> {
    in_background(home)?.spawn()
}

/// A worker in the background.
fn in_background(home: &Home) -> io::Result<Command> {
    detached(home, "worker", &home.workers().join("worker.log"))
}

/// This program's `command` for the state directory, away from the terminal; what it says goes to `log`,
/// which is among the workers' files.
pub(super) fn detached(home: &Home, command: &str, log: &Path) -> io::Result<Command> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(home.workers())?;
    let log = File::options().create(true).append(true).open(log)?;
    let mut program = Command::new(program());
    program
        .arg0("aml")
        .args([command, "--background", "--profile", "local", "--no-color"])
        .env("AML_HOME", home.root())
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    Ok(program)
}

/// This program, also when its file was replaced by a newer one meanwhile.
pub(super) fn program() -> PathBuf {
    let link = Path::new("/proc/self/exe");
    if link.exists() {
        return link.to_owned();
    }
    std::env::current_exe().unwrap_or_else(|_| "aml".into())
}

fn take_lock(home: &Home, background: bool) -> Result<Option<Lock>> {
    let lock = Lock::try_take(&home.worker_lock(LOCAL))?;
    if let Some(lock) = &lock {
        let who = if background {
            IN_BACKGROUND
        } else {
            "worker, process "
        };
        lock.note(&format!("{who}{}", std::process::id()));
    }
    Ok(lock)
}

fn taken(home: &Home) -> Error {
    let holder = Lock::holder(&home.worker_lock(LOCAL)).unwrap_or_default();
    Error::conflict("Another worker works for this state directory")
        .at(holder)
        .hint("It takes what is queued; there is nothing to start")
}

fn inside(service: &Service) -> Client {
    Client::in_process(server::router(service.clone(), Trust::Owner))
}

/// A socket on loopback whose port is kept in a file: a run that goes on while its worker is replaced
/// finds the next one there.
pub(super) fn loopback(home: &Home, file: &str) -> Result<Listener> {
    let file = home.workers().join(file);
    let kept = fs::read_to_string(&file).ok();
    let kept = kept.and_then(|text| text.trim().parse::<u16>().ok());
    if let Some(port) = kept
        && let Ok(listener) = Listener::bind("127.0.0.1", port)
    {
        return Ok(listener);
    }
    let listener = Listener::bind("127.0.0.1", 0)?;
    let _ = fs::write(&file, listener.address().port().to_string());
    Ok(listener)
}

/// Answers the processes of runs, who have tokens of their own.
fn host_runs(listener: Listener, service: Service) {
    let router = server::router(service, Trust::Nobody);
    tokio::spawn(listener.serve(router, None, Box::pin(std::future::pending())));
}

/// Hears that there is something to do from other processes.
struct Ear {
    path: PathBuf,
    task: tokio::task::JoinHandle<()>,
}

impl Ear {
    /// Opens the socket; without one the worker looks for itself twice a second.
    fn open(home: &Home, service: &Service) -> Option<Self> {
        let path = Self::path(home);
        // Whoever left it is gone: this process holds the lock.
        let _ = fs::remove_file(&path);
        let short = Short::of(&path)?;
        let socket = UnixDatagram::bind(&short.path).ok()?;
        socket.set_nonblocking(true).ok()?;
        let socket = tokio::net::UnixDatagram::from_std(socket).ok()?;
        let service = service.clone();
        let task = tokio::spawn(async move {
            while socket.recv(&mut [0; 8]).await.is_ok() {
                service.heard();
            }
        });
        Some(Self { path, task })
    }

    fn call(home: &Home) {
        let called = Short::of(&Self::path(home)).and_then(|short| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.set_nonblocking(true).ok()?;
            socket.send_to(b"work", &short.path).ok()
        });
        // It looks for itself soon.
        let _ = called;
    }

    fn path(home: &Home) -> PathBuf {
        home.workers().join("wake")
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.path);
    }
}

/// A short path to a socket: the address of one has room for about a hundred bytes only.
struct Short {
    path: PathBuf,
    _folder: File,
}

impl Short {
    fn of(path: &Path) -> Option<Self> {
        use std::os::fd::AsRawFd;
        let folder = File::open(path.parent()?).ok()?;
        let name = path.file_name()?.to_str()?;
        Some(Self {
            path: format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).into(),
            _folder: folder,
        })
    }
}
