//! Traces: what an application did to answer one request, as a tree of spans, and how people and
//! programs assess it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Page, Time, files::Artifact, operation};

/// How the request of a trace ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TraceState {
    StateUnspecified,
    InProgress,
    Ok,
    Error,
}

impl TraceState {
    pub const ALL: [TraceState; 4] = [
        TraceState::StateUnspecified,
        TraceState::InProgress,
        TraceState::Ok,
        TraceState::Error,
    ];

    pub fn name(self) -> &'static str {
        match self {
            TraceState::StateUnspecified => "STATE_UNSPECIFIED",
            TraceState::InProgress => "IN_PROGRESS",
            TraceState::Ok => "OK",
            TraceState::Error => "ERROR",
        }
    }
}

/// A trace without its spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// Unique in its workspace; `tr-` and the 32 hexadecimal digits that OpenTelemetry knows it by.
    pub id: String,
    pub experiment: String,
    pub experiment_id: String,
    /// What the application calls the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_request_id: Option<String>,
    /// The beginning of what was asked and answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_preview: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_preview: Option<String>,
    pub started_at: Time,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<i64>,
    pub state: TraceState,
    /// What was true when it was made.
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub assessments: Vec<Assessment>,
    /// How many of its spans are stored.
    pub spans: u64,
    /// Where MLflow's clients keep its files.
    pub artifact_uri: String,
}

/// A trace with its spans, in the order in which they began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WholeTrace {
    pub trace: Trace,
    pub spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum SpanStatus {
    #[default]
    Unset,
    Ok,
    Error,
}

impl SpanStatus {
    pub fn name(self) -> &'static str {
        match self {
            SpanStatus::Unset => "UNSET",
            SpanStatus::Ok => "OK",
            SpanStatus::Error => "ERROR",
        }
    }
}

/// One step of a trace. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Span {
    /// The id of the trace.
    pub trace: String,
    /// 16 hexadecimal digits.
    pub id: String,
    /// The step it is a part of; a trace's root has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    pub name: String,
    pub started_ns: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_ns: Option<i64>,
    #[serde(default)]
    pub status: SpanStatus,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<SpanEvent>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<SpanLink>,
}

/// Attributes of spans that mean something here, as MLflow's clients name them.
pub mod attributes {
    pub const KIND: &str = "mlflow.spanType";
    pub const INPUTS: &str = "mlflow.spanInputs";
    pub const OUTPUTS: &str = "mlflow.spanOutputs";
    pub const USAGE: &str = "mlflow.chat.tokenUsage";
    pub const COST: &str = "mlflow.llm.cost";
    pub const MODEL: &str = "mlflow.llm.model";
    pub const PROVIDER: &str = "mlflow.llm.provider";
    pub const SESSION: &str = "session.id";
    pub const USER: &str = "user.id";
    /// What follows is a tag of the trace.
    pub const TAG: &str = "mlflow.traceTag.";
}

/// Metadata and tags of traces that mean something here, as MLflow's clients name them.
pub mod keys {
    pub const NAME: &str = "mlflow.traceName";
    pub const RUN: &str = "mlflow.sourceRun";
    pub const PROMPTS: &str = "mlflow.linkedPrompts";
    pub const USAGE: &str = "mlflow.trace.tokenUsage";
    pub const COST: &str = "mlflow.trace.cost";
    pub const SESSION: &str = "mlflow.trace.session";
    pub const USER: &str = "mlflow.trace.user";
}

impl Span {
    /// What kind of step it is, such as `LLM` or `TOOL`.
    pub fn kind(&self) -> Option<&str> {
        self.attributes
            .get(attributes::KIND)
            .and_then(Value::as_str)
    }
}

/// What happened in the course of a span.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpanEvent {
    pub name: String,
    pub at_ns: i64,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

/// A span of this or another trace that has to do with it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SpanLink {
    pub trace: String,
    pub span: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub attributes: Map<String, Value>,
}

/// What an assessment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AssessmentKind {
    /// How good it was.
    Feedback,
    /// What would have been right.
    Expectation,
    /// A known problem that it shows; its name is the problem's id.
    Issue,
}

impl AssessmentKind {
    pub fn name(self) -> &'static str {
        match self {
            AssessmentKind::Feedback => "feedback",
            AssessmentKind::Expectation => "expectation",
            AssessmentKind::Issue => "issue",
        }
    }
}

/// Why an assessment could not be made.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AssessmentError {
    pub code: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack_trace: Option<String>,
}

/// What somebody thinks of a trace or of one of its spans.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// Unique in its trace; made when empty.
    #[serde(default)]
    pub id: String,
    pub name: String,
    pub kind: AssessmentKind,
    pub value: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<AssessmentError>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<String>,
    /// Who made it: `HUMAN`, `LLM_JUDGE` or `CODE`, and which one.
    pub source: String,
    pub source_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rationale: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// The assessment that is not valid any more because of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overrides: Option<String>,
    pub valid: bool,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Keeps what a client knows of a trace. What is there already of it, from its spans, is completed;
