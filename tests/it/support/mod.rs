//! What every test needs: the binary in an environment of its own, processes, external components.

mod aml;
pub mod components;
pub mod http;
mod operations;
mod output;
mod process;
mod tree;
mod words;

use std::time::{Duration, Instant};

pub use aml::{Aml, each_mode, each_mode_with};
pub use operations::{Operation, operations};
pub use output::Output;
pub use process::{Process, kill_others};
pub use tree::{root, rust_files, texts};
pub use words::Words;

/// Asks again until there is an answer, and fails with what was waited for when there is none in time.
#[track_caller]
pub fn eventually<T>(what: &str, seconds: u64, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut pause = Duration::from_millis(5);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}
