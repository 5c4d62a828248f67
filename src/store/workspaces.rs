//! Workspaces as stored.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Store,
    datastores::insert_built_in,
    db::{Row, RowResult, Tx, count, json, params, to_json},
};
use api::{
    Error, Result, Time,
    workspaces::{Edition, Resource, Workspace},
};

/// A workspace and its number in the store.
#[derive(Debug, Clone)]
pub struct WorkspaceRow {
    pub id: i64,
    pub workspace: Workspace,
}

/// What a new workspace starts with.
#[derive(Debug, Clone)]
pub struct NewWorkspace {
    pub workspace: Workspace,
    /// Keys of the associated resources, sealed.
    pub sealed_keys: Vec<u8>,
}

const COLUMNS: &str = "id, uuid, name, edition, description, display_name, location, resource_group, \
                       subscription, tags, resources, created_at, updated_at, spec";

fn workspace(row: &Row<'_>) -> RowResult<WorkspaceRow> {
    Ok(WorkspaceRow {
        id: row.get(0)?,
        workspace: Workspace {
            id: row.get(1)?,
            name: row.get(2)?,
            edition: edition(&row.get::<String>(3)?),
            description: row.get(4)?,
            display_name: row.get(5)?,
            location: row.get(6)?,
            resource_group: row.get(7)?,
            subscription: row.get(8)?,
            tags: json(row, 9)?,
            resources: json(row, 10)?,
            mlflow_tracking_uri: None,
            created_at: row.get(11)?,
            updated_at: row.get(12)?,
            spec: json(row, 13)?,
        },
    })
}

fn edition(text: &str) -> Edition {
    match text {
        "enterprise" => Edition::Enterprise,
        _ => Edition::Basic,
    }
}

impl Store {
    /// Adds a workspace with its datastores; none when the name is taken, in any case.
    pub async fn create_workspace(&self, new: NewWorkspace) -> Result<Option<WorkspaceRow>> {
        self.db
            .write(move |tx| {
                let NewWorkspace { workspace: w, sealed_keys } = new;
                let row = tx.one(
                    &format!(
                        "INSERT INTO workspaces(uuid, name, edition, description, display_name, location, \
                         resource_group, subscription, tags, resources, sealed_keys, created_at, updated_at, \
                         spec) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?12, ?13) \
                         ON CONFLICT(name) DO NOTHING RETURNING {COLUMNS}"
                    ),
                    params![
                        w.id,
                        w.name,
                        w.edition.to_string(),
                        w.description,
                        w.display_name,
                        w.location,
                        w.resource_group,
                        w.subscription,
                        to_json(&w.tags)?,
                        to_json(&w.resources)?,
                        sealed_keys,
                        w.created_at,
                        to_json(&w.spec)?
                    ],
                    workspace,
                )?;
                if let Some(row) = &row {
                    insert_built_in(tx, row.id, &row.workspace)?;
                }
                Ok(row)
            })
            .await
    }

    pub async fn workspace(&self, name: &str) -> Result<Option<WorkspaceRow>> {
        let name = name.to_owned();
        self.db
            .look(|tx| {
                tx.one(
                    &format!("SELECT {COLUMNS} FROM workspaces WHERE name = ?1"),
                    params![name],
                    workspace,
                )
            })
            .await
    }

    /// A workspace's name; none when it is gone.
    pub async fn workspace_name(&self, id: i64) -> Result<Option<String>> {
        self.db
            .look(|tx| {
                tx.one(
                    "SELECT name FROM workspaces WHERE id = ?1",
                    params![id],
                    |row| row.get(0),
                )
            })
            .await
    }

