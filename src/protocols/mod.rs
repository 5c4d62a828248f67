//! Foreign protocols: their own request and response types, mapped to our operations. An adapter
//! never touches the store.

pub mod batch;
pub mod mlflow;

use axum::http::{HeaderMap, header::HOST};
use service::Service;

/// The service for who sent a request with these headers.
pub fn found_by(service: Service, headers: &HeaderMap) -> Service {
    service.found_by(|| host(headers))
}

/// The host that a request is for: what a proxy in between says, else what the request says.
fn host(headers: &HeaderMap) -> Option<&str> {
    said(headers, "x-forwarded-host").or_else(|| said(headers, HOST.as_str()))
}

/// What a header says, the first of several.
fn said<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let first = headers.get(name)?.to_str().ok()?.split(',').next()?;
    Some(first.trim())
}
