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
pub const OF_JOBS: &str = "azureml://jobs/";
/// What stands for files that could not be looked at.
const NOT_LOOKED_AT: &str = "not looked at";

/// What decides what a step makes, by what it is called. Two runs that agree in all of it have made
/// the same.
pub fn facts(job: &Job) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    tell(job, &mut |name, text| {
        facts.insert(name.concat(), text.concat());
    });
    facts
}

/// Tells the facts of a job one by one, name and text in pieces: there may be many thousand inputs. In the
/// order of their names, but for those of sweeps.
fn tell(job: &Job, fact: &mut dyn FnMut(&[&str], &[&str])) {
    let described = job.described.as_deref();
    if let Some(code) = job.snapshot {
        fact(&["code"], &[&code.hex()]);
    }
    fact(&["command"], &[&job.command.join(" ")]);
    if let Some(container) = job.container {
        fact(&["container"], &[&container.to_string()]);
    }
    if let Some(distribution) = described.and_then(|described| described.distribution.as_ref()) {
        fact(&["distribution"], &[&json!(distribution).to_string()]);
    }
    fact(&["environment"], &[&environment(&job.environment)]);
    if let Some(described) = described {
        tell_ports(described, fact);
        let definition = &described.definition;
        if definition.get("type").is_some_and(|kind| kind == "sweep") {
            for (key, value) in settings_of(definition) {
                fact(&[&key], &[&value.to_string()]);
            }
        }
    }
    for (name, value) in &job.environment_variables {
        fact(&["variable ", name], &[value]);
    }
}

fn tell_ports(described: &Described, fact: &mut dyn FnMut(&[&str], &[&str])) {
    let none = api::jobs::StepFacts::default();
    let step = described.step.as_deref().unwrap_or(&none);
    for (name, input) in &described.inputs {
        match input {
            JobInput::Value { value, .. } => fact(&["input ", name], &[value]),
            JobInput::Files {
                kind, path, mode, ..
            } => {
                let (between, stamp) = match step.stamps.get(name) {
                    Some(stamp) => (" ", stamp.as_str()),
                    None => ("", ""),
                };
                let mode = word_of(*mode);
                let text = [path, between, stamp, " (", kind, ", ", mode, ")"];
                fact(&["input ", name], &text);
            }
        }
    }
    for (name, output) in &described.outputs {
        let mode = json!(output.mode);
        let mut text = vec![
            output.kind.as_str(),
            ", ",
            mode.as_str().unwrap_or_default(),
        ];
        for more in [
            step.places.get(name),
            output.name.as_ref(),
            output.version.as_ref(),
        ] {
            text.extend(more.into_iter().flat_map(|more| [", ", more]));
        }
        fact(&["output ", name], &text);
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
    let text = match written(job) {
        Some(text) => text,
        None => serde_json::to_vec(&(FORMAT, facts(job))).ok()?,
    };
    Hash::parse(&blake3::hash(&text).to_hex()).ok()
}

/// The facts as the key is made of them; none where they are not told in order.
fn written(job: &Job) -> Option<Vec<u8>> {
    let mut text = serde_json::to_vec(FORMAT).ok()?;
    text.insert(0, b'[');
    let mut last = String::new();
    let (mut now, mut right) = (String::new(), true);
    tell(job, &mut |name, pieces| {
        text.extend_from_slice(if last.is_empty() { b",{" } else { b"," });
        now.clear();
        now.extend(name.iter().copied());
        right &= now > last && serde_json::to_writer(&mut text, &now).is_ok();
        std::mem::swap(&mut now, &mut last);
        now.clear();
        now.extend(pieces.iter().copied());
        text.push(b':');
        right &= serde_json::to_writer(&mut text, &now).is_ok();
    });
    text.extend_from_slice(b"}]");
    right.then_some(text)
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

    use super::{FORMAT, InputMode, JobInput, facts, word_of, written};
    use api::{
        jobs::{Described, JobOutput, OutputMode},
        runs::Job,
    };

    #[test]
    fn the_key_is_made_of_the_facts_in_their_order() {
        let file = |path: &str| JobInput::Files {
            kind: "uri_folder".to_owned(),
            path: path.to_owned(),
            mode: InputMode::Download,
            path_on_compute: None,
        };
        let value = JobInput::Value {
            value: "a\"b\n".to_owned(),
            made: false,
        };
        let output = JobOutput {
            kind: "uri_file".to_owned(),
            path: String::new(),
            mode: OutputMode::Upload,
            name: Some("n".to_owned()),
            version: None,
        };
        let mut described = Described {
            inputs: [("b", file("azureml:x:1")), ("a.b", value), ("a", file("é"))]
                .map(|(name, input)| (name.to_owned(), input))
                .into(),
            outputs: [("o".to_owned(), output)].into(),
            ..Described::default()
        };
        let job = |described: &Described| Job {
            command: vec!["echo".to_owned(), "1".to_owned()],
            container: Some(true),
            environment_variables: [("X".to_owned(), "1".to_owned())].into(),
            described: Some(Box::new(described.clone())),
            ..Job::default()
        };
        let plain = job(&described);
        let expected = serde_json::to_vec(&(FORMAT, facts(&plain))).expect("text");
        assert_eq!(written(&plain), Some(expected));
        let sweep = json!({"type": "sweep", "objective": "loss"});
        described.definition = sweep.as_object().expect("a sweep").clone();
        assert_eq!(written(&job(&described)), None, "by the map");
    }

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
