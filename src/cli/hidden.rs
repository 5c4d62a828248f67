//! Secrets that are asked for on the terminal.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    process,
    sync::mpsc,
    thread,
};

use nix::sys::{
    signal::{SigSet, Signal},
    termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios},
};
use tokio::signal::unix::{SignalKind, signal};

use super::error::{Exit, INTERRUPTED};
use api::Error;

/// Asks for a secret on the terminal, without showing it. On ctrl-C the command ends, with the
/// terminal as it was before; so it does when it is told to end by another signal.
pub fn ask_hidden(prompt: &str) -> anyhow::Result<String> {
    match Silent::new().and_then(|silent| silent.ask(prompt)) {
        Ok(answer) => Ok(answer),
        Err(e) if e.kind() == io::ErrorKind::Interrupted => Err(Exit(INTERRUPTED).into()),
        Err(e) => {
            Err(Error::invalid(format!("Nothing could be asked on the terminal: {e}")).into())
        }
    }
}

/// The terminal without echo, and ctrl-C held back; all is as before when it is dropped.
///
/// The question is printed into this silence: who pastes the answer the moment it appears must not see
/// it. `rpassword` only reads: were it to go silent as well, it could do so after a signal's handler
/// has made the terminal as it was. It signals a ctrl-C while the terminal is silent.
struct Silent {
    terminal: File,
    before: Termios,
    held_back: SigSet,
}

impl Silent {
    fn new() -> io::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = termios::tcgetattr(&terminal)?;
        restore_when_told_to_end(terminal.try_clone()?, before.clone())?;
        let mut silent = before.clone();
        silent
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ECHONL | LocalFlags::ICANON | LocalFlags::ISIG);
        silent.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        silent.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        let mut held_back = SigSet::empty();
        held_back.add(Signal::SIGINT);
        held_back.thread_block()?;
        let silence = Self {
            terminal,
            before,
            held_back,
        };
        termios::tcsetattr(&silence.terminal, SetArg::TCSANOW, &silent)?;
        Ok(silence)
    }

    fn ask(&self, question: &str) -> io::Result<String> {
        let config = rpassword::ConfigBuilder::new()
            .input_reader(self.terminal.try_clone()?)
            .output_writer(self.terminal.try_clone()?)
            .build();
        let answer = rpassword::prompt_password_with_config(question, config);
        // The end of the line that was typed, which nothing echoed.
        (&self.terminal).write_all(b"\n")?;
        answer
    }
}

/// Ends the command, with the terminal as it was, at a signal that would end it anyway; from now on,
/// because the handlers of signals stay. Returns when it listens.
#[expect(
    clippy::exit,
    reason = "the thread that asks cannot be told; without a handler the process would end as well"
)]
fn restore_when_told_to_end(terminal: File, before: Termios) -> io::Result<()> {
    let (listens, is_listening) = mpsc::channel();
    // On its own: whoever asks waits for an answer and does nothing else.
    thread::spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(e) => return drop(listens.send(Err(e))),
        };
        let told = runtime.block_on(told_to_end(&listens));
        if let Some(told) = told {
            let _ = termios::tcsetattr(&terminal, SetArg::TCSANOW, &before);
            process::exit(128 + told as i32);
        }
    });
    is_listening
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("nothing listens to signals")))
}

/// The signal that ends the command; none when none can be listened to.
async fn told_to_end(listens: &mpsc::Sender<io::Result<()>>) -> Option<Signal> {
    let streams = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::hangup())?)));
    let (mut terminate, mut hangup) = match streams {
        Ok(streams) => streams,
        Err(e) => {
            let _ = listens.send(Err(e));
            return None;
        }
    };
    let _ = listens.send(Ok(()));
    Some(tokio::select! {
        _ = terminate.recv() => Signal::SIGTERM,
        _ = hangup.recv() => Signal::SIGHUP,
    })
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
        let _ = self.held_back.thread_unblock();
    }
}
