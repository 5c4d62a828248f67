//! The form in which MLflow keeps spans: in the file `traces.json` beside a trace, and row by row in the
//! databases of its server. Values of attributes are JSON in texts.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    Error, Result,
    traces::{Span, SpanEvent, SpanLink, SpanStatus},
};

/// The attribute by which spans know their trace.
pub const TRACE_ATTRIBUTE: &str = "mlflow.traceRequestId";

/// The file that clients call `traces.json`.
pub fn file(spans: &[Span]) -> String {
    let spans: Vec<Value> = spans.iter().map(written).collect();
    dumped(&json!({"spans": spans}))
}

/// The spans in such a file, as those of a trace.
pub fn read_file(text: &str, trace: &str) -> Result<Vec<Span>> {
    let file: Value = serde_json::from_str(text)
        .map_err(|e| Error::invalid(format!("The spans of `{trace}` are not JSON: {e}")))?;
    let spans = file["spans"].as_array().map_or(&[][..], Vec::as_slice);
    spans.iter().map(|span| read(span, trace)).collect()
}

/// The form of one span.
pub fn written(span: &Span) -> Value {
    let mut attributes: Map<String, Value> = Map::new();
    if !span.attributes.contains_key(TRACE_ATTRIBUTE) {
        let trace = dumped(&span.trace.clone().into());
        attributes.insert(TRACE_ATTRIBUTE.to_owned(), trace.into());
    }
    let text = |(key, value): (&String, &Value)| (key.clone(), Value::String(dumped(value)));
    attributes.extend(span.attributes.iter().map(text));
    let events = span.events.iter().map(|event| {
        json!({"name": event.name, "time_unix_nano": event.at_ns, "attributes": event.attributes})
    });
    let links = span.links.iter().map(|link| {
        let attributes = Some(&link.attributes).filter(|attributes| !attributes.is_empty());
        json!({"trace_id": link.trace, "span_id": link.span, "attributes": attributes})
    });
    json!({
        "trace_id": bytes(&span.trace),
        "span_id": bytes(&span.id),
        "parent_span_id": span.parent.as_deref().map(bytes),
        "name": span.name,
        "start_time_unix_nano": span.started_ns,
        "end_time_unix_nano": span.ended_ns,
        "events": events.collect::<Vec<_>>(),
        "status": {"code": status(span.status), "message": span.message},
        "attributes": attributes,
        "links": links.collect::<Vec<_>>(),
    })
}

/// Reads the form of a span, also that of clients of 2.x, as one of a trace.
pub fn read(span: &Value, trace: &str) -> Result<Span> {
    // Clients of 2.x have ids in a context of their own.
    let old = &span["context"];
    let (own, parent, start, end) = if old.is_object() {
        (&old["span_id"], "parent_id", "start_time", "end_time")
    } else {
        let (start, end) = ("start_time_unix_nano", "end_time_unix_nano");
        (&span["span_id"], "parent_span_id", start, end)
    };
    let missing = |what: &str| Error::invalid(format!("A span of `{trace}` has no {what}"));
    let (code, message) = match &span["status"] {
        Value::Object(status) => (status.get("code"), status.get("message")),
        _ => (span.get("status_code"), span.get("status_message")),
    };
    Ok(Span {
        trace: trace.to_owned(),
        id: hex(own).ok_or_else(|| missing("id"))?,
        parent: hex(&span[parent]),
        name: text(&span["name"]),
        started_ns: whole(&span[start]).ok_or_else(|| missing("time"))?,
        ended_ns: whole(&span[end]),
        status: code.map_or(SpanStatus::Unset, read_status),
        message: message.map(text).unwrap_or_default(),
        attributes: plain(&span["attributes"], true),
        events: list(&span["events"]).map(read_event).collect(),
        links: list(&span["links"]).map(read_link).collect(),
    })
}

fn read_event(event: &Value) -> SpanEvent {
    let at = whole(&event["time_unix_nano"]).or_else(|| whole(&event["timestamp"]));
    SpanEvent {
        name: text(&event["name"]),
        at_ns: at.unwrap_or_default(),
        attributes: plain(&event["attributes"], false),
    }
}

fn read_link(link: &Value) -> SpanLink {
    SpanLink {
        trace: text(&link["trace_id"]),
        span: text(&link["span_id"]),
        attributes: plain(&link["attributes"], false),
    }
}

fn list(json: &Value) -> impl Iterator<Item = &Value> {
    json.as_array().into_iter().flatten()
}

fn text(json: &Value) -> String {
    json.as_str().unwrap_or_default().to_owned()
}

fn whole(json: &Value) -> Option<i64> {
    json.as_i64().or_else(|| json.as_str()?.parse().ok())
}

/// Attributes; those of spans are JSON in texts.
fn plain(json: &Value, dumped: bool) -> Map<String, Value> {
    let mut map = json.as_object().cloned().unwrap_or_default();
    for value in map.values_mut() {
        if let Value::String(text) = value
            && dumped
            && let Ok(inner) = serde_json::from_str(text)
        {
            *value = inner;
        }
    }
    map
}

