//! Processes a test starts and watches, and the sweep that leaves none behind.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, mpsc},
    time::{Duration, Instant},
};

use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{Id, WaitPidFlag, waitid},
    },
    unistd::Pid,
};

use super::{Output, eventually};

/// A process in the background; killed when dropped.
pub struct Process {
    child: Child,
    line: String,
    root: PathBuf,
    stdout: Lines,
    stderr: Lines,
}

/// Text that a reader thread collects.
#[derive(Clone, Default)]
struct Lines(Arc<(Mutex<Collected>, Condvar)>);

#[derive(Default)]
struct Collected {
    text: String,
    ended: bool,
}

impl Lines {
    fn collect(pipe: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let sink = lines.clone();
        std::thread::spawn(move || {
            let mut pipe = BufReader::new(pipe);
            let mut line = Vec::new();
            while matches!(pipe.read_until(b'\n', &mut line), Ok(1..)) {
                let text = String::from_utf8_lossy(&line).into_owned();
                sink.0.0.lock().unwrap().text.push_str(&text);
                sink.0.1.notify_all();
                line.clear();
            }
            sink.0.0.lock().unwrap().ended = true;
            sink.0.1.notify_all();
        });
        lines
    }

    fn text(&self) -> String {
        self.0.0.lock().unwrap().text.clone()
    }

    /// Waits until `found` sees what it wants in the text so far.
    fn wait<T>(&self, seconds: u64, mut found: impl FnMut(&Collected) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + Duration::from_secs(seconds);
        let mut collected = self.0.0.lock().unwrap();
        loop {
            if let Some(answer) = found(&collected) {
                return Some(answer);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            if collected.ended {
                return None;
            }
            collected = self.0.1.wait_timeout(collected, left).unwrap().0;
        }
    }
}

impl Process {
    pub fn start(mut command: Command, line: String, root: &Path) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
        Self {
            stdout: Lines::collect(child.stdout.take().expect("stdout is a pipe")),
            stderr: Lines::collect(child.stderr.take().expect("stderr is a pipe")),
            child,
            line,
            root: root.to_owned(),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits for a line of standard error with `part` in it.
    #[track_caller]
    pub fn stderr_line(&self, part: &str, seconds: u64) -> String {
        self.line_of(&self.stderr, part, seconds)
    }

    /// Waits for a line of standard output with `part` in it.
    #[track_caller]
    pub fn stdout_line(&self, part: &str, seconds: u64) -> String {
        self.line_of(&self.stdout, part, seconds)
    }

    #[track_caller]
    fn line_of(&self, lines: &Lines, part: &str, seconds: u64) -> String {
        let found = lines.wait(seconds, |collected| {
            let line = collected.text.lines().find(|line| line.contains(part));
            line.map(str::to_owned)
        });
        found.unwrap_or_else(|| {
            panic!(
                "no `{part}` from {}\n{}--- stderr\n{}",
                self.line,
                self.stdout(),
                self.stderr()
            )
        })
    }

    /// Sends a signal to this process alone.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.pid().try_into().expect("a process id"));
        kill(pid, signal).expect("the process is there");
    }

    /// Kills this process alone and waits until nothing of it is left, its port neither.
    pub fn kill(&self) {
        self.signal(Signal::SIGKILL);
        let id = Id::Pid(Pid::from_raw(self.pid().cast_signed()));
        waitid(id, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).expect("a child ends");
    }

    /// Waits for the end.
    #[track_caller]
    pub fn wait(mut self, seconds: u64) -> Output {
        let child = &mut self.child;
        let status = eventually(&format!("the end of {}", self.line), seconds, || {
            child.try_wait().expect("a child can be waited for")
        });
        for lines in [&self.stdout, &self.stderr] {
            lines.wait(5, |collected| collected.ended.then_some(()));
        }
        Output {
            line: std::mem::take(&mut self.line),
            stdout: self.stdout(),
            stderr: self.stderr(),
            status: code(status),
            root: self.root.clone(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code(status: ExitStatus) -> i32 {
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .expect("an exit code or a signal")
}

/// Runs a command to its end, and to the end of its pipes: a detached process that held them open
/// would hang every `$(aml ...)` in a script.
#[track_caller]
pub(super) fn run(
    mut command: Command,
    line: String,
    stdin: Option<&str>,
    root: &Path,
    limit: Duration,
) -> Output {
    let mut child = command
        .stdin(stdin.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {line}: {e}"));
    let pid = Pid::from_raw(child.id().try_into().expect("a process id"));
    if let (Some(text), Some(mut pipe)) = (stdin, child.stdin.take()) {
        let text = text.to_owned();
        // A command may end without reading.
        std::thread::spawn(move || drop(pipe.write_all(text.as_bytes())));
    }
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || drop(sender.send(child.wait_with_output())));
    let Ok(result) = ended.recv_timeout(limit) else {
        let _ = kill(pid, Signal::SIGKILL);
        panic!("{line} did not end, or left its output open, within {limit:?}");
    };
    let result = result.expect("a child can be waited for");
    Output {
        line,
        stdout: String::from_utf8_lossy(&result.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&result.stderr).into_owned(),
        status: code(result.status),
        root: root.to_owned(),
    }
}

/// The processes that belong to a test: started with, or working below, its folder.
pub fn processes_of(root: &Path) -> Vec<(Pid, String)> {
    let root = root.to_string_lossy().into_owned();
    let processes = fs::read_dir("/proc").expect("this system has /proc");
    processes
        .filter_map(|entry| {
            let folder = entry.ok()?.path();
            let pid: i32 = folder.file_name()?.to_str()?.parse().ok()?;
            let line = fs::read(folder.join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let environment = fs::read(folder.join("environ")).unwrap_or_default();
            let works_in = fs::read_link(folder.join("cwd")).unwrap_or_default();
            // A zombie has no command line; its parent sees to it.
            let ours = !line.is_empty()
                && (line.contains(&root)
                    || String::from_utf8_lossy(&environment).contains(&root)
                    || works_in.starts_with(&root));
            ours.then(|| (Pid::from_raw(pid), line))
        })
        .collect()
}

/// Kills processes that are no children of the test, and waits until nothing of them is left. Those that
/// ended by themselves meanwhile are gone too.
#[track_caller]
pub fn kill_others(pids: &[Pid]) {
    for pid in pids {
        let _ = kill(*pid, Signal::SIGKILL);
    }
    eventually("the processes are gone", 30, || {
        pids.iter().all(|pid| is_gone(*pid)).then_some(())
    });
}

/// Whether a process holds nothing any more. What is killed has no command line for some time before it
/// gives its locks away, and its first thread can have ended before the others.
fn is_gone(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let state = stat.as_ref().ok().and_then(|stat| stat.rsplit_once(") "));
    let ended = state.is_none_or(|(_, state)| state.starts_with(['Z', 'X']));
    ended && fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count) <= 1
}

/// Kills what a test left running; more than once, for a process may have been starting another.
pub(super) fn sweep(root: &Path) {
    for _ in 0..100 {
        let left = processes_of(root);
        if left.is_empty() {
            return;
        }
        for (pid, _) in left {
            let _ = kill(pid, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
