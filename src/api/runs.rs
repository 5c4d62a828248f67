//! Runs: one record for what Azure ML calls a job and MLflow calls a run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Done, Page, Time,
    environments::Environment,
    files::{Hash, TreeInfo},
    jobs::Described,
    metrics::MetricSummary,
    operation,
};

/// Where a run stands. It moves downwards in this list only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RunStatus {
    /// Made by a client that has not started it (MLflow's SCHEDULED).
    #[default]
    NotStarted,
    /// Waits for a worker.
    Queued,
    /// A worker has it: the environment is built, the snapshot laid out.
    Preparing,
    Running,
    /// The process has ended; the last outputs are being stored.
    Finalizing,
    CancelRequested,
    Completed,
    Failed,
    Canceled,
}

impl RunStatus {
    pub const ALL: [RunStatus; 9] = [
        RunStatus::NotStarted,
        RunStatus::Queued,
        RunStatus::Preparing,
        RunStatus::Running,
        RunStatus::Finalizing,
        RunStatus::CancelRequested,
        RunStatus::Completed,
        RunStatus::Failed,
        RunStatus::Canceled,
    ];

    /// Nothing will change any more.
    pub fn ended(self) -> bool {
        match self {
            RunStatus::Completed | RunStatus::Failed | RunStatus::Canceled => true,
            RunStatus::NotStarted
            | RunStatus::Queued
            | RunStatus::Preparing
            | RunStatus::Running
            | RunStatus::Finalizing
            | RunStatus::CancelRequested => false,
        }
    }

    /// What MLflow calls it, which has fewer words.
    pub fn mlflow_name(self) -> &'static str {
        match self {
            RunStatus::NotStarted | RunStatus::Queued => "SCHEDULED",
            RunStatus::Preparing
            | RunStatus::Running
            | RunStatus::Finalizing
            | RunStatus::CancelRequested => "RUNNING",
            RunStatus::Completed => "FINISHED",
            RunStatus::Failed => "FAILED",
            RunStatus::Canceled => "KILLED",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            RunStatus::NotStarted => "NotStarted",
            RunStatus::Queued => "Queued",
            RunStatus::Preparing => "Preparing",
            RunStatus::Running => "Running",
            RunStatus::Finalizing => "Finalizing",
            RunStatus::CancelRequested => "CancelRequested",
            RunStatus::Completed => "Completed",
            RunStatus::Failed => "Failed",
            RunStatus::Canceled => "Canceled",
        }
    }
}

impl std::fmt::Display for RunStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What to execute. Kept with the run, so that it can be repeated exactly.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Program and arguments; one element is a line for `sh -c`.
    pub command: Vec<String>,
    /// The code, laid out as working directory; an empty folder when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Hash>,
    #[serde(default)]
    pub environment: Environment,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_variables: BTreeMap<String, String>,
    /// Logged as params when the run is submitted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Environment variable → name of the secret whose value it gets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Seconds of running after which the run is stopped and fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// What is known of the folder the snapshot was taken from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<Git>,
    /// Whether it runs in a container; as the machine is set up when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<bool>,
    /// What was said in the words of Azure's YAML. The command is then one line for bash, with
    /// `${{…}}` that stand for inputs and outputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub described: Option<Box<Described>>,
}

/// The git state of the submitted folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Git {
    pub commit: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
    /// Uncommitted changes or untracked files.
    pub dirty: bool,
}

/// A status the run had, since when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusChange {
    pub status: RunStatus,
    pub at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What the processes of a run used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// User and system time of all processes, seconds.
    pub cpu_seconds: f64,
    /// Largest resident memory of the process group seen, bytes.
    pub peak_memory: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Unique in the workspace; MLflow's run id and Azure's job name.
    pub name: String,
    pub display_name: String,
    pub experiment: String,
    pub experiment_id: String,
    /// Where MLflow's clients keep its artifacts.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub artifact_uri: String,
    pub status: RunStatus,
    /// Why it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Absent for runs that a client logs to without `aml run submit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<Job>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<TreeInfo>,
    pub user: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    pub created_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Host name of the machine it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    pub params: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub metrics: BTreeMap<String, MetricSummary>,
    /// Every status so far, oldest first; only in answers for one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<StatusChange>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

