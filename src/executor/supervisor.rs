//! The process that starts a run's command, outlives whoever asked for it, and writes down how it ended.
//!
//! It has a session of its own: `aml supervise`. A line on stdin names the run's folder. It holds
//! `supervisor.lock` there until the command is over, writes `supervisor.json`, says so on stdout, and then
//! takes the [`Task`], a line too; `exit.json` it writes when all is over, and says so. Then it waits for
//! the next folder, for it takes longer to come up than to be told what to do, and leaves when whoever tells it has.
//! SIGTERM asks it to stop the command. When it is killed instead while the command runs, a [`Successor`] is
//! started.

use std::{
    convert::Infallible,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::{
        fd::AsFd,
        unix::{fs::OpenOptionsExt, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use futures_util::future::BoxFuture;
use nix::{
    fcntl::{FallocateFlags, fallocate},
    sys::prctl,
    unistd::{AccessFlags, Pid, access, setsid},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    net::unix::pipe,
};

use super::{
    Variables, environment, io_error,
    limits::{Limited, Limits},
    process_table,
    succession::Successor,
    use_of,
    watch::{SAMPLE, Signals, Watch},
    write_whole,
};
use api::{Error, Result, runs::Usage};

pub const LOCK: &str = "supervisor.lock";
pub const HANDLE: &str = "supervisor.json";
pub const EXIT: &str = "exit.json";
pub const LOG: &str = "log";
/// What is left of a command's folder for the next one, and what this looks for there: files that are
/// there need not be made.
pub const SPARE_FILES: [(&str, &str); 5] = [
    (LOCK, LOCK),
    (HANDLE, SPARE_HANDLE),
    (EXIT, RESERVED_EXIT),
    (RESERVED_EXIT, RESERVED_EXIT),
    (LOG, SPARE_LOG),
];
pub(super) const SPARE_HANDLE: &str = "supervisor.spare";
const SPARE_LOG: &str = "log.spare";
/// Where the room is that is kept for [`EXIT`].
const RESERVED_EXIT: &str = "exit.reserved";
/// Said when the command is over and nothing is held any more.
pub(super) const OVER: &str = "over";

/// Room on the disk kept for [`EXIT`], so that the end can be written down when nothing else can.
const RESERVED: u16 = 4096;
/// With less free space than this the disk is full.
const FULL: u64 = 64 << 10;

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

/// Supervises commands, one after the other: ends when nobody has another one for it and the last one
/// and all its descendants have ended. A successor is started when whoever tells it is gone while a command
/// runs.
pub fn supervise(successor: Option<Successor>) -> BoxFuture<'static, Result<()>> {
    Box::pin(async move {
        let _ = setsid();
        let _ = prctl::set_child_subreaper(true);
        let mut lines = lines_of_stdin()?;
        let mut signals = None;
        while let Some(line) = next_line(&mut lines, &mut signals).await {
            let folder: PathBuf = serde_json::from_str(&line)
                .map_err(|e| Error::internal(format!("The folder is not understood: {e}")))?;
            let signals = match &mut signals {
                Some(signals) => signals,
                // One that has had nothing to do yet ends by any signal.
                none => none.insert(Signals::listen()?),
            };
            let Some(lock) = claim(&folder)? else {
                return Ok(());
            };
            // Only now: whoever has sent a task can be sure that others find its process.
            let task = read_task(&mut lines, signals).await.inspect_err(|_| {
                // Who asked has died, or given the run up. Nothing was started; another may start it.
                if read_handle(Path::new("")).as_ref() == Some(&*OWN) {
                    let _ = fs::remove_file(HANDLE);
                }
            })?;
            // They hold for this process from now on.
            let limited = task.limits.is_some();
            supervise_one(&folder, task, signals, &mut lines, successor.as_ref()).await?;
            let _ = std::env::set_current_dir("/");
            drop(lock);
            say(OVER);
            if limited {
                return Ok(());
            }
        }
        Ok(())
    })
}

/// Starts the command of a folder, and writes down how it ended when nothing is left of it.
async fn supervise_one(
    folder: &Path,
    task: Task,
    signals: &mut Signals,
    told: &mut Told,
    successor: Option<&Successor>,
) -> Result<()> {
    let _held = environment::folder_in(&task.variables).and_then(use_of::hold);
    // Who looks whether anybody holds it locks it for a moment.
    let hold = |path: &PathBuf| File::open(path).ok().filter(|f| f.lock_shared().is_ok());
    let _reads: Vec<File> = task.holds.iter().filter_map(hold).collect();
    let limited = task.limits.map(Limits::apply);
    // Before the command can fill the disk.
    let _ = reserve(folder);
    let mut exit = match start(folder, &task) {
        Ok(children) => {
            let watch = Watch::new(children, task.timeout_seconds);
            tokio::select! {
                exit = watch.until_ended(signals) => exit,
                never = succeed(told, successor, limited.as_ref()) => match never {},
            }
        }
        Err(exit) => {
            Watch::new(Vec::new(), None).kill_all(signals).await;
            exit
        }
    };
    exit.out_of_memory = limited.as_ref().is_some_and(Limited::ran_out);
    drop(limited);
    exit.disk_full = nix::sys::statvfs::statvfs(folder)
        .is_ok_and(|disk| disk.blocks_available() * disk.fragment_size() < FULL);
    write_exit(folder, &exit, signals).await
}

/// Sees to it, once nobody can tell this process anything more, that there is a successor. Does not end.
async fn succeed(
    told: &mut Told,
    successor: Option<&Successor>,
    limited: Option<&Limited>,
) -> Infallible {
    if let Some(successor) = successor
        // What comes is for later; nothing comes any more from one that was killed.
        && told.get_mut().fill_buf().await.is_ok_and(<[u8]>::is_empty)
    {
        let lifted = |start: &mut dyn FnMut()| match limited {
            Some(limited) => limited.lifted(start),
            None => start(),
        };
        successor.keep(lifted).await;
    }
    std::future::pending().await
}

/// What comes on stdin, line by line.
type Told = Lines<BufReader<pipe::Receiver>>;

/// Stdin, which is a pipe.
fn lines_of_stdin() -> Result<Told> {
    let stdin = io::stdin().as_fd().try_clone_to_owned();
    let pipe = stdin.and_then(pipe::Receiver::from_owned_fd);
    let pipe = pipe.map_err(|e| Error::unavailable(format!("Cannot read what to do: {e}")))?;
    Ok(BufReader::new(pipe).lines())
}

/// The next line, which may take long to come; none when none will come, or when asked to stop.
async fn next_line(lines: &mut Told, signals: &mut Option<Signals>) -> Option<String> {
    let Some(signals) = signals else {
        return lines.next_line().await.ok().flatten();
    };
    told_or_stopped(lines, signals).await
}

async fn told_or_stopped(lines: &mut Told, signals: &mut Signals) -> Option<String> {
    loop {
        tokio::select! {
            line = lines.next_line() => return line.ok().flatten(),
            stop = signals.ask_to_stop() => if stop {
                return None;
            },
        }
    }
}

/// The line that says what to start, which may take long to come. One that was cut off is not understood, and
/// none comes when asked to stop.
async fn read_task(lines: &mut Told, signals: &mut Signals) -> Result<Task> {
    let line = told_or_stopped(lines, signals).await.unwrap_or_default();
    serde_json::from_str(&line)
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

/// Takes the room on the disk that [`write_reserved`] needs. Without it the end can be written down all
/// the same, unless the disk is full then.
fn reserve(folder: &Path) -> io::Result<()> {
    let mut file = File::create(folder.join(RESERVED_EXIT))?;
    let size = nix::libc::off_t::from(RESERVED);
    match fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, size) {
        Ok(()) => Ok(()),
        // The file system takes room only for what it has on disk.
        Err(_) => {
            file.write_all(&[b' '; RESERVED as usize])?;
            file.sync_all()
        }
    }
}

/// Writes the exit file over the room taken for it, if any was; blanks after the text are allowed in JSON.
fn write_reserved(folder: &Path, text: &[u8]) -> Result<()> {
    let path = folder.join(EXIT);
    let reserved = folder.join(RESERVED_EXIT);
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&reserved)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&reserved, &path));
    written.or_else(|_| write_whole(&path, text))
}

