//! What traces, spans and assessments look like to clients.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::mlflow::{
    error::Failure,
    wire::{Pair, experiment_id, pairs},
};
use api::{
    Time,
    span_files::{bytes, dumped},
    traces::{Assessment, AssessmentKind, Span, SpanStatus, Trace, WholeTrace},
};

/// The tags by which clients know where a trace's files and spans are. They are not stored.
pub const PLACE_TAG: &str = "mlflow.artifactLocation";
pub const SPANS_TAG: &str = "mlflow.trace.spansLocation";
const SPANS_ARE_HERE: &str = "TRACKING_STORE";

pub fn time(time: Time) -> String {
    let time = DateTime::<Utc>::from_timestamp_millis(time.0).unwrap_or_default();
    let whole = time.timestamp_subsec_millis() == 0;
    let digits = if whole {
        SecondsFormat::Secs
    } else {
        SecondsFormat::Millis
    };
    time.to_rfc3339_opts(digits, true)
}

pub fn read_time(text: &str) -> Result<Time, Failure> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Time(time.timestamp_millis())),
        Err(e) => Err(Failure::invalid(format!("`{text}` is not a time: {e}"))),
    }
}

fn duration(milliseconds: i64) -> String {
    let sign = if milliseconds < 0 { "-" } else { "" };
    let (seconds, rest) = (
        milliseconds.unsigned_abs() / 1000,
        milliseconds.unsigned_abs() % 1000,
    );
    match rest {
        0 => format!("{sign}{seconds}s"),
        rest => format!("{sign}{seconds}.{rest:03}s"),
    }
}

/// Milliseconds of a duration such as `0.052s`.
pub fn read_duration(text: &str) -> Result<i64, Failure> {
    let seconds = text.strip_suffix('s').and_then(|text| {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let negative = whole.starts_with('-');
        let whole: i64 = whole.parse().ok()?;
        let digits = part.len() <= 9 && part.bytes().all(|byte| byte.is_ascii_digit());
        let part: i64 = format!("{part:0<9}").parse().ok().filter(|_| digits)?;
        let part = part / 1_000_000;
        let part = if negative { -part } else { part };
        whole.checked_mul(1000)?.checked_add(part)
    });
    seconds.ok_or_else(|| Failure::invalid(format!("`{text}` is not a duration in seconds")))
}

/// A trace in the form of version 3.
#[derive(Serialize)]
pub struct Info {
    trace_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<String>,
    trace_location: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_preview: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_preview: Option<String>,
    request_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_duration: Option<String>,
    state: &'static str,
    #[serde(skip_serializing_if = "Map::is_empty")]
    trace_metadata: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assessments: Vec<Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tags: Map<String, Value>,
}

/// The tags that a client sees.
fn tags(trace: &mut Trace) -> impl Iterator<Item = (String, String)> + use<> {
    let mut tags = std::mem::take(&mut trace.tags);
    tags.insert(PLACE_TAG.to_owned(), trace.artifact_uri.clone());
    if trace.spans > 0 {
        tags.insert(SPANS_TAG.to_owned(), SPANS_ARE_HERE.to_owned());
    }
    tags.into_iter()
}

impl From<Trace> for Info {
    fn from(mut trace: Trace) -> Self {
        let text = |(key, value): (String, String)| (key, Value::String(value));
        let experiment = experiment_id(&trace.experiment, &trace.experiment_id);
        Self {
            trace_location: json!({
                "type": "MLFLOW_EXPERIMENT",
                "mlflow_experiment": {"experiment_id": experiment},
            }),
            request_time: time(trace.started_at),
            execution_duration: trace.duration_ms.map(duration),
            state: trace.state.name(),
            tags: tags(&mut trace).map(text).collect(),
            trace_metadata: trace.metadata.into_iter().map(text).collect(),
            assessments: trace
                .assessments
                .iter()
                .map(|one| assessment(&trace.id, one))
                .collect(),
            trace_id: trace.id,
            client_request_id: trace.client_request_id,
            request_preview: trace.request_preview,
            response_preview: trace.response_preview,
        }
    }
}

/// A trace in the form of version 2.
#[derive(Serialize)]
pub struct InfoV2 {
    request_id: String,
    experiment_id: String,
    timestamp_ms: i64,
    execution_time_ms: i64,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    request_metadata: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
}

impl From<Trace> for InfoV2 {
    fn from(mut trace: Trace) -> Self {
        let state = trace.state.name();
        Self {
            experiment_id: experiment_id(&trace.experiment, &trace.experiment_id),
            timestamp_ms: trace.started_at.0,
            execution_time_ms: trace.duration_ms.unwrap_or_default(),
            status: match state {
                "STATE_UNSPECIFIED" => "TRACE_STATUS_UNSPECIFIED",
                state => state,
            },
            tags: pairs(tags(&mut trace).collect()),
            request_metadata: pairs(trace.metadata),
            request_id: trace.id,
        }
    }
}

/// A trace with its spans.
pub fn whole(WholeTrace { trace, spans }: WholeTrace) -> Value {
    let mut whole = Map::new();
    whole.insert("trace_info".to_owned(), json!(Info::from(trace)));
    if !spans.is_empty() {
        let spans = spans.iter().map(span).collect();
        whole.insert("spans".to_owned(), spans);
    }
    whole.into()
}

