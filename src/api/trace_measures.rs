//! Figures about many traces: how many there are, how long they take, what they use, and how two
//! conditions on them go together.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Page, Time, operation};

/// What is counted and measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Measured {
    Traces,
    Spans,
    Assessments,
}

/// What is made of the values of a group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    Count,
    Sum,
    Average,
    Min,
    Max,
    /// The value below which so many of a hundred are, between two of them by their distance.
    Percentile(f64),
}

/// Figures about the traces of some experiments, or about their spans or assessments, by groups.
///
/// | of | metrics | groups |
/// |---|---|---|
/// | traces | `trace_count`, `session_count`, `latency`, `input_tokens`, `output_tokens`, `total_tokens`, `cache_read_input_tokens`, `cache_creation_input_tokens` | `trace_name`, `trace_status` |
/// | spans | `span_count`, `latency`, `input_cost`, `output_cost`, `total_cost` | `span_name`, `span_type`, `span_status`, `span_model_name`, `span_model_provider` |
/// | assessments | `assessment_count`, `assessment_value` | `assessment_name`, `assessment_value` |
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MeasureTraces {
    pub workspace: String,
    pub experiment_ids: Vec<String>,
    pub of: Measured,
    pub metric: String,
    pub aggregations: Vec<Aggregation>,
    #[serde(default)]
    pub groups: Vec<String>,
    /// Such as `trace.status = 'OK'`, `trace.tag.env = 'prod'`, `span.name = 'ask'` or
    /// `assessment.name = 'correct'`; all of them hold.
    #[serde(default)]
    pub filters: Vec<String>,
    #[serde(default)]
    pub from: Option<Time>,
    #[serde(default)]
    pub until: Option<Time>,
    /// One group for each so many seconds too.
    #[serde(default)]
    pub interval_seconds: Option<u32>,
    pub limit: u32,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(MeasureTraces => Page<Figure>, "traces.measure");

/// What was asked for of one group; in the order of the aggregations, absent where there is no value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub group: BTreeMap<String, String>,
    /// When the group's interval begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begins_at: Option<Time>,
    pub values: Vec<Option<f64>>,
}

/// How two conditions on traces go together: how many traces pass one, the other and both.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CorrelateTraces {
    pub workspace: String,
    pub experiment_ids: Vec<String>,
    pub first: String,
    pub second: String,
    /// Only traces that pass this count.
    #[serde(default)]
    pub among: Option<String>,
}
operation!(CorrelateTraces => Correlation, "traces.correlate");

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Correlation {
    pub total: u64,
    pub first: u64,
    pub second: u64,
    pub both: u64,
    /// Normalized pointwise mutual information: 1 always together, 0 independent, -1 never together;
    /// absent when one of the conditions holds for no trace.
    pub npmi: Option<f64>,
    /// The same for half a trace more in each of the four cases, which few traces distort less.
    pub npmi_smoothed: Option<f64>,
}
