//! Workspaces, their editions and associated resources.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

/// What a workspace is called to be; both do the same. It can be upgraded, never downgraded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Edition {
    #[default]
    Basic,
    Enterprise,
}

impl std::fmt::Display for Edition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Edition::Basic => "basic",
            Edition::Enterprise => "enterprise",
        })
    }
}

/// Where one associated resource of a workspace stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its name, or what the user gave when naming an existing one.
    pub name: String,
    pub state: ResourceState,
    /// Whether the workspace made it (and deletes it with itself).
    pub owned: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ResourceState {
    #[default]
    Ready,
    /// Made when first needed.
    Pending,
}

/// The resources that come with a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    pub storage_account: Resource,
    pub key_vault: Resource,
    pub application_insights: Resource,
    pub container_registry: Resource,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workspace {
    pub name: String,
    /// Stable across renames and never used again.
    pub id: String,
    pub edition: Edition,
    pub description: String,
    pub display_name: String,
    pub location: String,
    pub resource_group: String,
    pub subscription: String,
    pub tags: BTreeMap<String, String>,
    pub resources: Resources,
    /// The rest, in the words of Azure's YAML: `kind`, `public_network_access` and the like. Recorded.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub spec: Map<String, Value>,
    /// Tracking URI for MLflow clients; null while nothing listens.
    #[serde(default)]
    pub mlflow_tracking_uri: Option<String>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Creates a workspace with its associated resources. A taken name, in any case, is a conflict.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CreateWorkspace {
    pub name: String,
    pub edition: Edition,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub resource_group: Option<String>,
    #[serde(default)]
    pub subscription: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Existing resources to use instead of new ones.
    #[serde(default)]
    pub existing: ExistingResources,
    /// The rest, in the words of Azure's YAML. Recorded.
    #[serde(default)]
    pub spec: Map<String, Value>,
}

/// Names or resource ids of existing associated resources.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExistingResources {
    #[serde(default)]
    pub storage_account: Option<String>,
    #[serde(default)]
    pub key_vault: Option<String>,
    #[serde(default)]
    pub application_insights: Option<String>,
    #[serde(default)]
    pub container_registry: Option<String>,
}
operation!(CreateWorkspace => Workspace, "workspaces.create");

/// The workspaces the caller may read, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListWorkspaces {}
operation!(ListWorkspaces => Vec<Workspace>, "workspaces.list");

/// One workspace with its associated resources.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetWorkspace {
    pub workspace: String,
}
operation!(GetWorkspace => Workspace, "workspaces.get");

/// Changes what is given and leaves the rest. Another subscription is refused.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateWorkspace {
    pub workspace: String,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub display_name: Option<String>,
    #[serde(default)]
    pub subscription: Option<String>,
    /// Tags to set; an empty value removes the tag.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub container_registry: Option<String>,
    #[serde(default)]
    pub application_insights: Option<String>,
    /// Replaces what has the same key; null removes it.
    #[serde(default)]
    pub spec: Map<String, Value>,
}
operation!(UpdateWorkspace => Workspace, "workspaces.update");

/// Moves a workspace to a higher edition. The same edition again is no error; a lower one is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UpgradeWorkspace {
    pub workspace: String,
    pub edition: Edition,
}
operation!(UpgradeWorkspace => Workspace, "workspaces.upgrade");

/// Removes a workspace with everything it owns and nothing else. Running endpoints are stopped
/// and unfinished runs cancelled first.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteWorkspace {
    pub workspace: String,
    /// Refuse, as a conflict, when it has runs, models, endpoints, secrets, or experiments besides
    /// the default one.
    #[serde(default)]
    pub if_empty: bool,
}
operation!(DeleteWorkspace => Done, "workspaces.delete");

/// The keys of the associated resources that were made with the workspace; those of resources that
/// were there before are not known here.
#[derive(Clone, Serialize, Deserialize)]
pub struct WorkspaceKeys {
    pub storage_account: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub application_insights_instrumentation_key: Option<String>,
}

/// The keys of the associated resources that were made with the workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListWorkspaceKeys {
    pub workspace: String,
}
operation!(ListWorkspaceKeys => WorkspaceKeys, "workspaces.list_keys");
