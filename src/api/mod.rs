//! What a workspace can be asked to do: operations, resources, names and errors.
//!
//! Plain data with serde, shared by client, server, service and tests. No behaviour belongs here
//! beyond parsing and formatting of these values.

pub mod access;
pub mod assets;
pub mod batch;
pub mod computes;
pub mod connections;
pub mod datastores;
pub mod deployments;
pub mod endpoint_tokens;
pub mod endpoints;
pub mod environments;
pub mod error;
pub mod experiments;
pub mod files;
pub mod frames;
pub mod identities;
pub mod imports;
pub mod jobs;
pub mod lineage;
pub mod logged_models;
pub mod metrics;
pub mod mirrors;
pub mod models;
pub mod names;
pub mod paths;
pub mod pipelines;
pub mod registered_models;
pub mod registries;
pub mod resource_groups;
pub mod runs;
pub mod schedules;
pub mod secrets;
pub mod span_files;
pub mod time;
pub mod trace_measures;
pub mod traces;
pub mod uploads;
pub mod webhooks;
pub mod work;
pub mod workspaces;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

pub use error::{Code, Error, Result};
pub use time::Time;

/// One thing a workspace can be asked to do.
///
/// Sent as `POST /api/v1/<NAME>` with the struct as JSON body; the answer is the output as JSON
/// with status 200, or an error envelope (see [`Error`]).
pub trait Operation: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// What a successful call answers.
    type Output: Serialize + DeserializeOwned + Send + 'static;
    /// `area.verb`: the last part of the URL, the audit record, the log field.
    const NAME: &'static str;
}

/// Names the output and the wire name of an operation: `operation!(CancelRun => Run, "runs.cancel");`
macro_rules! operation {
    ($request:ty => $output:ty, $name:literal) => {
        impl $crate::Operation for $request {
            type Output = $output;
            const NAME: &'static str = $name;
        }
    };
}
pub(crate) use operation;

/// The answer of an operation that has nothing to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {}

/// A part of a listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Opaque; passed back as `page` to read on. Absent on the last page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