/// later spans do not change it any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StartTrace {
    pub workspace: String,
    pub id: String,
    pub experiment_id: String,
    #[serde(default)]
    pub client_request_id: Option<String>,
    #[serde(default)]
    pub request_preview: Option<String>,
    #[serde(default)]
    pub response_preview: Option<String>,
    pub started_at: Time,
    #[serde(default)]
    pub duration_ms: Option<i64>,
    pub state: TraceState,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub assessments: Vec<Assessment>,
}
operation!(StartTrace => Trace, "traces.start");

/// Changes what is given of a trace and leaves the rest. A tag to remove that is not there is not found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateTrace {
    pub workspace: String,
    pub id: String,
    #[serde(default)]
    pub state: Option<TraceState>,
    #[serde(default)]
    pub ended_at: Option<Time>,
    #[serde(default)]
    pub set_metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_tags: Vec<String>,
}
operation!(UpdateTrace => Trace, "traces.update");

/// Stores spans, all or none; one that is there already is replaced. A trace that is not there is
/// made in the experiment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogSpans {
    pub workspace: String,
    pub experiment_id: String,
    pub spans: Vec<Span>,
}
operation!(LogSpans => Done, "traces.log_spans");

/// Traces by their ids, in that order; those that are not there are left out.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetTraces {
    pub workspace: String,
    pub ids: Vec<String>,
    /// With their spans.
    #[serde(default)]
    pub spans: bool,
}
operation!(GetTraces => Vec<WholeTrace>, "traces.get");

/// Traces of some experiments, newest first unless another order is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchTraces {
    pub workspace: String,
    pub experiment_ids: Vec<String>,
    /// Such as `status = 'ERROR' AND span.name LIKE 'search%' AND feedback.correct = 'false'`.
    #[serde(default)]
    pub filter: Option<String>,
    /// Keys such as `execution_time DESC`.
    #[serde(default)]
    pub order_by: Vec<String>,
    pub limit: u32,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(SearchTraces => Page<Trace>, "traces.search");

/// Removes traces of an experiment with their spans, assessments and files: those that fit all that is
/// given, the oldest first. Answers how many.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct DeleteTraces {
    pub workspace: String,
    pub experiment_id: String,
    #[serde(default)]
    pub ids: Option<Vec<String>>,
    /// Those that began at this time or before.
    #[serde(default)]
    pub until: Option<Time>,
    #[serde(default)]
    pub limit: Option<u32>,
}
operation!(DeleteTraces => u64, "traces.delete");

/// Says that traces belong to a run, beside the one that made them. They may arrive later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkTraces {
    pub workspace: String,
    pub run: String,
    pub ids: Vec<String>,
}
operation!(LinkTraces => Done, "traces.link_run");

/// A version of a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptVersion {
    pub name: String,
    pub version: String,
}

/// Says which prompts a trace has used.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LinkPrompts {
    pub workspace: String,
    pub id: String,
    pub prompts: Vec<PromptVersion>,
}
operation!(LinkPrompts => Done, "traces.link_prompts");

/// Adds an assessment to a trace. The one it overrides is not valid any more.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateAssessment {
    pub workspace: String,
    pub trace: String,
    pub assessment: Assessment,
}
operation!(CreateAssessment => Assessment, "assessments.create");

/// One assessment of a trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetAssessment {
    pub workspace: String,
    pub trace: String,
    pub id: String,
}
operation!(GetAssessment => Assessment, "assessments.get");

/// Changes what is given of an assessment and leaves the rest. It stays of its kind.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateAssessment {
    pub workspace: String,
    pub trace: String,
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    /// A new value is of the same kind as the old one.
    #[serde(default)]
    pub value: Option<AssessedValue>,
    #[serde(default)]
    pub rationale: Option<String>,
    /// Merged into what is there.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub valid: Option<bool>,
}
operation!(UpdateAssessment => Assessment, "assessments.update");

/// The value of an assessment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssessedValue {
    pub kind: AssessmentKind,
    pub value: Value,
    #[serde(default)]
    pub error: Option<AssessmentError>,
}

/// Removes an assessment; the one it has overridden is valid again. One that is not there is no error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteAssessment {
    pub workspace: String,
    pub trace: String,
    pub id: String,
}
operation!(DeleteAssessment => Done, "assessments.delete");

/// A trace's files below `path` (all of them when empty), sorted by path, at any depth.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListTraceFiles {
    pub workspace: String,
    pub trace: String,
    #[serde(default)]
    pub path: String,
}
operation!(ListTraceFiles => Vec<Artifact>, "traces.files");

/// Removes a file of a trace, or all below a folder, or all when the path is empty. Answers how many
/// there were.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveTraceFiles {
    pub workspace: String,
    pub trace: String,
    pub path: String,
}
operation!(RemoveTraceFiles => u64, "traces.remove_files");
