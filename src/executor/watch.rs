//! Watching a command that was started, until nothing is left of it.

use std::{
    os::unix::process::ExitStatusExt,
    process::ExitStatus,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        signal::Signal,
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::Pid,
};
use tokio::signal::unix::{self, SignalKind};

use super::{
    process_table::{self, peak_of},
    supervisor::{Exit, Stopped, family},
};
use api::{Error, Result, runs::Usage};

/// From being asked to stop to being killed.
const GRACE: Duration = Duration::from_secs(10);
/// What a command leaves running when it ends may finish in this time.
const LEFTOVER_GRACE: Duration = Duration::from_secs(1);
/// How often what is to be killed is killed.
const AGAIN: Duration = Duration::from_millis(50);
/// How often memory is looked at; rarer when looking takes long.
pub(super) const SAMPLE: Duration = Duration::from_secs(1);
/// At first more often: a command that soon ends is seen too.
const FIRST_SAMPLE: Duration = Duration::from_millis(50);
/// By so much the two ways in which the kernel tells a peak may differ.
const VAGUE: u64 = 1 << 20;

/// Signals this process listens to. They are not blocked: the command would inherit that.
pub(super) struct Signals {
    child: unix::Signal,
    stop: [unix::Signal; 3],
}

impl Signals {
    pub fn listen() -> Result<Self> {
        let listen = |kind| {
            unix::signal(kind).map_err(|e| Error::internal(format!("Cannot wait for signals: {e}")))
        };
        Ok(Self {
            child: listen(SignalKind::child())?,
            stop: [
                listen(SignalKind::terminate())?,
                listen(SignalKind::interrupt())?,
                listen(SignalKind::hangup())?,
            ],
        })
    }

    /// Waits for a signal; whether it asks to stop.
    pub async fn ask_to_stop(&mut self) -> bool {
        let [terminate, interrupt, hangup] = &mut self.stop;
        tokio::select! {
            _ = self.child.recv() => false,
            _ = terminate.recv() => true,
            _ = interrupt.recv() => true,
            _ = hangup.recv() => true,
        }
    }
}

/// A command that runs.
pub(super) struct Watch {
    /// Processes of the command that have not ended.
    children: Vec<Pid>,
    /// How the command itself ended: as the first process that failed, else as the last one.
    status: Option<ExitStatus>,
    deadline: Option<Instant>,
    stopped: Option<Stopped>,
    /// When what is left will be killed.
    kill_at: Option<Instant>,
    sample_at: Instant,
    sample_after: Duration,
    /// What the kernel charges to a process that this one starts: it counts the memory of who starts a
    /// program as the program's own. A peak up to here says nothing.
    charged: u64,
    usage: Usage,
}

impl Watch {
    pub fn new(children: Vec<Pid>, timeout_seconds: Option<u64>) -> Self {
        let now = Instant::now();
        let timeout = timeout_seconds.map(Duration::from_secs);
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let peak = children.iter().map(|child| peak_of(child.as_raw()));
        let peak = peak.max().unwrap_or_default();
        Self {
            children,
            status: None,
            deadline: timeout.and_then(|timeout| now.checked_add(timeout)),
            stopped: None,
            kill_at: None,
            sample_at: now + FIRST_SAMPLE,
            sample_after: FIRST_SAMPLE,
            charged: peak_of(own) + VAGUE,
            usage: Usage {
                cpu_seconds: 0.0,
                peak_memory: peak,
            },
        }
    }

    pub async fn until_ended(mut self, signals: &mut Signals) -> Exit {
        loop {
            let alone = self.reap();
            if self.status.is_some() {
                if alone {
                    return self.exit();
                }
                self.stop_leftovers();
            }
            self.look_at_the_clock();
            tokio::select! {
                asked = signals.ask_to_stop() => if asked {
                    self.stop(Stopped::Asked);
                },
                () = tokio::time::sleep_until(self.next().into()) => {}
            }
        }
    }

    /// Kills what was started of a command that cannot run, until nothing is left.
    pub async fn kill_all(mut self, signals: &mut Signals) {
        while !self.reap() {
            process_table::signal_all(&family(), Signal::SIGKILL);
            tokio::select! {
                _ = signals.ask_to_stop() => {}
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }

    /// When there is something to do even if no signal comes.
    fn next(&self) -> Instant {
        let times = [self.deadline, self.kill_at].into_iter().flatten();
        times.fold(self.sample_at, Instant::min)
    }

    /// Takes in what has ended; whether nothing is left.
    fn reap(&mut self) -> bool {
        let any = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        loop {
            match waitid(Id::All, any) {
                Ok(WaitStatus::StillAlive) => return false,
                Ok(status) => {
                    if let Some(pid) = status.pid() {
                        self.take_in(pid);
                    }
                }
                Err(Errno::ECHILD) => return true,
                Err(Errno::EINTR) => {}
                // The signal that ended it has no name, as those for real time.
                Err(_) => {
                    let ended = process_table::ended_children(std::process::id());
                    if ended.is_empty() {
                        return false;
                    }
                    for pid in ended {
                        self.take_in(pid);
                    }
                }
            }
        }
    }

    fn take_in(&mut self, pid: Pid) {
        let Ok(Some(ended)) = wait4::try_wait4_pid(pid.as_raw().unsigned_abs()) else {
            return;
        };
        // With all that it has waited for itself.
        let used = ended.rusage;
        self.usage.cpu_seconds += (used.utime + used.stime).as_secs_f64();
        let started_here = self.children.iter().position(|child| *child == pid);
        if started_here.is_none() || used.maxrss > self.charged {
            self.usage.peak_memory = self.usage.peak_memory.max(used.maxrss);
        }
        if let Some(at) = started_here {
            self.children.swap_remove(at);
            let status = ended.status;
            if self.status.is_none() && (!status.success() || self.children.is_empty()) {
                self.status = Some(status);
            }
        }
    }

    fn stop(&mut self, why: Stopped) {
        if self.stopped.is_none() && self.status.is_none() {
            self.stopped = Some(why);
            self.ask_to_end(GRACE);
        }
    }

    /// The command has ended; what it left in the background ends with it.
    fn stop_leftovers(&mut self) {
        if self.kill_at.is_none() {
            self.ask_to_end(LEFTOVER_GRACE);
        }
    }

    fn ask_to_end(&mut self, grace: Duration) {
        process_table::signal_all(&family(), Signal::SIGTERM);
        self.kill_at = Some(Instant::now() + grace);
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.deadline = None;
            self.stop(Stopped::Timeout);
        }
        if self.kill_at.is_some_and(|at| at <= now) {
            process_table::signal_all(&family(), Signal::SIGKILL);
            self.kill_at = Some(now + AGAIN);
        }
        if self.sample_at <= now {
            let family = family();
            let peaks = family.iter().map(|entry| peak_of(entry.pid));
            let resident = process_table::resident_bytes(&family);
            self.usage.peak_memory = peaks.fold(self.usage.peak_memory.max(resident), u64::max);
            self.sample_after = SAMPLE.min(self.sample_after * 2);
            self.sample_at = now + self.sample_after.max(now.elapsed() * 200);
        }
    }

    fn exit(self) -> Exit {
        Exit {
            code: self.status.and_then(|status| status.code()),
            signal: self.status.and_then(|status| status.signal()),
            usage: self.usage,
            stopped: self.stopped,
            not_started: None,
            disk_full: false,
            out_of_memory: false,
        }
    }
}
