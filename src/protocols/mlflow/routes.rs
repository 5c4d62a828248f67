//! Every route of the protocol, in tables of pointers: a route costs a line and no code of its own, in
//! the program and in the memory of a server.

use std::future::ready;

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, OriginalUri, Request, State},
    http::{Method, Uri},
    response::Response,
    routing::{MethodFilter, MethodRouter, get},
};
use futures_util::future::BoxFuture;

use super::{
    VERSION,
    artifacts::{self, SendFile},
    experiments, graphql, histories, links, logged_models, metrics, model_versions as version,
    parts, prompts, registered_models as model, runs, server_info, signed, traces, webhooks,
    workspaces,
};
use service::Service;

/// The largest body of a call; files have no limit.
const CALL_BODY: usize = 64 << 20;

/// A handler, whatever it takes of the request.
type Handle = fn(Request, Service) -> BoxFuture<'static, Response>;

/// The handlers of a path by the method they are for.
pub(super) type Routes = &'static [(&'static str, &'static [(MethodFilter, Handle)])];

/// A table from lines of `"/path": METHOD handler, METHOD handler;`.
macro_rules! table {
    ($($path:literal: $($method:ident $handler:path),+;)*) => {
        &[$(($path, &[$((
            axum::routing::MethodFilter::$method,
            |request, service| Box::pin(axum::handler::Handler::call($handler, request, service)),
        )),+])),*]
    };
}
pub(super) use table;

/// What is not about one workspace.
const OF_SERVER: Routes = table! {
    "/workspaces": GET workspaces::list, POST workspaces::create;
    "/workspaces/{name}": GET workspaces::get, PATCH workspaces::update, DELETE workspaces::delete;
};

const CALLS: Routes = table! {
    "/server-info": GET server_info;
    // Experiments
    "/experiments/create": POST experiments::create;
    "/experiments/get": GET experiments::get;
    "/experiments/get-by-name": GET experiments::get_by_name;
    "/experiments/search": GET experiments::search, POST experiments::search;
    "/experiments/update": POST experiments::update;
    "/experiments/delete": POST experiments::delete;
    "/experiments/restore": POST experiments::restore;
    "/experiments/set-experiment-tag": POST experiments::set_tag;
    "/experiments/delete-experiment-tag": POST experiments::delete_tag;
    // Runs
    "/runs/create": POST runs::create;
    "/runs/get": GET runs::get;
    "/runs/update": POST runs::update;
    "/runs/delete": POST runs::delete;
    "/runs/restore": POST runs::restore;
    "/runs/search": POST runs::search;
    "/runs/log-metric": POST metrics::log_metric;
    "/runs/log-parameter": POST metrics::log_param;
    "/runs/log-batch": POST metrics::log_batch;
    "/runs/set-tag": POST metrics::set_tag;
    "/runs/delete-tag": POST metrics::delete_tag;
    "/runs/log-inputs": POST links::log_inputs;
    "/runs/outputs": POST links::log_outputs;
    "/runs/log-model": POST links::log_model;
    "/metrics/get-history": GET metrics::history;
    "/metrics/get-history-bulk": GET histories::bulk;
    "/metrics/get-history-bulk-interval": GET histories::interval;
    "/experiments/search-datasets": POST histories::search_datasets;
    "/runs/create-promptlab-run": POST prompts::create_run;
    "/gateway-proxy": GET prompts::gateway, POST prompts::gateway;
    // Logged models
    "/logged-models": POST logged_models::create;
    "/logged-models/search": POST logged_models::search;
    "/logged-models/{model_id}":
        GET logged_models::get,
        PATCH logged_models::finalize,
        DELETE logged_models::delete;
    "/logged-models/{model_id}/params": POST logged_models::log_params;
    "/logged-models/{model_id}/tags": PATCH logged_models::set_tags;
    "/logged-models/{model_id}/tags/{tag_key}": DELETE logged_models::delete_tag;
    // Artifacts
    "/artifacts/list": GET artifacts::list_run;
    "/artifacts/presigned-upload-url": POST signed::upload_url;
    "/artifacts/presigned-download-url": POST signed::download_url;
    "/upload-artifact": POST artifacts::upload;
    "/logged-models/{model_id}/artifacts/directories": GET artifacts::list_model;
    "/logged-models/{model_id}/artifacts/files": GET artifacts::get_of_model;
    // Registered models
    "/registered-models/create": POST model::create;
    "/registered-models/rename": POST model::rename;
    "/registered-models/update": PATCH model::update;
    "/registered-models/delete": DELETE model::delete;
    "/registered-models/get": GET model::get;
    "/registered-models/search": GET model::search;
    "/registered-models/get-latest-versions": GET model::latest, POST model::latest;
    "/registered-models/set-tag": POST model::set_tag;
    "/registered-models/delete-tag": DELETE model::delete_tag;
    "/registered-models/alias":
        GET version::by_alias,
        POST version::set_alias,
        DELETE version::delete_alias;
    // Model versions
    "/model-versions/create": POST version::create;
    "/model-versions/get": GET version::get;
    "/model-versions/update": PATCH version::update;
    "/model-versions/delete": DELETE version::delete;
    "/model-versions/search": GET version::search;
    "/model-versions/transition-stage": POST version::transition;
    "/model-versions/get-download-uri": GET version::download_uri;
    "/model-versions/set-tag": POST version::set_tag;
    "/model-versions/delete-tag": DELETE version::delete_tag;
    // Webhooks
    "/webhooks": GET webhooks::list, POST webhooks::create;
    "/webhooks/{webhook_id}": GET webhooks::get, PATCH webhooks::update, DELETE webhooks::delete;
    "/webhooks/{webhook_id}/test": POST webhooks::test;
};

