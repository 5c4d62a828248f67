//! Commands as processes of this machine, each under a supervisor that outlives this process.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Stdio,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
    sync::oneshot,
};

use super::{
    io_error, process_table,
    supervisor::{Exit, Handle, LOCK, LOG, Task, read_exit, read_handle},
};
use api::{Error, Result};

/// A command that was started in a folder of its own, by this process or one before it.
pub struct Process {
    folder: PathBuf,
    handle: Handle,
}

/// How a command is over.
#[derive(Debug, Clone, PartialEq)]
pub enum End {
    Exited(Exit),
    /// Its supervisor is gone and did not write down how it ended; says why.
    Vanished(String),
}

impl Process {
    /// Starts a command; `program` is this program. The folder must be there and be used for one
    /// command only. When it was started there before, that one is found instead.
    pub async fn start(program: &Path, folder: &Path, task: &Task) -> Result<Self> {
        if let Some(process) = Self::find(folder) {
            return Ok(process);
        }
        let broken = |e: std::io::Error| io_error("start", program, &e);
        let mut supervisor = Command::new(program)
            .arg0("aml")
            .arg("supervise")
            .arg(folder)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(broken)?;
        let text = serde_json::to_vec(task).map_err(|e| Error::internal(e.to_string()))?;
        let mut line = String::new();
        if let Some(stdout) = supervisor.stdout.take() {
            BufReader::new(stdout)
                .read_line(&mut line)
                .await
                .map_err(broken)?;
        }
        // Silent, it found another supervisor in the folder. Else that it can be found is on disk, and
        // only then it gets the task: killed at any moment, this process starts nothing twice.
        if let Some(mut stdin) = supervisor.stdin.take().filter(|_| !line.is_empty()) {
            stdin.write_all(&text).await.map_err(broken)?;
        }
        tokio::spawn(async move { supervisor.wait().await });
        Self::find(folder).ok_or_else(|| {
            Error::internal("The run's supervisor ended before it started the command")
        })
    }

    /// Finds the command that was started in a folder, whether it still runs or not.
    pub fn find(folder: &Path) -> Option<Self> {
        Some(Self {
            folder: folder.to_owned(),
            handle: read_handle(folder)?,
        })
    }

    /// What names the process for ever, on any machine.
    pub fn handle(&self) -> String {
        serde_json::to_string(&self.handle).unwrap_or_default()
    }

    /// The file that has what the command writes.
    pub fn log(&self) -> PathBuf {
        self.folder.join(LOG)
    }

    /// Asks the command and its descendants to end; those that have not after a while are killed.
    pub fn stop(&self) {
        if self.is_alive() {
            let _ = kill(Pid::from_raw(self.handle.pid), Signal::SIGTERM);
        }
    }

    /// Whether the supervisor is that very process and still there.
    fn is_alive(&self) -> bool {
        self.handle.boot == process_table::boot_id()
            && process_table::entry(self.handle.pid)
                .is_some_and(|entry| entry.started == self.handle.started)
    }

    /// Waits for the end. A supervisor that was killed takes the command with it.
    pub async fn ended(&self) -> Result<End> {
        self.supervisor_gone().await?;
        if let Some(exit) = read_exit(&self.folder) {
            return Ok(End::Exited(exit));
        }
        if self.handle.boot != process_table::boot_id() {
            return Ok(End::Vanished(
                "The machine was restarted while the run was going on".to_owned(),
            ));
        }
        self.kill_family();
        Ok(End::Vanished(
            "The run's supervisor was killed, and the run with it".to_owned(),
        ))
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

#[cfg(test)]
mod tests {
    use std::{fs, process};

    use super::{super::supervisor::HANDLE, *};

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
    async fn what_is_written_down_counts_even_if_all_are_gone() {
        let (folder, process) = folder(|handle| handle.boot = "another".to_owned());
        let exit = r#"{"code":3,"signal":null,"usage":{"cpu_seconds":1.5,"peak_memory":9},"stopped":null,"not_started":null}"#;
        fs::write(folder.path().join("exit.json"), exit).unwrap();
        let End::Exited(exit) = process.ended().await.unwrap() else {
            panic!("it has exited")
        };
        assert_eq!((exit.code, exit.usage.peak_memory), (Some(3), 9));
    }
}
