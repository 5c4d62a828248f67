//! The address at which a batch endpoint is asked over REST.

use axum::{
    Extension, Json, Router,
    body::Bytes,
    extract::{Path, State, rejection::BytesRejection},
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use serde_json::Value;
use uuid::Uuid;

use super::Failure;
use api::{
    Error,
    batch::GetBatchEndpoint,
    runs::{GetRun, Run},
    workspaces::GetWorkspace,
};
use protocols::batch::{self, Asked, DEPLOYMENT};
use service::{Caller, Perform, Service};

pub fn routes() -> Router<Service> {
    Router::new()
        .route(
            "/ws/{workspace}/batch-endpoints/{endpoint}/jobs",
            post(start),
        )
        .route(
            "/ws/{workspace}/batch-endpoints/{endpoint}/jobs/{job}",
            get(show),
        )
}

/// Whether this is an address of a batch endpoint.
pub fn owns(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    matches!(parts[..], ["", "ws", _, "batch-endpoints", _, "jobs", ..])
}

async fn start(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((workspace, endpoint)): Path<(String, String)>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let body = body.map_err(|e| Error::invalid(e.body_text()))?;
    let get = GetBatchEndpoint {
        workspace: workspace.clone(),
        name: endpoint,
    };
    let endpoint = get.perform(&service, &caller).await?.name;
    let deployment = headers.get(DEPLOYMENT).and_then(|name| name.to_str().ok());
    let asked = Asked {
        workspace: workspace.clone(),
        endpoint: endpoint.clone(),
        deployment: deployment.map(str::to_owned),
        job: format!("batchjob-{}", Uuid::new_v4()),
    };
    let invoke = batch::invocation(asked, &body)?;
    let run = invoke.perform(&service, &caller).await?;
    let told = told(&service, &caller, workspace, &endpoint, &run).await?;
    Ok((StatusCode::CREATED, told))
}

async fn show(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path((workspace, endpoint, job)): Path<(String, String, String)>,
) -> Result<Json<Value>, Failure> {
    let get = GetRun {
        workspace: workspace.clone(),
        run: job.clone(),
    };
    let run = get.perform(&service, &caller).await?;
    if !batch::is_of(&run, &endpoint) {
        let error = format!("The batch endpoint `{endpoint}` has started no job `{job}`");
        return Err(Error::not_found(error).into());
    }
    told(&service, &caller, workspace, &endpoint, &run).await
}

async fn told(
    service: &Service,
    caller: &Caller,
    workspace: String,
    endpoint: &str,
    run: &Run,
) -> Result<Json<Value>, Failure> {
    let get = GetWorkspace { workspace };
    let workspace = get.perform(service, caller).await?;
    Ok(Json(batch::told(&workspace, endpoint, run)))
}
