//! `aml`: the Azure Machine Learning workspace in one binary.
//!
//! Parses the command line, runs the command, prints the error and its hints, chooses the exit code.

mod api;
mod cli;
mod client;
mod config;
mod courier;
mod exchange;
mod executor;
mod host;
mod protocols;
mod server;
mod service;
mod spec;
mod store;
mod wiring;
mod worker;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
