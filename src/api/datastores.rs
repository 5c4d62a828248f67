//! Datastores: named places of files, in the state directory or in a cloud.
//!
//! Files travel outside operations, on `GET|PUT /api/v1/datastores/<name>/files/<path>`, each
//! with `?workspace=`; `GET` answers to `HEAD` and `Range` too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Time, operation};

/// The datastore that is meant where none is named.
pub const DEFAULT: &str = "workspaceblobstore";

/// What errors are about that say that a storage beyond the server cannot be reached.
pub const UNREACHABLE: &str = "datastore";

/// What kind of place a datastore is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatastoreType {
    /// A folder of the machine that holds the state directory.
    Local,
    AzureBlob,
    AzureFile,
    #[serde(rename = "azure_data_lake_gen1")]
    AzureDataLakeGen1,
    #[serde(rename = "azure_data_lake_gen2")]
    AzureDataLakeGen2,
    OneLake,
    Hdfs,
    S3,
}

impl DatastoreType {
    pub const ALL: [DatastoreType; 8] = [
        DatastoreType::Local,
        DatastoreType::AzureBlob,
        DatastoreType::AzureFile,
        DatastoreType::AzureDataLakeGen1,
        DatastoreType::AzureDataLakeGen2,
        DatastoreType::OneLake,
        DatastoreType::Hdfs,
        DatastoreType::S3,
    ];

    pub fn name(self) -> &'static str {
        match self {
            DatastoreType::Local => "local",
            DatastoreType::AzureBlob => "azure_blob",
            DatastoreType::AzureFile => "azure_file",
            DatastoreType::AzureDataLakeGen1 => "azure_data_lake_gen1",
            DatastoreType::AzureDataLakeGen2 => "azure_data_lake_gen2",
            DatastoreType::OneLake => "one_lake",
            DatastoreType::Hdfs => "hdfs",
            DatastoreType::S3 => "s3",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        DatastoreType::ALL
            .into_iter()
            .find(|kind| kind.name().eq_ignore_ascii_case(text))
    }

    /// What its spec must say: the keys, each with what it is when left out.
    pub fn keys(self) -> &'static [(&'static str, Option<&'static str>)] {
        match self {
            DatastoreType::Local => &[("path", None)],
            DatastoreType::AzureBlob => &[
                ("account_name", None),
                ("container_name", None),
                ("endpoint", Some("core.windows.net")),
                ("protocol", Some("https")),
            ],
            DatastoreType::AzureFile => &[
                ("account_name", None),
                ("file_share_name", None),
                ("endpoint", Some("core.windows.net")),
                ("protocol", Some("https")),
            ],
            DatastoreType::AzureDataLakeGen1 => &[("store_name", None)],
            DatastoreType::AzureDataLakeGen2 => &[
                ("account_name", None),
                ("filesystem", None),
                ("endpoint", Some("core.windows.net")),
                ("protocol", Some("https")),
            ],
            DatastoreType::OneLake => &[
                ("one_lake_workspace_name", None),
                ("endpoint", Some("onelake.dfs.fabric.microsoft.com")),
            ],
            DatastoreType::Hdfs => &[("name_node_address", None), ("protocol", Some("http"))],
            DatastoreType::S3 => &[("bucket", None), ("region", Some("us-east-1"))],
        }
    }
}

impl std::fmt::Display for DatastoreType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Datastore {
    /// Compared without regard to case.
    pub name: String,
    #[serde(rename = "type")]
    pub kind: DatastoreType,
    /// Where it is, in the words of Azure's YAML: `account_name`, `container_name`, and so on.
    pub spec: Map<String, Value>,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// How it is opened: `none`, `account_key`, `sas_token`, `service_principal`, `certificate` or
    /// `access_key`.
    pub credential_type: String,
    /// The credentials; only in answers to who asked for them.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub credentials: Map<String, Value>,
    /// Whether it is meant where none is named.
    pub is_default: bool,
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Creates a datastore, or replaces the one of that name. Its files stay where they are.
///
/// Only admins may make one of type `local`, which opens a folder of the server.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreateDatastore {
    pub workspace: String,
    pub name: String,
    #[serde(rename = "type")]
    pub kind: DatastoreType,
    #[serde(default)]
    pub spec: Map<String, Value>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// In the words of Azure's YAML: `account_key`, or `sas_token`, or `tenant_id`, `client_id` and
    /// `client_secret`, …; for S3 `access_key_id` and `secret_access_key`.
    #[serde(default)]
    pub credentials: Map<String, Value>,
}
operation!(CreateDatastore => Datastore, "datastores.create");

/// The datastores of a workspace, by name, without credentials.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListDatastores {
    pub workspace: String,
}
operation!(ListDatastores => Vec<Datastore>, "datastores.list");

/// One datastore; the default one when no name is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetDatastore {
    pub workspace: String,
    #[serde(default)]
    pub name: Option<String>,
    /// With its credentials, for who may read secrets.
    #[serde(default)]
    pub secrets: bool,
}
operation!(GetDatastore => Datastore, "datastores.get");

/// Changes what is given of a datastore and leaves the rest.
#[derive(Clone, Serialize, Deserialize)]
pub struct UpdateDatastore {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub description: Option<String>,
    /// Tags to set; an empty value removes the tag.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Replaces the credentials.
    #[serde(default)]
    pub credentials: Option<Map<String, Value>>,
    /// Makes it the default one.
    #[serde(default)]
    pub make_default: bool,
}
operation!(UpdateDatastore => Datastore, "datastores.update");

/// Forgets a datastore. Its files stay where they are. Those that came with the workspace stay.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteDatastore {
    pub workspace: String,
    pub name: String,
}
operation!(DeleteDatastore => Done, "datastores.delete");

/// Whether a datastore can be reached; an error says why not and what to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TestDatastore {
    pub workspace: String,
    pub name: String,
}
operation!(TestDatastore => Done, "datastores.test");

/// A file of a datastore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredFile {
    /// From the datastore's top.
    pub path: String,
    pub size: u64,
    pub modified_at: Time,
}

/// The files of a datastore at or below a path, at any depth, sorted by path.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ListStoredFiles {
    pub workspace: String,
    pub datastore: String,
    /// A file or folder; everything when empty.
    #[serde(default)]
    pub path: String,
    /// At most so many; all when absent.
    #[serde(default)]
    pub limit: Option<u64>,
}
operation!(ListStoredFiles => Vec<StoredFile>, "datastores.list_files");

/// Removes a file of a datastore, or all files below a folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveStoredFiles {
    pub workspace: String,
    pub datastore: String,
    pub path: String,
}
operation!(RemoveStoredFiles => Done, "datastores.remove_files");
