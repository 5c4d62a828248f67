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
mod routes;
mod runs;
mod signed;
mod sources;
mod traces;
mod webhooks;
mod wire;
mod workspaces;

use axum::Json;
use serde_json::{Value, json};

pub use artifacts::SendFile;
pub use error::{failure, no_such_call, no_such_method};
pub use routes::{open_routes, routes};

pub use webhooks::letter;

/// The version of the protocol's reference implementation that we answer as.
pub const VERSION: &str = "3.17.2";

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

/// Uploads and downloads in parts are there for who asks for them by `MLFLOW_ENABLE_PROXY_MULTIPART_…`;
/// clients that would use them unasked are not told to, because one stream is as fast here, and because
/// they send parts without the certificate that they were told to trust.
async fn server_info() -> Json<Value> {
    Json(json!({
        "store_type": "SqlStore",
        "workspaces_enabled": true,
        "trace_archival_enabled": false,
        "multipart_uploads_enabled": false,
        "multipart_downloads_enabled": false,
        "presigned_upload_run_id_supported": true,
        "presigned_upload_model_id_supported": true,
        "features_enabled": {"gateway": false},
    }))
}
