//! How workers and endpoint hosts take work and report on it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Done,
    computes::Size,
    deployments::Deployment,
    endpoints::{AuthMode, EndpointKeys, EndpointState, Traffic},
    files::{Hash, TreeEntry},
    lineage::RunLink,
    names::plain,
    operation,
    runs::{Job, Usage},
};

/// A run given to a worker.
#[derive(Clone, Serialize, Deserialize)]
pub struct Assignment {
    pub workspace: String,
    /// Where the workspace is, as its id says it.
    #[serde(default)]
    pub subscription: String,
    #[serde(default)]
    pub resource_group: String,
    pub run: String,
    /// The run of the whole pipeline or sweep that it is a part of; else itself.
    #[serde(default)]
    pub root: String,
    /// Its number where it is another one, which is never that of a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_id: Option<i64>,
    pub experiment: String,
    pub experiment_id: String,
    pub display_name: String,
    pub job: Job,
    /// What the worker said of the process when another worker had the run; absent when it never started.
    #[serde(default)]
    pub handle: Option<String>,
    /// Lets the run's process log to its own run and nothing else.
    pub token: String,
    /// Environment variable → value, for the secrets the job names.
    pub secrets: BTreeMap<String, String>,
    /// Bytes of the log that are stored.
    pub log_length: u64,
    /// Someone asked to cancel it.
    pub cancel: bool,
    /// There are no users: whoever submits runs is the owner of the state directory.
    #[serde(default)]
    pub owned: bool,
    /// What its compute has for each node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// No other worker could take it over: of what goes fast its start may be said with its end.
    #[serde(default)]
    pub alone: bool,
}

/// A worker's one regular call: keeps its leases, takes new work, learns of cancellations.
/// Waits up to `wait_ms` when there is nothing to say. A lease not renewed for
/// [`LEASE_SECONDS`] goes to another worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SyncWorker {
    pub worker: String,
    /// How many more runs it would take.
    pub capacity: u32,
    /// Runs it holds, as `workspace/run`.
    pub holding: Vec<String>,
    /// Of these, those it knows that it has to cancel: the answer in which it was told may have been lost.
    #[serde(default)]
    pub cancelling: Option<Vec<String>>,
    #[serde(default)]
    pub wait_ms: u64,
}
operation!(SyncWorker => WorkerOrders, "workers.sync");

pub const LEASE_SECONDS: i64 = 30;

#[derive(Clone, Default, Serialize, Deserialize)]
pub struct WorkerOrders {
    pub take: Vec<Assignment>,
    /// Held runs that someone asked to cancel.
    pub cancel: Vec<String>,
    /// Held runs that are no longer this worker's: stop them without reporting.
    pub lost: Vec<String>,
}

/// What a worker says of a run it holds. From a worker that does not hold it: a conflict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportRun {
    pub workspace: String,
    pub run: String,
    pub worker: String,
    /// What was not said when it happened, because this came so soon after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Progress>,
    pub progress: Progress,
    /// Said with an end, by a worker that has room: how many runs it executes at once. Where it holds fewer
    /// then, it is given others with the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slots: Option<u32>,
}
operation!(ReportRun => Reported, "workers.report");

/// How a report was taken down.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Reported {
    /// Runs that are the worker's now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub take: Vec<Assignment>,
    /// The end is on disk only in a moment. The same report without `slots` waits for that: until then
    /// what is left of the run is to be kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub soon: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Progress {
    /// A line for people about what is being prepared.
    Preparing { message: String },
    Running {
        /// Lets another worker on the same machine find the process again.
        handle: String,
        node: String,
        /// How long ago it began.
        #[serde(default)]
        ago_ms: u64,
        /// What there was to say for people while it was prepared.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        messages: Vec<String>,
        /// What it uses.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uses: Vec<RunLink>,
    },
    /// Said of what takes a while only.
    Finalizing,
    Ended {
        outcome: Outcome,
        #[serde(default)]
        exit_code: Option<i32>,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        usage: Option<Usage>,
        /// Stored contents that are artifacts of the run from now on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        artifacts: Vec<TreeEntry>,
        /// What it was to use, where it ended before its process started.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        uses: Vec<RunLink>,
        /// What it made.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        made: Vec<RunLink>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Completed,
    Failed,
    Canceled,
}

