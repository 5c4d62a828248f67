//! Whether a step has to run: what decides it, and which run did the same before.

use std::collections::BTreeMap;

use serde_json::json;

use super::child::Parent;
use crate::{Caller, Perform, Service, sweeps::settings_of};
use api::{
    Result,
    datastores::ListStoredFiles,
    environments::Environment,
    files::Hash,
    jobs::{Described, InputMode, JobInput},
    paths::{Files, Location, ResolvePath},
    runs::Job,
};
use spec::expression::{Expression, Template};

/// What everything depends on that steps have in common; a new number makes all steps run again.
const FORMAT: &str = "1";
/// Where uploads are, whose address is the hash of their content.
const UPLOADS: &str = "LocalUpload/";
/// How the addresses begin of what jobs make, which stays what it is.
const OF_JOBS: &str = "azureml://jobs/";
/// What stands for files that could not be looked at.
const NOT_LOOKED_AT: &str = "not looked at";

/// What decides what a step makes, by what it is called. Two runs that agree in all of it have made
/// the same.
pub fn facts(job: &Job) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    facts.insert("command".to_owned(), job.command.join(" "));
    facts.insert("environment".to_owned(), environment(&job.environment));
    if let Some(container) = job.container {
        facts.insert("container".to_owned(), container.to_string());
    }
    if let Some(code) = job.snapshot {
        facts.insert("code".to_owned(), code.hex());
    }
    for (name, value) in &job.environment_variables {
        facts.insert(format!("variable {name}"), value.clone());
    }
    if let Some(described) = &job.described {
        described_facts(described, &mut facts);
    }
    facts
}

fn described_facts(described: &Described, facts: &mut BTreeMap<String, String>) {
    let none = api::jobs::StepFacts::default();
    let step = described.step.as_deref().unwrap_or(&none);
    for (name, input) in &described.inputs {
        let text = match input {
            JobInput::Value { value, .. } => value.clone(),
            JobInput::Files {
                kind, path, mode, ..
            } => {
                let (between, stamp) = match step.stamps.get(name) {
                    Some(stamp) => (" ", stamp.as_str()),
                    None => ("", ""),
                };
                [
                    path.as_str(),
                    between,
                    stamp,
                    " (",
                    kind.as_str(),
                    ", ",
                    word_of(*mode),
                    ")",
                ]
                .concat()
            }
        };
        facts.insert(["input ", name.as_str()].concat(), text);
    }
    for (name, output) in &described.outputs {
        let mode = json!(output.mode);
        let mut text = format!("{}, {}", output.kind, mode.as_str().unwrap_or_default());
        for more in [
            step.places.get(name),
            output.name.as_ref(),
            output.version.as_ref(),
        ] {
            text += &more.map_or(String::new(), |more| format!(", {more}"));
        }
        facts.insert(format!("output {name}"), text);
    }
    let definition = &described.definition;
    if definition.get("type").is_some_and(|kind| kind == "sweep") {
        for (key, value) in settings_of(definition) {
            facts.insert(key, value.to_string());
        }
    }
    if let Some(distribution) = &described.distribution {
        facts.insert("distribution".to_owned(), json!(distribution).to_string());
    }
}

/// As it is written. There may be many thousand inputs.
const fn word_of(mode: InputMode) -> &'static str {
    match mode {
        InputMode::RoMount => "ro_mount",
        InputMode::Download => "download",
        InputMode::Direct => "direct",
        InputMode::EvalMount => "eval_mount",
        InputMode::EvalDownload => "eval_download",
    }
}

/// What an environment holds, a fact a line; not what it is called.
fn environment(environment: &Environment) -> String {
    match environment {
        Environment::Host | Environment::HostPath { .. } => "host".to_owned(),
        Environment::Python {
            version,
            requirements,
            notes,
            conda,
            ..
        } => {
            let python = version.as_ref().map(|version| format!("python {version}"));
            let lines = python.into_iter().chain(requirements.iter().cloned());
            let conda = conda.iter().filter(|conda| !conda.left_out.is_empty());
            let packages = conda.flat_map(|conda| conda.packages.iter().cloned());
            let lines = lines.chain(notes.iter().cloned()).chain(packages);
            lines.collect::<Vec<String>>().join("\n")
        }
    }
}

/// What two runs agree in that have made the same; none for a step that is not reused.
pub fn key(job: &Job) -> Option<Hash> {
    if why_not(job).is_some() {
        return None;
    }
    let text = serde_json::to_string(&(FORMAT, facts(job))).ok()?;
    Hash::parse(&blake3::hash(text.as_bytes()).to_hex()).ok()
}

