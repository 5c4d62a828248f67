//! `aml`: the Azure Machine Learning workspace in one binary.
//!
//! Parses the command line, runs the command, prints the error and its hints, chooses the exit code.

mod cli;
mod config;
mod courier;
mod exchange;
mod executor;
mod host;
mod server;
mod wiring;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
