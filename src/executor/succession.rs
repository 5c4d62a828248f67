//! Who takes over from the process that started a supervisor and was killed: what the command says
//! while it runs would be heard by nobody.

use std::{io, os::unix::process::CommandExt, process::Command, time::Duration};

use nix::{
    libc::SIGCHLD,
    sched::{CloneFlags, clone},
    unistd::setsid,
};

/// How often it is looked whether a successor is needed; at most after how long where those that are
/// started do not come up.
const LOOK: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));
/// Not all supervisors look at once.
const APART: u32 = 500;
/// Those of one worker have numbers beside each other.
const SPREAD: u32 = 61;
/// Room on the stack for starting a program.
const STACK: usize = 256 << 10;

/// The one after the process that was killed.
pub struct Successor {
    /// Whether nobody is there who should be.
    pub is_missing: Box<dyn Fn() -> bool + Send + Sync>,
    /// How one is started. It leaves when another was faster.
    pub program: Box<dyn Fn() -> io::Result<Command> + Send + Sync>,
}

impl Successor {
    /// Starts one whenever there is none, for as long as this is waited for. What limits the command is
    /// `lifted` meanwhile.
    pub async fn keep(&self, lifted: impl Fn(&mut dyn FnMut())) {
        let apart =
            Duration::from_millis(u64::from(std::process::id().wrapping_mul(SPREAD) % APART));
        let mut pause = LOOK.0;
        loop {
            tokio::time::sleep(pause + apart).await;
            if (self.is_missing)() {
                // The next look tells whether it came up.
                lifted(&mut || drop((self.program)().and_then(start_beside)));
                pause = (pause * 2).min(LOOK.1);
            } else {
                pause = LOOK.0;
            }
        }
    }
}

/// Starts a program that does not descend from this process, in a session of its own: what descends from a
/// supervisor ends with its command.
#[expect(
    unsafe_code,
    reason = "no safe function makes a process that is not a child"
)]
fn start_beside(mut program: Command) -> io::Result<()> {
    let mut stack = vec![0; STACK];
    let run = || {
        let _ = setsid();
        // Returns only when it could not be started.
        let _ = program.exec();
        127
    };
    // SAFETY: the new process has a copy of this one's memory, in which nothing is half changed: the
    // supervisor has one thread, and that is here. The stack has room for what `exec` needs.
    let started = unsafe {
        clone(
            Box::new(run),
            &mut stack,
            CloneFlags::CLONE_PARENT,
            Some(SIGCHLD),
        )
    };
    Ok(started.map(drop)?)
}
