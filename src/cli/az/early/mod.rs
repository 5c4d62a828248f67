//! The commands of 2020 (`azure-cli-ml`), over the same operations as today's. Their answers have the
//! keys of that time.
//!
//! Where a name is that of a command of today as well, `find` says which one is meant.

pub mod compute;
mod database;
pub mod dataset;
pub mod datastore;
mod deploy;
pub mod environment;
pub mod folder;
pub mod model;
mod pipeline;
pub mod run;
mod serve;
pub mod service;
mod submit;
mod sweep;
mod tensorboard;
pub mod workspace;

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    Az,
    given::Given,
    grammar::{Flag, flag, switch},
    ids,
};
use api::{
    Code, Error, Result,
    assets::{Archived, Asset, AssetKind, GetAsset, ListAssets},
};
use spec::{issue::Issue, load};

/// What nearly all commands of that time take. The id of the subscription tells them from today's.
const COMMON: &[Flag] = &[
    flag("resource-group", "Name of the resource group").short('g'),
    flag("workspace-name", "Name of the workspace").short('w'),
    flag("subscription-id", "Id of the subscription"),
    flag("path", "Folder that was attached to a workspace"),
];
/// Where the answer goes, beside standard output.
const METADATA: &[Flag] = &[flag("output-metadata-file", "File to write the answer to").short('t')];
const VERBOSE: &[Flag] = &[switch("verbosity", "Say more of what is done").short('v')];
const NAME: &[Flag] = &[flag("name", "Name").short('n').required()];
const ASYNC: &[Flag] = &[switch("no-wait", "Do not wait until it is done")];

/// The folder of the configuration, below the one that was attached.
const CONFIGURATION: &str = ".azureml";

/// Whether a command is one of 2020.
fn is(given: &Given) -> bool {
    given.takes("subscription-id")
}

/// The folder whose configuration counts.
fn folder(az: &Az, given: &Given) -> PathBuf {
    attached_from(&az.ctx.folder, given)
}

fn attached_from(here: &Path, given: &Given) -> PathBuf {
    here.join(given.text("path").unwrap_or("."))
}

/// The workspace to work in where the command line names none: commands of 2020 look at the attached
/// folder before the defaults, those of today after them.
pub fn workspace_of(here: &Path, given: &Given, default: Option<String>) -> Option<String> {
    if is(given) {
        return attached(&attached_from(here, given), "workspace_name").or(default);
    }
    default.or_else(|| attached(here, "workspace_name"))
}

/// What the configuration of a folder, or of one above it, says; those above count only where they are
/// of whom the folder is of.
fn attached(here: &Path, key: &str) -> Option<String> {
    let owner = fs::metadata(here).ok()?.uid();
    let files = here
        .ancestors()
        .map(|folder| folder.join(CONFIGURATION).join("config.json"));
    let own = |file: &PathBuf| {
        fs::metadata(file).is_ok_and(|about| about.is_file() && about.uid() == owner)
    };
    ids::text(&mapping(&files.into_iter().find(own)?).ok()?, key)
}

/// Answers, and writes the answer to the file that was asked for.
fn answer(az: &Az, given: &Given, answer: Value) -> anyhow::Result<Value> {
    if let Some(file) = given.text("output-metadata-file") {
        let text = serde_json::to_string_pretty(&answer)?;
        let path = az.ctx.folder.join(file);
        write_private(&path, &text).map_err(|error| error.at("--output-metadata-file"))?;
    }
    Ok(answer)
}

/// The assets of a kind that are not archived, each in its newest version.
async fn assets(az: &Az, kind: AssetKind) -> Result<Vec<Asset>> {
    let request = ListAssets {
        workspace: az.here().await?,
        kind,
        name: None,
        archived: Archived::Exclude,
        limit: None,
    };
    az.call(&request).await
}

/// A version of an asset; the newest one where none is named.
async fn asset(az: &Az, kind: AssetKind, name: String, version: Option<String>) -> Result<Asset> {
    let request = GetAsset {
        workspace: az.here().await?,
        kind,
        name,
        version,
        label: None,
    };
    az.call(&request).await
}

/// What a file of YAML or JSON holds.
fn mapping(path: &Path) -> Result<Map<String, Value>> {
    let shown = path.display().to_string();
    let document = load::open(path, &shown).map_err(|mut error| {
        // What is missing is nothing of the workspace.
        if error.code == Code::NotFound {
            error.code = Code::Invalid;
        }
        error
    })?;
    if document.issues.iter().any(Issue::is_error) {
        return Err(document.into_report().into_error());
    }
    match document.root.to_value() {
        Value::Object(fields) => Ok(fields),
        _ => Err(Error::invalid(format!("`{shown}` is no mapping"))),
    }
}

/// Writes what may hold keys: a new file can be read by its owner alone.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600);
    let written = file
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|e| Error::invalid(format!("Cannot write `{}`: {e}", path.display())))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let written = match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent).and_then(|()| std::fs::write(path, text)),
        None => std::fs::write(path, text),
    };
    written.map_err(|e| Error::invalid(format!("Cannot write `{}`: {e}", path.display())))
}

/// A value at a key, whose words may be joined or apart: `entryScript` and `entry_script` are one.
fn at<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    let plain = |word: &str| word.replace(['_', '-'], "").to_ascii_lowercase();
    let wanted = plain(key);
    let mut found = fields.iter().filter(|(own, _)| plain(own) == wanted);
    found
        .next()
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

fn text_at(fields: &Map<String, Value>, key: &str) -> Option<String> {
    match at(fields, key)? {
        Value::String(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn object_at<'a>(fields: &'a Map<String, Value>, key: &str) -> Option<&'a Map<String, Value>> {
    at(fields, key)?.as_object()
}

/// The name and version of `NAME:VERSION`.
fn versioned<'a>(id: &'a str, flag: &str) -> Result<(&'a str, &'a str)> {
    id.rsplit_once(':').ok_or_else(|| {
        Error::invalid(format!("`{id}` is no id of a version"))
            .at(flag)
            .hint("Write it as NAME:VERSION")
    })
}
