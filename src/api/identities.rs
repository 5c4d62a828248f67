//! Identities that computes and endpoints can be given, as Azure's scripts make them. Recorded.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Time, operation};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedIdentity {
    /// Compared without regard to case, within its resource group.
    pub name: String,
    pub resource_group: String,
    pub location: String,
    pub tags: BTreeMap<String, String>,
    pub principal_id: String,
    pub client_id: String,
    pub created_at: Time,
}

/// Creates an identity; the one of that name in the group keeps its ids. Admins only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateIdentity {
    pub name: String,
    pub resource_group: String,
    #[serde(default)]
    pub location: Option<String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateIdentity => ManagedIdentity, "identities.create");

/// The identities, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListIdentities {
    /// Of one resource group alone.
    #[serde(default)]
    pub resource_group: Option<String>,
}
operation!(ListIdentities => Vec<ManagedIdentity>, "identities.list");

/// Deletes an identity. Admins only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteIdentity {
    pub name: String,
    pub resource_group: String,
}
operation!(DeleteIdentity => Done, "identities.delete");
