//! Rules by which a deployment gets more and fewer processes, in the words of Azure Monitor.

use serde::{Deserialize, Serialize};

use super::{Done, operation};

/// What is looked at, under the names of Azure's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ScaleMetric {
    /// Of one processor, by each process on average.
    CpuUtilizationPercentage,
    /// Milliseconds until answers began, on average.
    RequestLatency,
    #[serde(rename = "RequestLatency_P50")]
    RequestLatencyP50,
    #[serde(rename = "RequestLatency_P90")]
    RequestLatencyP90,
    #[serde(rename = "RequestLatency_P95")]
    RequestLatencyP95,
    #[serde(rename = "RequestLatency_P99")]
    RequestLatencyP99,
    RequestsPerMinute,
}

impl ScaleMetric {
    pub const ALL: [(&'static str, ScaleMetric); 7] = [
        (
            "CpuUtilizationPercentage",
            ScaleMetric::CpuUtilizationPercentage,
        ),
        ("RequestLatency", ScaleMetric::RequestLatency),
        ("RequestLatency_P50", ScaleMetric::RequestLatencyP50),
        ("RequestLatency_P90", ScaleMetric::RequestLatencyP90),
        ("RequestLatency_P95", ScaleMetric::RequestLatencyP95),
        ("RequestLatency_P99", ScaleMetric::RequestLatencyP99),
        ("RequestsPerMinute", ScaleMetric::RequestsPerMinute),
    ];
}

/// What is taken of the time that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Statistic {
    Average,
    Min,
    Max,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Comparison {
    Equals,
    NotEquals,
    GreaterThan,
    GreaterThanOrEqual,
    LessThan,
    LessThanOrEqual,
}

/// How many more or fewer there shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    More(u32),
    Fewer(u32),
    Exactly(u32),
}

/// What is done when a metric is beyond a threshold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleRule {
    pub metric: ScaleMetric,
    /// Of all deployments of the endpoint together.
    #[serde(default)]
    pub of_endpoint: bool,
    pub statistic: Statistic,
    pub comparison: Comparison,
    pub threshold: f64,
    /// How far back is looked.
    pub window_seconds: u32,
    pub change: Change,
    /// How long after a change nothing is changed.
    pub cooldown_seconds: u32,
}

/// Days of the week, between two times of day as `08:00`; until the next morning when the second one is
/// the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recurring {
    /// Their English names.
    pub days: Vec<String>,
    pub time_zone: String,
    pub from: String,
    pub until: String,
}

/// Between how many processes there are, and by which rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScaleProfile {
    pub name: String,
    pub min: u32,
    pub max: u32,
    /// How many there are when nothing is measured.
    pub count: u32,
    #[serde(default)]
    pub rules: Vec<ScaleRule>,
    /// When it counts; the one that always does when absent.
    #[serde(default)]
    pub recurring: Option<Recurring>,
}

/// By what a deployment is scaled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Autoscale {
    /// Unlike that of any other in the workspace.
    pub name: String,
    pub enabled: bool,
    /// The last one that counts at a time is heeded.
    pub profiles: Vec<ScaleProfile>,
}

/// A deployment with what it is scaled by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Autoscaled {
    pub endpoint: String,
    pub deployment: String,
    pub autoscale: Autoscale,
}

/// Scales a deployment by rules from now on, or by others than before.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PutAutoscale {
    pub workspace: String,
    pub endpoint: String,
    pub deployment: String,
    pub autoscale: Autoscale,
    /// What was read before: if it is no more, that is a conflict.
    #[serde(default)]
    pub before: Option<Autoscale>,
}
operation!(PutAutoscale => Autoscaled, "autoscale.put");

/// All deployments of a workspace that are scaled by rules.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListAutoscale {
    pub workspace: String,
}
operation!(ListAutoscale => Vec<Autoscaled>, "autoscale.list");

/// Scales a deployment by rules no more; as many processes as there are stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteAutoscale {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteAutoscale => Done, "autoscale.delete");

/// A host asks how many processes of a deployment there shall be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AskScale {
    pub endpoint: i64,
    pub deployment: i64,
    /// How many there are, and for how many seconds.
    pub instances: u32,
    pub since_seconds: u64,
}
operation!(AskScale => u32, "hosts.ask_scale");
