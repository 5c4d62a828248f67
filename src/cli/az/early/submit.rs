//! `az ml run submit-script`: a script with its folder, as a job.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{answer, at, environment, folder, mapping, object_at, run, text_at};
use crate::{
    az::{Az, given::Given},
    document::Draft,
    job::{create, stream},
};
use api::{
    Error, Result,
    runs::{GetRun, Run},
};
use spec::words::quoted;

/// What a run configuration and the command line say together.
pub struct Submission {
    /// Where relative paths start.
    base: PathBuf,
    /// What the command runs, as bash reads it.
    pub command: String,
    code: PathBuf,
    environment: Value,
    variables: Option<Value>,
    experiment: Option<String>,
    compute: Option<String>,
    resources: Option<Value>,
    distribution: Option<Value>,
    seconds: Option<u64>,
}

impl Submission {
    pub fn of(az: &Az, given: &Given) -> Result<Self> {
        let base = folder(az, given);
        let configured = match given.text("run-configuration-name") {
            Some(name) => configuration(&base, name)?,
            None => Map::new(),
        };
        let code = given
            .owned("source-directory")
            .map_or(base.clone(), |code| az.ctx.folder.join(code));
        let inner = object_at(&configured, "environment");
        let mut made = environment::converted(inner, &[&base, &code])?;
        if let Some(file) = given.text("conda-dependencies") {
            let file = found(&[&az.ctx.folder, &base, &code], file);
            made = Some(json!({"image": environment::IMAGE, "conda_file": file}));
        }
        let target = given
            .owned("target")
            .or_else(|| text_at(&configured, "target"));
        let nodes = at(&configured, "nodeCount").and_then(Value::as_u64);
        let seconds = at(&configured, "maxRunDurationSeconds").and_then(Value::as_u64);
        Ok(Self {
            command: command(given, &configured)?,
            environment: made.unwrap_or_else(|| json!({"image": environment::IMAGE})),
            variables: inner
                .and_then(|inner| at(inner, "environmentVariables"))
                .filter(|variables| variables.is_object())
                .cloned(),
            experiment: run::experiment(az, given),
            compute: target.filter(|target| target != "local"),
            resources: nodes
                .filter(|nodes| *nodes > 1)
                .map(|nodes| json!({"instance_count": nodes})),
            distribution: distribution(&configured),
            seconds,
            base,
            code,
        })
    }

    /// The parts that a command job and the trial of a sweep have in common.
    pub fn put_command(&self, fields: &mut Map<String, Value>, command: &str) {
        let mut put = |key: &str, value: Option<Value>| {
            fields.extend(value.map(|value| (key.to_owned(), value)));
        };
        put("command", Some(json!(command)));
        put("code", Some(json!(self.code)));
        put("environment", Some(self.environment.clone()));
        put("environment_variables", self.variables.clone());
        put("resources", self.resources.clone());
        put("distribution", self.distribution.clone());
    }

    /// Checks the job of these fields, creates it, and follows it to its end unless that is not wanted.
    pub async fn run(
        self,
        az: &Az,
        given: &Given,
        mut fields: Map<String, Value>,
    ) -> anyhow::Result<Value> {
        let workspace = az.here().await?;
        if let Some(experiment) = &self.experiment {
            fields.insert("experiment_name".to_owned(), json!(experiment));
        }
        if let Some(compute) = &self.compute {
            fields.insert("compute".to_owned(), json!(format!("azureml:{compute}")));
        }
        let mut draft = Draft::open(None, &self.base)?;
        for (key, value) in fields {
            draft.put(&key, value, "the run configuration");
        }
        let definition = draft.check("job")?;
        let run = create::submit(&az.ctx, &workspace, definition).await?;
        let submitted = answer(az, given, run::shown(&run))?;
        if given.switch("async") {
            return Ok(submitted);
        }
        let followed = stream::to_the_end(&az.ctx, &run).await;
        let ended = answer(az, given, run::shown(&ended(az, workspace, run).await?))?;
        followed.map(|()| ended)
    }
}

async fn ended(az: &Az, workspace: String, run: Run) -> Result<Run> {
    let run = run.name;
    az.call(&GetRun { workspace, run }).await
}

pub async fn submit(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let submission = Submission::of(az, given)?;
    let mut fields = Map::new();
    fields.insert("type".to_owned(), json!("command"));
    submission.put_command(&mut fields, &submission.command);
    if let Some(seconds) = submission.seconds {
        fields.insert("limits".to_owned(), json!({"timeout": seconds}));
    }
    submission.run(az, given, fields).await
}

/// The file of a run configuration, which stands with the others of its folder.
fn configuration(folder: &Path, name: &str) -> Result<Map<String, Value>> {
    let name = name.strip_suffix(".runconfig").unwrap_or(name);
    let places = [".azureml", "aml_config", "."];
    let files = places.map(|place| folder.join(place).join(format!("{name}.runconfig")));
    match files.iter().find(|file| file.is_file()) {
        Some(file) => mapping(file),
        None => {
            let shown = folder.display();
            let message = format!("There is no run configuration `{name}` in `{shown}`");
            Err(Error::not_found(message)
                .at("--run-configuration-name")
                .hint("Make the files: az ml folder attach"))
        }
    }
}

/// A file in the first of the folders that has it.
pub fn found(folders: &[&Path], file: &str) -> PathBuf {
    let places = folders.iter().map(|folder| folder.join(file));
    let mut found = places.filter(|place| place.exists());
    found.next().unwrap_or_else(|| {
        let first = folders.first();
        first.map_or_else(|| file.into(), |folder| folder.join(file))
    })
}

/// The command line of the script that was named, else of the configured one.
fn command(given: &Given, configured: &Map<String, Value>) -> Result<String> {
    let mut words = given.words("script");
    if words.is_empty() {
        words.extend(text_at(configured, "script"));
        let word = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let arguments = at(configured, "arguments").and_then(Value::as_array);
        words.extend(arguments.into_iter().flatten().map(word));
    }
    if words.is_empty() {
        return Err(Error::invalid("There is no script to run")
            .hint("Name it: az ml run submit-script train.py"));
    }
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    Ok(format!("python {}", words.join(" ")))
}

/// How the script is spread over several processes.
fn distribution(configured: &Map<String, Value>) -> Option<Value> {
    let communicator = text_at(configured, "communicator")?.to_ascii_lowercase();
    let count = |section: &str, key: &str| {
        let count = at(object_at(configured, section)?, key)?.as_u64();
        count.filter(|count| *count > 0)
    };
    match communicator.as_str() {
        "mpi" | "openmpi" | "intelmpi" | "gloo" | "nccl" => {
            let processes = count("mpi", "processCountPerNode").unwrap_or(1);
            let kind = match communicator.as_str() {
                "gloo" | "nccl" => "pytorch",
                _ => "mpi",
            };
            Some(json!({"type": kind, "process_count_per_instance": processes}))
        }
        "parameterserver" => Some(json!({
            "type": "tensorflow",
            "worker_count": count("tensorflow", "workerCount").unwrap_or(1),
            "parameter_server_count": count("tensorflow", "parameterServerCount").unwrap_or(1),
        })),
        _ => None,
    }
}
