//! Registered models as stored, and the aliases of their versions.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store,
    db::{Row, RowResult, Tx, json, params, to_json},
    models::latest,
    webhooks::{Occurred, announce},
};
use api::{Result, Time, registered_models::RegisteredModel};

/// A registered model and its number in the store.
#[derive(Debug, Clone)]
pub struct RegisteredModelRow {
    pub id: i64,
    pub model: RegisteredModel,
}

/// What a registered model starts with.
#[derive(Debug, Clone)]
pub struct NewRegisteredModel {
    pub name: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub now: Time,
    /// What is to be told of it.
    pub occurred: Vec<Occurred>,
}

impl NewRegisteredModel {
    /// One that is made for its first version, which tells of it too.
    pub(super) fn called(name: &str, now: Time) -> Self {
        Self {
            name: name.to_owned(),
            description: String::new(),
            tags: BTreeMap::new(),
            now,
            occurred: Vec::new(),
        }
    }
}

/// An alias for a version.
#[derive(Debug, Clone)]
pub struct NewAlias {
    pub name: String,
    pub version: u64,
    pub alias: String,
    pub now: Time,
    /// What is to be told of it.
    pub occurred: Vec<Occurred>,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct RegisteredModelChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub set_tags: BTreeMap<String, String>,
    pub remove_tags: Vec<String>,
    /// What is to be told of it.
    pub occurred: Vec<Occurred>,
}

/// How an update went.
#[derive(Debug)]
pub enum RegisteredModelUpdate {
    Updated(RegisteredModel),
    Missing,
    /// Another model has the new name.
    Taken,
}

const SELECT: &str = "SELECT m.id, m.name, m.description, m.tags, m.created_at, m.updated_at, \
                      (SELECT json_group_object(a.alias, v.version) FROM model_aliases a \
                      JOIN model_versions v ON v.id = a.version_id WHERE a.model_id = m.id) \
                      FROM models m WHERE m.workspace_id = ?1 AND m.deleted = 0";

fn registered(row: &Row<'_>) -> RowResult<RegisteredModelRow> {
    Ok(RegisteredModelRow {
        id: row.get(0)?,
        model: RegisteredModel {
            name: row.get(1)?,
            description: row.get(2)?,
            tags: json(row, 3)?,
            created_at: row.get(4)?,
            updated_at: row.get(5)?,
            aliases: json(row, 6)?,
            latest: Vec::new(),
        },
    })
}

/// Adds the newest version of each stage.
fn complete(tx: &Tx<'_>, rows: Vec<RegisteredModelRow>) -> Result<Vec<RegisteredModel>> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let place: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    let mut models: Vec<RegisteredModel> = rows.into_iter().map(|row| row.model).collect();
    for (id, version) in latest(tx, &ids)? {
        if let Some(at) = place.get(&id) {
            models[*at].latest.push(version);
        }
    }
    Ok(models)
}

