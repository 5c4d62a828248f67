//! Registered models as stored.

use std::collections::BTreeMap;

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
};
use crate::api::{
    Result, Time,
    files::{Hash, TreeInfo},
    models::{Lineage, Model, ModelType},
};

/// A model version and its number in the store.
#[derive(Debug, Clone)]
pub struct ModelRow {
    pub id: i64,
    pub model: Model,
}

/// What a new version starts with.
#[derive(Debug, Clone)]
pub struct NewModel {
    pub name: String,
    pub kind: ModelType,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// A tree of the workspace.
    pub tree: Hash,
    pub lineage: Lineage,
    pub created_by: String,
    pub now: Time,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct ModelChange {
    pub description: Option<String>,
    /// An empty value removes the tag.
    pub tags: BTreeMap<String, String>,
    pub archived: Option<bool>,
}

/// How a deletion went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelDeletion {
    Deleted,
    Missing,
    /// An endpoint has this version; nothing was deleted.
    Deployed {
        endpoint: String,
        version: u64,
    },
}

const SELECT: &str = "SELECT v.id, m.name, v.version, v.kind, v.description, v.tags, v.tree, t.files, t.size, \
                      v.lineage, v.archived, v.created_by, v.created_at, v.updated_at \
                      FROM models m JOIN model_versions v ON v.model_id = m.id \
                      JOIN trees t ON t.workspace_id = m.workspace_id AND t.hash = v.tree";

fn model(row: &Row<'_>) -> RowResult<ModelRow> {
    Ok(ModelRow {
        id: row.get(0)?,
        model: Model {
            name: row.get(1)?,
            version: row.get(2)?,
            kind: kind(&row.get::<_, String>(3)?),
            description: row.get(4)?,
            tags: json(row, 5)?,
            files: TreeInfo {
                hash: row.get(6)?,
                files: row.get(7)?,
                size: row.get(8)?,
            },
            lineage: json(row, 9)?,
            archived: row.get(10)?,
            created_by: row.get(11)?,
            created_at: row.get(12)?,
            updated_at: row.get(13)?,
        },
    })
}

pub(super) fn kind(text: &str) -> ModelType {
    match text {
        "mlflow" => ModelType::Mlflow,
        "triton" => ModelType::Triton,
        _ => ModelType::Custom,
    }
}

fn find(tx: &Tx<'_>, workspace: i64, name: &str, version: u64) -> Result<Option<ModelRow>> {
    tx.one(
        &format!("{SELECT} WHERE m.workspace_id = ?1 AND m.name = ?2 AND v.version = ?3"),
        params![workspace, name, version],
        model,
    )
}

impl Store {
    /// Adds the next version of a model, made if new; none when the workspace has no such tree.
    pub async fn register_model(&self, workspace: i64, new: NewModel) -> Result<Option<ModelRow>> {
        self.db
            .write(move |tx| {
                let stored = tx.one(
                    "SELECT 1 FROM trees WHERE workspace_id = ?1 AND hash = ?2",
                    params![workspace, new.tree],
                    |_| Ok(()),
                )?;
                if stored.is_none() {
                    return Ok(None);
                }
                let Some((id, version)) = tx.one(
                    "INSERT INTO models(workspace_id, name, last_version, created_at) VALUES (?1, ?2, 1, ?3) \
                     ON CONFLICT(workspace_id, name) DO UPDATE SET last_version = last_version + 1 \
                     RETURNING id, last_version",
                    params![workspace, new.name, new.now],
                    |row| Ok((row.get::<_, i64>(0)?, row.get::<_, u64>(1)?)),
                )?
                else {
                    return Ok(None);
                };
                tx.execute(
                    "INSERT INTO model_versions(model_id, version, kind, description, tags, tree, lineage, \
                     created_by, created_at, updated_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9)",
                    params![
                        id,
                        version,
                        new.kind.to_string(),
                        new.description,
                        to_json(&new.tags)?,
                        new.tree,
                        to_json(&new.lineage)?,
                        new.created_by,
                        new.now
                    ],
                )?;
                find(tx, workspace, &new.name, version)
            })
            .await
    }

