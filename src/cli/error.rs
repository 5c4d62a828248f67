//! How an error is printed and which exit code it gives.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use anstyle::AnsiColor;

use crate::api::{Code, Error};

/// Ends the command with an exit code of its own; what there is to say has been printed.
#[derive(Debug)]
pub struct Exit(pub u8);

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// A followed run failed.
pub const RUN_FAILED: u8 = 10;
/// A followed run was cancelled.
pub const RUN_CANCELED: u8 = 11;

/// Ctrl-C while following; the run goes on.
pub const INTERRUPTED: u8 = 130;

/// The exit codes, as documented in `docs/errors.md`.
pub fn exit_code(code: Code) -> u8 {
    match code {
        Code::Internal => 1,
        Code::Invalid => 2,
        Code::NotFound => 3,
        Code::Denied | Code::Unauthenticated => 4,
        Code::Conflict => 5,
        Code::Unavailable => 6,
        Code::Unsupported => 7,
    }
}

/// Prints an error with its causes and hints to stderr.
pub fn report(error: &anyhow::Error, no_color: bool) -> ExitCode {
    if let Some(Exit(code)) = error.downcast_ref() {
        return ExitCode::from(*code);
    }
    let known = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Error>());
    let red = AnsiColor::Red.on_default().bold();
    let cyan = AnsiColor::Cyan.on_default().bold();
    let mut text = format!("{red}Error:{red:#} {error:#}\n");
    for hint in known
        .map(|error| error.hints.as_slice())
        .unwrap_or_default()
    {
        let _ = writeln!(text, "{cyan}Hint:{cyan:#} {hint}");
    }
    let choice = if no_color {
        anstream::ColorChoice::Never
    } else {
        anstream::ColorChoice::Auto
    };
    let _ = anstream::AutoStream::new(std::io::stderr(), choice).write_all(text.as_bytes());
    ExitCode::from(known.map_or(1, |error| exit_code(error.code)))
}

/// Prints what clap says of a command line; help and version are no errors.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit_code(Code::Invalid)),
    }
}