fn status(status: SpanStatus) -> &'static str {
    match status {
        SpanStatus::Unset => "STATUS_CODE_UNSET",
        SpanStatus::Ok => "STATUS_CODE_OK",
        SpanStatus::Error => "STATUS_CODE_ERROR",
    }
}

fn read_status(code: &Value) -> SpanStatus {
    match code.as_str().unwrap_or_default() {
        code if code.ends_with("ERROR") => SpanStatus::Error,
        code if code.ends_with("OK") => SpanStatus::Ok,
        _ => SpanStatus::Unset,
    }
}

/// The bytes of an id in hexadecimal digits, as JSON has bytes.
pub fn bytes(id: &str) -> Value {
    let id = id.strip_prefix("tr-").unwrap_or(id);
    let pairs = id.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let bytes: Vec<u8> = pairs.filter_map(byte).collect();
    BASE64_STANDARD.encode(bytes).into()
}

/// The hexadecimal digits of a span's id, whichever way it was written.
fn hex(id: &Value) -> Option<String> {
    use std::fmt::Write;
    let text = id.as_str().filter(|text| !text.is_empty())?;
    let digits = text.strip_prefix("0x").unwrap_or(text);
    if digits.len() == 16 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Some(digits.to_lowercase());
    }
    let bytes = BASE64_STANDARD.decode(text).ok()?;
    Some(bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    }))
}

/// JSON with blanks where Python puts them: MLflow's clients and server compare such texts.
pub fn dumped(value: &Value) -> String {
    struct Python;
    impl serde_json::ser::Formatter for Python {
        fn begin_array_value<W>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()>
        where
            W: ?Sized + std::io::Write,
        {
            writer.write_all(if first { b"" } else { b", " })
        }
        fn begin_object_key<W>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()>
        where
            W: ?Sized + std::io::Write,
        {
            writer.write_all(if first { b"" } else { b", " })
        }
        fn begin_object_value<W>(&mut self, writer: &mut W) -> std::io::Result<()>
        where
            W: ?Sized + std::io::Write,
        {
            writer.write_all(b": ")
        }
    }
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Python);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&text).into_owned(),
        Err(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{dumped, file, read, read_file};
    use crate::traces::{Span, SpanEvent, SpanLink, SpanStatus};

    #[test]
    fn spans_come_back_from_their_file() {
        let attributes =
            json!({"mlflow.traceRequestId": "tr-0102", "n": 3, "list": ["a", null], "t": "7"});
        let span = Span {
            trace: "tr-0102".to_owned(),
            id: "00000000000000ff".to_owned(),
            parent: Some("eee19b7ec3c1b174".to_owned()),
            name: "ask".to_owned(),
            started_ns: 1,
            ended_ns: Some(2),
            status: SpanStatus::Error,
            message: "boom".to_owned(),
            attributes: attributes.as_object().unwrap().clone(),
            events: vec![SpanEvent {
                name: "e".to_owned(),
                at_ns: 1,
                ..SpanEvent::default()
            }],
            links: vec![SpanLink {
                trace: "tr-01".to_owned(),
                span: "02".to_owned(),
                ..SpanLink::default()
            }],
        };
        let text = file(std::slice::from_ref(&span));
        assert_eq!(read_file(&text, "tr-0102").unwrap(), [span]);
        assert!(read_file("no JSON", "tr-0102").is_err());
    }

    #[test]
    fn the_form_of_2_x_is_known() {
        let old = json!({
            "name": "ask", "context": {"span_id": "0xeee19b7ec3c1b174", "trace_id": "0x01"}, "parent_id": null,
            "start_time": 5, "end_time": null, "status_code": "OK", "status_message": "",
            "attributes": {"mlflow.spanInputs": "{\"x\": 1}"},
            "events": [{"name": "e", "timestamp": 6, "attributes": {}}],
        });
        let span = read(&old, "abc").unwrap();
        assert_eq!(
            (span.id.as_str(), span.parent.as_deref()),
            ("eee19b7ec3c1b174", None)
        );
        assert_eq!(
            (span.started_ns, span.ended_ns, span.events[0].at_ns),
            (5, None, 6)
        );
        assert_eq!((span.trace.as_str(), span.status), ("abc", SpanStatus::Ok));
        assert_eq!(span.attributes["mlflow.spanInputs"], json!({"x": 1}));
        assert!(read(&json!({"name": "x"}), "abc").is_err());
    }

    #[test]
    fn json_is_written_as_python_writes_it() {
        let value = json!({"a": [1, 2.5, "ü"], "b": {}, "c": null});
        assert_eq!(
            dumped(&value),
            r#"{"a": [1, 2.5, "ü"], "b": {}, "c": null}"#
        );
    }
}