/// This process.
static OWN: LazyLock<Handle> = LazyLock::new(|| {
    let pid = i32::try_from(std::process::id()).unwrap_or_default();
    Handle {
        pid,
        started: process_table::entry(pid).map_or(0, |entry| entry.started),
        boot: process_table::boot_id(),
    }
});

/// Makes this process the only one that ever starts the folder's command, and tells who asked. It works in
/// the folder: one that comes late writes nothing into another folder that is at its place then.
fn claim(folder: &Path) -> Result<Option<File>> {
    std::env::set_current_dir(folder).map_err(|e| io_error("enter", folder, &e))?;
    let lock = File::create(LOCK).map_err(|e| io_error("make", &folder.join(LOCK), &e))?;
    if lock.try_lock().is_err() || Path::new(HANDLE).exists() {
        return Ok(None);
    }
    let text = serde_json::to_string(&*OWN).unwrap_or_default();
    // Nobody else writes here now.
    fs::write(SPARE_HANDLE, &text)
        .and_then(|()| fs::rename(SPARE_HANDLE, HANDLE))
        .map_err(|e| io_error("write", &folder.join(HANDLE), &e))?;
    say(&text);
    Ok(Some(lock))
}

/// Tells who asked. They may be gone; the files tell the next one.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Starts all processes of the command with both streams in one log; answers those whose end counts.
fn start(folder: &Path, task: &Task) -> std::result::Result<Vec<Pid>, Exit> {
    let one = [Variables::new()];
    let processes = match &task.processes[..] {
        [] => &one[..],
        several => several,
    };
    let started = processes.iter().map(|own| start_one(folder, task, own));
    let children = started.collect::<std::result::Result<Vec<Pid>, Exit>>()?;
    for own in &task.helpers {
        start_one(folder, task, own)?;
    }
    Ok(children)
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
    let _ = fs::rename(folder.join(SPARE_LOG), folder.join(LOG));
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
    let found = shell(program, own.get("PATH").or(task.variables.get("PATH")));
    let spawned = Command::new(found.as_deref().unwrap_or(Path::new(program)))
        .arg0(program)
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

/// Where a shell is, for of a program that is looked for in a `PATH` of its own this process is copied to
/// start it.
fn shell(program: &str, path: Option<&String>) -> Option<PathBuf> {
    if !matches!(program, "bash" | "sh") {
        return None;
    }
    let mut places = path?
        .split(':')
        .map(|folder| Path::new(folder).join(program));
    places.find(|place| {
        let found = fs::metadata(place).is_ok_and(|found| found.is_file());
        found && place.is_absolute() && access(place, AccessFlags::X_OK).is_ok()
    })
}

/// All that descends from this process.
pub(super) fn family() -> Vec<process_table::Entry> {
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
