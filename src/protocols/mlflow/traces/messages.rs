//! OpenTelemetry's messages, as far as they say something about spans, and what they mean as ours.
//! One set of types reads both of their forms.

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};

use api::{
    Error, Result,
    span_files::TRACE_ATTRIBUTE,
    traces::{Span, SpanEvent, SpanLink, SpanStatus},
};

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ExportRequest {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct ScopeSpans {
    #[prost(message, repeated, tag = "2")]
    spans: Vec<OtelSpan>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OtelSpan {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(deserialize_with = "hex")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    #[serde(deserialize_with = "hex")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    #[serde(deserialize_with = "hex")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(fixed64, tag = "7")]
    #[serde(deserialize_with = "number")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    #[serde(deserialize_with = "number")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
    #[prost(message, repeated, tag = "13")]
    links: Vec<Link>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Event {
    #[prost(fixed64, tag = "1")]
    #[serde(deserialize_with = "number")]
    time_unix_nano: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Link {
    #[prost(bytes = "vec", tag = "1")]
    #[serde(deserialize_with = "hex")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    #[serde(deserialize_with = "hex")]
    span_id: Vec<u8>,
    #[prost(message, repeated, tag = "4")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    #[serde(deserialize_with = "status_code")]
    code: i32,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
struct AnyValue {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6, 7")]
    #[serde(flatten)]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::enum_variant_names, reason = "the names of the messages")]
enum Kind {
    #[prost(string, tag = "1")]
    StringValue(String),
    #[prost(bool, tag = "2")]
    BoolValue(bool),
    #[prost(int64, tag = "3")]
    #[serde(deserialize_with = "number")]
    IntValue(i64),
    #[prost(double, tag = "4")]
    #[serde(deserialize_with = "double")]
    DoubleValue(f64),
    #[prost(message, tag = "5")]
    ArrayValue(ArrayValue),
    #[prost(message, tag = "6")]
    KvlistValue(KeyValueList),
    #[prost(bytes, tag = "7")]
    #[serde(deserialize_with = "base64")]
    BytesValue(Vec<u8>),
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, prost::Message, Deserialize)]
#[serde(default)]
struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

fn hex<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    };
    let bytes: Option<Vec<u8>> = pairs.map(byte).collect();
    bytes.ok_or_else(|| de::Error::custom(format!("`{text}` is not hexadecimal")))
}

fn base64<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u8>, D::Error> {
    let text = String::deserialize(deserializer)?;
    BASE64_STANDARD.decode(text).map_err(de::Error::custom)
}

/// An integer, which JSON has as a text too.
fn number<'de, D, N>(deserializer: D) -> std::result::Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: std::str::FromStr,
{
    let value = Value::deserialize(deserializer)?;
    let text = match &value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.parse()
        .map_err(|_| de::Error::custom(format!("`{text}` is not an integer")))
}

fn double<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    api::metrics::Value::deserialize(deserializer).map(|value| value.0)
}

fn status_code<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<i32, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Number(number) => Ok(number.as_i64().and_then(|n| n.try_into().ok()).unwrap_or(0)),
        Value::String(name) => Ok(match name.as_str() {
            "STATUS_CODE_OK" => 1,
            "STATUS_CODE_ERROR" => 2,
            _ => 0,
        }),
        other => Err(de::Error::custom(format!("`{other}` is not a status"))),
    }
}

/// All spans of a request.
pub fn spans(request: ExportRequest) -> Result<Vec<Span>> {
    let mut spans = Vec::new();
    for group in request.resource_spans {
        let service = service_name(group.resource);
        for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let mut span = self::span(span)?;
            if let (Some(service), None) = (&service, &span.parent) {
                let entry = span.attributes.entry(SERVICE);
                entry.or_insert_with(|| service.clone());
            }
            spans.push(span);
        }
    }
    Ok(spans)
}

const SERVICE: &str = "service.name";

/// What made the spans, kept with the root of a trace.
fn service_name(resource: Option<Resource>) -> Option<Value> {
    let attributes = resource?.attributes.into_iter();
    let mut named = attributes.filter(|attribute| attribute.key == SERVICE);
    named.next()?.value.map(value)
}