fn find(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<RegisteredModel>> {
    let row = tx.one(
        &format!("{SELECT} AND m.name = ?2"),
        params![workspace, name],
        registered,
    )?;
    Ok(complete(tx, row.into_iter().collect())?.pop())
}

/// The number of a model that is there.
pub(super) fn id_of(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<i64>> {
    tx.one(
        "SELECT id FROM models WHERE workspace_id = ?1 AND name = ?2 AND deleted = 0",
        params![workspace, name],
        |row| row.get(0),
    )
}

/// Adds a model whose name is free. The numbers of a deleted one of that name stay used.
pub(super) fn insert(tx: &Tx<'_>, workspace: i64, new: &NewRegisteredModel) -> Result<i64> {
    let id = tx.one(
        "INSERT INTO models(workspace_id, name, description, tags, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT(workspace_id, name) DO UPDATE SET \
         name = excluded.name, description = excluded.description, tags = excluded.tags, \
         created_at = excluded.created_at, updated_at = excluded.updated_at, deleted = 0 RETURNING id",
        params![
            workspace,
            new.name,
            new.description,
            to_json(&new.tags)?,
            new.now
        ],
        |row| row.get(0),
    )?;
    Ok(id.unwrap_or_default())
}

impl Store {
    /// Adds a registered model; none when the name is taken.
    pub async fn create_registered_model(
        &self,
        workspace: i64,
        new: NewRegisteredModel,
    ) -> Result<Option<RegisteredModel>> {
        self.db
            .write(move |tx| {
                if id_of(tx, workspace, &new.name)?.is_some() {
                    return Ok(None);
                }
                insert(tx, workspace, &new)?;
                announce(tx, workspace, &new.occurred, new.now)?;
                find(tx, workspace, &new.name)
            })
            .await
    }

    pub async fn registered_model(
        &self,
        workspace: i64,
        name: &str,
    ) -> Result<Option<RegisteredModel>> {
        let name = name.to_owned();
        self.db.read(move |tx| find(tx, workspace, &name)).await
    }

    /// The registered models of a workspace, without their versions.
    pub async fn list_registered_models(&self, workspace: i64) -> Result<Vec<RegisteredModelRow>> {
        self.db
            .read(move |tx| tx.all(SELECT, params![workspace], registered))
            .await
    }

    /// Adds the newest version of each stage to registered models.
    pub async fn with_latest(&self, rows: Vec<RegisteredModelRow>) -> Result<Vec<RegisteredModel>> {
        self.db.read(move |tx| complete(tx, rows)).await
    }

    pub async fn update_registered_model(
        &self,
        workspace: i64,
        name: &str,
        change: RegisteredModelChange,
        now: Time,
    ) -> Result<RegisteredModelUpdate> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let (Some(id), Some(found)) =
                    (id_of(tx, workspace, &name)?, find(tx, workspace, &name)?)
                else {
                    return Ok(RegisteredModelUpdate::Missing);
                };
                if let Some(new) = &change.name
                    && !free_name(tx, workspace, id, new)?
                {
                    return Ok(RegisteredModelUpdate::Taken);
                }
                let mut tags = found.tags;
                tags.extend(change.set_tags);
                tags.retain(|key, _| !change.remove_tags.contains(key));
                tx.execute(
                    "UPDATE models SET name = COALESCE(?2, name), description = COALESCE(?3, description), \
                     tags = ?4, updated_at = ?5 WHERE id = ?1",
                    params![id, change.name, change.description, to_json(&tags)?, now],
                )?;
                if change.name.is_some() {
                    tx.execute(
                        "UPDATE model_versions SET updated_at = ?2 WHERE model_id = ?1",
                        params![id, now],
                    )?;
                }
                announce(tx, workspace, &change.occurred, now)?;
                let name = change.name.unwrap_or(name);
                Ok(match find(tx, workspace, &name)? {
                    Some(updated) => RegisteredModelUpdate::Updated(updated),
                    None => RegisteredModelUpdate::Missing,
                })
            })
            .await
    }

    /// Lets an alias mean a version; false when there is no such version.
    pub async fn set_model_alias(&self, workspace: i64, new: NewAlias) -> Result<bool> {
        self.db
            .write(move |tx| {
                let set = tx.execute(
                    "INSERT INTO model_aliases(model_id, alias, version_id) \
                     SELECT m.id, ?4, v.id FROM models m JOIN model_versions v ON v.model_id = m.id \
                     WHERE m.workspace_id = ?1 AND m.name = ?2 AND v.version = ?3 \
                     ON CONFLICT(model_id, alias) DO UPDATE SET alias = excluded.alias, \
                     version_id = excluded.version_id",
                    params![workspace, new.name, new.version, new.alias],
                )?;
                if set > 0 {
                    announce(tx, workspace, &new.occurred, new.now)?;
                }
                Ok(set > 0)
            })
            .await
    }

    /// Takes an alias away, and tells what occurred if it was there; false when there is no such
    /// model.
    pub async fn delete_model_alias(
        &self,
        workspace: i64,
        name: &str,
        alias: String,
        occurred: Occurred,
        now: Time,
    ) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let Some(id) = id_of(tx, workspace, &name)? else {
                    return Ok(false);
                };
                let deleted = tx.execute(
                    "DELETE FROM model_aliases WHERE model_id = ?1 AND alias = ?2",
                    params![id, alias],
                )?;
                if deleted > 0 {
                    announce(tx, workspace, &[occurred], now)?;
                }
                Ok(true)
            })
            .await
    }
}

/// Whether a model may get this name. What was left of a deleted model of that name goes, and the
/// model does not count below it.
fn free_name(tx: &Tx<'_>, workspace: i64, id: i64, name: &str) -> Result<bool> {
    let other = tx.one(
        "SELECT id, deleted, last_version FROM models \
         WHERE workspace_id = ?1 AND name = ?2 AND id != ?3",
        params![workspace, name, id],
        |row| Ok((row.get::<i64>(0)?, row.get::<bool>(1)?, row.get::<i64>(2)?)),
    )?;
    match other {
        None => Ok(true),
        Some((_, false, _)) => Ok(false),
        Some((left, true, last)) => {
            tx.execute("DELETE FROM models WHERE id = ?1", params![left])?;
            tx.execute(
                "UPDATE models SET last_version = max(last_version, ?2) WHERE id = ?1",
                params![id, last],
            )?;
            Ok(true)
        }
    }
}
