//! Secrets in a workspace's key vault.

use serde::{Deserialize, Serialize};

use super::{Done, Time, operation};

/// A secret without its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    pub name: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Creates or replaces a secret. The value is encrypted at rest.
#[derive(Clone, Serialize, Deserialize)]
pub struct SetSecret {
    pub workspace: String,
    pub name: String,
    pub value: String,
}
operation!(SetSecret => Secret, "secrets.set");

/// The value of a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetSecret {
    pub workspace: String,
    pub name: String,
}
operation!(GetSecret => SecretValue, "secrets.get");

#[derive(Clone, Serialize, Deserialize)]
pub struct SecretValue {
    pub name: String,
    pub value: String,
}

/// The names of the secrets of a workspace, never their values.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListSecrets {
    pub workspace: String,
}
operation!(ListSecrets => Vec<Secret>, "secrets.list");

/// Deletes a secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteSecret {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteSecret => Done, "secrets.delete");
