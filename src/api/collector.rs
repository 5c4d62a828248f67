//! Inputs and outputs of deployments that are collected, and where they are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

/// The collections that hold what was asked and answered over HTTP; all others are the script's own.
pub const REQUEST: &str = "request";
pub const RESPONSE: &str = "response";

/// How often collected data goes into another folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rolling {
    Minute,
    #[default]
    Hour,
    Day,
}

/// What is collected of a deployment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Collector {
    /// Collection → where its folders begin, as `azureml://datastores/NAME/paths/PATH`.
    pub collections: BTreeMap<String, String>,
    #[serde(default)]
    pub rolling: Rolling,
    /// Percent of what is handed over that is kept.
    pub sampling_percent: f64,
    /// Headers of requests and answers that are kept with them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
}

/// One thing that was collected: an event in the words of `CloudEvents`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    pub collection: String,
    pub time: Time,
    pub event: Map<String, Value>,
}

/// What was collected of a deployment since the last report, by its host on this machine. Of a
/// collection that the deployment does not have nothing is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportCollected {
    pub endpoint: i64,
    pub deployment: i64,
    /// Names the files.
    pub instance: String,
    pub events: Vec<Collected>,
}
operation!(ReportCollected => Done, "hosts.collected");
