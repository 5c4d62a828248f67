//! What a tracking store of MLflow knows, whichever way it was read.

use std::{collections::BTreeMap, path::PathBuf};

use serde::Serialize;

use api::{
    Time,
    files::Hash,
    imports::ImportedTrace,
    logged_models::{LoggedModelStatus, ModelMetric, RunLinks},
    metrics::{MetricPoint, Value},
    models::Stage,
    runs::RunStatus,
    traces::TraceState,
};

pub type Pairs = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub struct Experiment {
    pub id: String,
    pub name: String,
    pub deleted: bool,
    pub tags: Pairs,
    pub created_at: Time,
    pub updated_at: Time,
}

/// A run without the history of its metrics. What is serialised of it tells one state from another.
#[derive(Debug, Clone, Serialize)]
pub struct Run {
    pub id: String,
    pub name: String,
    pub user: String,
    pub status: RunStatus,
    pub started_at: Option<Time>,
    pub ended_at: Option<Time>,
    pub deleted: bool,
    pub params: Pairs,
    pub tags: Pairs,
    /// The latest point of each metric.
    pub latest: Vec<MetricPoint>,
    pub links: RunLinks,
    /// Where its files are.
    #[serde(skip)]
    pub artifact_uri: String,
    /// Its own folder, in a store that has such.
    #[serde(skip)]
    pub folder: PathBuf,
}

#[derive(Debug, Clone, Serialize)]
pub struct Model {
    pub id: String,
    pub name: String,
    pub kind: String,
    pub status: LoggedModelStatus,
    /// The run that made it.
    pub run: Option<String>,
    pub params: Pairs,
    pub tags: Pairs,
    /// Its metrics and the runs in which they were measured.
    pub metrics: Vec<(String, ModelMetric)>,
    pub deleted: bool,
    pub created_at: Time,
    pub updated_at: Time,
    #[serde(skip)]
    pub artifact_uri: String,
}

/// A trace without its spans.
#[derive(Debug, Clone)]
pub struct Trace {
    /// What is imported of it, as far as it is known without reading its spans and files.
    pub record: ImportedTrace,
    pub artifact_uri: String,
    /// Its spans were moved to an archive.
    pub archived: bool,
    /// Its own folder, in a store that has such.
    pub folder: PathBuf,
}

impl Trace {
    /// Where MLflow says in which folder a trace's files are, and where its spans.
    pub const PLACE_TAG: &str = "mlflow.artifactLocation";
    pub const SPANS_TAG: &str = "mlflow.trace.spansLocation";
    /// With this begins what spans say of files that are kept beside them.
    pub const ATTACHMENT: &str = "mlflow-attachment:";

    /// Tells whether a trace has changed since all of it was seen; none while it goes on.
    pub fn stamp(&self) -> Option<String> {
        let ended = self.record.state != TraceState::InProgress;
        let state = serde_json::to_vec(&self.record).unwrap_or_default();
        ended.then(|| Hash::of(&state).hex()[..32].to_owned())
    }
}

/// A registered model or a prompt, with its versions in order.
#[derive(Debug, Clone)]
pub struct Registered {
    pub name: String,
    pub description: String,
    pub tags: Pairs,
    pub aliases: BTreeMap<String, u64>,
    pub created_at: Time,
    pub updated_at: Time,
    pub versions: Vec<Version>,
}

#[derive(Debug, Clone)]
pub struct Version {
    /// `name/number`.
    pub id: String,
    pub number: u64,
    pub description: String,
    pub tags: Pairs,
    pub stage: Stage,
    pub user: String,
    /// The place of its files as it was given, and where that leads.
    pub source: String,
    pub location: String,
    pub run: Option<String>,
    pub run_link: Option<String>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// What has files.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    Run(&'a Run),
    Model(&'a Model),
    Version(&'a Version),
    Trace(&'a Trace),
}

impl<'a> Owner<'a> {
    pub fn id(self) -> &'a str {
        match self {
            Owner::Run(run) => &run.id,
            Owner::Model(model) => &model.id,
            Owner::Version(version) => &version.id,
            Owner::Trace(trace) => &trace.record.origin,
        }
    }

    pub fn artifact_uri(self) -> &'a str {
        match self {
            Owner::Run(run) => &run.artifact_uri,
            Owner::Model(model) => &model.artifact_uri,
            Owner::Version(version) => &version.location,
            Owner::Trace(trace) => &trace.artifact_uri,
        }
    }
}

/// One file of a run or model.
#[derive(Debug, Clone)]
pub struct File {
    pub path: String,
    pub size: u64,
    /// Where it lies on this machine; none when it has to be asked for.
    pub disk: Option<PathBuf>,
}

/// MLflow's words for the states of runs.
pub fn status(word: &str) -> RunStatus {
    match word {
        "SCHEDULED" => RunStatus::NotStarted,
        "FINISHED" => RunStatus::Completed,
        "FAILED" => RunStatus::Failed,
        "KILLED" => RunStatus::Canceled,
        _ => RunStatus::Running,
    }
}

/// MLflow's words for stages are ours; one that is unknown is none.
pub fn stage(word: &str) -> Stage {
    Stage::called(word).unwrap_or_default()
}

/// The value that was logged: MLflow's databases keep NaN beside the number and the infinities as the
/// largest numbers there are.
pub fn value(number: f64, nan: bool) -> Value {
    Value(match number {
        _ if nan => f64::NAN,
        f64::MAX => f64::INFINITY,
        f64::MIN => f64::NEG_INFINITY,
        number => number,
    })
}