/// Where an append to a log ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLength {
    pub length: u64,
}

/// What the host of an endpoint serves; none when the endpoint was deleted. For hosts on the
/// machine that keeps the state only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetHostOrders {
    pub endpoint: i64,
}
operation!(GetHostOrders => Option<HostOrders>, "hosts.orders");

#[derive(Clone, Serialize, Deserialize)]
pub struct HostOrders {
    pub workspace: String,
    pub name: String,
    /// Serve, or leave.
    pub running: bool,
    /// Counts the changes of what is to be served.
    pub number: u64,
    pub deployments: Vec<DeploymentOrders>,
    pub traffic: Traffic,
    pub mirror_traffic: Traffic,
    pub auth_mode: AuthMode,
    pub keys: EndpointKeys,
    /// The port it had before.
    #[serde(default)]
    pub port: Option<u16>,
    /// The port that was asked for.
    #[serde(default)]
    pub pinned_port: Option<u16>,
    /// Ports that are other endpoints', whether they answer just now or not.
    #[serde(default)]
    pub others: Vec<u16>,
}

/// Environment variable → value of a secret. The values are not printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secrets(pub BTreeMap<String, String>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A deployment that a host shall serve.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentOrders {
    /// Its number in the store, which names its files.
    pub id: i64,
    pub name: String,
    pub generation: u64,
    pub deployment: Deployment,
    /// How many processes there shall be is asked for.
    #[serde(default)]
    pub autoscaled: bool,
    #[serde(default)]
    pub secrets: Secrets,
    /// What is in files that the variables name.
    #[serde(default)]
    pub secret_files: Secrets,
    /// Secrets that it names and that are no more.
    #[serde(default)]
    pub missing_secrets: Vec<String>,
    /// Files of the model.
    #[serde(default)]
    pub model: Option<Hash>,
    /// Where they are: the workspace, or a registry.
    #[serde(default)]
    pub model_workspace: Option<String>,
    /// What the model was registered from; its last part names the folder it is laid out in.
    #[serde(default)]
    pub model_path: Option<String>,
}

/// A deployment whose images are kept.
#[derive(Debug, Clone)]
pub struct Imaged {
    pub workspace: String,
    pub endpoint: String,
    pub deployment: String,
    pub generation: u64,
}

impl Imaged {
    /// What its images are called, before the generation.
    pub fn name(&self) -> String {
        format!("{}.{}", plain(&self.endpoint), plain(&self.deployment))
    }

    /// Whether an image called so is of its newest generation or of the one before, which may answer.
    pub fn is_of(&self, name: &str) -> bool {
        let number = name
            .rsplit_once('-')
            .filter(|(begin, _)| *begin == self.name());
        let number = number.and_then(|(_, number)| number.parse::<u64>().ok());
        number.is_some_and(|number| number + 1 >= self.generation)
    }
}

/// The deployments there are when it is called, by their numbers, which no later one has.
pub type Kept<'a> = dyn Fn() -> crate::Result<BTreeMap<i64, Imaged>> + 'a;

/// A host says which orders it has read, where it listens, and why not if it does not.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportHost {
    pub endpoint: i64,
    pub seen: u64,
    #[serde(default)]
    pub port: Option<u16>,
    #[serde(default)]
    pub message: Option<String>,
}
operation!(ReportHost => Done, "hosts.seen");

/// What a host says of a generation of a deployment that it serves or tries to. Of an older one than
/// the deployment's nothing is recorded.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportDeployment {
    pub endpoint: i64,
    pub deployment: i64,
    pub generation: u64,
    pub state: EndpointState,
    #[serde(default)]
    pub message: Option<String>,
    /// The generation cannot be served: the last one that answered is to be served again.
    #[serde(default)]
    pub unfit: bool,
    /// The generation that answers all the same.
    #[serde(default)]
    pub answering: Option<u64>,
}
operation!(ReportDeployment => Done, "hosts.report");
