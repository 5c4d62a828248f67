//! Datastores as stored: where they are and their sealed credentials, not their files.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Store,
    db::{Row, RowResult, Tx, json as json_column, params, to_json},
    home::io_error,
};
use api::{
    Result, Time,
    datastores::{DEFAULT, Datastore, DatastoreType},
    workspaces::Workspace,
};

/// A datastore, how it is opened, and whether it came with the workspace.
#[derive(Debug, Clone)]
pub struct DatastoreRow {
    pub datastore: Datastore,
    pub sealed_credentials: Option<Vec<u8>>,
    pub built_in: bool,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct DatastoreChange {
    pub description: Option<String>,
    /// An empty value removes the tag.
    pub tags: BTreeMap<String, String>,
    /// Their type and the sealed credentials.
    pub credentials: Option<(String, Option<Vec<u8>>)>,
    pub make_default: bool,
}

/// What every workspace comes with: name, type, the key of its place, the place's name and whether
/// the workspace's id follows it.
const BUILT_IN: [(&str, DatastoreType, &str, &str, bool); 4] = [
    (
        DEFAULT,
        DatastoreType::AzureBlob,
        "container_name",
        "azureml-blobstore-",
        true,
    ),
    (
        "workspaceartifactstore",
        DatastoreType::AzureBlob,
        "container_name",
        "azureml",
        false,
    ),
    (
        "workspacefilestore",
        DatastoreType::AzureFile,
        "file_share_name",
        "azureml-filestore-",
        true,
    ),
    (
        "workspaceworkingdirectory",
        DatastoreType::AzureFile,
        "file_share_name",
        "code-391ff5ac-6576-460f-ba4d-7e03433c68b6",
        false,
    ),
];

const COLUMNS: &str = "name, kind, spec, description, tags, credential_type, is_default, created_by, \
                       created_at, updated_at, sealed_credentials, built_in";

fn datastore(row: &Row<'_>) -> RowResult<DatastoreRow> {
    let kind: String = row.get(1)?;
    Ok(DatastoreRow {
        datastore: Datastore {
            name: row.get(0)?,
            kind: DatastoreType::parse(&kind).unwrap_or(DatastoreType::Local),
            spec: json_column(row, 2)?,
            description: row.get(3)?,
            tags: json_column(row, 4)?,
            credential_type: row.get(5)?,
            credentials: Map::new(),
            is_default: row.get(6)?,
            created_by: row.get(7)?,
            created_at: row.get(8)?,
            updated_at: row.get(9)?,
        },
        sealed_credentials: row.get(10)?,
        built_in: row.get(11)?,
    })
}

/// Gives a new workspace the datastores that it comes with.
pub(super) fn insert_built_in(tx: &Tx<'_>, id: i64, workspace: &Workspace) -> Result<()> {
    for (name, kind, key, place, own) in BUILT_IN {
        let place = if own {
            format!("{place}{}", workspace.id)
        } else {
            place.to_owned()
        };
        let spec = json!({
            "account_name": workspace.resources.storage_account.name,
            key: place,
            "endpoint": "core.windows.net",
            "protocol": "https",
        });
        tx.execute(
            "INSERT INTO datastores(workspace_id, name, kind, spec, description, tags, credential_type, \
             is_default, built_in, created_by, created_at, updated_at) \
             VALUES (?1, ?2, ?3, ?4, '', '{}', 'none', ?5, 1, 'system', ?6, ?6)",
            params![
                id,
                name,
                kind.name(),
                to_json::<Value>(&spec)?,
                name == DEFAULT,
                workspace.created_at
            ],
        )?;
    }
    Ok(())
}

impl Store {
    /// Removes the files in the storage account of a workspace that is gone.
    pub fn remove_storage(&self, workspace: &str) -> Result<()> {
        let folder = self.home.storage(workspace);
        match std::fs::remove_dir_all(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(io_error("remove", &folder, &e))
            }
            _ => Ok(()),
        }
    }
}

