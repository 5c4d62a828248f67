//! Ctrl-C, wherever a command is. Once something has listened for it the system does not end the process
//! any more; so what comes while nothing listens ends it here.

use std::sync::{
    LazyLock, Once,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use super::error::INTERRUPTED;

/// How many listen now.
static LISTENING: AtomicUsize = AtomicUsize::new(0);
/// Somebody has heard it, and ends the command in its own way.
static HEARD: AtomicBool = AtomicBool::new(false);
static WATCHED: Once = Once::new();
/// How often it has come while somebody listened.
static CAME: LazyLock<watch::Sender<u32>> = LazyLock::new(|| watch::Sender::new(0));

/// Listens until it is dropped.
pub struct Listening(watch::Receiver<u32>);

impl Listening {
    pub fn begin() -> Self {
        LISTENING.fetch_add(1, Ordering::SeqCst);
        WATCHED.call_once(|| {
            if let Ok(interrupts) = signal(SignalKind::interrupt()) {
                tokio::spawn(watch(interrupts));
            }
        });
        Self(CAME.subscribe())
    }

    /// Whether it has come and was not waited for.
    fn missed(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// Waits for it.
    pub async fn interrupted(&mut self) {
        let _ = self.0.changed().await;
        HEARD.store(true, Ordering::SeqCst);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The only one that hears of the signal: so each one ends the process or is heard by those that listen.
async fn watch(mut interrupts: Signal) {
    while interrupts.recv().await.is_some() {
        end_if_listening(0);
        CAME.send_modify(|times| *times += 1);
    }
}

/// Ends the process when nothing listens but so many that do not wait.
#[expect(
    clippy::exit,
    reason = "the command cannot be told: nothing of it listens"
)]
fn end_if_listening(idle: usize) {
    if LISTENING.load(Ordering::SeqCst) == idle && !HEARD.load(Ordering::SeqCst) {
        std::process::exit(INTERRUPTED.into());
    }
}

/// Waits for ctrl-C. When it comes in the moment in which what goes on beside this is done, and the waiting
/// given up, the process ends as if nothing had listened.
pub async fn ctrl_c() {
    Waiting(Listening::begin()).0.interrupted().await;
}

struct Waiting(Listening);

impl Drop for Waiting {
    fn drop(&mut self) {
        if self.0.missed() {
            end_if_listening(1);
        }
    }
}
