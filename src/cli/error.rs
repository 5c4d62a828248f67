//! How an error is printed and which exit code it gives.

use std::{any::TypeId, fmt::Write as _, io::Write as _, num::IntErrorKind, process::ExitCode};

use anstyle::AnsiColor;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::{args::Hidden, paste::Paste};
use api::{Code, Error, names};

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

/// The answer to a question was no.
pub const DECLINED: u8 = 1;

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
/// The scoring script of an endpoint raised, or refused the document.
pub const SCRIPT_FAILED: u8 = 14;
/// An endpoint that was deployed or started did not come to answer.
pub const ENDPOINT_FAILED: u8 = 12;

/// A monitor has found what is beyond a threshold.
pub const DRIFTED: u8 = 15;

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

/// Changes the error that a command ended with; an exit code of its own stays.
pub fn amend(error: anyhow::Error, change: impl FnOnce(Error) -> Error) -> anyhow::Error {
    let own = error.downcast_ref().map(|Exit(code)| *code);
    let changed = error.downcast::<Error>().map(|known| change(known).into());
    match (changed, own) {
        (Ok(changed), Some(code)) => anyhow::Error::context(changed, Exit(code)),
        (Ok(changed), None) => changed,
        (Err(other), _) => other,
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
        (Some(_), Some(known)) => said(known),
        (None, Some(known)) if error.chain().len() == 1 => said(known),
        (None, _) => format!("{error:#}"),
    };
    let red = AnsiColor::Red.on_default().bold();
    let cyan = AnsiColor::Cyan.on_default().bold();
    let mut text = format!("{red}Error:{red:#} {}\n", with_hints(&shown, paste));
    let advise = |text: &mut String, error: &Error| {
        for hint in &error.hints {
            let _ = writeln!(text, "{cyan}Hint:{cyan:#} {}", paste.text(hint));
        }
    };
    if let Some(known) = known {
        advise(&mut text, known);
        for other in &known.others {
            let _ = writeln!(text, "{red}Error:{red:#} {other}");
            advise(&mut text, other);
        }
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

/// An error that quotes another one with its hints: they are the user's to paste, too.
fn with_hints(shown: &str, paste: &Paste) -> String {
    let cyan = AnsiColor::Cyan.on_default().bold();
    let line = |line: &str| match line.strip_prefix("Hint: ") {
        Some(hint) => format!("{cyan}Hint:{cyan:#} {}", paste.text(hint)),
        None => line.to_owned(),
    };
    shown.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// An error as people read it: a field that the sentence names is not said twice.
fn said(error: &Error) -> String {
    let is_field = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    match &error.target {
        Some(field) if is_field(field) => {
            let mut words = error
                .message
                .split(|c: char| !c.is_alphanumeric() && c != '_');
            if words.any(|word| word == field) {
                error.message.clone()
            } else {
                error.to_string()
            }
        }
        _ => error.to_string(),
    }
}

/// Prints what clap says of a command line; help and version are no errors.
pub fn usage(error: clap::Error) -> ExitCode {
    let mut error = in_words(error);
    advise(&mut error);
    let _ = error.print();
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(exit_code(Code::Invalid)),
    }
}

/// The error of a number that cannot be taken says which can.
fn in_words(error: clap::Error) -> clap::Error {
    let (
        ErrorKind::ValueValidation,
        Some(ContextValue::String(arg)),
        Some(ContextValue::String(value)),
    ) = (
        error.kind(),
        error.get(ContextKind::InvalidArg),
        error.get(ContextKind::InvalidValue),
    )
    else {
        return error;
    };
    let why = std::error::Error::source(&error).map(ToString::to_string);
    let Some(range) = why.and_then(|why| numbers(&why, value)) else {
        return error;
    };
    let message = format!(
        "invalid value '{value}' for '{arg}': it takes {range}\n\nFor more information, try '--help'.\n"
    );
    clap::Error::raw(ErrorKind::ValueValidation, message)
}

/// The first and last number of the types of arguments.
const WHOLE: [(i128, i128); 3] = [
    (0, u64::MAX as i128),
    (i64::MIN as i128, i64::MAX as i128),
    (0, u32::MAX as i128),
];

/// Which numbers an argument takes, by what its parser says of a value.
fn numbers(why: &str, value: &str) -> Option<String> {
    if let Some((from, to)) = range_in(why) {
        return Some(in_range(from, to, value));
    }
    let whole = [
        "invalid digit found",
        "number too large",
        "number too small",
        "empty string",
    ];
    if whole.iter().any(|begin| why.contains(begin)) {
        return Some(of_another(value).unwrap_or_else(|| "a whole number".to_owned()));
    }
    why.contains("float literal").then(|| "a number".to_owned())
}

/// The numbers from one to another. The end of a type is said to who has passed it; nobody else means it.
fn in_range(from: i128, to: i128, value: &str) -> String {
    let is_end = WHOLE.iter().any(|(_, largest)| *largest == to);
    let passed = match value.parse::<i128>() {
        Ok(number) => number > to || (from < 0 && number < from),
        Err(error) => match error.kind() {
            IntErrorKind::PosOverflow => true,
            IntErrorKind::NegOverflow => from < 0,
            _ => false,
        },
    };
    if !is_end || passed {
        format!("a whole number from {from} to {to}")
    } else if from < 0 {
        "a whole number".to_owned()
    } else {
        format!("a whole number of at least {from}")
    }
}

/// Which numbers an argument takes, by what is said of other values: a number that none of them takes
/// tells the range of some, the ends of the types the others.
fn of_another(value: &str) -> Option<String> {
    let least = i64::MIN.to_string();
    let told = refused(value, &least).and_then(|why| range_in(&why));
    let takes = |number: i128| refused(value, &number.to_string()).is_none();
    let tried = || {
        let mut types = WHOLE.into_iter();
        types.find(|(from, to)| takes(*from) && takes(*to))
    };
    let (from, to) = told.or_else(tried)?;
    Some(in_range(from, to, value))
}

/// The first and last number that a parser says it takes.
fn range_in(why: &str) -> Option<(i128, i128)> {
    let (_, range) = why.split_once(" is not in ")?;
    let (from, to) = range.split_once("..=")?;
    Some((from.parse().ok()?, to.parse().ok()?))
}

/// What is said of another value in this process's line, if it is not taken.
fn refused(value: &str, other: &str) -> Option<String> {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.into_string().ok())
        .collect::<Option<_>>()?;
    let replaced = words
        .into_iter()
        .map(|word| match word.strip_suffix(value) {
            Some(before) if before.is_empty() || before.ends_with('=') || before.len() == 2 => {
                format!("{before}{other}")
            }
            _ => word,
        });
    let error = super::command().try_get_matches_from(replaced).err()?;
    let about = |value: &ContextValue| value.to_string() == other;
    if !error.get(ContextKind::InvalidValue).is_some_and(about) {
        return None;
    }
    Some(std::error::Error::source(&error)?.to_string())
}

/// Adds a tip where a command of the user's stands without the `--` before it, and the nearest
/// command where clap finds none.
fn advise(error: &mut clap::Error) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let usage = match error.get(ContextKind::Usage) {
        Some(ContextValue::StyledStr(usage)) => usage.to_string(),
        _ => String::new(),
    };
    let hints = std::error::Error::source(error).and_then(|own| own.downcast_ref::<Error>());
    if let Some(own) = hints {
        let tips = own.hints.iter().map(|hint| hint.clone().into()).collect();
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(tips));
        return;
    }
    let tip = match error.kind() {
        ErrorKind::UnknownArgument if usage.contains("-- ") => text(ContextKind::InvalidArg)
            .filter(|word| !word.starts_with('-'))
            .map(|word| format!("the command goes after `--`: -- {word} …")),
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            text(ContextKind::InvalidSubcommand).map(|word| other_commands(&word))
        }
        _ => None,
    };
    let tip = tip.or_else(|| match error.kind() {
        ErrorKind::UnknownArgument => {
            text(ContextKind::InvalidArg).and_then(|word| other_way(&word))
        }
        _ => None,
    });
    if matches!(error.get(ContextKind::Suggested), Some(ContextValue::StyledStrs(tips))
        if tips.iter().any(|tip| tip.to_string().starts_with("to pass ")))
    {
        // That no one means.
        error.remove(ContextKind::Suggested);
    }
    if let Some(tip) = tip {
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
    }
}

