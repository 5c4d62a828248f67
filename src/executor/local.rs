//! Commands as processes of this machine, each under a supervisor that outlives this process.

use std::{
    fs::{self, File},
    io::ErrorKind,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::oneshot,
};

use super::{
    io_error, process_table,
    supervisor::{
        EXIT, Exit, HANDLE, Handle, LOCK, LOG, OVER, SPARE_HANDLE, Task, read_exit, read_handle,
    },
};
use api::{Error, Result};

/// Supervisors that wait for commands, at most.
const WAITING: usize = 8;
/// How often it is looked whether a supervisor has started what it was to start.
const LOOK: Duration = Duration::from_millis(10);
/// How many supervisors are told of a command when others are in its folder.
const TRIES: u32 = 10;

/// A command that was started in a folder of its own, by this process or one before it.
pub struct Process {
    folder: PathBuf,
    handle: Handle,
    /// Its supervisor, when it was started here and can have another command after this one.
    supervisor: tokio::sync::Mutex<Option<Supervisor>>,
    stopped: AtomicBool,
}

/// A supervisor sees to several commands, one after the other: which one is meant.
#[derive(Serialize, Deserialize)]
struct Named {
    #[serde(flatten)]
    handle: Handle,
    folder: PathBuf,
}

/// How a command is over.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Exited(Exit),
    /// Its supervisor is gone and did not write down how it ended; says why.
    Vanished(String),
}

/// Starts commands under supervisors. Some may wait for the next command already, for a program takes
/// longer to come up than to be told what to do; they leave when this is dropped or its process ends.
pub struct Supervisors {
    /// This program.
    program: PathBuf,
    /// The state directory for which another worker is started when this one is killed.
    succeed_in: Option<PathBuf>,
    waiting: Mutex<Vec<Supervisor>>,
}

/// A supervisor that can be found in a folder, by this handle, and is not told yet what to start there.
/// Dropped, it leaves.
pub struct Claim(Supervisor, Handle);

/// A supervisor that this process has started, which ends when it hears nothing more.
struct Supervisor {
    /// Gone, it is waited for by whoever else waits.
    _process: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Supervisors {
    pub fn new(program: &Path, succeed_in: Option<&Path>) -> Self {
        Self {
            program: program.to_owned(),
            succeed_in: succeed_in.map(Path::to_owned),
            waiting: Mutex::default(),
        }
    }

    /// Sends one that waits to a folder, so that it is there once the task is known.
    pub async fn claim(&self, folder: &Path) -> Option<Claim> {
        let waiting = self.waiting().pop()?;
        // Somebody may have ended it.
        self.send(waiting, folder).await.ok().flatten()
    }

    /// Starts a command, by the supervisor that has claimed the folder if one has. The folder must be there
    /// and be used for one command only. When it was started there before, that one is found instead.
    pub async fn start(
        &self,
        folder: &Path,
        task: &Task,
        mut claim: Option<Claim>,
    ) -> Result<Process> {
        for _ in 0..TRIES {
            if claim.is_none() {
                // A process that was killed may have told a supervisor of the folder that only comes now. It
                // learns of no task, and goes.
                if let Some(process) = Process::find(folder) {
                    if process.is_begun().await {
                        return Ok(process);
                    }
                    // Left by one that was killed too.
                    let _ = fs::remove_file(folder.join(HANDLE));
                }
                claim = match self.claim(folder).await {
                    None => self.send(self.spawn()?, folder).await?,
                    claim => claim,
                };
            }
            if let Some(claim) = claim.take()
                && let Some(process) = claim.employ(folder, task).await?
            {
                return Ok(process);
            }
            tokio::time::sleep(LOOK).await;
            while is_held(folder) && Process::find(folder).is_none() {
                tokio::time::sleep(LOOK).await;
            }
        }
        // The disk may be full.
        let path = folder.join(SPARE_HANDLE);
        fs::write(&path, "{}").map_err(|e| io_error("write", &path, &e))?;
        Err(Error::internal(
            "The run's supervisor ended before it started the command",
        ))
    }

    /// Lets one come up for the next command, unless one waits.
    pub fn make_ready(&self) {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            waiting.extend(self.spawn().ok());
        }
    }

