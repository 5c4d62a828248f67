//! Questions that are answered with yes or no.

use std::{
    io::{self, BufRead},
    process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use tokio::signal::unix::{SignalKind, signal};

use super::error::INTERRUPTED;

/// The line that is typed when `ask` has asked. On ctrl-C the command ends, after `last_words`.
pub fn answer(
    ask: impl FnOnce(),
    last_words: impl FnOnce() + Send + 'static,
) -> io::Result<String> {
    let asking = end_on_ctrl_c(last_words)?;
    ask();
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    if !asking.swap(false, Ordering::Relaxed) {
        // The command is ending, and has said that nothing was done.
        loop {
            thread::park();
        }
    }
    read.map(|_| answer)
}

/// Ends the command at ctrl-C with its exit code, from now on, because the handler of a signal stays; with
/// last words as long as what is answered is true. Returns when it listens.
#[expect(
    clippy::exit,
    reason = "the thread that reads the answer cannot be told"
)]
fn end_on_ctrl_c(last_words: impl FnOnce() + Send + 'static) -> io::Result<Arc<AtomicBool>> {
    let asking = Arc::new(AtomicBool::new(true));
    let asks = asking.clone();
    let (listens, is_listening) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => return drop(listens.send(Err(e))),
        };
        runtime.block_on(async {
            let mut interrupt = match signal(SignalKind::interrupt()) {
                Ok(interrupt) => interrupt,
                Err(e) => return drop(listens.send(Err(e))),
            };
            let _ = listens.send(Ok(()));
            if interrupt.recv().await.is_some() {
                if asks.swap(false, Ordering::Relaxed) {
                    last_words();
                }
                process::exit(INTERRUPTED.into());
            }
        });
    });
    is_listening
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("nothing listens to signals")))?;
    Ok(asking)
}
