//! Deployments: what is served behind an endpoint, by how many processes and within which limits.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Done, Error, Time,
    collector::Collector,
    endpoints::{Endpoint, EndpointState},
    environments::Environment,
    files::Hash,
    operation,
};

/// What a deployment that was given no name is called.
pub const DEFAULT: &str = "default";

/// The most processes of a deployment.
pub const MOST_INSTANCES: u32 = 64;

/// A version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelVersion {
    pub model: String,
    pub version: u64,
}

impl std::fmt::Display for ModelVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.model, self.version)
    }
}

/// What is served, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployment {
    /// Absent when the code brings its own.
    #[serde(flatten)]
    pub model: Option<ModelVersion>,
    /// Tree with the entry script; absent for a model in MLflow format that needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Hash>,
    /// The entry script's path in `code`, with `init()` and `run()`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// When none is named: for a script that of the run which made the model, else one of its own
    /// with what scoring needs; for a model in MLflow format the one that it describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<Environment>,
    /// What answers instead of a script.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// What its image is made from in containers and elsewhere; else from one of Python.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageBase>,
    /// It is served in containers; else by processes of the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<Container>,
    /// The host scores the model itself, without Python.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub native: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_variables: BTreeMap<String, String>,
    /// Environment variable → secret of the key vault that it has.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Environment variable → secret that is in a file, which the variable names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secret_files: BTreeMap<String, String>,
    /// How many processes answer, unless `scale` says otherwise.
    #[serde(default = "one")]
    pub instances: u32,
    /// As many processes as the load asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<Scale>,
    #[serde(default, skip_serializing_if = "RequestSettings::is_default")]
    pub requests: RequestSettings,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness: Option<Probe>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness: Option<Probe>,
    /// What is kept of its inputs and outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collector: Option<Collector>,
    /// What was written of it in Azure's words, when it was described so.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub definition: Map<String, Value>,
}

fn one() -> u32 {
    1
}

impl Default for Deployment {
    fn default() -> Self {
        Self {
            model: None,
            code: None,
            script: None,
            environment: None,
            program: None,
            image: None,
            container: None,
            native: false,
            environment_variables: BTreeMap::new(),
            secrets: BTreeMap::new(),
            secret_files: BTreeMap::new(),
            instances: 1,
            scale: None,
            requests: RequestSettings::default(),
            liveness: None,
            readiness: None,
            collector: None,
            definition: Map::new(),
        }
    }
}

/// A program in any language that answers HTTP by itself: on loopback, or in a container on all addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// A line for `sh`, run in the folder of the code; empty for what a container's own image starts.
    pub command: String,
    /// Tree in which it is run instead, when the code is something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<Hash>,
    /// Where it listens whatever it is told, so that one process of it can run at a time. Absent for
    /// one that listens on the port which the variable `PORT` names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The paths at which it is asked.
    #[serde(default)]
    pub routes: Routes,
}

/// What the image of a deployment is made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageBase {
    /// Another image.
    Named(String),
    /// What a Dockerfile makes, in the tree around it.
    Build { folder: Hash, dockerfile: String },
}

/// That an image is built for a deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// The registry that the image is pushed to; the workspace's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
}

/// The paths at which what answers is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Whether it lives.
    pub liveness: String,
    /// Whether it can take requests.
    pub readiness: String,
    /// To score: what `/score` of the endpoint is for the program.
    pub scoring: String,
}

impl Default for Routes {
    fn default() -> Self {
        Self {
            liveness: "/".to_owned(),
            readiness: "/".to_owned(),
            scoring: "/score".to_owned(),
        }
    }
}

/// Between how many processes there are, and at which load there is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scale {
    /// With 0 the last process leaves when nothing was asked for a while; the next request waits for
    /// a new one.
    pub min: u32,
    pub max: u32,
    /// Share of the requests that the processes can take at once, in percent, that is aimed at.
    pub target_percent: u32,
    /// Seconds between two looks.
    pub polling_seconds: u32,
}