    /// Lets the supervisor of a command that is over wait for the next one.
    pub fn take_back(&self, process: &mut Process) {
        let supervisor = process.supervisor.get_mut().take();
        // The signal may reach it late.
        let Some(supervisor) = supervisor.filter(|_| !process.stopped.load(Ordering::Relaxed))
        else {
            return;
        };
        let mut waiting = self.waiting();
        if waiting.len() < WAITING {
            waiting.push(supervisor);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Supervisor>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        io_error("start", &self.program, error)
    }

    fn spawn(&self) -> Result<Supervisor> {
        let mut process = Command::new(&self.program)
            .arg0("aml")
            .arg("supervise")
            .args(self.succeed_in.as_deref())
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| self.broken(&e))?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| Error::internal("A supervisor has no pipes"))?;
        Ok(Supervisor {
            _process: process,
            stdin,
            stdout: BufReader::new(stdout),
        })
    }

    /// Gives a supervisor its folder. None when it found another one there, or could not write there.
    async fn send(&self, mut supervisor: Supervisor, folder: &Path) -> Result<Option<Claim>> {
        let named = line(&folder)?;
        let mut answer = String::new();
        let answered = async {
            supervisor.stdin.write_all(&named).await?;
            supervisor.stdout.read_line(&mut answer).await
        };
        answered.await.map_err(|e| self.broken(&e))?;
        let handle = serde_json::from_str(&answer).ok();
        Ok(handle.map(|handle| Claim(supervisor, handle)))
    }
}

impl Claim {
    /// Gives the supervisor its task. That it can be found is on disk, and only then it gets it: killed at
    /// any moment, this process starts nothing twice. None when somebody has ended it.
    async fn employ(self, folder: &Path, task: &Task) -> Result<Option<Process>> {
        let Self(mut supervisor, handle) = self;
        if supervisor.stdin.write_all(&line(task)?).await.is_err() {
            return Ok(None);
        }
        // One with limits leaves them behind with itself.
        let again = task.limits.is_none().then_some(supervisor);
        Ok(Some(Process {
            folder: folder.to_owned(),
            handle,
            supervisor: tokio::sync::Mutex::new(again),
            stopped: AtomicBool::new(false),
        }))
    }
}

