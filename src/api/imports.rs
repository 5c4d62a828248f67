//! Bringing over what was recorded elsewhere, with its times, its history and its state.
//!
//! What comes over is known by its *origin*: the id it has where it comes from. Asking for the same
//! again completes what is there; nothing is made twice.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Done, Time,
    experiments::Experiment,
    files::TreeEntry,
    logged_models::{LoggedModelStatus, ModelMetric, RunLinks},
    metrics::MetricPoint,
    models::{ModelSource, Stage},
    operation,
    runs::RunStatus,
    traces::{Assessment, Span, TraceState},
};

/// An experiment as it was recorded elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedExperiment {
    pub name: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub deleted: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Makes experiments that are not there by their names; of those that are, sets the tags and leaves
/// the rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportExperiments {
    pub workspace: String,
    pub experiments: Vec<ImportedExperiment>,
}
operation!(ImportExperiments => Vec<Experiment>, "imports.experiments");

/// What became of something that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    /// The run it is here, or whose artifacts its files are, or the trace it is; none when that was
    /// deleted for good.
    #[serde(default)]
    pub run: Option<String>,
    /// What the importer noted when all of it was here.
    #[serde(default)]
    pub stamp: Option<String>,
}

/// What became of the runs, logged models and traces of these origins; those that were never imported are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FindImported {
    pub workspace: String,
    pub origins: Vec<String>,
}
operation!(FindImported => BTreeMap<String, Imported>, "imports.find");

/// A run as it was recorded elsewhere, or a part of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ImportedRun {
    /// Its id there. It becomes the run's name here unless another run has that.
    pub origin: String,
    pub display_name: String,
    pub user: String,
    pub status: RunStatus,
    #[serde(default)]
    pub started_at: Option<Time>,
    #[serde(default)]
    pub ended_at: Option<Time>,
    #[serde(default)]
    pub deleted: bool,
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Points to add to what is there.
    #[serde(default)]
    pub metrics: Vec<MetricPoint>,
    /// Files to add, whose blobs are stored.
    #[serde(default)]
    pub artifacts: Vec<TreeEntry>,
    #[serde(default)]
    pub links: RunLinks,
    /// Kept once all of the run is here, to know later whether it has changed there.
    #[serde(default)]
    pub stamp: Option<String>,
}

/// Makes runs as they were recorded elsewhere, or completes those that are here already, all of them
/// or none; answers their names here. A param that has another value here keeps it; a run that is
/// executed here keeps its state. A missing blob is a conflict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportRuns {
    pub workspace: String,
    pub experiment_id: String,
    pub runs: Vec<ImportedRun>,
}
operation!(ImportRuns => Vec<String>, "imports.runs");

/// A logged model as it was recorded elsewhere.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedModel {
    /// Its id there, which stays the same here unless another workspace of this server has it.
    pub origin: String,
    pub name: String,
    #[serde(default, rename = "type")]
    pub kind: String,
    pub status: LoggedModelStatus,
    /// Here, the run that made it, whose artifacts its files are.
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Measured in runs of these names here.
    #[serde(default)]
    pub metrics: Vec<(String, ModelMetric)>,
    #[serde(default)]
    pub deleted: bool,
    pub created_at: Time,
    pub updated_at: Time,
    /// As for runs.
    #[serde(default)]
    pub stamp: Option<String>,
}

/// Makes logged models as they were recorded elsewhere, or completes those that are here already,
/// all of them or none; answers their ids here.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportModels {
    pub workspace: String,
    pub experiment_id: String,
    pub models: Vec<ImportedModel>,
}
operation!(ImportModels => Vec<String>, "imports.models");

/// A trace as it was recorded elsewhere, or a part of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportedTrace {
    /// Its id there and here.
    pub origin: String,
    #[serde(default)]
    pub client_request_id: Option<String>,
    #[serde(default)]
    pub request_preview: Option<String>,
    #[serde(default)]
    pub response_preview: Option<String>,
    pub started_at: Time,
    #[serde(default)]
    pub duration_ms: Option<i64>,
    pub state: TraceState,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub assessments: Vec<Assessment>,
    /// Spans to add to what is there, or to put in the place of those of their ids.
    #[serde(default)]
    pub spans: Vec<Span>,
    /// Origins of the runs that it was said to belong to.
    #[serde(default)]
    pub runs: Vec<String>,
    /// Files to add, whose blobs are stored.
    #[serde(default)]
    pub artifacts: Vec<TreeEntry>,
    /// As for runs.
    #[serde(default)]
    pub stamp: Option<String>,
}

/// Makes traces as they were recorded elsewhere, or completes those that are here already, all of them
/// or none. A missing blob is a conflict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportTraces {
    pub workspace: String,
    pub experiment_id: String,
    pub traces: Vec<ImportedTrace>,
}
operation!(ImportTraces => Done, "imports.traces");

/// A version of a registered model as it was recorded elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedVersion {
    pub version: u64,
    /// Where its files are here; a logged model that was brought over is named as it was there.
    pub source: ModelSource,
    /// What it is called there.
    #[serde(default)]
    pub uri: Option<String>,
    /// Here, the run that made it.
    #[serde(default)]
    pub run: Option<String>,
    /// The logged model that it is, as it was called there.
    #[serde(default)]
    pub logged_model: Option<String>,
    #[serde(default)]
    pub run_link: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub stage: Stage,
    #[serde(default)]
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Makes a registered model or a prompt as it was recorded elsewhere, with versions of the same
/// numbers, or brings its description, tags, aliases and stages up to date; nobody is told. A version
/// of that number that was made at another time is another one and stays as it is; one that was
/// deleted here stays deleted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ImportRegisteredModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub aliases: BTreeMap<String, u64>,
    pub created_at: Time,
    pub updated_at: Time,
    #[serde(default)]
    pub versions: Vec<ImportedVersion>,
    /// Bring back versions that were deleted here.
    #[serde(default)]
    pub again: bool,
}
operation!(ImportRegisteredModel => ImportedRegistration, "imports.registered_model");

/// What became of a registered model and, number by number, of its versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportedRegistration {
    pub model: Outcome,
    pub versions: BTreeMap<u64, Outcome>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    #[default]
    Unchanged,
    New,
    Updated,
    /// It was deleted here.
    LeftOut,
    /// There is another one of that number.
    Taken,
}
