//! Registries: what holds assets for all workspaces of a server.
//!
//! Where an operation takes a workspace, a registry stands as `registries/NAME` (see [`place`]).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

/// The registry that comes with every server and holds the curated environments.
pub const CURATED: &str = "azureml";

const PREFIX: &str = "registries/";

/// The name of a registry where operations take a workspace.
pub fn place(registry: &str) -> String {
    format!("{PREFIX}{registry}")
}

/// The registry that stands where operations take a workspace, if one does.
pub fn named_in(workspace: &str) -> Option<&str> {
    workspace.strip_prefix(PREFIX)
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Registry {
    pub name: String,
    /// Stable and never used again.
    pub id: String,
    pub description: String,
    pub display_name: String,
    pub location: String,
    pub tags: BTreeMap<String, String>,
    /// The rest, in the words of Azure's YAML: `replication_locations` and the like.
    pub spec: Map<String, Value>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Creates a registry. A taken name, in any case, is a conflict. Every user may read it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateRegistry {
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub spec: Map<String, Value>,
}
operation!(CreateRegistry => Registry, "registries.create");

/// The registries of the server, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListRegistries {}
operation!(ListRegistries => Vec<Registry>, "registries.list");

/// One registry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetRegistry {
    pub registry: String,
}
operation!(GetRegistry => Registry, "registries.get");

/// Changes what is given and leaves the rest.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpdateRegistry {
    pub registry: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub display_name: Option<String>,
    /// Tags to set; an empty value removes the tag.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Replaces what has the same key.
    #[serde(default)]
    pub spec: Map<String, Value>,
}
operation!(UpdateRegistry => Registry, "registries.update");

/// Deletes a registry with all assets in it. The one of the curated environments stays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteRegistry {
    pub registry: String,
}
operation!(DeleteRegistry => Done, "registries.delete");