    /// All versions of one model, or the newest of each; newest first. An archived version is left
    /// out unless asked for.
    pub async fn list_models(
        &self,
        workspace: i64,
        name: Option<String>,
        include_archived: bool,
    ) -> Result<Vec<ModelRow>> {
        self.db
            .read(move |tx| {
                let shown = "(v.archived = 0 OR ?2)";
                match name {
                    Some(name) => tx.all(
                        &format!(
                            "{SELECT} WHERE m.workspace_id = ?1 AND {shown} AND m.name = ?3 \
                             ORDER BY v.version DESC"
                        ),
                        params![workspace, include_archived, name],
                        model,
                    ),
                    None => tx.all(
                        &format!(
                            "{SELECT} WHERE m.workspace_id = ?1 AND {shown} AND v.version = \
                             (SELECT max(version) FROM model_versions v WHERE v.model_id = m.id AND {shown}) \
                             ORDER BY v.created_at DESC, v.id DESC"
                        ),
                        params![workspace, include_archived],
                        model,
                    ),
                }
            })
            .await
    }

    /// One version; the newest that is not archived when `version` is absent.
    pub async fn model(
        &self,
        workspace: i64,
        name: &str,
        version: Option<u64>,
    ) -> Result<Option<ModelRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| match version {
                Some(version) => find(tx, workspace, &name, version),
                None => tx.one(
                    &format!(
                        "{SELECT} WHERE m.workspace_id = ?1 AND m.name = ?2 AND v.archived = 0 \
                         ORDER BY v.version DESC LIMIT 1"
                    ),
                    params![workspace, name],
                    model,
                ),
            })
            .await
    }

    /// Changes one version, unless it is not there.
    pub async fn update_model(
        &self,
        workspace: i64,
        name: &str,
        version: u64,
        now: Time,
        change: ModelChange,
    ) -> Result<Option<ModelRow>> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let Some(mut row) = find(tx, workspace, &name, version)? else {
                    return Ok(None);
                };
                let model = &mut row.model;
                model.updated_at = now;
                if let Some(description) = change.description {
                    model.description = description;
                }
                model.archived = change.archived.unwrap_or(model.archived);
                for (key, value) in change.tags {
                    if value.is_empty() {
                        model.tags.remove(&key);
                    } else {
                        model.tags.insert(key, value);
                    }
                }
                tx.execute(
                    "UPDATE model_versions SET description = ?2, tags = ?3, archived = ?4, updated_at = ?5 \
                     WHERE id = ?1",
                    params![
                        row.id,
                        model.description,
                        to_json(&model.tags)?,
                        model.archived,
                        model.updated_at
                    ],
                )?;
                Ok(Some(row))
            })
            .await
    }

    /// Deletes one version or all of them, unless an endpoint has one. Their numbers stay used.
    pub async fn delete_model(
        &self,
        workspace: i64,
        name: &str,
        version: Option<u64>,
    ) -> Result<ModelDeletion> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let chosen = "model_id = (SELECT id FROM models WHERE workspace_id = ?1 AND name = ?2) \
                              AND (?3 IS NULL OR version = ?3)";
                let deployed = tx.one(
                    &format!(
                        "SELECT e.name, v.version FROM model_versions v \
                         JOIN endpoints e ON e.model_version_id = v.id WHERE {chosen} ORDER BY e.name"
                    ),
                    params![workspace, name, version],
                    |row| {
                        Ok(ModelDeletion::Deployed {
                            endpoint: row.get(0)?,
                            version: row.get(1)?,
                        })
                    },
                )?;
                if let Some(deployed) = deployed {
                    return Ok(deployed);
                }
                let deleted = tx.execute(
                    &format!("DELETE FROM model_versions WHERE {chosen}"),
                    params![workspace, name, version],
                )?;
                Ok(if deleted > 0 {
                    ModelDeletion::Deleted
                } else {
                    ModelDeletion::Missing
                })
            })
            .await
    }
}
