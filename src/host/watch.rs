//! The small process between the host and the scoring process: whatever happens to the host, the
//! scoring process does not outlive it.
//!
//! It holds the read end of a pipe whose other end is the host's, and ends the scoring process with
//! its children when the pipe closes. A byte in the pipe says how many seconds that may take. It has no
//! state of its own.

use std::{
    io::{self, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::resource::{Resource, getrlimit, setrlimit},
    sys::signal::{SigSet, Signal, killpg},
    unistd::{Pid, setsid},
};

use super::{apart::Apart, front::now, logs};
use executor::redact::Redactor;

/// How long the scoring process may take to answer what it has begun, where the host does not say.
const GRACE: Duration = Duration::from_secs(10);

/// Files that a process may open before it asks for more, as it is usual.
const FILES: u64 = 1024;

/// How long it may take until the last of what it wrote is in its log; what it has left running in
/// another session may write for ever.
const LAST_WORDS: Duration = Duration::from_secs(1);

enum News {
    /// The pipe closed: the host wants an end within this time, or has met its own.
    HostGone(Duration),
    Ended(u8),
}

/// Runs `command` until it ends or stdin closes, and answers its exit code: 128 and the number of the
/// signal when it was killed. What it writes is passed on into `log`, without the `secrets`. It may be kept
/// apart.
pub fn watch(
    command: &[String],
    log: &Path,
    apart: Option<&Apart>,
    secrets: &[String],
) -> io::Result<u8> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "No command"));
    };
    // The host has as many as it can get; what goes by the number of files has too much of it then.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, FILES.min(hard), hard);
    }
    // No terminal can reach it any more. It fails when this leads a group already, which is as good.
    let _ = setsid();
    let (output, written) = io::pipe()?;
    let (passed_on, all_is_passed_on) = mpsc::channel();
    let log = log.to_owned();
    let redactor = Redactor::new(secrets);
    // A thread that was there before may still open the log.
    thread::spawn(move || {
        let done = logs::pass_on(output, redactor, &log);
        let _ = passed_on.send(done);
    });
    match apart.map(Apart::keep) {
        None | Some(Ok(true)) => {}
        Some(Ok(false)) => say("this kernel has no Landlock"),
        Some(Err(error)) => say(&error.to_string()),
    }
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(written.try_clone()?)
        .stderr(written)
        .process_group(0)
        .spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
    // Only the pipe counts: a stray signal must not part the two.
    let _ = SigSet::from_iter([Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]).thread_block();
    let (sender, news) = mpsc::channel();
    let host = sender.clone();
    thread::spawn(move || {
        let mut said = Vec::new();
        let _ = io::stdin().read_to_end(&mut said);
        let seconds = said.first().map(|seconds| u64::from(*seconds));
        let _ = host.send(News::HostGone(seconds.map_or(GRACE, Duration::from_secs)));
    });
    thread::spawn(move || {
        let status = child.wait();
        let code = status.map_or(1, |status| match (status.code(), status.signal()) {
            (Some(code), _) => code,
            (None, signal) => 128 + signal.unwrap_or(0),
        });
        let _ = sender.send(News::Ended(u8::try_from(code).unwrap_or(u8::MAX)));
    });
    let code = match news.recv() {
        Ok(News::Ended(code)) => code,
        told => {
            let grace = match told {
                Ok(News::HostGone(grace)) => grace,
                _ => GRACE,
            };
            let _ = killpg(group, Signal::SIGTERM);
            ended_within(&news, grace).unwrap_or(128 + 9)
        }
    };
    // What it has left behind in its group.
    let _ = killpg(group, Signal::SIGKILL);
    let _ = all_is_passed_on.recv_timeout(LAST_WORDS);
    Ok(code)
}

/// In the log of what is served.
fn say(why: &str) {
    let line = format!(
        "{} W watch - Other endpoints' files can be read here: {why}\n",
        now()
    );
    let _ = io::stderr().write_all(line.as_bytes());
}

fn ended_within(news: &mpsc::Receiver<News>, most: Duration) -> Option<u8> {
    let asked = Instant::now();
    while let Some(left) = most.checked_sub(asked.elapsed()) {
        match news.recv_timeout(left) {
            Ok(News::Ended(code)) => return Some(code),
            Ok(News::HostGone(_)) => {}
            Err(_) => return None,
        }
    }
    None
}
