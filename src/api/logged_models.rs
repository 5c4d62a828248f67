//! Logged models: what a script logs as a model in the course of a run, before anybody registers
//! it; and which models and datasets runs read and made.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Page, Time, metrics::MetricPoint, operation};

/// Where a logged model stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoggedModelStatus {
    /// Its files are being logged.
    Pending,
    Ready,
    /// Logging its files failed.
    Failed,
}

impl LoggedModelStatus {
    pub const ALL: [LoggedModelStatus; 3] = [
        LoggedModelStatus::Pending,
        LoggedModelStatus::Ready,
        LoggedModelStatus::Failed,
    ];

    /// What MLflow calls it.
    pub fn mlflow_name(self) -> &'static str {
        match self {
            LoggedModelStatus::Pending => "LOGGED_MODEL_PENDING",
            LoggedModelStatus::Ready => "LOGGED_MODEL_READY",
            LoggedModelStatus::Failed => "LOGGED_MODEL_UPLOAD_FAILED",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            LoggedModelStatus::Pending => "pending",
            LoggedModelStatus::Ready => "ready",
            LoggedModelStatus::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoggedModel {
    /// Unique in the server; `m-` and 32 hexadecimal digits.
    pub id: String,
    /// As the script calls it; several models of a run may have the same.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub status: LoggedModelStatus,
    pub experiment: String,
    pub experiment_id: String,
    /// The run that is said to have made it. Its files are that run's artifacts below
    /// [`LoggedModel::path`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Where MLflow's clients keep its files.
    pub artifact_uri: String,
    pub params: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    /// The latest point of each metric, of each run and dataset it was measured in and on.
    pub metrics: Vec<MeasuredMetric>,
    pub deleted: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

impl LoggedModel {
    /// The folder of its files among the artifacts of its run.
    pub fn path(&self) -> String {
        path_of(&self.id)
    }
}

/// The folder of a logged model's files among the artifacts of its run.
pub fn path_of(id: &str) -> String {
    format!("models/{id}/artifacts")
}

/// A metric of a run that says which logged model it measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelMetric {
    pub model: String,
    pub point: MetricPoint,
    #[serde(default)]
    pub dataset_name: Option<String>,
    #[serde(default)]
    pub dataset_digest: Option<String>,
}

/// A metric of a logged model, and the run in which it was measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MeasuredMetric {
    pub run: String,
    #[serde(flatten)]
    pub metric: ModelMetric,
}

/// Makes a logged model, which is then pending. The id is chosen by the caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateLoggedModel {
    pub workspace: String,
    pub id: String,
    pub name: String,
    #[serde(default, rename = "type")]
    pub kind: String,
    pub experiment_id: String,
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateLoggedModel => LoggedModel, "logged_models.create");

/// One logged model; a deleted one only when asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetLoggedModel {
    pub workspace: String,
    pub id: String,
    #[serde(default)]
    pub include_deleted: bool,
}
operation!(GetLoggedModel => LoggedModel, "logged_models.get");

/// Changes what is given of a logged model and leaves the rest. A param that is there already is
/// invalid.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateLoggedModel {
    pub workspace: String,
    pub id: String,
    #[serde(default)]
    pub status: Option<LoggedModelStatus>,
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_tags: Vec<String>,
    /// Gives a model without a run one that holds its files.
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub deleted: bool,
}
operation!(UpdateLoggedModel => LoggedModel, "logged_models.update");

/// A dataset by its name, and by its digest when one is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetName {
    pub name: String,
    #[serde(default)]
    pub digest: Option<String>,
}

impl DatasetName {
    /// Whether a metric was measured on it.
    pub fn fits(&self, metric: &ModelMetric) -> bool {
        metric.dataset_name.as_ref() == Some(&self.name)
            && (self.digest.is_none() || metric.dataset_digest == self.digest)
    }
}

/// Logged models that are not deleted, newest first unless another order is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchLoggedModels {
    pub workspace: String,
    /// Ids of experiments; all of them when empty.
    #[serde(default)]
    pub experiment_ids: Vec<String>,
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub filter: Option<String>,
    /// Only models with a metric measured on one of these datasets, and only such metrics count.
    #[serde(default)]
    pub datasets: Vec<DatasetName>,
    /// Datasets on which metrics must be measured to count in the order.
    #[serde(default)]
    pub order_datasets: Vec<DatasetName>,
    /// Keys such as `metrics.accuracy DESC`.
    #[serde(default)]
    pub order_by: Vec<String>,
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(SearchLoggedModels => Page<LoggedModel>, "logged_models.search");

/// A dataset that a run read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetUse {
    pub name: String,
    pub digest: String,
    pub source_type: String,
    pub source: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// What it was read for is the tag `mlflow.data.context`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

/// A logged model that a run made, at which step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelOutput {
    pub model: String,
    #[serde(default)]
    pub step: i64,
}

/// What a run read and made besides its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunLinks {
    #[serde(default)]
    pub datasets: Vec<DatasetUse>,
    /// Logged models it read.
    #[serde(default)]
    pub model_inputs: Vec<String>,
    #[serde(default)]
    pub model_outputs: Vec<ModelOutput>,
}

/// Adds to what a run read and made; what is there already stays as it is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkRun {
    pub workspace: String,
    pub run: String,
    pub links: RunLinks,
}
operation!(LinkRun => Done, "runs.link");

/// What runs read and made, by their names; a run without any is left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetRunLinks {
    pub workspace: String,
    pub runs: Vec<String>,
}
operation!(GetRunLinks => BTreeMap<String, RunLinks>, "runs.links");

/// A dataset as runs of an experiment read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSummary {
    pub experiment_id: String,
    pub name: String,
    pub digest: String,
    /// What it was read for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
}

/// The datasets that runs of some experiments read, each once for each experiment and context.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListDatasets {
    pub workspace: String,
    pub experiment_ids: Vec<String>,
    pub limit: u32,
}
operation!(ListDatasets => Vec<DatasetSummary>, "runs.datasets");