    pub async fn list_workspaces(&self) -> Result<Vec<WorkspaceRow>> {
        self.db
            .look(|tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM workspaces w WHERE NOT EXISTS \
                         (SELECT 1 FROM registries r WHERE r.workspace_id = w.id) ORDER BY name"
                    ),
                    &[],
                    workspace,
                )
            })
            .await
    }

    /// Changes one workspace by `change`, unless it was deleted meanwhile.
    pub async fn update_workspace(
        &self,
        id: i64,
        now: Time,
        change: WorkspaceChange,
    ) -> Result<Option<WorkspaceRow>> {
        self.db
            .write(move |tx| {
                let Some(mut row) = tx.one(
                    &format!("SELECT {COLUMNS} FROM workspaces WHERE id = ?1"),
                    params![id],
                    workspace,
                )?
                else {
                    return Ok(None);
                };
                let w = &mut row.workspace;
                w.updated_at = now;
                change.apply(w);
                tx.execute(
                    "UPDATE workspaces SET edition = ?2, description = ?3, display_name = ?4, tags = ?5, \
                     resources = ?6, updated_at = ?7, spec = ?8 WHERE id = ?1",
                    params![
                        id,
                        w.edition.to_string(),
                        w.description,
                        w.display_name,
                        to_json(&w.tags)?,
                        to_json(&w.resources)?,
                        w.updated_at,
                        to_json(&w.spec)?
                    ],
                )?;
                Ok(Some(row))
            })
            .await
    }

    /// Removes a workspace and every row that belongs to it, or, on demand, only when there is none.
    /// Blobs go with the next collection.
    pub async fn delete_workspace(&self, id: i64, if_empty: bool) -> Result<bool> {
        self.db
            .write(move |tx| {
                if if_empty {
                    check_empty(tx, id)?;
                }
                delete(tx, id)
            })
            .await
    }

    pub async fn sealed_workspace_keys(&self, id: i64) -> Result<Option<Vec<u8>>> {
        self.db
            .read(move |tx| {
                tx.one(
                    "SELECT sealed_keys FROM workspaces WHERE id = ?1",
                    params![id],
                    |row| row.get(0),
                )
            })
            .await
    }
}

/// The workspaces of a resource group.
pub(super) fn in_group(tx: &Tx<'_>, group: &str) -> Result<Vec<WorkspaceRow>> {
    let rows = tx.all(
        &format!(
            "SELECT {COLUMNS} FROM workspaces w WHERE NOT EXISTS \
             (SELECT 1 FROM registries r WHERE r.workspace_id = w.id)"
        ),
        &[],
        workspace,
    )?;
    let inside = |row: &WorkspaceRow| row.workspace.resource_group.eq_ignore_ascii_case(group);
    Ok(rows.into_iter().filter(inside).collect())
}

/// Deletes a workspace with all that it holds.
pub(super) fn delete(tx: &Tx<'_>, id: i64) -> Result<bool> {
    tx.execute("DELETE FROM endpoints WHERE workspace_id = ?1", params![id])?;
    Ok(tx.execute("DELETE FROM workspaces WHERE id = ?1", params![id])? > 0)
}

/// The experiment that clients of MLflow meet in every workspace is there once somebody looked.
fn check_empty(tx: &Tx<'_>, id: i64) -> Result<()> {
    for (kind, table, besides) in [
        ("runs", "runs", ""),
        ("experiments", "experiments", " AND name <> 'Default'"),
        ("models", "models", ""),
        ("assets", "assets", ""),
        ("endpoints", "endpoints", ""),
        ("secrets", "secrets", ""),
    ] {
        let sql = format!("SELECT COUNT(*) FROM {table} WHERE workspace_id = ?1{besides}");
        let found = tx.one(&sql, params![id], |row| count(row, 0))?.unwrap_or(0);
        if found > 0 {
            return Err(Error::conflict(format!(
                "The workspace is not empty: it has {kind} ({found})"
            )));
        }
    }
    Ok(())
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct WorkspaceChange {
    /// A lower one than the workspace has changes nothing.
    pub edition: Option<Edition>,
    pub description: Option<String>,
    pub display_name: Option<String>,
    /// An empty value removes the tag.
    pub tags: BTreeMap<String, String>,
    pub container_registry: Option<Resource>,
    pub application_insights: Option<Resource>,
    /// Replaces what has the same key; null removes it.
    pub spec: Map<String, Value>,
}

impl WorkspaceChange {
    fn apply(self, w: &mut Workspace) {
        // Whoever came first: there is no way back.
        w.edition = self.edition.unwrap_or(w.edition).max(w.edition);
        if let Some(description) = self.description {
            w.description = description;
        }
        if let Some(display_name) = self.display_name {
            w.display_name = display_name;
        }
        for (key, value) in self.tags {
            if value.is_empty() {
                w.tags.remove(&key);
            } else {
                w.tags.insert(key, value);
            }
        }
        if let Some(registry) = self.container_registry {
            w.resources.container_registry = registry;
        }
        if let Some(insights) = self.application_insights {
            w.resources.application_insights = insights;
        }
        for (key, value) in self.spec {
            if value.is_null() {
                w.spec.shift_remove(&key);
            } else {
                w.spec.insert(key, value);
            }
        }
    }
}
