//! Logs of runs, which stream: see `api/files.rs` for the routes.

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
    http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use super::Failure;
use api::work::LogLength;
use service::{Caller, Service};

#[derive(Deserialize)]
pub struct At {
    workspace: String,
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    follow: bool,
}

pub async fn append(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(at): Query<At>,
    body: Bytes,
) -> Result<Json<LogLength>, Failure> {
    let length = service
        .append_log(&caller, &at.workspace, &run, at.offset, body)
        .await?;
    Ok(Json(LogLength { length }))
}

pub async fn read(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(run): Path<String>,
    Query(at): Query<At>,
) -> Result<Response, Failure> {
    let log = service
        .read_log(&caller, &at.workspace, &run, at.offset, at.follow)
        .await?;
    // What a script prints is never a page.
    let headers = [
        (CONTENT_TYPE, "text/plain; charset=utf-8"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, Body::from_stream(log)).into_response())
}
