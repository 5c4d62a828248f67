//! `POST /v1/traces`: spans as OpenTelemetry's exporters send them, in protobuf or JSON, compressed or
//! not. What the messages are is at <https://github.com/open-telemetry/opentelemetry-proto>.

use std::io::Read;

use axum::{
    body::Bytes,
    http::{
        HeaderMap, HeaderValue,
        header::{CONTENT_ENCODING, CONTENT_TYPE},
    },
    response::IntoResponse,
};
use flate2::read::{DeflateDecoder, GzDecoder, ZlibDecoder};
use prost::Message;

use super::messages::{self, ExportRequest};
use crate::mlflow::{
    call::Place,
    error::{ErrorCode, Failure},
    experiments,
    runs::run_error,
    wire::{Answer, DEFAULT_EXPERIMENT_ID},
};
use api::{
    Error,
    traces::{LinkTraces, LogSpans, Span},
};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";
/// Bytes of a body at most, after decompression.
const BODY: usize = 256 << 20;

fn bad(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::BadRequest, message)
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (!text.is_empty()).then_some(text)
}

/// Stores the spans of a batch, all or none.
pub async fn export(place: Place, headers: HeaderMap, body: Bytes) -> Answer {
    let kind = header(&headers, CONTENT_TYPE.as_str()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let json = kind.eq_ignore_ascii_case(JSON);
    if !json && !kind.eq_ignore_ascii_case(PROTOBUF) {
        return Err(bad(format!(
            "Invalid Content-Type: {kind}. Expected: {PROTOBUF} or {JSON}"
        )));
    }
    let body = decompress(header(&headers, CONTENT_ENCODING.as_str()), body)?;
    let spans = read(&body, json)?;
    let experiment = header(&headers, "x-mlflow-experiment-id").unwrap_or(DEFAULT_EXPERIMENT_ID);
    let experiment = experiments::find(&place, experiment).await?;
    let whole: Vec<String> = spans
        .iter()
        .filter(|span| span.parent.is_none())
        .map(|span| span.trace.clone())
        .collect();
    let log = LogSpans {
        workspace: place.workspace.clone(),
        experiment_id: experiment.id,
        spans,
    };
    place.perform(log).await?;
    if let (Some(run), false) = (header(&headers, "x-mlflow-run-id"), whole.is_empty()) {
        let link = LinkTraces {
            workspace: place.workspace.clone(),
            run: run.to_owned(),
            ids: whole,
        };
        let linked = place.perform(link).await;
        linked.map_err(|error| run_error(run, error))?;
    }
    let (kind, answer) = if json { (JSON, "{}") } else { (PROTOBUF, "") };
    let kind = HeaderValue::from_static(kind);
    Ok(([(CONTENT_TYPE, kind)], answer).into_response())
}

fn read(body: &[u8], json: bool) -> Result<Vec<Span>, Failure> {
    let malformed = |e: String| bad(format!("Invalid OpenTelemetry format: {e}"));
    let request = if json {
        serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?
    } else {
        ExportRequest::decode(body).map_err(|e| malformed(e.to_string()))?
    };
    let spans = messages::spans(request).map_err(|error: Error| malformed(error.message))?;
    if spans.is_empty() {
        return Err(bad("Invalid OpenTelemetry format - no spans found"));
    }
    Ok(spans)
}

fn decompress(encoding: Option<&str>, body: Bytes) -> Result<Bytes, Failure> {
    let read = |reader: &mut dyn Read| {
        let mut plain = Vec::new();
        let read = reader.take(BODY as u64 + 1).read_to_end(&mut plain);
        read.map(|_| plain)
    };
    let encoding = encoding.unwrap_or("identity").to_ascii_lowercase();
    let plain = match encoding.as_str() {
        "identity" => return Ok(body),
        "gzip" => read(&mut GzDecoder::new(&body[..])),
        // Some send it without its envelope.
        "deflate" => read(&mut ZlibDecoder::new(&body[..]))
            .or_else(|_| read(&mut DeflateDecoder::new(&body[..]))),
        other => return Err(bad(format!("Unsupported Content-Encoding: {other}"))),
    };
    match plain {
        Ok(plain) if plain.len() <= BODY => Ok(plain.into()),
        Ok(_) => Err(bad(format!(
            "The body is larger than {} MiB when it is decompressed",
            BODY >> 20
        ))),
        Err(e) => Err(bad(format!("Failed to decompress {encoding} payload: {e}"))),
    }
}