fn find(tx: &Tx<'_>, workspace: i64, name: Option<&str>) -> Result<Option<DatastoreRow>> {
    tx.one(
        &format!(
            "SELECT {COLUMNS} FROM datastores WHERE workspace_id = ?1 \
             AND iif(?2 IS NULL, is_default, name = ?2)"
        ),
        params![workspace, name],
        datastore,
    )
}

impl Store {
    /// Adds a datastore, or replaces the one of that name; none when that came with the workspace.
    pub async fn put_datastore(
        &self,
        workspace: i64,
        row: DatastoreRow,
    ) -> Result<Option<DatastoreRow>> {
        self.db
            .write(move |tx| {
                let new = &row.datastore;
                tx.one(
                    &format!(
                        "INSERT INTO datastores(workspace_id, name, kind, spec, description, tags, \
                         credential_type, sealed_credentials, created_by, created_at, updated_at) \
                         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10) \
                         ON CONFLICT(workspace_id, name) DO UPDATE SET kind = ?3, spec = ?4, \
                         description = ?5, tags = ?6, credential_type = ?7, sealed_credentials = ?8, \
                         updated_at = ?10 WHERE built_in = 0 RETURNING {COLUMNS}"
                    ),
                    params![
                        workspace,
                        new.name,
                        new.kind.name(),
                        to_json(&new.spec)?,
                        new.description,
                        to_json(&new.tags)?,
                        new.credential_type,
                        row.sealed_credentials,
                        new.created_by,
                        new.created_at
                    ],
                    datastore,
                )
            })
            .await
    }

    /// One datastore; the default one when no name is given.
    pub async fn datastore(
        &self,
        workspace: i64,
        name: Option<String>,
    ) -> Result<Option<DatastoreRow>> {
        self.db
            .read(move |tx| find(tx, workspace, name.as_deref()))
            .await
    }

    pub async fn list_datastores(&self, workspace: i64) -> Result<Vec<DatastoreRow>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM datastores WHERE workspace_id = ?1 ORDER BY name"
                    ),
                    params![workspace],
                    datastore,
                )
            })
            .await
    }

    /// Changes one datastore, unless it is not there.
    pub async fn update_datastore(
        &self,
        workspace: i64,
        name: &str,
        now: Time,
        change: DatastoreChange,
    ) -> Result<Option<DatastoreRow>> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let Some(mut row) = find(tx, workspace, Some(&name))? else {
                    return Ok(None);
                };
                let found = &mut row.datastore;
                if let Some(description) = change.description {
                    found.description = description;
                }
                super::assets::merge(&mut found.tags, change.tags);
                if let Some((kind, sealed)) = change.credentials {
                    found.credential_type = kind;
                    row.sealed_credentials = sealed;
                }
                if change.make_default {
                    tx.execute(
                        "UPDATE datastores SET is_default = (name = ?2) WHERE workspace_id = ?1",
                        params![workspace, name],
                    )?;
                    found.is_default = true;
                }
                found.updated_at = now;
                tx.execute(
                    "UPDATE datastores SET description = ?3, tags = ?4, credential_type = ?5, \
                     sealed_credentials = ?6, updated_at = ?7 WHERE workspace_id = ?1 AND name = ?2",
                    params![
                        workspace,
                        name,
                        found.description,
                        to_json(&found.tags)?,
                        found.credential_type,
                        row.sealed_credentials,
                        now
                    ],
                )?;
                Ok(Some(row))
            })
            .await
    }

    /// Forgets one datastore that did not come with the workspace; the default is then the one that did.
    pub async fn delete_datastore(&self, workspace: i64, name: &str) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let deleted = tx.execute(
                    "DELETE FROM datastores WHERE workspace_id = ?1 AND name = ?2 AND built_in = 0",
                    params![workspace, name],
                )?;
                tx.execute(
                    "UPDATE datastores SET is_default = 1 WHERE workspace_id = ?1 AND name = ?2 AND NOT EXISTS \
                     (SELECT 1 FROM datastores d WHERE d.workspace_id = ?1 AND d.is_default = 1)",
                    params![workspace, DEFAULT],
                )?;
                Ok(deleted > 0)
            })
            .await
    }
}