fn span(span: OtelSpan) -> Result<Span> {
    let id = |what: &str, bytes: &[u8], most: usize| match bytes.len() {
        0 => Err(Error::invalid(format!("a span has no {what}"))),
        length if length > most => Err(Error::invalid(format!(
            "the {what} of a span has {length} bytes; {most} are right"
        ))),
        _ => Ok(to_hex(bytes)),
    };
    let trace = format!("tr-{}", id("trace id", &span.trace_id, 16)?);
    let mut attributes = Map::new();
    attributes.insert(TRACE_ATTRIBUTE.to_owned(), trace.clone().into());
    for (key, value) in pairs(span.attributes) {
        if key != TRACE_ATTRIBUTE {
            attributes.insert(key, value);
        }
    }
    let status = span.status.unwrap_or_default();
    Ok(Span {
        trace,
        id: id("id", &span.span_id, 8)?,
        parent: match span.parent_span_id.as_slice() {
            [] => None,
            parent => Some(id("parent's id", parent, 8)?),
        },
        name: span.name,
        started_ns: time(span.start_time_unix_nano),
        ended_ns: (span.end_time_unix_nano > 0).then(|| time(span.end_time_unix_nano)),
        status: match status.code {
            1 => SpanStatus::Ok,
            2 => SpanStatus::Error,
            _ => SpanStatus::Unset,
        },
        message: status.message,
        attributes,
        events: span
            .events
            .into_iter()
            .map(|event| SpanEvent {
                name: event.name,
                at_ns: time(event.time_unix_nano),
                attributes: pairs(event.attributes).collect(),
            })
            .collect(),
        links: span
            .links
            .into_iter()
            .map(|link| SpanLink {
                trace: format!("tr-{}", to_hex(&link.trace_id)),
                span: to_hex(&link.span_id),
                attributes: pairs(link.attributes).collect(),
            })
            .collect(),
    })
}

fn time(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn pairs(attributes: Vec<KeyValue>) -> impl Iterator<Item = (String, Value)> {
    let pair = |attribute: KeyValue| (attribute.key, attribute.value.map_or(Value::Null, value));
    attributes.into_iter().map(pair)
}

fn value(any: AnyValue) -> Value {
    match any.kind {
        None => Value::Null,
        Some(Kind::StringValue(text)) => text.into(),
        Some(Kind::BoolValue(flag)) => flag.into(),
        Some(Kind::IntValue(number)) => number.into(),
        Some(Kind::DoubleValue(number)) if number.is_finite() => number.into(),
        Some(Kind::DoubleValue(number)) => json!(api::metrics::Value(number)),
        Some(Kind::ArrayValue(list)) => list.values.into_iter().map(value).collect(),
        Some(Kind::KvlistValue(list)) => Value::Object(pairs(list.values).collect()),
        Some(Kind::BytesValue(bytes)) => BASE64_STANDARD.encode(bytes).into(),
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use serde_json::json;

    use super::{ExportRequest, spans};

    fn in_json() -> serde_json::Value {
        json!({"resourceSpans": [{
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
            "scopeSpans": [{"scope": {"name": "lib"}, "spans": [{
                "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
                "name": "ask", "kind": 2, "startTimeUnixNano": "1544712660000000000",
                "endTimeUnixNano": 1_544_712_661_000_000_000_i64,
                "attributes": [
                    {"key": "n", "value": {"intValue": "3"}},
                    {"key": "x", "value": {"doubleValue": "NaN"}},
                    {"key": "list", "value": {"arrayValue": {"values": [{"boolValue": true}, {}]}}},
                    {"key": "map", "value": {"kvlistValue": {"values": [{"key": "a", "value": {"stringValue": "b"}}]}}},
                    {"key": "none"},
                ],
                "events": [{"timeUnixNano": "7", "name": "e", "attributes": []}],
                "links": [{"traceId": "01", "spanId": "02"}],
                "status": {"code": "STATUS_CODE_ERROR", "message": "boom"},
            }]}],
        }]})
    }

    #[test]
    fn both_forms_say_the_same() {
        let request: ExportRequest = serde_json::from_value(in_json()).unwrap();
        let bytes = request.encode_to_vec();
        let found = spans(request).unwrap();
        assert_eq!(
            serde_json::to_value(&found[0]).unwrap(),
            json!({
                "trace": "tr-5b8efff798038103d269b633813fc60c", "id": "eee19b7ec3c1b174", "name": "ask",
                "started_ns": 1_544_712_660_000_000_000_i64, "ended_ns": 1_544_712_661_000_000_000_i64,
                "status": "ERROR", "message": "boom",
                "attributes": {
                    "mlflow.traceRequestId": "tr-5b8efff798038103d269b633813fc60c",
                    "n": 3, "x": "NaN", "list": [true, null], "map": {"a": "b"}, "none": null,
                    "service.name": "shop",
                },
                "events": [{"name": "e", "at_ns": 7}],
                "links": [{"trace": "tr-01", "span": "02"}],
            })
        );
        let decoded = ExportRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(spans(decoded).unwrap().len(), 1);
    }

    #[test]
    fn what_is_no_span_is_refused() {
        let without_id = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]});
        let request: ExportRequest = serde_json::from_value(without_id).unwrap();
        assert_eq!(
            spans(request).unwrap_err().message,
            "a span has no trace id"
        );
        let odd = json!({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "abc"}]}]}]});
        assert!(serde_json::from_value::<ExportRequest>(odd).is_err());
    }
}
