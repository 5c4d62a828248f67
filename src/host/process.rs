//! A scoring process: started, waited for until it answers, ended.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStdin, Command},
    sync::oneshot,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    apart::Apart, backend::Backend, container::Outdated, explain, front::now, layout::Folders,
    listening, stream::Address,
};
use api::{
    Error, Result,
    deployments::{Probe, Routes},
};
pub use executor::log::append;
use executor::{
    process_table::{self, Entry},
    use_of::Held,
};
use nix::sys::signal::Signal;

/// After how long it is said that it answers, but not as one that is ready.
const TELL: Duration = Duration::from_secs(10);
/// How often it is looked where else a program listens, and after how long of that it is said.
const LOOK: Duration = Duration::from_secs(2);
const STRAYS: Duration = Duration::from_secs(30);
/// How often one is asked at least that answers so.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often a process that is coming up is asked whether it answers.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long an asked-for end may take before it is forced; longer than the watching process waits.
const FORCE: Duration = Duration::from_secs(15);

/// How much of an answer says how it is: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;
/// How much more of it is read, and for how long.
const LONGEST_READ: u64 = 1 << 16;
const READ_OFF: Duration = Duration::from_millis(200);

/// An image that is not in its registry yet.
#[derive(Debug)]
pub struct Unpushed {
    pub why: String,
    /// Told when it is.
    pub pushed: oneshot::Receiver<()>,
}

/// All that is needed to start a generation's scoring process, again and again.
#[derive(Debug, Default)]
pub struct Plan {
    /// A program of the environment, and its arguments; an empty one stands for the socket.
    pub command: Vec<String>,
    /// Working directory.
    pub folder: PathBuf,
    pub variables: BTreeMap<String, String>,
    /// The variables that hold secrets, and the files that do.
    pub secrets: Secrets,
    pub listens: Listens,
    /// The paths at which it is asked whether it is well.
    pub routes: Routes,
    /// What it was laid out in.
    pub folders: Folders,
    /// The files that were laid out there.
    pub files: Vec<PathBuf>,
    /// Keeps its environment.
    pub held: Option<Held>,
    /// Where it may go in the state directory besides its folders.
    pub apart: Option<Apart>,
    /// What this machine is called where it runs, when that is a container.
    pub machine: Option<&'static str>,
    /// Why its image was not pushed yet.
    pub unpushed: Option<Unpushed>,
    /// Images that are needed no more once it answers.
    pub outdated: Option<Outdated>,
    /// Goes on pushing its image.
    #[expect(dead_code, reason = "it ends when this is dropped")]
    pub pushing: JoinSet<()>,
}

/// Where secrets are that a scoring process was given.
#[derive(Debug, Default)]
pub struct Secrets {
    pub variables: Vec<String>,
    pub files: Vec<PathBuf>,
}

/// Where the processes of a generation listen.
#[derive(Debug)]
pub enum Listens {
    /// On sockets whose paths begin so; the number of the process follows, and the server puts the port
    /// behind that.
    Sockets { begin: PathBuf, port: u16 },
    /// On the port that the variable `PORT` names: this one, else one that is free.
    Port(Option<u16>),
}

impl Default for Listens {
    fn default() -> Self {
        Listens::Port(None)
    }
}

impl Plan {
    fn command_of(&self, instance: u32) -> Vec<String> {
        let socket = match &self.listens {
            Listens::Sockets { begin, .. } => format!("{}{instance}", begin.display()),
            Listens::Port(_) => String::new(),
        };
        let one = |word: &String| match word.as_str() {
            "" => socket.clone(),
            word => word.to_owned(),
        };
        self.command.iter().map(one).collect()
    }

    /// What the watching process is told of what it is to keep out of the log.
    fn secret_words(&self) -> impl Iterator<Item = OsString> {
        let variables = self.secrets.variables.iter();
        let variables = variables.flat_map(|name| ["--secret".into(), name.into()]);
        let files = self.secrets.files.iter();
        variables.chain(files.flat_map(|path| ["--secret-file".into(), path.into()]))
    }

    /// What the watching process is told of where it may go.
    fn apart_words(&self) -> Vec<OsString> {
        let Some(apart) = &self.apart else {
            return Vec::new();
        };
        let own = self.folders.paths().iter().chain(&apart.own);
        let own = own.map(|path| ("--own", path));
        let readable = apart.readable.iter().map(|path| ("--readable", path));
        let all = [("--apart", &apart.state)].into_iter();
        all.chain(own)
            .chain(readable)
            .flat_map(|(flag, path)| [flag.into(), path.into()])
            .collect()
    }

    /// Whether all that was laid out is still there.
    pub fn is_whole(&self) -> bool {
        self.files
            .iter()
            .all(|file| file.symlink_metadata().is_ok())
    }