fn status(status: SpanStatus) -> &'static str {
    match status {
        SpanStatus::Unset => "STATUS_CODE_UNSET",
        SpanStatus::Ok => "STATUS_CODE_OK",
        SpanStatus::Error => "STATUS_CODE_ERROR",
    }
}

/// A span as OpenTelemetry's message.
fn span(span: &Span) -> Value {
    let mut message = Map::new();
    let mut set = |name: &str, value: Value| {
        if value != json!([]) && value != json!({}) {
            message.insert(name.to_owned(), value);
        }
    };
    set("trace_id", bytes(&span.trace));
    set("span_id", bytes(&span.id));
    if let Some(parent) = &span.parent {
        set("parent_span_id", bytes(parent));
    }
    set("name", span.name.clone().into());
    set("start_time_unix_nano", span.started_ns.into());
    if let Some(ended) = span.ended_ns {
        set("end_time_unix_nano", ended.into());
    }
    set("attributes", key_values(&span.attributes));
    let events = span.events.iter().map(|event| {
        let mut message = json!({"time_unix_nano": event.at_ns, "name": event.name});
        if !event.attributes.is_empty() {
            message["attributes"] = key_values(&event.attributes);
        }
        message
    });
    set("events", events.collect());
    let links = span.links.iter().map(|link| {
        let mut message = json!({"trace_id": bytes(&link.trace), "span_id": bytes(&link.span)});
        if !link.attributes.is_empty() {
            message["attributes"] = key_values(&link.attributes);
        }
        message
    });
    set("links", links.collect());
    let mut code = Map::new();
    if !span.message.is_empty() {
        code.insert("message".to_owned(), span.message.clone().into());
    }
    if span.status != SpanStatus::Unset {
        code.insert("code".to_owned(), status(span.status).into());
    }
    set("status", code.into());
    message.into()
}

fn key_values(attributes: &Map<String, Value>) -> Value {
    let pair = |(key, value): (&String, &Value)| match value {
        Value::Null => json!({"key": key}),
        value => json!({"key": key, "value": any_value(value)}),
    };
    attributes.iter().map(pair).collect()
}

fn any_value(value: &Value) -> Value {
    match value {
        Value::Null => json!({}),
        Value::Bool(flag) => json!({"bool_value": flag}),
        Value::Number(number) if number.is_i64() => json!({"int_value": number}),
        Value::Number(number) => json!({"double_value": number.as_f64()}),
        Value::String(text) => json!({"string_value": text}),
        Value::Array(items) if items.is_empty() => json!({"array_value": {}}),
        Value::Array(items) => {
            let values: Vec<Value> = items.iter().map(any_value).collect();
            json!({"array_value": {"values": values}})
        }
        Value::Object(map) if map.is_empty() => json!({"kvlist_value": {}}),
        Value::Object(map) => json!({"kvlist_value": {"values": key_values(map)}}),
    }
}

/// An assessment of a trace.
pub fn assessment(trace: &str, of: &Assessment) -> Value {
    let mut message = json!({
        "assessment_id": of.id,
        "assessment_name": of.name,
        "trace_id": trace,
        "source": {"source_type": of.source, "source_id": of.source_id},
        "create_time": time(of.created_at),
        "last_update_time": time(of.updated_at),
        "valid": of.valid,
    });
    let value = match of.kind {
        AssessmentKind::Feedback => {
            let mut feedback = json!({"value": of.value});
            if let Some(error) = &of.error {
                feedback["error"] = json!({"error_code": error.code});
                for (name, text) in [
                    ("error_message", &error.message),
                    ("stack_trace", &error.stack_trace),
                ] {
                    if let Some(text) = text {
                        feedback["error"][name] = text.clone().into();
                    }
                }
            }
            feedback
        }
        // What is not plain is sent as a text.
        AssessmentKind::Expectation if of.value.is_object() || of.value.is_array() => json!({
            "serialized_value": {"serialization_format": "JSON_FORMAT", "value": dumped(&of.value)},
        }),
        AssessmentKind::Expectation => json!({"value": of.value}),
        AssessmentKind::Issue => json!({"issue_name": of.value}),
    };
    message[of.kind.name()] = value;
    for (name, text) in [
        ("span_id", &of.span),
        ("rationale", &of.rationale),
        ("overrides", &of.overrides),
    ] {
        if let Some(text) = text {
            message[name] = text.clone().into();
        }
    }
    if !of.metadata.is_empty() {
        message["metadata"] = json!(of.metadata);
    }
    message
}

#[cfg(test)]
mod tests {
    use super::{Time, duration, read_duration, read_time, time};

    #[test]
    fn times_and_durations_come_back() {
        for (milliseconds, text) in [(0, "0s"), (52, "0.052s"), (-1500, "-1.500s"), (2000, "2s")] {
            assert_eq!(duration(milliseconds), text);
            assert_eq!(read_duration(text).unwrap(), milliseconds);
        }
        assert_eq!(read_duration("0.0000015s").unwrap(), 0);
        for wrong in ["", "s", "1", "1.s2", "1.-2s", "9223372036854775807s"] {
            assert!(read_duration(wrong).is_err(), "{wrong}");
        }
        for text in ["2026-11-25T15:24:25.133Z", "1970-01-01T00:00:00Z"] {
            assert_eq!(time(read_time(text).unwrap()), text);
        }
        assert_eq!(read_time("1970-01-01T01:00:00.5+01:00").unwrap(), Time(500));
        assert!(read_time("yesterday").is_err());
    }
}