/// What is outside the calls: files as pages ask for them, and spans.
const PAGES: Routes = table! {
    "/get-artifact": GET artifacts::get_of_run;
    "/model-versions/get-artifact": GET artifacts::get_of_version;
    "/v1/traces": POST traces::otlp::export;
};

const FILES: Routes = table! {
    "/artifacts": GET artifacts::list_proxy;
    "/mpu/create/{*file_folder}": POST parts::create;
    "/mpu/complete/{*file_folder}": POST parts::complete;
    "/mpu/abort/{*file_folder}": POST parts::abort;
    "/presigned/{*path}": GET signed::download;
};

/// Files, of any size.
const STREAMS: Routes = table! {
    "/artifacts/{*path}": PUT artifacts::put, GET artifacts::get, DELETE artifacts::delete;
    "/parts/{upload}/{number}": PUT parts::put;
};

const GRAPHQL: Routes = table! {
    "/graphql": GET graphql::ask, POST graphql::ask;
};

/// What answers for an address that is none, or not for that method.
pub type Nothing = fn(&Method, &Uri) -> Response;

/// Every route of the protocol that needs a caller. `send` answers stored files; `nothing` and `not_so`
/// what has no route, or none for its method.
///
/// The calls are one router behind every address that they are at.
pub fn routes(
    service: &Service,
    send: SendFile,
    nothing: Nothing,
    not_so: Nothing,
) -> Router<Service> {
    let call = DefaultBodyLimit::max(CALL_BODY);
    let inside = |routes: Router<Service>| {
        let nothing =
            move |method: Method, OriginalUri(uri): OriginalUri| ready(nothing(&method, &uri));
        let not_so =
            move |method: Method, OriginalUri(uri): OriginalUri| ready(not_so(&method, &uri));
        let routes = routes.fallback(nothing).method_not_allowed_fallback(not_so);
        routes.with_state::<()>(service.clone())
    };
    let calls = mount(Router::new(), "", CALLS, call);
    let calls = inside(mount(calls, "", traces::CALLS, call));
    let files = mount(Router::new(), "", FILES, call);
    let files = inside(mount(files, "", STREAMS, DefaultBodyLimit::disable()));
    let mut routes = Router::new();
    for api in ["api", "ajax-api"] {
        routes = mount(routes, &format!("/{api}/3.0/mlflow"), OF_SERVER, call);
    }
    for prefix in ["", "/ws/{workspace}"] {
        for api in ["api", "ajax-api"] {
            for version in ["2.0", "3.0"] {
                let base = format!("{prefix}/{api}/{version}/mlflow");
                routes = routes.nest_service(&base, calls.clone());
            }
            let base = format!("{prefix}/{api}/2.0/mlflow-artifacts");
            routes = routes.nest_service(&base, files.clone());
        }
        routes = mount(routes, prefix, PAGES, call);
        routes = mount(
            routes,
            prefix,
            GRAPHQL,
            DefaultBodyLimit::max(graphql::BODY),
        );
    }
    routes.layer(Extension(send))
}

/// What clients may ask without saying who they are.
pub fn open_routes() -> Router {
    Router::new()
        .route("/version", get(async || VERSION))
        .route("/ws/{workspace}/health", get(async || "OK"))
        .route("/ws/{workspace}/version", get(async || VERSION))
}

fn mount(
    routes: Router<Service>,
    base: &str,
    table: Routes,
    limit: DefaultBodyLimit,
) -> Router<Service> {
    table.iter().fold(routes, |routes, (path, methods)| {
        let handlers = methods.iter().fold(MethodRouter::new(), on);
        routes.route(&format!("{base}{path}"), handlers.layer(limit))
    })
}

fn on(
    handlers: MethodRouter<Service>,
    (method, handle): &(MethodFilter, Handle),
) -> MethodRouter<Service> {
    let handle = *handle;
    let handler = move |State(service): State<Service>, request: Request| handle(request, service);
    handlers.on(*method, handler)
}