    /// Where a process will listen.
    fn address_of(&self, instance: u32) -> Result<Address> {
        match &self.listens {
            Listens::Sockets { begin, port } => {
                let path = format!("{}{instance}:{port}", begin.display());
                Ok(Address::Socket(path.into()))
            }
            Listens::Port(port) => free_port(*port).map(Address::Port),
        }
    }
}

/// The port that is asked for, when nobody listens there, else any that is free.
fn free_port(asked: Option<u16>) -> Result<u16> {
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, asked.unwrap_or(0)));
    let port = free.and_then(|free| free.local_addr());
    port.map(|address| address.port())
        .map_err(|error| match asked {
            Some(port) => Error::conflict(format!(
                "The program listens on port {port}, which cannot be had: {error}"
            ))
            .hint("Let it listen on the port that the variable `PORT` names"),
            None => Error::unavailable(format!("No port is free: {error}")),
        })
}

pub struct Scoring {
    /// The watching process (see `watch`); ends when the pipe closes.
    child: Child,
    pipe: Option<ChildStdin>,
    pub backend: Arc<Backend>,
    /// While it lives its environment stays.
    _held: Option<Held>,
    address: Address,
    routes: Routes,
    log: PathBuf,
    /// Where its part of the log begins.
    log_start: u64,
    /// What listens is an engine of containers.
    is_container: bool,
}

impl Scoring {
    /// Starts a process as planned; what it writes is appended to `log`.
    pub fn start(plan: &Plan, instance: u32, log: &Path) -> Result<Self> {
        let failed =
            |e: io::Error| Error::unavailable(format!("Cannot start the scoring process: {e}"));
        let output = append(log).map_err(failed)?;
        let log_start = output.metadata().map_err(failed)?.len();
        let address = plan.address_of(instance)?;
        let mut command = Command::new("/proc/self/exe");
        command.env_clear().envs(&plan.variables);
        if let Address::Port(port) = &address {
            command.env("PORT", port.to_string());
        }
        let mut child = command
            .arg0("aml")
            .arg("endpoint-watch")
            .arg("--log")
            .arg(log)
            .args(plan.apart_words())
            .args(plan.secret_words())
            .arg("--")
            .args(plan.command_of(instance))
            .current_dir(&plan.folder)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            pipe: child.stdin.take(),
            backend: Arc::new(Backend::new(address.clone()).of_process(child.id())),
            child,
            _held: plan.held.clone(),
            address,
            routes: plan.routes.clone(),
            log: log.to_owned(),
            log_start,
            is_container: plan.machine.is_some(),
        })
    }

    /// Returns when it answers, or with the reason when it ended instead. Of one that listens elsewhere
    /// for long its log says so.
    pub async fn ready(&mut self) -> std::result::Result<(), String> {
        let place = self.place();
        let answers = async {
            let begun = Instant::now();
            let mut wait = ASK_AGAIN;
            let mut told = false;
            loop {
                let asked = asked(&self.address, &self.routes.readiness).await;
                let Some(status) = asked else {
                    sleep(ASK_AGAIN).await;
                    continue;
                };
                if is_well(&self.address, &self.routes, status) {
                    return;
                }
                if !told && begun.elapsed() > TELL {
                    told = true;
                    tell_answer(&self.log, &self.routes.readiness, status);
                }
                sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
        };
        tokio::select! {
            () = answers => return Ok(()),
            () = tell_strays(place, &self.log) => {}
            _ = self.child.wait() => {}
        }
        Err(self.last_words().await)
    }

    /// The session of its processes and the port on which they were told to listen.
    fn place(&self) -> Option<(u32, u16)> {
        match self.address {
            Address::Port(port) if !self.is_container => Some((self.child.id()?, port)),
            _ => None,
        }
    }

    /// On which other ports it listens, if not where it was told.
    pub async fn elsewhere(&self) -> Option<String> {
        elsewhere(self.place()?).await
    }

    /// Returns when it has ended or does not answer as often as the probe allows, with how.
    pub async fn well(&mut self, probe: Probe) -> String {
        let (address, routes) = (self.address.clone(), self.routes.clone());
        tokio::select! {
            how = self.ended() => how,
            how = sick(&address, &routes, probe) => how,
        }
    }

    /// Returns when it has ended, with how.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => match status.code() {
                Some(code) if code > 128 => format!("was ended by signal {}", code - 128),
                Some(code) => format!("ended with exit code {code}"),
                None => {
                    self.end_the_rest();
                    "was ended together with its watching process".to_owned()
                }
            },
            Err(e) => format!("was lost: {e}"),
        }
    }

    /// Why it ended, with the end of its log.
    pub async fn last_words(&mut self) -> String {
        let how = self.ended().await;
        explain::failure(&how, &explain::read(&self.log, self.log_start))
    }

    /// Lets it finish what it has begun, and ends it; within `grace` where that is said. A container has
    /// the time that its engine takes.
    pub async fn stop(mut self, grace: Option<Duration>) {
        if let Some(mut pipe) = self.pipe.take()
            && let Some(grace) = grace.filter(|_| !self.is_container)
        {
            let seconds = u8::try_from(grace.as_secs()).unwrap_or(u8::MAX);
            let _ = pipe.write_all(&[seconds]).await;
        }
        let ended = timeout(FORCE, self.child.wait()).await;
        if ended.is_err() {
            let _ = self.child.kill().await;
        }
        if !matches!(ended, Ok(Ok(status)) if status.code().is_some()) {
            self.end_the_rest();
        }
    }

    /// Ends what a watching process has left behind that was killed.
    fn end_the_rest(&self) {
        let Some(session) = self.backend.process.and_then(|id| i32::try_from(id).ok()) else {
            return;
        };
        // Somebody else has its number by now.
        if process_table::entry(session).is_some() {
            return;
        }
        let of_it = |entry: &Entry| entry.session == session;
        let left: Vec<Entry> = process_table::entries().filter(of_it).collect();
        process_table::signal_all(&left, Signal::SIGKILL);
    }
}

