//! Secrets that are asked for on the terminal.

use std::{
    fs::{File, OpenOptions},
    io,
};

use nix::sys::{
    signal::{SigSet, Signal},
    termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios},
};

use super::error::{Exit, INTERRUPTED};
use api::Error;

/// Asks for a secret on the terminal, without showing it. On ctrl-C the command ends, with the
/// terminal as it was before.
pub fn ask_hidden(prompt: &str) -> anyhow::Result<String> {
    let silent = Silent::new();
    let answer = silent.and_then(|_silent| rpassword::prompt_password(prompt));
    match answer {
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
/// it, and `rpassword` goes silent only after it has printed. It also signals a ctrl-C before it has
/// made the terminal as it was.
struct Silent {
    terminal: File,
    before: Termios,
    held_back: SigSet,
}

impl Silent {
    fn new() -> io::Result<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
        let before = termios::tcgetattr(&terminal)?;
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
}

impl Drop for Silent {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.terminal, SetArg::TCSANOW, &self.before);
        let _ = self.held_back.thread_unblock();
    }
}
