//! Where an asset is: in a workspace or in a registry.

use serde_json::Value;

use super::{Az, given::Given, ids};
use api::{Result, registries, workspaces::Workspace};

/// A workspace or a registry, with what ids of things in it begin with.
pub enum Place {
    Workspace(Box<Workspace>),
    Registry(String),
}

impl Az {
    /// What `--registry-name` names, else the workspace.
    pub async fn place(&self, given: &Given) -> Result<Place> {
        match given.owned("registry-name") {
            Some(registry) => Ok(Place::Registry(registry)),
            None => Ok(Place::Workspace(Box::new(self.this_workspace().await?))),
        }
    }
}

impl Place {
    /// What operations take as their workspace.
    pub fn name(&self) -> String {
        match self {
            Place::Workspace(workspace) => workspace.name.clone(),
            Place::Registry(registry) => registries::place(registry),
        }
    }

    /// The id of a version of an asset; `kind` in the plural.
    pub fn id(&self, kind: &str, name: &str, version: &str) -> String {
        match self {
            Place::Workspace(workspace) => {
                let path = format!("{kind}/{name}/versions/{version}");
                format!("azureml:{}", ids::within(workspace, &path))
            }
            Place::Registry(registry) => ids::in_registry(registry, kind, name, version),
        }
    }

    /// The address of files that the workspace keeps, with the workspace in it.
    pub fn address(&self, path: &str) -> String {
        match (self, path.strip_prefix("azureml://datastores/")) {
            (Place::Workspace(workspace), Some(rest)) => format!(
                "azureml://subscriptions/{}/resourcegroups/{}/workspaces/{}/datastores/{rest}",
                workspace.subscription, workspace.resource_group, workspace.name
            ),
            _ => path.to_owned(),
        }
    }

    pub fn resource_group(&self) -> Value {
        match self {
            Place::Workspace(workspace) => workspace.resource_group.clone().into(),
            Place::Registry(_) => Value::Null,
        }
    }
}