/// Why a step runs each time.
pub fn why_not(job: &Job) -> Option<String> {
    let step = job
        .described
        .as_ref()
        .and_then(|described| described.step.as_ref());
    let Some(step) = step.filter(|step| step.deterministic) else {
        return Some("it is not deterministic".to_owned());
    };
    let mut stamps = step.stamps.iter();
    if let Some((input, _)) = stamps.find(|(_, stamp)| stamp.ends_with(NOT_LOOKED_AT)) {
        let why = "could not be looked at, and may have changed";
        return Some(format!("its input `{input}` {why}"));
    }
    let mut places = step.places.iter();
    let (output, path) = places.find(|(_, path)| !is_of_one_run(path))?;
    Some(format!(
        "its output `{output}` goes to {path}, where a later run may have written;          a path with ${{{{name}}}} is of one run"
    ))
}

/// Whether no other run writes to the place that was asked for.
pub fn is_of_one_run(path: &str) -> bool {
    let template = Template::parse(path);
    let mut names = template.expressions();
    names.any(|expression| matches!(expression, Expression::Name))
}

/// What the files of inputs are now, where their addresses do not tell.
pub async fn stamps(
    service: &Service,
    parent: &Parent<'_>,
    inputs: &BTreeMap<String, JobInput>,
) -> Result<BTreeMap<String, String>> {
    let mut stamps = BTreeMap::new();
    for (name, input) in inputs {
        if let JobInput::Files { kind, path, .. } = input
            && !path.starts_with(OF_JOBS)
            && let Some(stamp) = stamp(service, parent.workspace, kind, path).await?
        {
            stamps.insert(name.clone(), stamp);
        }
    }
    Ok(stamps)
}

/// Asked as the owner: who created the pipeline was let in before, and learns no more by it.
async fn stamp(
    service: &Service,
    workspace: &str,
    kind: &str,
    path: &str,
) -> Result<Option<String>> {
    match Location::parse(path)? {
        Location::Run { .. } | Location::Url(_) | Location::Git { .. } | Location::Local(_) => {
            Ok(None)
        }
        Location::Datastore { path, .. } if path.starts_with(UPLOADS) => Ok(None),
        Location::Datastore {
            workspace: other,
            datastore,
            path,
        } => {
            let workspace = other.as_deref().unwrap_or(workspace);
            listing(service, workspace, datastore, path).await.map(Some)
        }
        Location::Asset(_) => {
            let resolve = ResolvePath {
                workspace: workspace.to_owned(),
                path: path.to_owned(),
                model: kind.ends_with("_model"),
            };
            let found = resolve.perform(service, &Caller::Owner).await?;
            let version = found.asset.and_then(|asset| asset.version);
            let version = version.unwrap_or_default();
            let files = match found.files {
                Files::Tree { hash, .. } => hash.hex()[..16].to_owned(),
                Files::Datastore {
                    workspace,
                    datastore,
                    path,
                    ..
                } => listing(service, &workspace, datastore, path).await?,
                _ => found.uri,
            };
            Ok(Some(format!("version {version}, {files}")))
        }
    }
}

/// What there is at a place of a datastore, when it can be looked at from here.
async fn listing(
    service: &Service,
    workspace: &str,
    datastore: String,
    path: String,
) -> Result<String> {
    let list = ListStoredFiles {
        workspace: workspace.to_owned(),
        datastore,
        path,
        limit: None,
    };
    let files = match list.perform(service, &Caller::Owner).await {
        Ok(files) => files,
        Err(error) if error.code.retryable() => return Err(error),
        Err(_) => return Ok(NOT_LOOKED_AT.to_owned()),
    };
    let mut hash = blake3::Hasher::new();
    for file in &files {
        hash.update(format!("{}\0{}\0{}\0", file.path, file.size, file.modified_at.0).as_bytes());
    }
    let count = files.len();
    let hash = &hash.finalize().to_hex()[..16];
    Ok(format!("{count} files {hash}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{InputMode, word_of};

    #[test]
    fn a_mode_is_said_as_it_is_written() {
        for mode in [
            InputMode::RoMount,
            InputMode::Download,
            InputMode::Direct,
            InputMode::EvalMount,
            InputMode::EvalDownload,
        ] {
            assert_eq!(json!(mode), json!(word_of(mode)));
        }
    }
}
