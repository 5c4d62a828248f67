//! Online endpoints: addresses behind which models are deployed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Time, deployments::Deployed, operation};

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

/// How callers of an endpoint show that they may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthMode {
    /// With one of its two keys.
    #[default]
    Key,
    /// With a token that expires.
    AmlToken,
    /// As [`AuthMode::AmlToken`]: there is no other directory of users.
    AadToken,
}

impl AuthMode {
    pub const ALL: [AuthMode; 3] = [AuthMode::Key, AuthMode::AmlToken, AuthMode::AadToken];

    pub fn name(self) -> &'static str {
        match self {
            AuthMode::Key => "key",
            AuthMode::AmlToken => "aml_token",
            AuthMode::AadToken => "aad_token",
        }
    }

    pub fn called(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Deployment → percent of the requests. All of them together get 100, or nothing.
pub type Traffic = BTreeMap<String, u8>;

/// The most of the requests that are copied to a deployment, in percent.
pub const MOST_MIRRORED: u8 = 50;

/// Begins the names of endpoints that `az` made with `--local`, which are apart from the others.
pub const LOCAL: &str = "local/";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    pub name: String,
    /// That of the deployments that get requests; the least well counts.
    pub state: EndpointState,
    /// Why it is not healthy, with the tail of a log when it failed; or that a newer deployment
    /// failed and the one before it still answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    pub scoring_uri: String,
    pub auth_mode: AuthMode,
    pub traffic: Traffic,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub mirror_traffic: Traffic,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The port of this machine that was asked for; one is chosen when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// What it serves, by name.
    pub deployments: Vec<Deployed>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Makes an endpoint, to which deployments are added, or changes one that is there: what is absent
/// stays as it is. It has an address at once.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PutEndpoint {
    pub workspace: String,
    pub name: String,
    /// Only change one that is there.
    #[serde(default)]
    pub existing: bool,
    #[serde(default)]
    pub auth_mode: Option<AuthMode>,
    /// Share of the requests of each deployment; those that are not named get none.
    #[serde(default)]
    pub traffic: Option<Traffic>,
    /// Share of the requests that are copied to a deployment, whose answers nobody gets.
    #[serde(default)]
    pub mirror_traffic: Option<Traffic>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub properties: Option<BTreeMap<String, String>>,
    /// Answer on this port of the machine.
    #[serde(default)]
    pub port: Option<u16>,
}
operation!(PutEndpoint => Endpoint, "endpoints.put");

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

/// Starts a stopped or failed endpoint again; each deployment with what answered last, if it ever did.
/// Its address stays, unless another program has taken it: then it gets another one, which the answer
/// says.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartEndpoint {
    pub workspace: String,
    pub name: String,
    /// The port to answer on from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}
operation!(StartEndpoint => Endpoint, "endpoints.start");

/// Stops an endpoint; it keeps its name, keys and deployments.
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

/// A token that opens an endpoint until it expires, or one of the endpoint's keys is made new.
#[derive(Clone, Serialize, Deserialize)]
pub struct EndpointToken {
    pub token: String,
    pub expires_at: Time,
    /// When to ask for the next one.
    pub refresh_after: Time,
}

/// Issues a token for an endpoint that takes tokens.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetEndpointToken {
    pub workspace: String,
    pub name: String,
    /// How long it is good for; an hour when absent.
    #[serde(default)]
    pub seconds: Option<u32>,
}
operation!(GetEndpointToken => EndpointToken, "endpoints.token");

/// What a deployment's processes have written, with a line for each request it got.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GetEndpointLog {
    pub workspace: String,
    pub name: String,
    /// The deployment; absent for the endpoint's only one, and with several for what its host and
    /// front wrote of none.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The endpoint's access log instead: a line of JSON for each request.
    #[serde(default)]
    pub access: bool,
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
