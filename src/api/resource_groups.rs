//! Resource groups: what workspaces are gathered in, as Azure's scripts expect it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, operation};

/// A name, a location and tags. A group that a workspace was created with is there without having
/// been created itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// Compared without regard to case.
    pub name: String,
    pub location: String,
    pub tags: BTreeMap<String, String>,
}

/// Creates a resource group. One that is there keeps its location, and its tags unless others are
/// given. Admins only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateResourceGroup {
    pub name: String,
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
}
operation!(CreateResourceGroup => ResourceGroup, "resource_groups.create");

/// The resource groups by name: those that were created, and those of the workspaces that the caller
/// may read.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListResourceGroups {}
operation!(ListResourceGroups => Vec<ResourceGroup>, "resource_groups.list");

/// One resource group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetResourceGroup {
    pub name: String,
}
operation!(GetResourceGroup => ResourceGroup, "resource_groups.get");

/// Deletes a resource group with all workspaces in it. Admins only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteResourceGroup {
    pub name: String,
}
operation!(DeleteResourceGroup => Done, "resource_groups.delete");
