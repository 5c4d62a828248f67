//! The process that starts a run's command, outlives whoever asked for it, and writes down how it ended.
//!
//! One per command, in a session of its own: `aml supervise FOLDER`. It holds
//! `supervisor.lock` while it lives, writes `supervisor.json`, says so on stdout, and then takes the
//! [`Task`] from stdin; `exit.json` it writes when all is over. SIGTERM asks it to stop the command.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::{
        fs::OpenOptionsExt,
        process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        resource::{UsageWho, getrusage},
        signal::Signal,
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{Pid, setsid},
};
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{self, SignalKind};

use super::{
    Variables, io_error,
    limits::{Group, Limits},
    process_table, use_of, write_whole,
};
use api::{Error, Result, runs::Usage};

pub const LOCK: &str = "supervisor.lock";
pub const HANDLE: &str = "supervisor.json";
pub const EXIT: &str = "exit.json";
pub const LOG: &str = "log";

/// Room on the disk kept for [`EXIT`], so that the end can be written down when nothing else can.
const RESERVED: usize = 4096;
/// With less free space than this the disk is full.
const FULL: u64 = 64 << 10;

/// From being asked to stop to being killed.
const GRACE: Duration = Duration::from_secs(10);
/// What a command leaves running when it ends may finish in this time.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How often memory is looked at; rarer when looking takes long.
const SAMPLE: Duration = Duration::from_secs(1);

/// What to start. Travels through a pipe: the variables may hold secrets.
#[derive(Serialize, Deserialize)]
pub struct Task {
    /// Program and arguments; one element is a line for `sh -c`.
    pub command: Vec<String>,
    pub directory: PathBuf,
    /// The whole environment of the process.
    pub variables: Variables,
    pub timeout_seconds: Option<u64>,
    /// What each of several processes of the command has of its own. The first that fails ends all.
    #[serde(default)]
    pub processes: Vec<Variables>,
    /// The same for processes that are ended when all others have.
    #[serde(default)]
    pub helpers: Vec<Variables>,
    /// Files on which a shared lock is held while it runs: what it reads stays as long.
    #[serde(default)]
    pub holds: Vec<PathBuf>,
    /// How much of the machine it gets.
    #[serde(default)]
    pub limits: Option<Limits>,
}

/// Names a supervisor so that it can be found again and never be taken for another process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handle {
    pub pid: i32,
    pub started: u64,
    pub boot: String,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub usage: Usage,
    /// Why it was stopped, if it was.
    pub stopped: Option<Stopped>,
    /// Why it could not be started.
    pub not_started: Option<String>,
    /// The disk was full when it ended.
    #[serde(default)]
    pub disk_full: bool,
    /// Something of it was killed because it needed more memory than it may have.
    #[serde(default)]
    pub out_of_memory: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stopped {
    Asked,
    Timeout,
}

/// Supervises one command; ends when it and all its descendants have.
pub async fn supervise(folder: &Path) -> Result<()> {
    let _ = setsid();
    let _ = prctl::set_child_subreaper(true);
    let mut signals = Signals::listen()?;
    let Some(_lock) = claim(folder)? else {
        return Ok(());
    };
    // Only now: whoever has sent a task can be sure that others find its process.
    let task = read_task().inspect_err(|_| {
        // Who asked died before it sent one. Nothing was started; another may start it.
        let _ = fs::remove_file(folder.join(HANDLE));
    })?;
    let environment = task.variables.get("VIRTUAL_ENV");
    let _held = environment.and_then(|folder| use_of::hold(Path::new(folder)));
    let hold = |path: &PathBuf| {
        File::open(path)
            .ok()
            .filter(|f| f.try_lock_shared().is_ok())
    };
    let _reads: Vec<File> = task.holds.iter().filter_map(hold).collect();
    // Without it the end can be written down all the same, unless the disk is full then.
    let _ = reserve(folder);
    let group = task.limits.and_then(Limits::apply);
    let mut exit = match start(folder, &task) {
        Ok(children) => Watch::new(children, &task).until_ended(&mut signals).await,
        Err(exit) => exit,
    };
    exit.out_of_memory = group.as_ref().is_some_and(Group::ran_out);
    drop(group);
    exit.disk_full = nix::sys::statvfs::statvfs(folder)
        .is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < FULL);
    write_exit(folder, &exit, &mut signals).await
}

fn read_task() -> Result<Task> {
    let mut text = Vec::new();
    io::stdin()
        .read_to_end(&mut text)
        .map_err(|e| Error::internal(format!("Cannot read the task: {e}")))?;
    serde_json::from_slice(&text)
        .map_err(|e| Error::internal(format!("The task is not understood: {e}")))
}

