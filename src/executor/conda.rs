//! Environments that micromamba, mamba or conda makes: whatever of a conda file is no Python package.
//!
//! They are kept, copied and used as all others are. Packages of the `pip:` list are installed by uv, as
//! everywhere. The tool copies files into them instead of linking its own, for those are made read-only.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::{
    Variables, io_error, on_files,
    python::{answer_of, on_path},
    tool::{Outcome, Tools},
    write_whole,
};
use api::{Result, environments::Conda};

/// The programs, the fastest first.
const PROGRAMS: [&str; 3] = ["micromamba", "mamba", "conda"];
/// Where a package says what it has brought.
const META: &str = "conda-meta";
/// What is appended to when packages come and go.
const HISTORY: &str = "conda-meta/history";
/// Scripts that set what programs of packages need.
const ACTIVATE: &str = "etc/conda/activate.d";
/// The list of files that name the environment's path, with how long a path they have room for.
pub(super) const PREFIXED: &str = "aml-prefixed";
/// How long channels that could not be reached are not asked again.
const AWAY: Duration = Duration::from_mins(10);
/// What the programs say of channels that they cannot reach.
const UNREACHED: [&str; 14] = [
    "CondaHTTPError",
    "CondaConnectionError",
    "CondaSSLError",
    "ConnectionFailed",
    "HTTP 000",
    "Connection error",
    "Could not resolve host",
    "Couldn't connect to server",
    "Failed to connect",
    "Timeout was reached",
    "Name or service not known",
    "Couldn't resolve host",
    "Could not connect to server",
    "SSL connect error",
];

/// A program that makes environments.
#[derive(Debug, Clone)]
pub struct Tool {
    pub program: PathBuf,
    pub name: &'static str,
}

impl Tool {
    /// The first on the machine's PATH.
    pub fn find(variables: &Variables) -> Option<Self> {
        PROGRAMS.iter().find_map(|name| {
            let program = on_path(name, variables).into_iter().next()?;
            Some(Self { program, name })
        })
    }

    /// Makes an environment with Python in it, whoever asks for that.
    pub async fn create(
        &self,
        folder: &Path,
        version: Option<&str>,
        conda: &Conda,
        tools: Tools<'_>,
    ) -> Result<Outcome> {
        let mut variables = tools.variables.clone();
        for (name, value) in [
            ("ALWAYS_YES", "true"),
            ("ALWAYS_COPY", "true"),
            ("REGISTER_ENVS", "false"),
            ("NOTIFY_OUTDATED_CONDA", "false"),
        ] {
            for tool in ["CONDA", "MAMBA"] {
                variables.insert(format!("{tool}_{name}"), value.to_owned());
            }
        }
        let folder = folder.to_string_lossy();
        let mut words = vec!["create", "--prefix", &*folder];
        for channel in &conda.channels {
            match channel.as_str() {
                "nodefaults" => words.push("--override-channels"),
                channel => words.extend(["--channel", channel]),
            }
        }
        let specs = conda.specs(version);
        words.extend(specs.iter().map(String::as_str));
        let tools = Tools {
            variables: &variables,
            ..tools
        };
        let made = tools.run(&self.program, &words).await;
        made.map_err(|e| io_error("run", &self.program, &e))
    }
}

/// Whether channels could not be reached.
pub fn is_unreached(outcome: &Outcome) -> bool {
    UNREACHED.iter().any(|sign| outcome.output.contains(sign))
}

/// Whether the channels of a request were found away a short while ago; `request` is where it is noted.
pub fn is_away(request: &Path) -> bool {
    let noted = fs::metadata(away(request)).and_then(|meta| meta.modified());
    noted.is_ok_and(|at| at.elapsed().is_ok_and(|age| age < AWAY))
}

pub fn note_away(request: &Path) -> Result<()> {
    write_whole(&away(request), b"")
}

fn away(request: &Path) -> PathBuf {
    request.with_extension("away")
}

/// Whether an environment was made so.
pub fn made(folder: &Path) -> bool {
    folder.join(META).is_dir()
}

