//! The MLflow tracking protocol, as stock MLflow clients of 2.x and 3.x speak it.
//!
//! The same routes are at the root, where a header or the server's default workspace says which one is
//! meant, and below `/ws/<workspace>`, which is the tracking URI that runs and people get.

mod address;
mod artifacts;
mod call;
mod error;
mod experiments;
mod fields;
mod graphql;
mod histories;
mod limits;
mod links;
mod logged_models;
mod metrics;
mod model_versions;
mod names;
mod parts;
mod prompts;
mod quick;
mod registered_models;
mod runs;
mod signed;
mod sources;
mod traces;
mod webhooks;
mod wire;
mod workspaces;

use axum::{
    Extension, Json, Router,
    extract::DefaultBodyLimit,
    routing::{MethodRouter, delete, get, patch, post, put},
};
use serde_json::json;

pub use artifacts::SendFile;
pub use error::{failure, no_such_call, no_such_method};

pub use webhooks::letter;

use service::Service;

/// The version of the protocol's reference implementation that we answer as.
pub const VERSION: &str = "3.17.2";

/// The largest body of a call; files have no limit.
const CALL_BODY: usize = 64 << 20;

/// Every route of the protocol that needs a caller. `send` answers stored files.
pub fn routes(send: SendFile) -> Router<Service> {
    let mut routes = Router::new();
    for api in ["api", "ajax-api"] {
        routes = mount(routes, &format!("/{api}/3.0/mlflow"), server_calls());
    }
    for prefix in ["", "/ws/{workspace}"] {
        for api in ["api", "ajax-api"] {
            for version in ["2.0", "3.0"] {
                let base = format!("{prefix}/{api}/{version}/mlflow");
                routes = mount(routes, &base, calls());
                routes = mount(routes, &base, limited(traces::calls()));
            }
            let base = format!("{prefix}/{api}/2.0/mlflow-artifacts");
            routes = mount(routes, &base, files());
        }
        routes = mount(routes, prefix, limited(pages()));
        let ask = get(graphql::ask).post(graphql::ask);
        let ask = ask.layer(DefaultBodyLimit::max(graphql::BODY));
        routes = routes.route(&format!("{prefix}/graphql"), ask);
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

/// Whether a path is of this protocol, so that errors must have its shape.
pub fn owns(path: &str) -> bool {
    path.starts_with("/ws/")
        || [
            "/api/2.0/",
            "/api/3.0/",
            "/ajax-api/",
            "/get-artifact",
            "/graphql",
            "/v1/",
        ]
        .iter()
        .any(|prefix| path.starts_with(prefix))
}

type Routes = Vec<(&'static str, MethodRouter<Service>)>;

fn mount(routes: Router<Service>, base: &str, list: Routes) -> Router<Service> {
    list.into_iter().fold(routes, |routes, (path, method)| {
        routes.route(&format!("{base}{path}"), method)
    })
}

/// What is not about one workspace.
fn server_calls() -> Routes {
    vec![
        (
            "/workspaces",
            get(workspaces::list).post(workspaces::create),
        ),
        (
            "/workspaces/{name}",
            get(workspaces::get)
                .patch(workspaces::update)
                .delete(workspaces::delete),
        ),
    ]
}

fn calls() -> Routes {
    let mut routes: Routes = vec![
        ("/server-info", get(async || Json(server_info()))),
        // Experiments
        ("/experiments/create", post(experiments::create)),
        ("/experiments/get", get(experiments::get)),
        ("/experiments/get-by-name", get(experiments::get_by_name)),
        (
            "/experiments/search",
            get(experiments::search).post(experiments::search),
        ),
        ("/experiments/update", post(experiments::update)),
        ("/experiments/delete", post(experiments::delete)),
        ("/experiments/restore", post(experiments::restore)),
        (
            "/experiments/set-experiment-tag",
            post(experiments::set_tag),
        ),
        (
            "/experiments/delete-experiment-tag",
            post(experiments::delete_tag),
        ),
        // Runs
        ("/runs/create", post(runs::create)),
        ("/runs/get", get(runs::get)),
        ("/runs/update", post(runs::update)),
        ("/runs/delete", post(runs::delete)),
        ("/runs/restore", post(runs::restore)),
        ("/runs/search", post(runs::search)),
        ("/runs/log-metric", post(metrics::log_metric)),
        ("/runs/log-parameter", post(metrics::log_param)),
        ("/runs/log-batch", post(metrics::log_batch)),
        ("/runs/set-tag", post(metrics::set_tag)),
        ("/runs/delete-tag", post(metrics::delete_tag)),
        ("/runs/log-inputs", post(links::log_inputs)),
        ("/runs/outputs", post(links::log_outputs)),
        ("/runs/log-model", post(links::log_model)),
        ("/metrics/get-history", get(metrics::history)),
        ("/metrics/get-history-bulk", get(histories::bulk)),
        (
            "/metrics/get-history-bulk-interval",
            get(histories::interval),
        ),
        (
            "/experiments/search-datasets",
            post(histories::search_datasets),
        ),
        ("/runs/create-promptlab-run", post(prompts::create_run)),
        (
            "/gateway-proxy",
            get(prompts::gateway).post(prompts::gateway),
        ),
        // Logged models
        ("/logged-models", post(logged_models::create)),
        ("/logged-models/search", post(logged_models::search)),
        (
            "/logged-models/{model_id}",
            get(logged_models::get)
                .patch(logged_models::finalize)
                .delete(logged_models::delete),
        ),
        (
            "/logged-models/{model_id}/params",
            post(logged_models::log_params),
        ),
        (
            "/logged-models/{model_id}/tags",
            patch(logged_models::set_tags),
        ),
        (
            "/logged-models/{model_id}/tags/{tag_key}",
            delete(logged_models::delete_tag),
        ),
        // Artifacts
        ("/artifacts/list", get(artifacts::list_run)),
        ("/artifacts/presigned-upload-url", post(signed::upload_url)),
        (
            "/artifacts/presigned-download-url",
            post(signed::download_url),
        ),
        ("/upload-artifact", post(artifacts::upload)),
        (
            "/logged-models/{model_id}/artifacts/directories",
            get(artifacts::list_model),
        ),
        (
            "/logged-models/{model_id}/artifacts/files",
            get(artifacts::get_of_model),
        ),
    ];
    routes.extend(registry());
    limited(routes)
}

fn limited(routes: Routes) -> Routes {
    let limit = DefaultBodyLimit::max(CALL_BODY);
    let limited =
        |(path, method): (&'static str, MethodRouter<Service>)| (path, method.layer(limit));
    routes.into_iter().map(limited).collect()
}

fn registry() -> Routes {
    use {model_versions as version, registered_models as model};
    vec![
        // Registered models
        ("/registered-models/create", post(model::create)),
        ("/registered-models/rename", post(model::rename)),
        ("/registered-models/update", patch(model::update)),
        ("/registered-models/delete", delete(model::delete)),
        ("/registered-models/get", get(model::get)),
        ("/registered-models/search", get(model::search)),
        (
            "/registered-models/get-latest-versions",
            get(model::latest).post(model::latest),
        ),
        ("/registered-models/set-tag", post(model::set_tag)),
        ("/registered-models/delete-tag", delete(model::delete_tag)),
        (
            "/registered-models/alias",
            get(version::by_alias)
                .post(version::set_alias)
                .delete(version::delete_alias),
        ),
        // Model versions
        ("/model-versions/create", post(version::create)),
        ("/model-versions/get", get(version::get)),
        ("/model-versions/update", patch(version::update)),
        ("/model-versions/delete", delete(version::delete)),
        ("/model-versions/search", get(version::search)),
        (
            "/model-versions/transition-stage",
            post(version::transition),
        ),
        (
            "/model-versions/get-download-uri",
            get(version::download_uri),
        ),
        ("/model-versions/set-tag", post(version::set_tag)),
        ("/model-versions/delete-tag", delete(version::delete_tag)),
        // Webhooks
        ("/webhooks", get(webhooks::list).post(webhooks::create)),
        (
            "/webhooks/{webhook_id}",
            get(webhooks::get)
                .patch(webhooks::update)
                .delete(webhooks::delete),
        ),
        ("/webhooks/{webhook_id}/test", post(webhooks::test)),
    ]
}

/// What is outside the calls: files as pages ask for them, and spans.
fn pages() -> Routes {
    vec![
        ("/get-artifact", get(artifacts::get_of_run)),
        (
            "/model-versions/get-artifact",
            get(artifacts::get_of_version),
        ),
        ("/v1/traces", post(traces::otlp::export)),
    ]
}

fn files() -> Routes {
    vec![
        ("/artifacts", get(artifacts::list_proxy)),
        (
            "/artifacts/{*path}",
            put(artifacts::put)
                .get(artifacts::get)
                .delete(artifacts::delete)
                .layer(DefaultBodyLimit::disable()),
        ),
        ("/mpu/create/{*file_folder}", post(parts::create)),
        ("/mpu/complete/{*file_folder}", post(parts::complete)),
        ("/mpu/abort/{*file_folder}", post(parts::abort)),
        (
            "/parts/{upload}/{number}",
            put(parts::put).layer(DefaultBodyLimit::disable()),
        ),
        ("/presigned/{*path}", get(signed::download)),
    ]
}

/// Uploads and downloads in parts are there for who asks for them by `MLFLOW_ENABLE_PROXY_MULTIPART_…`;
/// clients that would use them unasked are not told to, because one stream is as fast here, and because
/// they send parts without the certificate that they were told to trust.
fn server_info() -> serde_json::Value {
    json!({
        "store_type": "SqlStore",
        "workspaces_enabled": true,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": true,
        "presigned_upload_model_id_supported": true,
        "features_enabled": {"gateway": false},
    })
}
