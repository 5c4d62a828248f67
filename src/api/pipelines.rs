//! Pipelines: how their steps stand, and what one would do.

use serde::{Deserialize, Serialize};

use super::{Time, jobs::CreateJob, operation, runs::RunStatus};

/// The steps of a pipeline and where each of them stands, in the order in which they were written.
/// The steps of a sweep are its trials; any other run has none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListSteps {
    pub workspace: String,
    pub run: String,
}
operation!(ListSteps => Vec<PipelineStep>, "pipelines.list_steps");

/// A step of a pipeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PipelineStep {
    pub name: String,
    /// `command`, `pipeline`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// The steps it waits for.
    pub after: Vec<String>,
    /// Its run, once it has begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Where that run stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<RunStatus>,
    /// Why that run failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// It does not run: what it needs does not come.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub skipped: bool,
    /// The run whose outputs it has, because nothing had changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuses: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Time>,
    /// Its own steps, when it is a pipeline or a sweep that has begun.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PipelineStep>,
}

/// Says what a pipeline would do if it were created now, and why; creates nothing.
///
/// Each step that has to run is compared with its latest run in the experiment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PlanPipeline {
    /// As for its creation. The name is one that no run has.
    pub job: CreateJob,
}
operation!(PlanPipeline => Vec<PlannedStep>, "pipelines.plan");

/// What a step would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// With the names of the pipelines it is in: `outer.step`.
    pub name: String,
    /// The run whose outputs it would have; it runs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuses: Option<String>,
    /// The run it was compared with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compared_with: Option<String>,
    /// Why it runs, where that is no change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
    /// What has changed since.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<StepChange>,
}

/// Something about a step that is not as it was; a side is absent where there is nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepChange {
    /// `command`, `code`, `environment`, `distribution`, `input NAME`, `output NAME` or `variable NAME`.
    pub what: String,
    /// Of code, the hash of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
}
