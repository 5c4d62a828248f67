//! Logs of runs, which stream: see `api/files.rs` for the routes.

use axum::{
    Extension, Json,
    body::{Body, Bytes},
    extract::{Path, Query, State},
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
) -> Result<Body, Failure> {
    let log = service
        .read_log(&caller, &at.workspace, &run, at.offset, at.follow)
        .await?;
    Ok(Body::from_stream(log))
}
