//! Requirements files as pip reads them, and what one requirement may look like.

use std::{fs, io, path::Path};

use super::error_at;
use api::{Error, Result};

/// Options of a requirements file that mean the same on any machine.
const OPTIONS: [&str; 11] = [
    "-i",
    "--index-url",
    "--extra-index-url",
    "--no-index",
    "-f",
    "--find-links",
    "--no-binary",
    "--only-binary",
    "--prefer-binary",
    "--pre",
    "--trusted-host",
];
/// How deep files may include each other; beyond it they include themselves.
const DEPTH: usize = 16;

/// Reads a requirements file with the files it includes. A constraint travels as `-c REQUIREMENT`.
pub fn parse(content: &str, name: &str, path: &Path) -> Result<Vec<String>> {
    parse_with(content, name, path, &|path| fs::read_to_string(path))
}

/// The same with another way to read the files it includes.
pub fn parse_with(content: &str, name: &str, path: &Path, files: Files<'_>) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let kind = Include::Requirements;
    read(content, name, path, (kind, DEPTH, files), &mut lines)?;
    Ok(lines)
}

/// How included files are read.
pub type Files<'a> = &'a dyn Fn(&Path) -> io::Result<String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Include {
    Requirements,
    Constraints,
}

fn read(
    content: &str,
    name: &str,
    path: &Path,
    (kind, depth, files): (Include, usize, Files<'_>),
    lines: &mut Vec<String>,
) -> Result<()> {
    for (number, line) in logical_lines(content) {
        let problem = |message: String| error_at(name, number, message);
        if let Some((file, kind)) = included(&line, kind) {
            let below = path.with_file_name(file);
            let content =
                files(&below).map_err(|_| problem(format!("There is no file `{file}`")))?;
            if depth == 0 {
                return Err(problem(format!("`{file}` includes itself")));
            }
            read(&content, file, &below, (kind, depth - 1, files), lines)?;
        } else {
            check(&line).map_err(|error| Error {
                target: Some(format!("{name}:{number}")),
                ..error
            })?;
            lines.push(match kind {
                Include::Requirements => line,
                Include::Constraints => format!("-c {line}"),
            });
        }
    }
    Ok(())
}

/// The file a line includes, and as what.
fn included(line: &str, outer: Include) -> Option<(&str, Include)> {
    let of = |options: [&str; 2]| {
        let rest = options
            .iter()
            .find_map(|option| line.strip_prefix(option))?;
        rest.starts_with([' ', '=']).then(|| rest[1..].trim())
    };
    match of(["--requirement", "-r"]) {
        Some(file) => Some((file, outer)),
        None => of(["--constraint", "-c"]).map(|file| (file, Include::Constraints)),
    }
}

/// Lines with their numbers: continued ones joined, comments and empty ones gone.
fn logical_lines(content: &str) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    let mut begun: Option<(u64, String)> = None;
    for (number, line) in (1..).zip(content.lines()) {
        let (at, mut text) = begun.take().unwrap_or((number, String::new()));
        match line.trim_end().strip_suffix('\\') {
            Some(part) => {
                text.push_str(part);
                begun = Some((at, text));
            }
            None => {
                text.push_str(line);
                lines.push((at, text));
            }
        }
    }
    lines.extend(begun);
    lines.retain_mut(|(_, text)| {
        let code = text
            .find(" #")
            .map_or(text.as_str(), |at| &text[..at])
            .trim();
        *text = if code.starts_with('#') {
            String::new()
        } else {
            code.to_owned()
        };
        !text.is_empty()
    });
    lines
}

/// Accepts one requirement (name, extras, versions, marker; or name and URL) or option.
pub fn check(line: &str) -> Result<()> {
    if line.starts_with("-e") || line.starts_with("--editable") || names_a_file(line) {
        return Err(Error::invalid(format!("`{line}` names a file of this machine"))
            .hint("A run may execute on another one: put the code into the snapshot, or name a package"));
    }
    if line.starts_with('-') {
        let option = line.split([' ', '=']).next().unwrap_or(line);
        if OPTIONS.contains(&option) {
            return Ok(());
        }
        return Err(Error::invalid(format!(
            "`{option}` is no option of a requirements file"
        )));
    }
    if is_url(line) || is_requirement(line) {
        return Ok(());
    }
    let error = Error::invalid(format!("`{line}` is not a requirement"));
    Err(match line.split_once('=') {
        Some((name, version)) if is_name(name) && is_version(version) => {
            error.hint(format!("Did you mean `{name}=={version}`?"))
        }
        _ => error.hint("A requirement is a package name with versions, such as `numpy>=1.23,<2`"),
    })
}

fn names_a_file(line: &str) -> bool {
    let target = line.split_once(" @ ").map_or(line, |(_, url)| url);
    target.starts_with(['.', '/', '~']) || target.starts_with("file:")
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, rest)| {
        scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '+')
            && !rest.is_empty()
    })
}

fn is_requirement(line: &str) -> bool {
    let line = line.split(" --hash").next().unwrap_or(line);
    let line = line.split(';').next().unwrap_or(line).trim();
    if let Some((name, url)) = line.split_once('@') {
        return is_name(without_extras(name.trim())) && is_url(url.trim());
    }
    let start = line.find(['=', '<', '>', '!', '~', '(']);
    let (name, versions) = line.split_at(start.unwrap_or(line.len()));
    let versions = versions.trim_start_matches('(').trim_end_matches(')');
    is_name(without_extras(name.trim()))
        && (versions.is_empty() || versions.split(',').all(|part| is_comparison(part.trim())))
}

fn without_extras(name: &str) -> &str {
    match name.split_once('[') {
        Some((before, extras)) if extras.ends_with(']') => before.trim(),
        _ => name,
    }
}

fn is_name(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || "-_.".contains(c))
}

fn is_comparison(text: &str) -> bool {
    ["===", "==", "~=", "!=", "<=", ">=", "<", ">"]
        .iter()
        .find_map(|operator| text.strip_prefix(operator))
        .is_some_and(|version| is_version(version.trim()))
}

fn is_version(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".*+!-_".contains(c))
}
