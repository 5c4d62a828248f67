//! Batch endpoints: addresses behind which models and pipelines score folders of data.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation, runs::Run};

/// Tags of the jobs that an endpoint has started.
pub const ENDPOINT_TAG: &str = "azureml.batch.endpoint";
pub const DEPLOYMENT_TAG: &str = "azureml.batch.deployment";
/// The input that is given without a name.
pub const INPUT: &str = "input";
/// The output of a model deployment.
pub const SCORE: &str = "score";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchEndpoint {
    pub name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The deployment that runs when none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_deployment: Option<String>,
    /// Where jobs are asked for over REST; empty while nothing listens.
    pub scoring_uri: String,
    /// Names of its deployments.
    pub deployments: Vec<String>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Where the server at `url` is asked for the jobs of a batch endpoint.
pub fn scoring_uri(url: &str, workspace: &str, name: &str) -> String {
    let workspace = workspace.to_lowercase();
    format!("{url}/ws/{workspace}/batch-endpoints/{name}/jobs")
}

/// Makes a batch endpoint or changes one that is there: what is absent stays as it is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PutBatchEndpoint {
    pub workspace: String,
    pub name: String,
    /// Only change one that is there.
    #[serde(default)]
    pub existing: bool,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub properties: Option<BTreeMap<String, String>>,
    /// One of its deployments.
    #[serde(default)]
    pub default_deployment: Option<String>,
}
operation!(PutBatchEndpoint => BatchEndpoint, "batch.put_endpoint");

/// The batch endpoints of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListBatchEndpoints {
    pub workspace: String,
}
operation!(ListBatchEndpoints => Vec<BatchEndpoint>, "batch.list_endpoints");

/// One batch endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetBatchEndpoint {
    pub workspace: String,
    pub name: String,
}
operation!(GetBatchEndpoint => BatchEndpoint, "batch.get_endpoint");

/// Deletes a batch endpoint with its deployments; the jobs that it started stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteBatchEndpoint {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteBatchEndpoint => Done, "batch.delete_endpoint");

/// What a batch endpoint runs, in the words of Azure's YAML.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BatchDeployment {
    pub endpoint: String,
    pub name: String,
    pub definition: Map<String, Value>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Makes a batch deployment from its description in Azure's words, or makes one that is there anew.
/// What the description names is in the workspace already; labels become versions.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PutBatchDeployment {
    pub workspace: String,
    /// The endpoint, which must exist.
    pub endpoint: String,
    pub name: String,
    /// The checked form of the file.
    pub definition: Map<String, Value>,
    /// Only change one that is there.
    #[serde(default)]
    pub existing: bool,
    /// It runs when none is named. The first deployment of an endpoint does in any case.
    #[serde(default)]
    pub set_default: bool,
}
operation!(PutBatchDeployment => BatchDeployment, "batch.put_deployment");

/// One deployment of a batch endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetBatchDeployment {
    pub workspace: String,
    pub endpoint: String,
    pub name: String,
}
operation!(GetBatchDeployment => BatchDeployment, "batch.get_deployment");

/// The deployments of a batch endpoint, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListBatchDeployments {
    pub workspace: String,
    pub endpoint: String,
}
operation!(ListBatchDeployments => Vec<BatchDeployment>, "batch.list_deployments");

/// Deletes a deployment of a batch endpoint; the jobs that it started stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteBatchDeployment {
    pub workspace: String,
    pub endpoint: String,
    pub name: String,
}
operation!(DeleteBatchDeployment => Done, "batch.delete_deployment");

/// Starts a job that scores data.
///
/// What the inputs name on the caller's machine was uploaded before. A model deployment scores all
/// files of all inputs; its output is `score`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct InvokeBatch {
    pub workspace: String,
    pub endpoint: String,
    /// The endpoint's default when absent.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The job's name, chosen by the caller, so that a retry is not a second job.
    pub job: String,
    /// The endpoint's name when absent.
    #[serde(default)]
    pub experiment: Option<String>,
    /// As a job's inputs are written.
    #[serde(default)]
    pub inputs: Map<String, Value>,
    /// As a job's outputs are written.
    #[serde(default)]
    pub outputs: Map<String, Value>,
    /// In place of what the deployment says.
    #[serde(default)]
    pub mini_batch_size: Option<u32>,
    #[serde(default)]
    pub instance_count: Option<u32>,
    #[serde(default)]
    pub output_file_name: Option<String>,
    #[serde(default)]
    pub error_threshold: Option<i64>,
    #[serde(default)]
    pub max_retries: Option<i64>,
    /// Seconds that a mini-batch may take.
    #[serde(default)]
    pub timeout: Option<i64>,
    #[serde(default)]
    pub max_concurrency_per_instance: Option<u32>,
    /// `debug`, `info` or `warning`.
    #[serde(default)]
    pub logging_level: Option<String>,
    /// Where programs are looked for, when it is started on the machine that runs it.
    #[serde(default)]
    pub search_path: Option<String>,
}
operation!(InvokeBatch => Run, "batch.invoke");
