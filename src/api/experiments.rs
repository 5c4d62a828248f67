//! Experiments: named groups of runs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Page, Time, operation, runs::View};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Experiment {
    /// Decimal digits; unique in the server, `0` is never given to two workspaces.
    pub id: String,
    pub name: String,
    pub artifact_location: String,
    pub deleted: bool,
    pub tags: BTreeMap<String, String>,
    /// Runs that are not deleted.
    pub runs: u64,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Creates an experiment. A taken name is a conflict.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateExperiment {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub artifact_location: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateExperiment => Experiment, "experiments.create");

/// The experiments of a workspace, newest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListExperiments {
    pub workspace: String,
    #[serde(default)]
    pub include_deleted: bool,
}
operation!(ListExperiments => Vec<Experiment>, "experiments.list");

/// The experiments that fulfil a condition, newest first unless another order is asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchExperiments {
    pub workspace: String,
    #[serde(default)]
    pub view: View,
    /// A condition such as `name LIKE 'iris%' AND tags.team = 'x'`.
    #[serde(default)]
    pub filter: Option<String>,
    /// Keys such as `last_update_time DESC`.
    #[serde(default)]
    pub order_by: Vec<String>,
    /// At most so many; all when absent.
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(SearchExperiments => Page<Experiment>, "experiments.search");

/// One experiment, by exactly one of its name and id; also a deleted one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetExperiment {
    pub workspace: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub id: Option<String>,
}
operation!(GetExperiment => Experiment, "experiments.get");

/// Renames, deletes, restores or tags an experiment; what is absent stays. Deleting takes the runs along.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateExperiment {
    pub workspace: String,
    pub id: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub deleted: Option<bool>,
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_tags: Vec<String>,
}
operation!(UpdateExperiment => Experiment, "experiments.update");
