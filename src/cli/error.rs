//! How an error is printed and which exit code it gives.

use std::{fmt::Write as _, io::Write as _, process::ExitCode};

use anstyle::AnsiColor;

use super::paste::Paste;
use crate::api::{Code, Error};

/// Ends the command with an exit code of its own: with nothing more to say, or as the context of the
/// error that says it.
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

/// A command of the user's could not be found, or not be started, as shells say it.
pub const NO_PROGRAM: u8 = 127;
pub const NOT_EXECUTABLE: u8 = 126;

/// Ctrl-C while following; the run goes on.
pub const INTERRUPTED: u8 = 130;
/// An import or export left something out because of an error.
pub const IMPORT_INCOMPLETE: u8 = 13;
/// An endpoint that was deployed or started did not come to answer.
pub const ENDPOINT_FAILED: u8 = 12;

/// The exit codes, as documented in `docs/errors.md`.
pub fn exit_code(code: Code) -> u8 {
    match code {
        Code::Internal => 1,
        Code::Invalid => 2,
        Code::NotFound => 3,
        Code::Denied | Code::Unauthenticated => 4,
        Code::Conflict => 5,
        Code::Unavailable | Code::Full => 6,
        Code::Unsupported => 7,
    }
}

/// Prints an error with its causes and hints to stderr.
pub fn report(error: &anyhow::Error, paste: &Paste, no_color: bool) -> ExitCode {
    let known = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Error>());
    let own = error.downcast_ref().map(|Exit(code)| *code);
    let shown = match (own, known) {
        (Some(code), None) => return ExitCode::from(code),
        (Some(_), Some(known)) => known.to_string(),
        (None, _) => format!("{error:#}"),
    };
    let red = AnsiColor::Red.on_default().bold();
    let cyan = AnsiColor::Cyan.on_default().bold();
    let mut text = format!("{red}Error:{red:#} {shown}\n");
    for hint in known
        .map(|error| error.hints.as_slice())
        .unwrap_or_default()
    {
        let _ = writeln!(text, "{cyan}Hint:{cyan:#} {}", paste.text(hint));
    }
    let choice = if no_color {
        anstream::ColorChoice::Never
    } else {
        anstream::ColorChoice::Auto
    };
    let _ = anstream::AutoStream::new(std::io::stderr(), choice).write_all(text.as_bytes());
    let code = known.map_or(1, |error| exit_code(error.code));
    ExitCode::from(own.unwrap_or(code))
}

/// Prints what clap says of a command line; help and version are no errors.
pub fn usage(error: &clap::Error) -> ExitCode {
    let _ = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit_code(Code::Invalid)),
    }
}
