//! The command of `aml mlflow`: it gets the signals that were meant for it, and its exit code is ours.

use std::{
    collections::BTreeMap, fs::File, io, os::unix::process::ExitStatusExt, process::ExitStatus,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::{Pid, getpgrp, tcgetpgrp},
};
use tokio::{
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    sync::mpsc,
};

use crate::error::{Exit, NO_PROGRAM, NOT_EXECUTABLE};
use api::{Error, Result};

/// Signals that end or tell a process something; those of job control work as they are.
const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

/// Signals to this process, none of which ends it any more.
pub struct Signals(mpsc::UnboundedReceiver<Signal>);

impl Signals {
    pub fn listen() -> Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for which in PASSED_ON {
            let mut stream = signal(SignalKind::from_raw(which as i32))
                .map_err(|e| Error::internal(format!("Cannot wait for signals: {e}")))?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && sender.send(which).is_ok() {}
            });
        }
        Ok(Self(receiver))
    }
}

/// Runs a command to its end. Variables without a value are taken away.
pub async fn run(
    command: &[String],
    variables: BTreeMap<&str, Option<String>>,
    mut signals: Signals,
) -> anyhow::Result<ExitStatus> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::invalid("There is no command").into());
    };
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in variables {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let mut child = command.spawn().map_err(|e| not_started(program, &e))?;
    loop {
        tokio::select! {
            ended = child.wait() => return Ok(ended?),
            Some(signal) = signals.0.recv() => pass_on(signal, &child),
        }
    }
}

/// What a terminal sends on a key goes to all processes in its foreground: the command has it then.
fn pass_on(signal: Signal, child: &Child) {
    let by_key = matches!(signal, Signal::SIGINT | Signal::SIGQUIT) && in_foreground();
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.filter(|_| !by_key) {
        // It may have ended this moment.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn in_foreground() -> bool {
    File::open("/dev/tty").is_ok_and(|terminal| tcgetpgrp(terminal) == Ok(getpgrp()))
}

/// A command that cannot be started, with the exit codes that shells have for it.
fn not_started(program: &str, error: &io::Error) -> anyhow::Error {
    let (code, reason) = match error.kind() {
        io::ErrorKind::NotFound => (NO_PROGRAM, "there is no such program".to_owned()),
        _ => (NOT_EXECUTABLE, error.to_string()),
    };
    let error = Error::not_found(format!("Cannot start `{program}`: {reason}"));
    anyhow::Error::new(error).context(Exit(code))
}

/// Ends this command as the other one ended.
pub fn conclude(ended: ExitStatus) -> anyhow::Result<()> {
    let code = match (ended.code(), ended.signal()) {
        (Some(0), _) => return Ok(()),
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    };
    Err(Exit(u8::try_from(code).unwrap_or(u8::MAX)).into())
}
