//! Traces and assessments as MLflow's protocol has them, read: of version 3, and of version 2, which
//! servers before 3.0 speak.

use std::path::PathBuf;

use serde_json::Value as Json;

use super::answers::{integer, list, pairs, text, time};
use crate::record::{Pairs, Trace};
use api::{
    Time,
    imports::ImportedTrace,
    traces::{Assessment, AssessmentError, AssessmentKind, TraceState},
};

pub fn trace(info: &Json) -> Trace {
    let some = |name: &str| Some(text(&info[name])).filter(|text| !text.is_empty());
    let old = info["trace_id"].is_null();
    let (started_at, duration_ms) = if old {
        (
            time(&info["timestamp_ms"]),
            integer(&info["execution_time_ms"]),
        )
    } else {
        let exact = integer(&info["execution_duration_ms"]);
        let duration = exact.or_else(|| duration(info["execution_duration"].as_str()?));
        (moment(&info["request_time"]), duration)
    };
    let id = if old { "request_id" } else { "trace_id" };
    let state = if old { "status" } else { "state" };
    Trace {
        record: ImportedTrace {
            origin: text(&info[id]),
            client_request_id: some("client_request_id"),
            request_preview: some("request_preview"),
            response_preview: some("response_preview"),
            started_at: started_at.unwrap_or(Time(0)),
            duration_ms,
            state: self::state(&text(&info[state])),
            metadata: if old {
                pairs(info, "request_metadata")
            } else {
                texts(&info["trace_metadata"])
            },
            tags: if old {
                pairs(info, "tags")
            } else {
                texts(&info["tags"])
            },
            assessments: list(info, "assessments").iter().map(assessment).collect(),
            spans: Vec::new(),
            runs: Vec::new(),
            artifacts: Vec::new(),
            stamp: None,
        },
        artifact_uri: String::new(),
        archived: false,
        folder: PathBuf::new(),
    }
}

pub fn state(word: &str) -> TraceState {
    let known = TraceState::ALL
        .into_iter()
        .find(|known| known.name() == word);
    known.unwrap_or(TraceState::StateUnspecified)
}

fn texts(json: &Json) -> Pairs {
    let pairs = json.as_object().into_iter().flatten();
    pairs
        .map(|(key, value)| (key.clone(), text(value)))
        .collect()
}

fn moment(json: &Json) -> Option<Time> {
    serde_json::from_value(json.clone()).ok()
}

/// Milliseconds of a duration such as `0.052s`.
fn duration(text: &str) -> Option<i64> {
    let seconds: f64 = text.strip_suffix('s')?.parse().ok()?;
    #[expect(clippy::cast_possible_truncation, reason = "durations are shorter")]
    Some((seconds * 1000.0).round() as i64)
}

pub fn assessment(json: &Json) -> Assessment {
    let some = |name: &str| Some(text(&json[name])).filter(|text| !text.is_empty());
    let (kind, value) = if json["expectation"].is_object() {
        let serialized = json["expectation"]["serialized_value"]["value"].as_str();
        let value = serialized.and_then(|text| serde_json::from_str(text).ok());
        let value = value.unwrap_or_else(|| json["expectation"]["value"].clone());
        (AssessmentKind::Expectation, value)
    } else if json["issue"].is_object() {
        (AssessmentKind::Issue, json["issue"]["issue_name"].clone())
    } else {
        (AssessmentKind::Feedback, json["feedback"]["value"].clone())
    };
    let created_at = moment(&json["create_time"]).unwrap_or(Time(0));
    Assessment {
        id: text(&json["assessment_id"]),
        name: text(&json["assessment_name"]),
        kind,
        value,
        error: error(&json["feedback"]["error"]).or_else(|| error(&json["error"])),
        span: some("span_id"),
        source: text(&json["source"]["source_type"]),
        source_id: text(&json["source"]["source_id"]),
        rationale: some("rationale"),
        metadata: texts(&json["metadata"]),
        overrides: some("overrides"),
        valid: json["valid"].as_bool().unwrap_or(true),
        created_at,
        updated_at: moment(&json["last_update_time"]).unwrap_or(created_at),
    }
}

pub fn error(json: &Json) -> Option<AssessmentError> {
    let some = |name: &str| json[name].as_str().map(str::to_owned);
    json.is_object().then(|| AssessmentError {
        code: text(&json["error_code"]),
        message: some("error_message"),
        stack_trace: some("stack_trace"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::trace;
    use api::{
        Time,
        traces::{AssessmentKind, TraceState},
    };

    #[test]
    fn traces_of_both_versions_are_read() {
        let new = trace(&json!({
            "trace_id": "tr-1", "state": "OK", "request_time": "1970-01-01T00:00:01.5Z",
            "execution_duration": "0.052s", "trace_metadata": {"a": "b"}, "tags": {"c": "d"},
            "assessments": [{
                "assessment_id": "a-1", "assessment_name": "right", "source": {"source_type": "HUMAN"},
                "expectation": {"serialized_value": {"value": "{\"x\": 1}"}}, "valid": false,
            }],
        }));
        let found = &new.record;
        assert_eq!(
            (found.started_at, found.duration_ms),
            (Time(1500), Some(52))
        );
        assert_eq!((found.state, &found.tags["c"][..]), (TraceState::Ok, "d"));
        let assessment = &found.assessments[0];
        assert_eq!(assessment.kind, AssessmentKind::Expectation);
        assert_eq!(
            (assessment.value.clone(), assessment.valid),
            (json!({"x": 1}), false)
        );
        let old = trace(&json!({
            "request_id": "abc", "status": "ERROR", "timestamp_ms": 7, "execution_time_ms": 3,
            "request_metadata": [{"key": "a", "value": "b"}],
        }));
        let found = &old.record;
        assert_eq!(
            (found.origin.as_str(), found.state),
            ("abc", TraceState::Error)
        );
        assert_eq!((found.started_at, found.duration_ms), (Time(7), Some(3)));
        assert_eq!(found.metadata["a"], "b");
    }
}
