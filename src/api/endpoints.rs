//! Online endpoints and what is deployed behind them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Time, environments::Environment, files::Hash, operation};

/// Where an endpoint stands. Always what is true now: a host that died shows as stopped or failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// Environment being built, model laid out, scoring process coming up.
    Starting,
    /// Answers scoring requests.
    Healthy,
    /// Could not start, or ended; see `message` and the log.
    Failed,
    Stopped,
}

impl EndpointState {
    pub const ALL: [EndpointState; 4] = [
        EndpointState::Starting,
        EndpointState::Healthy,
        EndpointState::Failed,
        EndpointState::Stopped,
    ];

    pub fn name(self) -> &'static str {
        match self {
            EndpointState::Starting => "starting",
            EndpointState::Healthy => "healthy",
            EndpointState::Failed => "failed",
            EndpointState::Stopped => "stopped",
        }
    }
}

impl std::fmt::Display for EndpointState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What an endpoint serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    pub model: String,
    pub version: u64,
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
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_variables: BTreeMap<String, String>,
    /// The endpoint's own port; one is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// What the front has counted since the host started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Traffic {
    pub requests: u64,
    /// Answers with a status of 400 or more.
    pub errors: u64,
    /// Median and 99th percentile of the last thousand answers, milliseconds.
    pub p50_ms: f64,
    pub p99_ms: f64,
}

/// A deployment that could not be served, so that the one before it was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedUpdate {
    pub generation: u64,
    /// Why, with the tail of the log.
    pub message: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: String,
    pub state: EndpointState,
    /// Why it is not healthy, with the tail of its log when it failed; or that a newer deployment
    /// failed and this one still answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub scoring_uri: String,
    pub deployment: Deployment,
    /// The number of the deployment; each `deploy` of the same name takes the next.
    pub generation: u64,
    /// The newest deployment, when it failed and this one, which answered before, is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_update: Option<FailedUpdate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Deploys a model version behind an endpoint, made if new. Answers at once; the endpoint is then
/// starting. Deploying again replaces what is served and keeps keys and address; a deployment that
/// does not come to answer is given up for the last one that did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deploy {
    pub workspace: String,
    pub name: String,
    pub deployment: Deployment,
}
operation!(Deploy => Endpoint, "endpoints.deploy");

/// The endpoints of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListEndpoints {
    pub workspace: String,
}
operation!(ListEndpoints => Vec<Endpoint>, "endpoints.list");

/// One endpoint, with its true state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetEndpoint {
    pub workspace: String,
    pub name: String,
}
operation!(GetEndpoint => Endpoint, "endpoints.get");

/// Starts a stopped or failed endpoint again, with the last deployment that answered if one did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartEndpoint {
    pub workspace: String,
    pub name: String,
}
operation!(StartEndpoint => Endpoint, "endpoints.start");

/// Stops an endpoint; it keeps its name, keys and deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StopEndpoint {
    pub workspace: String,
    pub name: String,
}
operation!(StopEndpoint => Endpoint, "endpoints.stop");

/// Stops and deletes an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteEndpoint {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteEndpoint => Done, "endpoints.delete");

/// Either key opens the endpoint.
#[derive(Clone, Serialize, Deserialize)]
pub struct EndpointKeys {
    pub primary: String,
    pub secondary: String,
}

/// The keys that authenticate callers of an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetEndpointKeys {
    pub workspace: String,
    pub name: String,
}
operation!(GetEndpointKeys => EndpointKeys, "endpoints.keys");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyKind {
    Primary,
    Secondary,
}

/// Makes a new key; the old one stops working at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegenerateEndpointKey {
    pub workspace: String,
    pub name: String,
    pub key: KeyKind,
}
operation!(RegenerateEndpointKey => EndpointKeys, "endpoints.regenerate_key");

/// What the endpoint's process and front have written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GetEndpointLog {
    pub workspace: String,
    pub name: String,
    /// The last so many lines; from `offset` when absent.
    #[serde(default)]
    pub lines: Option<u32>,
    /// Read on from there.
    #[serde(default)]
    pub offset: u64,
}
operation!(GetEndpointLog => EndpointLog, "endpoints.log");

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointLog {
    pub text: String,
    /// Where to read on.
    pub offset: u64,
}