/// Limits of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestSettings {
    /// How long an answer may take to begin; five minutes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Requests that a process gets at once; any number when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_concurrent: Option<u32>,
    /// How long a request waits for a process that can take it, before it is answered 429.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_queue_wait_ms: Option<u64>,
}

impl RequestSettings {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How a process is asked whether it is well; times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    pub initial_delay: u32,
    pub period: u32,
    pub timeout: u32,
    pub failure_threshold: u32,
    pub success_threshold: u32,
}

impl Default for Probe {
    fn default() -> Self {
        Self {
            initial_delay: 10,
            period: 10,
            timeout: 2,
            failure_threshold: 30,
            success_threshold: 1,
        }
    }
}

/// What the front has counted of a deployment since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Load {
    pub requests: u64,
    /// Answers with a status of 400 or more.
    pub errors: u64,
    /// Median and 99th percentile of the last thousand answers, milliseconds.
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processes that answer.
    #[serde(default)]
    pub instances: u32,
}

/// An update that could not be served, so that what was served before it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedUpdate {
    pub generation: u64,
    /// Why, with the tail of the log.
    pub message: String,
}

/// A deployment with how it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deployed {
    pub name: String,
    pub state: EndpointState,
    /// Why it is not healthy, with the tail of its log when it failed; or that its update failed and
    /// what was served before still answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Percent of the endpoint's requests that it gets.
    pub traffic: u8,
    #[serde(flatten)]
    pub deployment: Deployment,
    /// Where the model is, when that is another workspace or a registry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_workspace: Option<String>,
    /// Counts its updates.
    pub generation: u64,
    /// The newest update, when it failed and the one before it, which answered, is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_update: Option<FailedUpdate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// That a program cannot score by itself.
pub fn without_native() -> Error {
    Error::invalid("This aml was built without native scoring")
        .hint("Build one with it: cargo install --path . --features native")
        .hint("Or deploy without --native, to score with Python")
}

/// Deploys a model version behind an endpoint, made if new. Answers at once; the deployment is then
/// starting. Deploying again under the same name replaces what is served and keeps keys and address;
/// what does not come to answer is given up for the last that did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deploy {
    pub workspace: String,
    /// The endpoint.
    pub name: String,
    /// The name of the deployment; the endpoint's only one, or `default`, when absent.
    #[serde(default)]
    pub deployment_name: Option<String>,
    pub deployment: Deployment,
    /// It gets all requests once it answers. The first deployment of an endpoint gets them in any case.
    #[serde(default)]
    pub all_traffic: bool,
    /// The endpoint's own port; one is chosen when absent.
    #[serde(default)]
    pub port: Option<u16>,
}
operation!(Deploy => Endpoint, "endpoints.deploy");

/// Makes a deployment behind an endpoint from its description in Azure's words, or makes one that is
/// there anew. What the description names is in the workspace already. Answers at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PutDeployment {
    pub workspace: String,
    /// The endpoint, which must exist.
    pub endpoint: String,
    pub name: String,
    /// The checked form of the file.
    pub definition: Map<String, Value>,
    /// Only change one that is there.
    #[serde(default)]
    pub existing: bool,
    /// It gets all requests once it answers.
    #[serde(default)]
    pub all_traffic: bool,
    /// Where programs are looked for, when it is served on the machine that asks.
    #[serde(default)]
    pub search_path: Option<String>,
}
operation!(PutDeployment => Deployed, "deployments.put");

/// One deployment of an endpoint, with its true state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetDeployment {
    pub workspace: String,
    pub endpoint: String,
    pub name: String,
}
operation!(GetDeployment => Deployed, "deployments.get");

/// Ends a deployment and deletes it. One that gets requests is a conflict, unless it is forced.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DeleteDeployment {
    pub workspace: String,
    pub endpoint: String,
    pub name: String,
    #[serde(default)]
    pub force: bool,
}
operation!(DeleteDeployment => Done, "deployments.delete");