/// Says once in the log when a program has listened elsewhere for long and not where it was told, and
/// never returns. It may yet do that: some open a port for their metrics before they load a model.
async fn tell_strays(place: Option<(u32, u16)>, log: &Path) {
    if let Some(place) = place {
        let mut since = None;
        loop {
            sleep(LOOK).await;
            match elsewhere(place).await {
                None => since = None,
                Some(why) if since.get_or_insert_with(Instant::now).elapsed() > STRAYS => {
                    tell(log, 'W', &why.replace('\n', ". "));
                    break;
                }
                Some(_) => {}
            }
        }
    }
    std::future::pending::<()>().await;
}

async fn elsewhere((session, port): (u32, u16)) -> Option<String> {
    let ports = tokio::task::spawn_blocking(move || listening::ports(session)).await;
    let ports = ports.ok().filter(|ports| !ports.contains(&port))?;
    let named: Vec<String> = ports.iter().map(u16::to_string).collect();
    (!named.is_empty()).then(|| {
        format!(
            "The program listens on port {}, not on {port}, which the variable `PORT` names\n\
             Let it heed PORT, or say where it listens: scoring_route.port in the environment's inference_config",
            named.join(" and ")
        )
    })
}

/// Returns when what listens at an address does not answer as often as the probe allows.
async fn sick(address: &Address, routes: &Routes, probe: Probe) -> String {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    sleep(seconds(probe.initial_delay)).await;
    let mut failures = 0;
    while failures < probe.failure_threshold {
        sleep(seconds(probe.period)).await;
        let asked = timeout(seconds(probe.timeout), asked(address, &routes.liveness)).await;
        failures = match asked {
            Ok(Some(status)) if is_well(address, routes, status) => 0,
            _ => failures + 1,
        };
    }
    format!("did not answer {failures} times when it was asked whether it lives")
}

/// Whether a status says that something is well. A program that was given no path to ask at need not have
/// one.
fn is_well(address: &Address, routes: &Routes, status: u16) -> bool {
    let has_none = matches!(address, Address::Port(_)) && routes.readiness == "/";
    has_none || (200..300).contains(&status)
}

fn tell_answer(log: &Path, path: &str, status: u16) {
    let text =
        format!("It answers GET {path} with {status}; it is ready with a status from 200 to 299");
    tell(log, 'W', &text);
}

/// Writes a line of the host's own into a log.
pub fn tell(log: &Path, level: char, text: &str) {
    let text = format!("{} {level} host - {text}\n", now());
    if let Ok(mut log) = append(log) {
        let _ = io::Write::write_all(&mut log, text.as_bytes());
    }
}

/// The status with which something answers a GET. The scoring server accepts
/// connections long before `init()` is done and then lets them wait, or closes them when it failed.
async fn asked(address: &Address, path: &str) -> Option<u16> {
    let mut stream = address.connect().await.ok()?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while answer.len() < STATUS_LINE && stream.read_buf(&mut answer).await.ok()? > 0 {}
    // What is read to its end is not cut off, about which some servers complain.
    let mut rest = stream.take(LONGEST_READ);
    let mut nowhere = tokio::io::sink();
    let read = tokio::io::copy(&mut rest, &mut nowhere);
    let _ = timeout(READ_OFF, read).await;
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/")?.split(' ').nth(1);
    status?.get(..3)?.parse().ok()
}
