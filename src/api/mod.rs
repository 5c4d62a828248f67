//! What a workspace can be asked to do: operations, resources, names and errors.
//!
//! Plain data with serde, shared by client, server, service and tests. No behaviour belongs here
//! beyond parsing and formatting of these values.

pub mod access;
pub mod assets;
pub mod autoscale;
pub mod batch;
pub mod collector;
pub mod computes;
pub mod connections;
pub mod datastores;
pub mod deployments;
pub mod endpoint_metrics;
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
pub mod monitors;
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

    /// The body of the request.
    fn to_body(&self) -> serde_json::Result<Vec<u8>>;

    /// What the body of a successful answer says.
    fn from_answer(body: &[u8]) -> serde_json::Result<Self::Output>;
}

/// Names the output and the wire name of an operation: `operation!(CancelRun => Run, "runs.cancel");`
macro_rules! operation {
    ($request:ty => $output:ty, $name:literal) => {
        impl $crate::Operation for $request {
            type Output = $output;
            const NAME: &'static str = $name;

            // Here rather than in the trait: compiled once, not by each crate that calls.
            fn to_body(&self) -> serde_json::Result<Vec<u8>> {
                serde_json::to_vec(self)
            }

            fn from_answer(body: &[u8]) -> serde_json::Result<$output> {
                serde_json::from_slice(body)
            }
        }
    };
}
pub(crate) use operation;

/// A document as people read it. What writes this is compiled here, optimised, for all that print.
pub fn pretty(document: &serde_json::Value) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec_pretty(document)
}

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