/// Adds the variables that the packages of an environment set for processes in it.
pub async fn activate(folder: &Path, variables: &mut Variables) {
    if !folder.join(ACTIVATE).is_dir() {
        return;
    }
    let line = format!(
        "for script in \"$CONDA_PREFIX\"/{ACTIVATE}/*.sh; do . \"$script\"; done >/dev/null 2>&1; env -0"
    );
    let bash = on_path("bash", variables).into_iter().next();
    let bash = bash.unwrap_or_else(|| PathBuf::from("bash"));
    let Some(text) = answer_of(&bash, &["-c", &line], variables).await else {
        return;
    };
    let own = ["_", "SHLVL", "PWD", "OLDPWD"];
    let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
    let set = pairs.filter(|(name, _)| !own.contains(name));
    variables.extend(set.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// What a package says of its files.
#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    paths_data: Paths,
}

#[derive(Default, Deserialize)]
struct Paths {
    #[serde(default)]
    paths: Vec<Brought>,
}

#[derive(Deserialize)]
struct Brought {
    #[serde(rename = "_path")]
    path: String,
    #[serde(default)]
    prefix_placeholder: Option<String>,
}

/// Writes down which files of a new environment name its path, for [`rename`].
pub async fn note_prefixed(folder: &Path) -> Result<()> {
    let folder = folder.to_owned();
    on_files(move || {
        let mut text = String::new();
        let entries = fs::read_dir(folder.join(META)).into_iter().flatten();
        for entry in entries.flatten() {
            let content = fs::read(entry.path()).unwrap_or_default();
            let Ok(package) = serde_json::from_slice::<Package>(&content) else {
                continue;
            };
            for file in package.paths_data.paths {
                if let Some(placeholder) = file.prefix_placeholder {
                    let _ = writeln!(text, "{} {}", placeholder.len(), file.path);
                }
            }
        }
        let _ = writeln!(text, "0 {HISTORY}");
        write_whole(&folder.join(PREFIXED), text.as_bytes())
    })
    .await?
}

/// Makes the files that name the path of an environment name that of its copy, which has links to them.
pub(super) fn rename(from: &Path, to: &Path) -> Result<()> {
    let list = fs::read_to_string(from.join(PREFIXED)).unwrap_or_default();
    let (old, new) = (from.display().to_string(), to.display().to_string());
    for line in list.lines() {
        let Some((room, path)) = line.split_once(' ') else {
            continue;
        };
        let room: usize = room.parse().unwrap_or_default();
        let path = Path::new(path);
        let Some(metadata) = fs::symlink_metadata(from.join(path))
            .ok()
            .filter(fs::Metadata::is_file)
        else {
            continue;
        };
        let failed = |e: std::io::Error| io_error("write", &to.join(path), &e);
        let mut content = fs::read(from.join(path)).map_err(failed)?;
        if find(&content, old.as_bytes()).is_none() && path != Path::new(HISTORY) {
            continue;
        }
        if !content.contains(&0) {
            content = replaced(&content, old.as_bytes(), new.as_bytes());
        } else if new.len() <= room {
            replace_padded(&mut content, old.as_bytes(), new.as_bytes());
        } else {
            continue;
        }
        super::own::write_anew(&to.join(path), &content, &metadata).map_err(failed)?;
    }
    Ok(())
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    let first = word.first()?;
    let mut at = 0;
    while let Some(found) = text[at..].iter().position(|byte| byte == first) {
        at += found;
        if text[at..].starts_with(word) {
            return Some(at);
        }
        at += 1;
    }
    None
}

fn replaced(text: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut result = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = find(rest, old) {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(new);
        rest = &rest[at + old.len()..];
    }
    result.extend_from_slice(rest);
    result
}

/// The same in a program, whose strings end with a zero and have room behind that. None moves.
fn replace_padded(content: &mut [u8], old: &[u8], new: &[u8]) {
    let mut at = 0;
    while let Some(found) = find(&content[at..], old) {
        let start = at + found;
        let length = |of: &[u8], is: fn(&u8) -> bool| of.iter().position(is).unwrap_or(of.len());
        let end = start + length(&content[start..], |byte| *byte == 0);
        let room = end + length(&content[end..], |byte| *byte != 0);
        let text = replaced(&content[start..end], old, new);
        let written = start + text.len();
        at = end.max(written);
        if written < room {
            content[start..written].copy_from_slice(&text);
            if written < end {
                content[written..end].fill(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_programs_are_replaced_in_place() {
        let mut program = b"\x7f/old/lib:/old/bin\0\0\0\0\0\0\0code /old\0!".to_vec();
        let length = program.len();
        replace_padded(&mut program, b"/old", b"/newer");
        assert_eq!(program, b"\x7f/newer/lib:/newer/bin\0\0\0code /old\0!");
        assert_eq!(program.len(), length, "and what has no room stays");
        replace_padded(&mut program, b"/newer", b"/a");
        assert_eq!(&program[..13], b"\x7f/a/lib:/a/bi");
        assert_eq!(program.len(), length);
        assert!(program.ends_with(b"\0code /old\0!"));
    }

    #[test]
    fn a_copy_has_its_own_path_in_the_files_that_name_it() {
        let root = tempfile::tempdir().unwrap();
        let (from, to) = (root.path().join("shared"), root.path().join("the-own-one"));
        fs::create_dir_all(from.join(META)).unwrap();
        fs::create_dir_all(from.join("lib")).unwrap();
        let here = from.display().to_string();
        fs::write(from.join("lib/R"), format!("R_HOME={here}/lib\n")).unwrap();
        let mut program = format!("\x7f{here}/lib").into_bytes();
        program.resize(300, 0);
        fs::write(from.join("lib/so"), &program).unwrap();
        fs::write(from.join(HISTORY), "==>").unwrap();
        let package = r#"{"name": "r", "paths_data": {"paths": [
            {"_path": "lib/R", "prefix_placeholder": "/opt/placeholder", "file_mode": "text"},
            {"_path": "lib/so", "prefix_placeholder": "PLACE", "file_mode": "binary"},
            {"_path": "lib/other"}]}}"#;
        let package = package.replace("PLACE", &"p".repeat(255));
        fs::write(from.join(META).join("r-4.json"), package).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(note_prefixed(&from)).unwrap();
        super::super::own::copy(&from, &to, &[]).unwrap();
        let own = to.display().to_string();
        let read = |path: &str| fs::read(to.join(path)).unwrap();
        assert_eq!(read("lib/R"), format!("R_HOME={own}/lib\n").into_bytes());
        let program = read("lib/so");
        assert_eq!(program.len(), 300);
        let expected = format!("\x7f{own}/lib\0").into_bytes();
        assert!(program.starts_with(&expected));
        fs::write(to.join(HISTORY), "changed").unwrap();
        assert_eq!(fs::read(from.join(HISTORY)).unwrap(), b"==>");
        assert!(
            fs::read_to_string(from.join("lib/R"))
                .unwrap()
                .contains(&here)
        );
    }
}
