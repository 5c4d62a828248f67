//! What is above the layers that are crates of their own, told apart from the program `aml`, so
//! that it is compiled while they still are optimised.

mod courier;
mod wiring;

use std::process::ExitCode;

/// Runs the command line of this process to its end and answers its exit code.
pub fn main() -> ExitCode {
    wiring::name_process();
    cli::main(&wiring::Wired)
}