impl Run {
    /// Milliseconds from start to end.
    pub fn duration_ms(&self) -> Option<i64> {
        Some(self.ended_at?.since(self.started_at?))
    }
}

/// Queues a job. Answers at once; a worker takes it. The experiment is made if it is new.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubmitRun {
    pub workspace: String,
    /// Chosen by the caller, so that a retry is not a second run; a taken name with the same job
    /// answers that run, with another job it is a conflict.
    pub name: String,
    pub experiment: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    pub job: Job,
}
operation!(SubmitRun => Run, "runs.submit");

/// Makes a run that a client logs to by itself (MLflow's runs/create).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateRun {
    pub workspace: String,
    pub name: String,
    pub experiment_id: String,
    pub display_name: String,
    pub user: String,
    pub status: RunStatus,
    #[serde(default)]
    pub started_at: Option<Time>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateRun => Run, "runs.create");

/// Changes a run that a client logs to: what is absent stays. The status of a run that a worker
/// holds is not changed by this; the worker decides it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateRun {
    pub workspace: String,
    pub run: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub status: Option<RunStatus>,
    #[serde(default)]
    pub ended_at: Option<Time>,
    #[serde(default)]
    pub deleted: Option<bool>,
    /// Experiment to move it to, made when there is none of the name. The runs it is made of stay.
    #[serde(default)]
    pub experiment: Option<String>,
}
operation!(UpdateRun => Run, "runs.update");

/// Which runs a listing has as to deletion.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum View {
    #[default]
    Active,
    Deleted,
    All,
}

/// Runs of a workspace, newest first unless another order is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListRuns {
    pub workspace: String,
    #[serde(default)]
    pub experiment: Option<String>,
    /// Only runs of experiments with these ids; of all when empty.
    #[serde(default)]
    pub experiment_ids: Vec<String>,
    /// A condition such as `metrics.loss < 0.5 AND params.lr = '0.1'`; the grammar is MLflow's
    /// with OR, NOT and parentheses.
    #[serde(default)]
    pub filter: Option<String>,
    /// Whether a status in the filter that there is not is one that no run has, as for MLflow, and no
    /// error.
    #[serde(default)]
    pub any_status: bool,
    /// Keys such as `metrics.loss DESC`. Runs without the field come last.
    #[serde(default)]
    pub order_by: Vec<String>,
    #[serde(default)]
    pub view: View,
    #[serde(default)]
    pub status: Option<RunStatus>,
    /// Tags the run must have, with these values.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// At most so many; 50 when absent.
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(ListRuns => Page<Run>, "runs.list");

/// One run with its history.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetRun {
    pub workspace: String,
    pub run: String,
}
operation!(GetRun => Run, "runs.get");

/// Asks a run to stop. A run that has ended is a conflict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CancelRun {
    pub workspace: String,
    pub run: String,
}
operation!(CancelRun => Run, "runs.cancel");

/// Deletes a run that has ended, with its artifacts and log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteRun {
    pub workspace: String,
    pub run: String,
}
operation!(DeleteRun => Done, "runs.delete");

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    Minimize,
    Maximize,
}

/// The completed run whose last value of a metric is best; runs with NaN do not count. Of several with
/// the same value it is the one that was recorded first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BestRun {
    pub workspace: String,
    pub experiment: String,
    pub metric: String,
    pub goal: Goal,
}
operation!(BestRun => Best, "runs.best");

/// The best run, and how many are as good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    #[serde(flatten)]
    pub run: Run,
    /// Completed runs with this very value, the best one among them.
    #[serde(default = "alone")]
    pub equally_good: u64,
}

/// What a server means that does not say it.
fn alone() -> u64 {
    1
}
