//! What answers look like: MLflow's messages, in which absent fields and empty lists are left out.

use std::collections::BTreeMap;

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::error::Failure;
use api::{
    experiments::Experiment as OurExperiment,
    metrics::{MetricPoint, Value},
    runs::{Run as OurRun, RunStatus},
};

pub type Answer = Result<Response, Failure>;

/// Writes a message, as what a handler returns.
#[expect(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub fn answer<T: Serialize>(message: &T) -> Answer {
    Ok(Json(message).into_response())
}

/// The answer of a call that has nothing to say.
pub fn done() -> Answer {
    answer(&Empty {})
}

#[derive(Serialize)]
struct Empty {}

/// The experiment that every workspace has, and the id by which MLflow's clients know it.
pub const DEFAULT_EXPERIMENT: &str = "Default";
pub const DEFAULT_EXPERIMENT_ID: &str = "0";

/// An experiment's id as clients see it.
pub fn experiment_id(name: &str, id: &str) -> String {
    if name.eq_ignore_ascii_case(DEFAULT_EXPERIMENT) {
        DEFAULT_EXPERIMENT_ID.to_owned()
    } else {
        id.to_owned()
    }
}

#[derive(Serialize)]
pub struct Pair {
    pub key: String,
    pub value: String,
}

pub fn pairs(map: BTreeMap<String, String>) -> Vec<Pair> {
    map.into_iter()
        .map(|(key, value)| Pair { key, value })
        .collect()
}

fn stage(deleted: bool) -> &'static str {
    if deleted { "deleted" } else { "active" }
}

#[expect(clippy::struct_field_names, reason = "MLflow's names")]
#[derive(Serialize)]
pub struct Experiment {
    experiment_id: String,
    name: String,
    artifact_location: String,
    lifecycle_stage: &'static str,
    last_update_time: i64,
    creation_time: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
    workspace: String,
}

impl Experiment {
    pub fn new(experiment: OurExperiment, workspace: &str) -> Self {
        Self {
            workspace: workspace.to_lowercase(),
            experiment_id: experiment_id(&experiment.name, &experiment.id),
            name: experiment.name,
            artifact_location: experiment.artifact_location,
            lifecycle_stage: stage(experiment.deleted),
            last_update_time: experiment.updated_at.0,
            creation_time: experiment.created_at.0,
            tags: pairs(experiment.tags),
        }
    }
}

#[derive(Serialize)]
pub struct Run {
    pub info: RunInfo,
    pub data: RunData,
    pub inputs: RunInputs,
    pub outputs: RunOutputs,
}

#[derive(Serialize)]
pub struct RunInfo {
    run_uuid: String,
    experiment_id: String,
    run_name: String,
    user_id: String,
    status: &'static str,
    start_time: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_time: Option<i64>,
    artifact_uri: String,
    lifecycle_stage: &'static str,
    run_id: String,
}

impl From<&OurRun> for RunInfo {
    fn from(run: &OurRun) -> Self {
        Self {
            run_uuid: run.name.clone(),
            experiment_id: experiment_id(&run.experiment, &run.experiment_id),
            run_name: run.display_name.clone(),
            user_id: run.user.clone(),
            status: run.status.mlflow_name(),
            start_time: run.started_at.unwrap_or(run.created_at).0,
            end_time: run.ended_at.map(|time| time.0),
            artifact_uri: run.artifact_uri.clone(),
            lifecycle_stage: stage(run.deleted),
            run_id: run.name.clone(),
        }
    }
}

/// The status that a client names; one that it does not know is no change.
pub fn run_status(name: &str) -> Option<RunStatus> {
    match name {
        "RUNNING" | "1" => Some(RunStatus::Running),
        "SCHEDULED" | "2" => Some(RunStatus::NotStarted),
        "FINISHED" | "3" => Some(RunStatus::Completed),
        "FAILED" | "4" => Some(RunStatus::Failed),
        "KILLED" | "5" => Some(RunStatus::Canceled),
        _ => None,
    }
}

#[derive(Serialize)]
pub struct RunData {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<Metric>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
}

impl From<OurRun> for RunData {
    fn from(run: OurRun) -> Self {
        let metric = |(key, summary): (String, api::metrics::MetricSummary)| Metric {
            key,
            value: summary.last,
            timestamp: summary.timestamp.0,
            step: summary.step,
        };
        Self {
            metrics: run.metrics.into_iter().map(metric).collect(),
            params: pairs(run.params),
            tags: pairs(run.tags),
        }
    }
}

#[derive(Serialize)]
pub struct Metric {
    key: String,
    value: Value,
    timestamp: i64,
    step: i64,
}

impl From<MetricPoint> for Metric {
    fn from(point: MetricPoint) -> Self {
        Self {
            key: point.key,
            value: point.value,
            timestamp: point.timestamp.unwrap_or_default(),
            step: point.step,
        }
    }
}

#[derive(Default, Serialize)]
pub struct RunInputs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dataset_inputs: Vec<DatasetInput>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_inputs: Vec<ModelInput>,
}

#[derive(Serialize)]
pub struct DatasetInput {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Pair>,
    pub dataset: Dataset,
}

#[derive(Serialize)]
pub struct Dataset {
    pub name: String,
    pub digest: String,
    pub source_type: String,
    pub source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
}

#[derive(Serialize)]
pub struct ModelInput {
    pub model_id: String,
}

#[derive(Default, Serialize)]
pub struct RunOutputs {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub model_outputs: Vec<ModelOutput>,
}

#[derive(Serialize)]
pub struct ModelOutput {
    pub model_id: String,
    pub step: i64,
}

/// A page of a list under the name that the call gives it.
pub fn page<T: Serialize>(name: &'static str, items: &[T], next: Option<String>) -> Answer {
    answer(&Page { name, items, next })
}

struct Page<'a, T> {
    name: &'static str,
    items: &'a [T],
    next: Option<String>,
}

impl<T: Serialize> Serialize for Page<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut message = serializer.serialize_map(None)?;
        if !self.items.is_empty() {
            message.serialize_entry(self.name, self.items)?;
        }
        if let Some(next) = &self.next {
            message.serialize_entry("next_page_token", next)?;
        }
        message.end()
    }
}
