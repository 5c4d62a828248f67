//! Errors as `az` says them: `ERROR: …` on stderr, and the exit codes that scripts know.

use std::{io::Write as _, process::ExitCode};

use anstyle::AnsiColor;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{
    grammar::{Flag, Verb},
    hint,
};
use crate::error::{ENDPOINT_FAILED, Exit, RUN_CANCELED, RUN_FAILED, SCRIPT_FAILED};
use api::{Code, Error, names};

/// The command line is wrong.
pub const USAGE: u8 = 2;
/// What was asked for is not there.
const NOT_FOUND: u8 = 3;

/// Says what is wrong with a command line, and how to find out more.
pub fn usage(message: &str, help: &str) -> ExitCode {
    write(message, &[format!("To learn more: {help} --help")]);
    ExitCode::from(USAGE)
}

/// Says why a command failed, with its hints.
pub fn report(error: &anyhow::Error) -> ExitCode {
    let known = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Error>());
    let own = error.downcast_ref().map(|Exit(code)| *code);
    match (own, known) {
        (Some(code), None) => return ExitCode::from(own_code(code)),
        (_, Some(known)) => {
            for error in std::iter::once(known).chain(&known.others) {
                write(&error.to_string(), &error.hints);
            }
        }
        (None, None) => write(&format!("{error:#}"), &[]),
    }
    let code = known.map_or(1, exit_code);
    ExitCode::from(own.map_or(code, own_code))
}

/// What became of what was waited for is no more than whether it worked.
fn own_code(code: u8) -> u8 {
    match code {
        RUN_FAILED | RUN_CANCELED | ENDPOINT_FAILED | SCRIPT_FAILED => 1,
        code => code,
    }
}

fn exit_code(error: &Error) -> u8 {
    match error.code {
        Code::NotFound => NOT_FOUND,
        Code::Invalid if is_usage(&error.message) => USAGE,
        _ => 1,
    }
}

/// Whether an error is about the command line itself.
fn is_usage(message: &str) -> bool {
    [
        "the following arguments are required",
        "argument --",
        "ambiguous option",
    ]
    .iter()
    .any(|begin| message.starts_with(begin))
}

/// What clap says of a command line, in the words of `az`.
pub fn parser(error: &clap::Error, verb: &Verb) -> String {
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        _ => Vec::new(),
    };
    let shown = |argument: &String| {
        let long = argument
            .split([' ', '=', '<', '['])
            .next()
            .unwrap_or(argument);
        let found = verb.all_flags().find(|flag| {
            long.strip_prefix("--") == Some(flag.long) || format!("<{}>", flag.long) == *argument
        });
        found.map_or_else(|| argument.clone(), Flag::shown)
    };
    let arguments: Vec<String> = context(ContextKind::InvalidArg).iter().map(shown).collect();
    let arguments = arguments.join(", ");
    match error.kind() {
        ErrorKind::MissingRequiredArgument => {
            format!("the following arguments are required: {arguments}")
        }
        ErrorKind::UnknownArgument => {
            let given = context(ContextKind::InvalidArg).concat();
            let longs = verb.all_flags().map(|flag| flag.long);
            let nearest = names::nearest(given.trim_start_matches('-'), longs);
            let nearest = nearest.map(|long| format!(" (did you mean --{long}?)"));
            format!(
                "unrecognized arguments: {given}{}",
                nearest.unwrap_or_default()
            )
        }
        ErrorKind::ArgumentConflict => {
            let prior = context(ContextKind::PriorArg)
                .iter()
                .map(shown)
                .collect::<Vec<_>>();
            format!(
                "argument {arguments}: not allowed with argument {}",
                prior.join(", ")
            )
        }
        ErrorKind::InvalidValue => {
            let value = context(ContextKind::InvalidValue).concat();
            let choices = context(ContextKind::ValidValue);
            if choices.is_empty() {
                return format!("argument {arguments}: expected one argument");
            }
            format!(
                "argument {arguments}: '{value}' is not a valid value. Allowed values: {}.",
                choices.join(", ")
            )
        }
        ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues | ErrorKind::NoEquals => {
            format!("argument {arguments}: expected one argument")
        }
        _ => error
            .to_string()
            .trim_start_matches("error: ")
            .trim_end()
            .to_owned(),
    }
}

fn write(message: &str, hints: &[String]) {
    let red = AnsiColor::Red.on_default();
    // Several findings in one text have their hints in it.
    let line = |line: &str| match line.strip_prefix("help: ") {
        Some(help) => format!("help: {}", hint::as_called(help)),
        None => line.to_owned(),
    };
    let message: Vec<String> = message.split('\n').map(line).collect();
    let mut text = format!("{red}ERROR: {}{red:#}\n", message.join("\n"));
    for hint in hints {
        text.push_str(&hint::as_called(hint));
        text.push('\n');
    }
    let _ = anstream::AutoStream::auto(std::io::stderr()).write_all(text.as_bytes());
}