/// Writes down how the command ended. A full disk is waited for, as long as anybody can want to know.
async fn write_exit(folder: &Path, exit: &Exit, signals: &mut Signals) -> Result<()> {
    let text = serde_json::to_vec(exit).unwrap_or_default();
    loop {
        match write_reserved(folder, &text) {
            Err(_) if folder.exists() => {}
            written => return written,
        }
        tokio::select! {
            true = signals.ask_to_stop() => return Ok(()),
            () = tokio::time::sleep(SAMPLE) => {}
        }
    }
}

/// Takes the room on the disk that [`write_reserved`] needs.
fn reserve(folder: &Path) -> io::Result<()> {
    let mut file = File::create(folder.join(EXIT).with_extension("reserved"))?;
    file.write_all(&[b' '; RESERVED])?;
    file.sync_all()
}

/// Writes the exit file over the room taken for it; blanks after the text are allowed in JSON.
fn write_reserved(folder: &Path, text: &[u8]) -> Result<()> {
    let path = folder.join(EXIT);
    let reserved = path.with_extension("reserved");
    let written = OpenOptions::new()
        .write(true)
        .open(&reserved)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&reserved, &path));
    written.or_else(|_| write_whole(&path, text))
}

/// Makes this process the only one that ever starts the folder's command, and tells who asked.
fn claim(folder: &Path) -> Result<Option<File>> {
    let path = folder.join(LOCK);
    let lock = File::create(&path).map_err(|e| io_error("make", &path, &e))?;
    if lock.try_lock().is_err() || folder.join(HANDLE).exists() {
        return Ok(None);
    }
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    let handle = Handle {
        pid,
        started: process_table::entry(pid).map_or(0, |entry| entry.started),
        boot: process_table::boot_id(),
    };
    let text = serde_json::to_string(&handle).unwrap_or_default();
    write_whole(&folder.join(HANDLE), text.as_bytes())?;
    // Who asked may be gone; the file tells the next one.
    let _ = writeln!(io::stdout(), "{text}").and_then(|()| io::stdout().flush());
    Ok(Some(lock))
}

/// Starts all processes of the command with both streams in one log; answers those whose end counts.
fn start(folder: &Path, task: &Task) -> std::result::Result<Vec<Pid>, Exit> {
    let one = [Variables::new()];
    let processes = match &task.processes[..] {
        [] => &one[..],
        several => several,
    };
    let started = processes.iter().map(|own| start_one(folder, task, own));
    let children: std::result::Result<Vec<Pid>, Exit> = started.collect();
    let children = children.and_then(|children| {
        for own in &task.helpers {
            start_one(folder, task, own)?;
        }
        Ok(children)
    });
    children.inspect_err(|_| process_table::signal_all(&family(), Signal::SIGKILL))
}

fn not_started(code: i32, reason: String) -> Exit {
    Exit {
        code: Some(code),
        signal: None,
        usage: Usage {
            cpu_seconds: 0.0,
            peak_memory: 0,
        },
        stopped: None,
        not_started: Some(reason),
        disk_full: false,
        out_of_memory: false,
    }
}

fn start_one(folder: &Path, task: &Task, own: &Variables) -> std::result::Result<Pid, Exit> {
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(folder.join(LOG));
    let logs = log.and_then(|log| Ok((log.try_clone()?, log)));
    let (out, err) =
        logs.map_err(|e| not_started(126, format!("The log cannot be written: {e}")))?;
    let (program, arguments) = match &task.command[..] {
        [line] => ("sh", vec!["-c", line.as_str()]),
        [program, arguments @ ..] => (
            program.as_str(),
            arguments.iter().map(String::as_str).collect(),
        ),
        [] => return Err(not_started(126, "The command is empty".to_owned())),
    };
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir(&task.directory)
        .env_clear()
        .envs(&task.variables)
        .envs(own)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => Ok(Pid::from_raw(i32::try_from(child.id()).unwrap_or_default())),
        Err(e) => Err(match e.kind() {
            io::ErrorKind::NotFound => {
                not_started(127, format!("The command `{program}` was not found"))
            }
            io::ErrorKind::PermissionDenied => {
                not_started(126, format!("The command `{program}` may not be executed"))
            }
            _ => not_started(
                126,
                format!("The command `{program}` cannot be started: {e}"),
            ),
        }),
    }
}

/// Signals this process listens to. They are not blocked: the command would inherit that.
struct Signals {
    child: unix::Signal,
    stop: [unix::Signal; 3],
}

