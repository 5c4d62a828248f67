//! Connections: how services outside are reached, with what lets one in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// Compared without regard to case.
    pub name: String,
    /// As Azure's YAML names it: `git`, `s3`, `snowflake`, `azure_open_ai`, ….
    #[serde(rename = "type")]
    pub kind: String,
    /// Where the service is.
    pub target: String,
    /// The rest, in the words of Azure's YAML, without secrets.
    pub spec: Map<String, Value>,
    /// How one is let in: `pat`, `username_password`, `api_key`, …, or `none`.
    pub credential_type: String,
    /// The secrets; only in answers to who asked for them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub credentials: Map<String, Value>,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Creates a connection, or replaces the one of that name.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreateConnection {
    pub workspace: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub target: String,
    #[serde(default)]
    pub spec: Map<String, Value>,
    /// In the words of Azure's YAML, `type` among them. Encrypted at rest.
    #[serde(default)]
    pub credentials: Map<String, Value>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateConnection => Connection, "connections.create");

/// The connections of a workspace, by name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListConnections {
    pub workspace: String,
    /// Of one type alone.
    #[serde(default, rename = "type")]
    pub kind: Option<String>,
    /// With their secrets, for who may read secrets.
    #[serde(default)]
    pub secrets: bool,
}
operation!(ListConnections => Vec<Connection>, "connections.list");

/// One connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetConnection {
    pub workspace: String,
    pub name: String,
    /// With its secrets, for who may read secrets.
    #[serde(default)]
    pub secrets: bool,
}
operation!(GetConnection => Connection, "connections.get");

/// Forgets a connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteConnection {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteConnection => Done, "connections.delete");