fn line(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec(value).map_err(|e| Error::internal(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

impl Process {
    /// Finds the command that was started in a folder, whether it still runs or not.
    pub fn find(folder: &Path) -> Option<Self> {
        Some(Self {
            folder: folder.to_owned(),
            handle: read_handle(folder)?,
            supervisor: tokio::sync::Mutex::default(),
            stopped: AtomicBool::new(false),
        })
    }

    /// What names the process for ever, on any machine.
    pub fn handle(&self) -> String {
        let named = Named {
            handle: self.handle.clone(),
            folder: self.folder.clone(),
        };
        serde_json::to_string(&named).unwrap_or_default()
    }

    /// The file that has what the command writes.
    pub fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// Asks the command and its descendants to end; those that have not after a while are killed.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
        // It may see to another one meanwhile.
        if self.is_alive() && is_held(&self.folder) {
            let _ = kill(Pid::from_raw(self.handle.pid), Signal::SIGTERM);
        }
    }

    /// Whether the supervisor is that very process and still there.
    fn is_alive(&self) -> bool {
        is_alive(&self.handle)
    }

    /// Whether the command was started, once that is certain: a supervisor may have been told nothing, or
    /// not have lived to do it. Of one from before the machine's last start it is not known, and it counts
    /// as started.
    pub async fn is_begun(&self) -> bool {
        loop {
            let held = is_held(&self.folder);
            if self.has_traces() || self.handle.boot != process_table::boot_id() {
                return true;
            }
            if !held {
                return false;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Whether nothing shows that the command was started before the machine's last start.
    pub fn may_not_have_begun(&self) -> bool {
        self.handle.boot != process_table::boot_id() && !self.has_traces()
    }

    /// Whether there is what a supervisor leaves that has begun to start the command.
    fn has_traces(&self) -> bool {
        [LOG, EXIT]
            .iter()
            .any(|trace| self.folder.join(trace).exists())
    }

    /// Waits for the end. A supervisor that was killed takes the command with it.
    pub async fn ended(&self) -> Result<End> {
        if !self.supervisor_says_so().await {
            self.supervisor_gone().await?;
        }
        if let Some(exit) = read_exit(&self.folder) {
            return Ok(End::Exited(exit));
        }
        if self.handle.boot != process_table::boot_id() {
            return Ok(End::Vanished(
                "The machine was restarted while the run was going on".to_owned(),
            ));
        }
        if !self.has_traces() {
            return Ok(End::Vanished(
                "The run's supervisor was killed before it started the command".to_owned(),
            ));
        }
        self.kill_family();
        Ok(End::Vanished(
            "The run's supervisor was killed, and the run with it".to_owned(),
        ))
    }

    /// One that was started here says when the command is over. When it has not, it is gone or is no
    /// more told what to do.
    async fn supervisor_says_so(&self) -> bool {
        let mut own = self.supervisor.lock().await;
        let Some(supervisor) = own.as_mut() else {
            return false;
        };
        let mut said = String::new();
        let read = supervisor.stdout.read_line(&mut said).await;
        let over = read.is_ok() && said.trim_end() == OVER;
        if !over {
            *own = None;
        }
        over
    }

    /// The kernel gives the supervisor's lock away in the moment it is gone.
    async fn supervisor_gone(&self) -> Result<()> {
        let path = self.folder.join(LOCK);
        let lock = File::open(&path).map_err(|e| io_error("open", &path, &e))?;
        let (sender, receiver) = oneshot::channel();
        // Not a task: nobody needs to wait for this thread when the worker leaves.
        std::thread::Builder::new()
            .name("run-wait".to_owned())
            .spawn(move || sender.send(lock.lock_shared()))
            .map_err(|e| Error::unavailable(format!("Cannot start a thread: {e}")))?;
        let locked = receiver.await.map_err(|e| Error::internal(e.to_string()))?;
        locked.map_err(|e| io_error("lock", &path, &e))
    }

    /// Kills what a killed supervisor left. While any of it is there nobody else gets the
    /// supervisor's id; when somebody has it, nothing is left.
    fn kill_family(&self) {
        let holder = process_table::entry(self.handle.pid);
        if holder.is_some_and(|entry| entry.started != self.handle.started) {
            return;
        }
        // Processes may be starting others meanwhile.
        for _ in 0..100 {
            let family = process_table::family(self.handle.pid);
            if family.is_empty() {
                return;
            }
            process_table::signal_all(&family, Signal::SIGKILL);
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

/// Whether the command that has this [handle](Process::handle) was started here and is over.
pub fn is_over(handle: &str) -> bool {
    serde_json::from_str(handle)
        .is_ok_and(|Named { handle, folder }| !(is_alive(&handle) && is_held(&folder)))
}

/// Whether somebody sees to the command of a folder. Where that cannot be found out, as when no more files
/// can be opened, somebody may.
fn is_held(folder: &Path) -> bool {
    match File::open(folder.join(LOCK)) {
        Ok(lock) => lock.try_lock_shared().is_err(),
        Err(e) => !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory),
    }
}

fn is_alive(handle: &Handle) -> bool {
    handle.boot == process_table::boot_id()
        && process_table::entry(handle.pid).is_some_and(|entry| entry.lives(handle.started))
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, process};

    use super::*;

    /// A folder whose command this very process would supervise, had it that start and boot.
    fn folder(change: impl Fn(&mut Handle)) -> (tempfile::TempDir, Process) {
        let pid = i32::try_from(process::id()).unwrap();
        let mut handle = Handle {
            pid,
            started: process_table::entry(pid).unwrap().started,
            boot: process_table::boot_id(),
        };
        change(&mut handle);
        let folder = tempfile::tempdir().unwrap();
        let text = serde_json::to_string(&handle).unwrap();
        fs::write(folder.path().join(HANDLE), text).unwrap();
        fs::write(folder.path().join(LOCK), "").unwrap();
        let process = Process::find(folder.path()).unwrap();
        (folder, process)
    }

    #[test]
    fn only_the_very_process_is_alive() {
        assert!(folder(|_| ()).1.is_alive());
        assert!(!folder(|handle| handle.started += 1).1.is_alive());
        assert!(
            !folder(|handle| handle.boot = "another".to_owned())
                .1
                .is_alive()
        );
        assert!(!folder(|handle| handle.pid = i32::MAX).1.is_alive());
        assert!(Process::find(tempfile::tempdir().unwrap().path()).is_none());
    }

    #[tokio::test]
    async fn what_was_only_claimed_before_the_machine_went_down_may_not_have_begun() {
        let (before, claimed) = folder(|handle| handle.boot = "another".to_owned());
        assert!(claimed.may_not_have_begun());
        fs::write(before.path().join(LOG), "").unwrap();
        assert!(!claimed.may_not_have_begun());
        assert!(!folder(|_| ()).1.may_not_have_begun(), "it is known");
    }

    #[tokio::test]
    async fn a_restarted_machine_is_told_from_a_killed_supervisor() {
        let (_folder, restarted) = folder(|handle| handle.boot = "another".to_owned());
        let End::Vanished(reason) = restarted.ended().await.unwrap() else {
            panic!("it has not exited")
        };
        assert_eq!(
            reason,
            "The machine was restarted while the run was going on"
        );
    }

    #[tokio::test]
    async fn the_children_of_whoever_has_the_id_now_are_left_alone() {
        let mut bystander = process::Command::new("sleep").arg("100").spawn().unwrap();
        let (_folder, killed) = folder(|handle| handle.started += 1);
        let ended = killed.ended().await.unwrap();
        assert!(matches!(ended, End::Vanished(_)), "{ended:?}");
        assert!(bystander.try_wait().unwrap().is_none(), "it still runs");
        bystander.kill().unwrap();
        bystander.wait().unwrap();
    }

    #[tokio::test]
    async fn what_was_told_nothing_has_not_begun_once_nobody_can_tell_it() {
        let (told_nothing, process) = folder(|_| ());
        assert!(!process.is_begun().await);
        let lock = File::open(told_nothing.path().join(LOCK)).unwrap();
        lock.lock().unwrap();
        let mut begun = std::pin::pin!(process.is_begun());
        let open = std::future::poll_fn(|context| {
            std::task::Poll::Ready(begun.as_mut().poll(context).is_pending())
        });
        assert!(open.await, "its supervisor may yet be told");
        fs::write(told_nothing.path().join(LOG), "").unwrap();
        assert!(begun.await);
        let (_folder, before) = folder(|handle| handle.boot = "another".to_owned());
        assert!(before.is_begun().await, "its log may be lost");
    }

    #[test]
    fn a_lock_that_cannot_be_opened_may_be_held() {
        let (folder, _) = folder(|_| ());
        assert!(!is_held(folder.path()));
        let lock = folder.path().join(LOCK);
        fs::remove_file(&lock).unwrap();
        assert!(!is_held(folder.path()));
        // Cannot be opened, whoever asks.
        std::os::unix::fs::symlink(LOCK, &lock).unwrap();
        assert!(is_held(folder.path()));
    }

    #[tokio::test]
    async fn what_is_written_down_counts_even_if_all_are_gone() {
        let (folder, process) = folder(|handle| handle.boot = "another".to_owned());
        let exit = r#"{"code":3,"signal":null,"usage":{"cpu_seconds":1.5,"peak_memory":9},"stopped":null,"not_started":null}"#;
        fs::write(folder.path().join("exit.json"), exit).unwrap();
        let End::Exited(exit) = process.ended().await.unwrap() else {
            panic!("it has exited")
        };
        assert_eq!((exit.code, exit.usage.peak_memory), (Some(3), 9));
    }

    /// A program that takes a folder and a task as a supervisor does, and leaves both.
    const SUPERVISOR: &str = r#"#!/bin/sh
read -r folder
cd "$(echo "$folder" | tr -d '"')" || exit 1
exec 9>supervisor.lock
flock -n 9 || exit 0
[ -e supervisor.json ] && exit 0
echo '{"pid": '$$', "started": 0, "boot": "its"}' > supervisor.json
cat supervisor.json
read -r task
echo "$task" > log
"#;

    /// Supervisors that are that program, in `folder`; it says that it was started at this boot.
    fn fake_supervisors(folder: &Path, boot: &str) -> Supervisors {
        let program = folder.join("program");
        fs::write(&program, SUPERVISOR.replace("its", boot)).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        Supervisors::new(&program, None)
    }

    fn task() -> Task {
        serde_json::from_str(r#"{"command": ["true"], "directory": "/", "variables": {}}"#).unwrap()
    }

    /// What such a program was told to do in a folder, once it was.
    async fn told(folder: &Path) -> String {
        loop {
            let log = fs::read_to_string(folder.join(LOG)).unwrap_or_default();
            if !log.is_empty() {
                return log;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    #[tokio::test]
    async fn one_told_by_a_process_that_was_killed_is_not_taken_for_the_one_that_starts() {
        for (writes, removes) in [(true, true), (true, false), (false, false)] {
            let (late, _) = folder(|_| ());
            let handle = late.path().join(HANDLE);
            if !writes {
                fs::remove_file(&handle).unwrap();
            }
            let lock = File::open(late.path().join(LOCK)).unwrap();
            lock.lock().unwrap();
            let (supervisors, task) = (fake_supervisors(late.path(), "its"), task());
            let goes = async {
                // It is there for as long as it can be looked for several times.
                tokio::time::sleep(LOOK * 5).await;
                if removes {
                    fs::remove_file(&handle).unwrap();
                }
                drop(lock);
            };
            let (started, ()) = tokio::join!(supervisors.start(late.path(), &task, None), goes);
            assert_eq!(started.unwrap().handle.boot, "its");
            assert!(told(late.path()).await.contains("true"));
        }
    }

    #[tokio::test]
    async fn one_that_came_early_starts_the_command_and_another_one_if_it_was_ended() {
        for ended in [false, true] {
            let root = tempfile::tempdir().unwrap();
            let folder = root.path().join("run");
            fs::create_dir(&folder).unwrap();
            let supervisors = fake_supervisors(root.path(), &process_table::boot_id());
            assert!(supervisors.claim(&folder).await.is_none(), "none waits");
            supervisors.make_ready();
            let claim = supervisors.claim(&folder).await;
            let first = Process::find(&folder).unwrap().handle.pid;
            if ended {
                kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
                while is_held(&folder) {
                    tokio::time::sleep(LOOK).await;
                }
            }
            let started = supervisors.start(&folder, &task(), claim).await.unwrap();
            assert_eq!(started.handle.pid != first, ended);
            assert!(told(&folder).await.contains("true"));
        }
    }
}
