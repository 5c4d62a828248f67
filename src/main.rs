//! `aml`: the Azure Machine Learning workspace in one binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    amlite::main()
}
