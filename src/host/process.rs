//! A scoring process: started, waited for until it answers, ended.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, ChildStdin, Command},
    time::{sleep, timeout},
};

use super::{backend::Backend, explain, layout::Folders};
use crate::executor::use_of::Held;
use api::{Error, Result, deployments::Probe};

/// How often a process that is coming up is asked whether it answers.
const ASK_AGAIN: Duration = Duration::from_millis(20);
/// How long an asked-for end may take before it is forced; longer than the watching process waits.
const FORCE: Duration = Duration::from_secs(15);

/// All that is needed to start a generation's scoring process, again and again.
#[derive(Debug)]
pub struct Plan {
    /// The Python of the environment, and its arguments; an empty one stands for the socket.
    pub command: Vec<String>,
    /// Working directory.
    pub folder: PathBuf,
    pub variables: BTreeMap<String, String>,
    /// What the paths of the sockets begin with; the number of the process follows.
    pub sockets: PathBuf,
    /// What the server puts behind the socket's name.
    pub port: u16,
    /// What it was laid out in.
    pub folders: Folders,
    /// Keeps its environment.
    pub held: Option<Held>,
}

impl Plan {
    fn command_of(&self, instance: u32) -> Vec<String> {
        let socket = format!("{}{instance}", self.sockets.display());
        let one = |word: &String| match word.as_str() {
            "" => socket.clone(),
            word => word.to_owned(),
        };
        self.command.iter().map(one).collect()
    }

    /// Where a process will listen.
    fn socket_of(&self, instance: u32) -> PathBuf {
        let (begin, port) = (self.sockets.display(), self.port);
        PathBuf::from(format!("{begin}{instance}:{port}"))
    }
}

pub struct Scoring {
    /// The watching process (see `watch`); ends when the pipe closes.
    child: Child,
    pipe: Option<ChildStdin>,
    pub backend: Arc<Backend>,
    /// While it lives its environment stays.
    _held: Option<Held>,
    socket: PathBuf,
    log: PathBuf,
    /// Where its part of the log begins.
    log_start: u64,
}

impl Scoring {
    /// Starts a process as planned; what it writes is appended to `log`.
    pub fn start(plan: &Plan, instance: u32, log: &Path) -> Result<Self> {
        let failed =
            |e: io::Error| Error::unavailable(format!("Cannot start the scoring process: {e}"));
        let output = append(log).map_err(failed)?;
        let log_start = output.metadata().map_err(failed)?.len();
        let socket = plan.socket_of(instance);
        let mut child = Command::new("/proc/self/exe")
            .arg0("aml")
            .arg("endpoint-watch")
            .arg("--")
            .args(plan.command_of(instance))
            .current_dir(&plan.folder)
            .env_clear()
            .envs(&plan.variables)
            .stdin(Stdio::piped())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        Ok(Self {
            pipe: child.stdin.take(),
            child,
            backend: Arc::new(Backend::new(socket.clone())),
            _held: plan.held.clone(),
            socket,
            log: log.to_owned(),
            log_start,
        })
    }

    /// Returns when it answers, or with the reason when it ended instead.
    pub async fn ready(&mut self) -> std::result::Result<(), String> {
        let answers = async {
            while !answers(&self.socket).await.unwrap_or(false) {
                sleep(ASK_AGAIN).await;
            }
        };
        tokio::select! {
            () = answers => return Ok(()),
            _ = self.child.wait() => {}
        }
        Err(self.last_words().await)
    }

    /// Returns when it has ended or does not answer as often as the probe allows, with how.
    pub async fn well(&mut self, probe: Probe) -> String {
        let socket = self.socket.clone();
        tokio::select! {
            how = self.ended() => how,
            how = sick(&socket, probe) => how,
        }
    }

    /// Returns when it has ended, with how.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => match status.code() {
                Some(code) if code > 128 => format!("was ended by signal {}", code - 128),
                Some(code) => format!("ended with exit code {code}"),
                None => "was ended together with its watching process".to_owned(),
            },
            Err(e) => format!("was lost: {e}"),
        }
    }

    /// Why it ended, with the end of its log.
    pub async fn last_words(&mut self) -> String {
        let how = self.ended().await;
        explain::failure(&how, &explain::read(&self.log, self.log_start))
    }

    /// Lets it finish what it has begun, and ends it.
    pub async fn stop(mut self) {
        drop(self.pipe.take());
        if timeout(FORCE, self.child.wait()).await.is_err() {
            let _ = self.child.kill().await;
        }
    }
}

/// Opens a log to append to.
pub fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Returns when what listens on a socket does not answer as often as the probe allows.
async fn sick(socket: &Path, probe: Probe) -> String {
    let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
    sleep(seconds(probe.initial_delay)).await;
    let mut failures = 0;
    while failures < probe.failure_threshold {
        sleep(seconds(probe.period)).await;
        let asked = timeout(seconds(probe.timeout), answers(socket)).await;
        failures = match asked {
            Ok(Ok(true)) => 0,
            _ => failures + 1,
        };
    }
    format!("did not answer {failures} times when it was asked whether it lives")
}

/// Whether something answers `GET /` with 200 on a socket. The scoring server accepts connections
/// long before `init()` is done and then lets them wait, or closes them when it failed.
async fn answers(socket: &Path) -> io::Result<bool> {
    let mut stream = UnixStream::connect(socket).await?;
    stream
        .write_all(b"GET / HTTP/1.0\r\nHost: scoring\r\n\r\n")
        .await?;
    let mut answer = Vec::new();
    stream.take(4096).read_to_end(&mut answer).await?;
    let status = answer.split(|byte| *byte == b' ').nth(1);
    Ok(answer.starts_with(b"HTTP/") && status == Some(b"200".as_slice()))
}