/// How a name is given to the command on this process's line, when it was given the other way: by
/// itself, or as `--name`.
fn other_way(word: &str) -> Option<String> {
    let root = super::command();
    let at = command_before(&root, word);
    let by_option = at.get_arguments().any(|arg| arg.get_long() == Some("name"));
    let is_secret = |arg: &clap::Arg| arg.get_value_parser().type_id() == TypeId::of::<Hidden>();
    let by_value = at
        .get_arguments()
        .any(|arg| arg.get_long() == Some("value") && is_secret(arg));
    let by_itself = at.get_positionals().next().and_then(|arg| {
        let names = arg.get_value_names().unwrap_or_default();
        names.first().map(ToString::to_string)
    });
    match (word, by_itself) {
        ("-n" | "--name", Some(name)) => Some(format!("it is named without an option: {name}")),
        (word, Some(_)) if by_value && !word.starts_with('-') => {
            Some("the value is given on stdin, or by an option".to_owned())
        }
        (word, None) if by_option && !word.starts_with('-') => {
            Some(format!("it is named by an option: --name {word}"))
        }
        _ => None,
    }
}

/// Whether what was asked for is not there.
pub fn is_not_found(error: &anyhow::Error) -> bool {
    let known = error.downcast_ref::<Error>();
    known.is_some_and(|error| error.code == Code::NotFound)
}

/// The command that `word` was given to on this process's line.
fn command_before<'a>(root: &'a clap::Command, word: &str) -> &'a clap::Command {
    let before = std::env::args_os().skip(1).take_while(|arg| arg != word);
    before.fold(root, |at, arg| at.find_subcommand(arg).unwrap_or(at))
}

/// The commands that may be meant by `word` where it stands on this process's command line.
fn other_commands(word: &str) -> String {
    let root = super::command();
    let at = command_before(&root, word);
    let known = at.get_subcommands().filter(|known| !known.is_hide_set());
    let known: Vec<&str> = known.map(clap::Command::get_name).collect();
    match names::nearest(word, known.iter().copied()) {
        Some(near) => format!("a similar subcommand exists: '{near}'"),
        None => format!("there are: {}", known.join(", ")),
    }
}