impl Signals {
    fn listen() -> Result<Self> {
        let listen = |kind| {
            unix::signal(kind).map_err(|e| Error::internal(format!("Cannot wait for signals: {e}")))
        };
        Ok(Self {
            child: listen(SignalKind::child())?,
            stop: [
                listen(SignalKind::terminate())?,
                listen(SignalKind::interrupt())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for a signal; whether it asks to stop.
    async fn ask_to_stop(&mut self) -> bool {
        let [terminate, interrupt, hangup] = &mut self.stop;
        tokio::select! {
            _ = self.child.recv() => false,
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
            _ = hangup.recv() => true,
        }
    }
}

struct Watch {
    /// Processes of the command that have not ended.
    children: Vec<Pid>,
    /// How the command itself ended: as the first process that failed, else as the last one.
    status: Option<ExitStatus>,
    deadline: Option<Instant>,
    stopped: Option<Stopped>,
    /// When what is left will be killed.
    kill_at: Option<Instant>,
    sample_at: Instant,
    peak_memory: u64,
}

impl Watch {
    fn new(children: Vec<Pid>, task: &Task) -> Self {
        let now = Instant::now();
        let timeout = task.timeout_seconds.map(Duration::from_secs);
        Self {
            children,
            status: None,
            deadline: timeout.and_then(|timeout| now.checked_add(timeout)),
            stopped: None,
            kill_at: None,
            sample_at: now + SAMPLE / 4,
            peak_memory: 0,
        }
    }

    async fn until_ended(mut self, signals: &mut Signals) -> Exit {
        loop {
            let alone = self.reap();
            if self.status.is_some() {
                if alone {
                    return self.exit();
                }
                self.stop_leftovers();
            }
            self.look_at_the_clock();
            tokio::select! {
                asked = signals.ask_to_stop() => if asked {
                    self.stop(Stopped::Asked);
                },
                () = tokio::time::sleep_until(self.next().into()) => {}
            }
        }
    }

    /// When there is something to do even if no signal comes.
    fn next(&self) -> Instant {
        let times = [self.deadline, self.kill_at].into_iter().flatten();
        times.fold(self.sample_at, Instant::min)
    }

    /// Takes in what has ended; whether nothing is left.
    fn reap(&mut self) -> bool {
        loop {
            let (pid, status) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, ExitStatus::from_raw(code << 8)),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    (pid, ExitStatus::from_raw(signal as i32))
                }
                Ok(WaitStatus::StillAlive) => return false,
                Ok(_) | Err(Errno::EINTR) => continue,
                Err(_) => return true,
            };
            if let Some(at) = self.children.iter().position(|child| *child == pid) {
                self.children.swap_remove(at);
                if self.status.is_none() && (!status.success() || self.children.is_empty()) {
                    self.status = Some(status);
                }
            }
        }
    }

    fn stop(&mut self, why: Stopped) {
        if self.stopped.is_none() && self.status.is_none() {
            self.stopped = Some(why);
            self.ask_to_end(GRACE);
        }
    }

    /// The command has ended; what it left in the background ends with it.
    fn stop_leftovers(&mut self) {
        if self.kill_at.is_none() {
            self.ask_to_end(LEFTOVER_GRACE);
        }
    }

    fn ask_to_end(&mut self, grace: Duration) {
        process_table::signal_all(&family(), Signal::SIGTERM);
        self.kill_at = Some(Instant::now() + grace);
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.stop(Stopped::Timeout);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            process_table::signal_all(&family(), Signal::SIGKILL);
            self.kill_at = Some(now + Duration::from_millis(50));
        }
        if self.sample_at <= now {
            self.peak_memory = self
                .peak_memory
                .max(process_table::resident_bytes(&family()));
            self.sample_at = now + SAMPLE.max(now.elapsed() * 200);
        }
    }

    fn exit(self) -> Exit {
        let mut usage = Usage {
            cpu_seconds: 0.0,
            peak_memory: self.peak_memory,
        };
        if let Ok(used) = getrusage(UsageWho::RUSAGE_CHILDREN) {
            let seconds = |time: nix::sys::time::TimeVal| {
                #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
                let seconds = time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
                seconds
            };
            usage.cpu_seconds = seconds(used.user_time()) + seconds(used.system_time());
            let largest = u64::try_from(used.max_rss()).unwrap_or(0) * 1024;
            usage.peak_memory = usage.peak_memory.max(largest);
        }
        Exit {
            code: self.status.and_then(|status| status.code()),
            signal: self.status.and_then(|status| status.signal()),
            usage,
            stopped: self.stopped,
            not_started: None,
            disk_full: false,
            out_of_memory: false,
        }
    }
}

/// All that descends from this process.
fn family() -> Vec<process_table::Entry> {
    process_table::family(i32::try_from(std::process::id()).unwrap_or_default())
}

/// Reads how the command of a folder ended, if it did.
pub fn read_exit(folder: &Path) -> Option<Exit> {
    serde_json::from_slice(&fs::read(folder.join(EXIT)).ok()?).ok()
}

/// Reads who supervises a folder's command, if anybody ever did.
pub fn read_handle(folder: &Path) -> Option<Handle> {
    serde_json::from_slice(&fs::read(folder.join(HANDLE)).ok()?).ok()
}
