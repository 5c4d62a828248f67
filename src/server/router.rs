//! Every route of the server, on one page.

use axum::{
    Extension, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Query, State, rejection::BytesRejection},
    http::{HeaderMap, Method, Uri, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::{any, get, post, put},
};

use super::{
    Failure,
    authenticate::{Gate, Trust, authenticate},
    batch, files,
    log::{Log, RequestBody},
    page, run_logs, score,
};
use api::{Error, endpoint_metrics::ExposeMetrics};
use protocols::{found_by, mlflow};
use service::{Caller, Perform, Service};

/// The largest body of an operation; streams have no limit.
const OPERATION_BODY: usize = 256 << 20;

/// The whole server as a value; in-process callers use it without a socket.
pub fn router(service: Service, trust: Trust) -> Router {
    let gate = Gate {
        service: service.clone(),
        trust,
    };
    // Foreign clients come over a socket, where nobody is the owner without being asked; commands
    // that call the router in process need not wait until their routes are made.
    let foreign = match trust {
        Trust::Owner => Router::new(),
        Trust::OwnerUntilUsers | Trust::OwnerBy(_) | Trust::Nobody => {
            mlflow::routes(&service, files::answer, nothing_here, another_method)
        }
    };
    Router::new()
        .route("/api/v1/{operation}", post(operate))
        .route("/metrics", get(metrics))
        .layer(DefaultBodyLimit::max(OPERATION_BODY))
        .merge(streams())
        .merge(file_streams())
        .merge(foreign)
        .merge(batch::routes())
        .route("/ws/{workspace}/jobs/{name}", get(page::job))
        .layer(middleware::from_fn_with_state(gate, authenticate))
        // Opened by an endpoint's key, which its front checks.
        .route("/ws/{workspace}/endpoints/{name}/{what}", any(score::score))
        .with_state(service)
        // What anybody may ask.
        .route("/health", get(async || "OK"))
        .merge(mlflow::open_routes())
        .fallback(async |method: Method, uri: Uri| nothing_here(&method, &uri))
        .method_not_allowed_fallback(async |method: Method, uri: Uri| another_method(&method, &uri))
}

fn another_method(method: &Method, uri: &Uri) -> Response {
    match uri.path() {
        path if mlflow::owns(path) && !batch::owns(path) => {
            mlflow::no_such_method(method.as_str(), path)
        }
        _ => nothing_here(method, uri),
    }
}

fn nothing_here(method: &Method, uri: &Uri) -> Response {
    let path = uri.path();
    // Clients put paths together, and two slashes are meant as one.
    if path.contains("//") {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let query = uri.query().map(|query| format!("?{query}"));
        let there = format!("/{}{}", parts.join("/"), query.unwrap_or_default());
        return Redirect::permanent(&there).into_response();
    }
    if mlflow::owns(path) && !batch::owns(path) {
        return mlflow::no_such_call(method.as_str(), path);
    }
    nothing_for(method)
}

fn nothing_for(method: &Method) -> Response {
    let error = Error::not_found(format!("There is nothing at this address for {method}"));
    Failure(error).into_response()
}

/// The same with a line on stderr about each request that `log` asks for.
pub fn logged(router: Router, log: Log) -> Router {
    router.layer(middleware::from_fn_with_state(log, super::log::log))
}

/// What is too large or too long for an operation.
fn streams() -> Router<Service> {
    Router::new()
        .route(
            "/api/v1/runs/{run}/log",
            put(run_logs::append).get(run_logs::read),
        )
        .layer(DefaultBodyLimit::max(OPERATION_BODY))
}

/// Files, of any size.
fn file_streams() -> Router<Service> {
    Router::new()
        .route("/api/v1/blobs", put(files::put_blobs))
        .route("/api/v1/trees/{hash}/files", get(files::get_tree_files))
        .route(
            "/api/v1/trees/{hash}/files/{*path}",
            get(files::get_tree_file),
        )
        .route("/api/v1/runs/{run}/artifacts", get(files::get_artifacts))
        .route(
            "/api/v1/runs/{run}/artifacts/{*path}",
            get(files::get_artifact)
                .put(files::put_artifact)
                .delete(files::delete_artifact),
        )
        .route("/api/v1/uploads/{upload}/{number}", put(files::put_part))
        .route(
            "/api/v1/datastores/{name}/files/{*path}",
            get(files::get_stored_file).put(files::put_stored_file),
        )
        .layer(DefaultBodyLimit::disable())
}

async fn operate(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let Some(act) = operations::find(&name) else {
        return nothing_for(&Method::POST);
    };
    let body = match body {
        Ok(body) => body,
        Err(e) => return Failure(Error::invalid(e.body_text())).into_response(),
    };
    let told = RequestBody::of(&body);
    let mut response = match act(found_by(service, &headers), caller, body).await {
        Ok(output) => ([(CONTENT_TYPE, "application/json")], output).into_response(),
        Err(error) => Failure(error).into_response(),
    };
    response.extensions_mut().insert(told);
    response
}

/// What is measured of endpoints, as Prometheus reads it.
async fn metrics(
    State(service): State<Service>,
    Extension(caller): Extension<Caller>,
    Query(request): Query<ExposeMetrics>,
) -> Result<Response, Failure> {
    let text = request.perform(&service, &caller).await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
