//! Running a program to its end as part of preparing something, with its output in a log.

use std::{
    fs::File,
    path::Path,
    process::{ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::Command,
    sync::mpsc,
};

use super::Variables;

/// Called with lines that tell people how it goes.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// How lines begin in which uv and pip tell people how far they are.
const NEWS: [&str; 7] = [
    "Resolved ",
    "Downloading ",
    "Prepared ",
    "Installed ",
    "Collecting ",
    "Building wheel",
    "Installing ",
];

/// How a program ended.
pub struct Outcome {
    pub status: ExitStatus,
    /// What it wrote, both streams as the lines came.
    pub output: String,
}

/// Programs of a preparation share a log and the variables of the machine.
#[derive(Clone, Copy)]
pub struct Tools<'a> {
    pub variables: &'a Variables,
    /// Held by every program that is started, so that nobody else takes it while one runs on, even
    /// when this process is killed.
    pub lock: &'a File,
    pub log: &'a Path,
    pub progress: Progress<'a>,
}

impl Tools<'_> {
    /// Runs a program to its end. It is killed, with its children, when the future is dropped.
    pub async fn run(&self, program: &Path, arguments: &[&str]) -> std::io::Result<Outcome> {
        let mut log = File::options().append(true).create(true).open(self.log)?;
        write_line(
            &mut log,
            &format!("$ {} {}", program.display(), arguments.join(" ")),
        );
        let mut child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(self.variables)
            .stdin(Stdio::from(self.lock.try_clone()?))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let group = Group(child.id().and_then(|id| i32::try_from(id).ok()));
        let (sender, mut lines) = mpsc::channel(64);
        forward(child.stdout.take(), sender.clone());
        forward(child.stderr.take(), sender);
        let mut output = String::new();
        while let Some(line) = lines.recv().await {
            write_line(&mut log, &line);
            if NEWS.iter().any(|verb| line.starts_with(verb)) {
                (self.progress)(&line);
            }
            output.push_str(&line);
            output.push('\n');
        }
        let status = child.wait().await?;
        group.ended();
        Ok(Outcome { status, output })
    }
}

/// Writes a line of our own into the log of a preparation.
pub fn note(log: &Path, line: &str) {
    if let Ok(mut log) = File::options().append(true).create(true).open(log) {
        write_line(&mut log, line);
    }
}

/// A line of an installer's that may say why it failed, without what it is decorated with.
pub fn told(line: &str) -> Option<&str> {
    let bare = line.trim_start_matches([' ', '×', '╰', '─', '▶', '├', '│']);
    let idle = [
        "Using Python ",
        "Using CPython ",
        "Creating virtual environment",
    ];
    let news = NEWS
        .iter()
        .chain(&idle)
        .any(|begin| bare.starts_with(begin));
    (!bare.trim().is_empty() && !news).then_some(bare.trim_end())
}

fn write_line(log: &mut File, line: &str) {
    use std::io::Write;
    // The log is for people; a full disk shows itself where it matters.
    let _ = writeln!(log, "{line}");
}

fn forward(stream: Option<impl AsyncRead + Send + Unpin + 'static>, to: mpsc::Sender<String>) {
    let Some(stream) = stream else { return };
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while reader
            .read_until(b'\n', &mut line)
            .await
            .is_ok_and(|read| read > 0)
        {
            let text = String::from_utf8_lossy(&line);
            // A carriage return overwrites what was there before.
            let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
            if to.send(text.to_owned()).await.is_err() {
                break;
            }
            line.clear();
        }
    });
}

/// Kills a process group when dropped before it has ended.
struct Group(Option<i32>);

impl Group {
    fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(id) = self.0 {
            let _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::told;

    #[test]
    fn what_an_installer_was_doing_is_left_out_of_why_it_failed() {
        let output = "\
Using Python 3.11.7 environment at: /home/environments/ab
Resolved 3 packages in 10ms
  × No solution found when resolving dependencies:
  ╰─▶ Because no-such was not found in the package registry and you require
      no-such, we can conclude that your requirements are unsatisfiable.

";
        let lines: Vec<&str> = output.lines().filter_map(told).collect();
        let expected = [
            "No solution found when resolving dependencies:",
            "Because no-such was not found in the package registry and you require",
            "no-such, we can conclude that your requirements are unsatisfiable.",
        ];
        assert_eq!(lines, expected);
    }
}
