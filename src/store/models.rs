//! Versions of models as stored.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Map, Value as Json};

use super::{
    Store,
    db::{Row, RowResult, Tx, Value, json, params, params_of, to_json},
    registered_models::{self, NewRegisteredModel},
    webhooks::{Occurred, announce},
};
use api::{
    Result, Time,
    files::{Hash, TreeInfo},
    models::{Lineage, Model, ModelType, Stage, Which},
    registered_models::is_prompt,
};

/// A model version, its number in the store, and that of its model.
#[derive(Debug, Clone)]
pub struct ModelRow {
    pub id: i64,
    pub model: Model,
    /// Its model is a prompt.
    pub of_prompt: bool,
}

/// What a new version starts with.
#[derive(Debug, Clone)]
pub struct NewModel {
    pub name: String,
    /// The next one when absent.
    pub version: Option<u64>,
    pub version_name: Option<String>,
    /// Only when the model is there.
    pub existing: bool,
    pub kind: ModelType,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub properties: BTreeMap<String, String>,
    pub flavors: Map<String, Json>,
    /// A tree of the workspace.
    pub tree: Option<Hash>,
    pub source: Option<String>,
    pub location: Option<String>,
    pub lineage: Lineage,
    pub created_by: String,
    pub now: Time,
    /// What is to be told of the new version, and of its model when that was made for it.
    pub announce: fn(&ModelRow, bool) -> Vec<Occurred>,
}

/// How a registration went.
#[derive(Debug)]
pub enum Registration {
    Registered(Box<ModelRow>),
    /// The workspace has no such tree.
    NoTree,
    /// The model had to be there, and is not.
    NoModel,
    /// The version is there already.
    Taken(Box<ModelRow>),
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct ModelChange {
    pub description: Option<String>,
    pub set_tags: BTreeMap<String, String>,
    pub remove_tags: Vec<String>,
    /// Those that are there stay as they are.
    pub add_properties: BTreeMap<String, String>,
    pub flavors: Option<Map<String, Json>>,
    pub stage: Option<Stage>,
    /// The other versions in that stage are archived.
    pub archive_others: bool,
    /// What is to be told of it.
    pub occurred: Vec<Occurred>,
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

/// Which versions are looked at.
#[derive(Debug, Clone, Default)]
pub struct ModelFilter {
    pub name: Option<String>,
    pub run: Option<String>,
}

const SELECT: &str = "SELECT v.id, m.name, v.version, v.kind, v.description, v.tags, v.tree, t.files, t.size, \
                      v.lineage, v.stage, v.created_by, v.created_at, v.updated_at, v.source, v.location, \
                      (SELECT json_group_array(a.alias) FROM model_aliases a WHERE a.version_id = v.id), \
                      m.tags, v.model_id, v.version_name, v.properties, v.flavors \
                      FROM models m JOIN model_versions v ON v.model_id = m.id \
                      LEFT JOIN trees t ON t.workspace_id = m.workspace_id AND t.hash = v.tree";

fn model(row: &Row<'_>) -> RowResult<ModelRow> {
    let tree: Option<Hash> = row.get(6)?;
    let files = match tree {
        Some(hash) => Some(TreeInfo {
            hash,
            files: row.get(7)?,
            size: row.get(8)?,
        }),
        None => None,
    };
    Ok(ModelRow {
        id: row.get(0)?,
        model: Model {
            name: row.get(1)?,
            version: row.get(2)?,
            kind: kind(row.get_ref(3)?.as_str()?),
            description: row.get(4)?,
            tags: json(row, 5)?,
            files,
            lineage: json(row, 9)?,
            stage: Stage::called(row.get_ref(10)?.as_str()?).unwrap_or_default(),
            created_by: row.get(11)?,
            created_at: row.get(12)?,
            updated_at: row.get(13)?,
            source: row.get(14)?,
            location: row.get(15)?,
            aliases: json(row, 16)?,
            version_name: row.get(19)?,
            properties: json(row, 20)?,
            flavors: json(row, 21)?,
        },
        of_prompt: is_prompt(&json(row, 17)?),
    })
}

pub(super) fn kind(text: &str) -> ModelType {
    match text {
        "mlflow" => ModelType::Mlflow,
        "triton" => ModelType::Triton,
        _ => ModelType::Custom,
    }
}

fn find(tx: &Tx<'_>, workspace: i64, name: &str, which: &Which) -> Result<Option<ModelRow>> {
    let named = format!("{SELECT} WHERE m.workspace_id = ?1 AND m.name = ?2");
    match which {
        Which::Version(version) => tx.one(
            &format!("{named} AND v.version = ?3"),
            params![workspace, name, version],
            model,
        ),
        Which::Named(version) => tx.one(
            &format!("{named} AND v.version_name = ?3"),
            params![workspace, name, version],
            model,
        ),
        Which::Alias(alias) => tx.one(
            &format!(
                "{named} AND v.id = (SELECT version_id FROM model_aliases \
                 WHERE model_id = m.id AND alias = ?3)"
            ),
            params![workspace, name, alias],
            model,
        ),
        Which::Newest => tx.one(
            &format!("{named} AND v.stage != 'Archived' ORDER BY v.version DESC LIMIT 1"),
            params![workspace, name],
            model,
        ),
    }
}

/// The newest version in each stage of some registered models, with the number of each model.
pub(super) fn latest(tx: &Tx<'_>, models: &[i64]) -> Result<Vec<(i64, Model)>> {
    tx.all(
        &format!(
            "{SELECT} WHERE v.id IN (SELECT id FROM (SELECT id, row_number() OVER \
             (PARTITION BY model_id, stage ORDER BY version DESC) AS place FROM model_versions \
             WHERE model_id IN (SELECT value FROM json_each(?1))) WHERE place = 1) ORDER BY v.version"
        ),
        params![to_json(&models)?],
        |row| Ok((row.get(18)?, model(row)?.model)),
    )
}

impl Store {
    /// Adds the next version of a model, made if new.
    pub async fn register_model(&self, workspace: i64, new: NewModel) -> Result<Registration> {
        self.db
            .write(move |tx| {
                if let Some(tree) = new.tree {
                    let sql = "SELECT 1 FROM trees WHERE workspace_id = ?1 AND hash = ?2";
                    if tx.one(sql, params![workspace, tree], |_| Ok(()))?.is_none() {
                        return Ok(Registration::NoTree);
                    }
                }
                let there = registered_models::id_of(tx, workspace, &new.name)?;
                let id = match there {
                    Some(id) => id,
                    None if new.existing => return Ok(Registration::NoModel),
                    None => {
                        let model = NewRegisteredModel::called(&new.name, new.now);
                        registered_models::insert(tx, workspace, &model)?
                    }
                };
                let asked = match &new.version_name {
                    Some(name) => Some(Which::Named(name.clone())),
                    None => new.version.map(Which::Version),
                };
                let taken = asked.map(|which| find(tx, workspace, &new.name, &which));
                if let Some(taken) = taken.transpose()?.flatten() {
                    return Ok(Registration::Taken(Box::new(taken)));
                }
                let version = tx.one(
                    "UPDATE models SET last_version = max(last_version, coalesce(?3, last_version + 1)), \
                     updated_at = ?2 WHERE id = ?1 RETURNING last_version",
                    params![id, new.now, new.version],
                    |row| row.get::<u64>(0),
                )?;
                let version = new.version.or(version).unwrap_or(1);
                insert(tx, id, version, &new)?;
                let row = find(tx, workspace, &new.name, &Which::Version(version))?;
                let Some(row) = row else {
                    return Ok(Registration::NoModel);
                };
                if let Some(logged) = &row.model.lineage.logged_model {
                    note_on_logged_model(tx, workspace, logged, &row.model)?;
                }
                announce(tx, workspace, &(new.announce)(&row, there.is_none()), new.now)?;
                Ok(Registration::Registered(Box::new(row)))
            })
            .await
    }

    /// Gives a version without files the tree that was made of them since. One that has a tree keeps
    /// it.
    pub async fn complete_model(&self, id: i64, tree: Hash, kind: ModelType) -> Result<()> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE model_versions SET tree = ?2, kind = ?3 WHERE id = ?1 AND tree IS NULL \
                     AND EXISTS (SELECT 1 FROM trees t JOIN models m ON m.workspace_id = t.workspace_id \
                     WHERE m.id = model_id AND t.hash = ?2)",
                    params![id, tree, kind.to_string()],
                )
            })
            .await
            .map(drop)
    }

    /// All versions of one model, or the newest of each model or prompt; newest first. An archived
    /// version is left out unless asked for.
    pub async fn list_models(
        &self,
        workspace: i64,
        name: Option<String>,
        include_archived: bool,
        prompts: bool,
    ) -> Result<Vec<ModelRow>> {
        self.db
            .read(move |tx| {
                let shown = "(v.stage != 'Archived' OR ?2)";
                let Some(name) = name else {
                    let mut rows = tx.all(
                        &format!(
                            "{SELECT} WHERE m.workspace_id = ?1 AND {shown} AND v.version = \
                             (SELECT max(version) FROM model_versions v WHERE v.model_id = m.id AND {shown}) \
                             ORDER BY v.created_at DESC, v.id DESC"
                        ),
                        params![workspace, include_archived],
                        model,
                    )?;
                    rows.retain(|row| row.of_prompt == prompts);
                    return Ok(rows);
                };
                tx.all(
                    &format!(
                        "{SELECT} WHERE m.workspace_id = ?1 AND {shown} AND m.name = ?3 \
                         ORDER BY v.version DESC"
                    ),
                    params![workspace, include_archived, name],
                    model,
                )
            })
            .await
    }

    /// The versions that a filter names, in the order in which they were registered.
    pub async fn models(&self, workspace: i64, filter: ModelFilter) -> Result<Vec<ModelRow>> {
        self.db
            .read(move |tx| {
                let mut sql = format!("{SELECT} WHERE m.workspace_id = ?1");
                let mut values = vec![Value::from(workspace)];
                let columns = [
                    ("m.name", filter.name),
                    ("json_extract(v.lineage, '$.run')", filter.run),
                ];
                for (column, wanted) in columns {
                    if let Some(wanted) = wanted {
                        values.push(wanted.into());
                        let _ = write!(sql, " AND {column} = ?{}", values.len());
                    }
                }
                sql.push_str(" ORDER BY v.id");
                tx.all(&sql, &params_of(&values), model)
            })
            .await
    }

    /// One version; the newest that is not archived when none is named.
    pub async fn model(
        &self,
        workspace: i64,
        name: &str,
        which: Which,
    ) -> Result<Option<ModelRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| find(tx, workspace, &name, &which))
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
                let which = Which::Version(version);
                let Some(row) = find(tx, workspace, &name, &which)? else {
                    return Ok(None);
                };
                let mut properties = change.add_properties;
                properties.extend(row.model.properties);
                let mut tags = row.model.tags;
                tags.extend(change.set_tags);
                tags.retain(|key, _| !change.remove_tags.contains(key));
                tx.execute(
                    "UPDATE model_versions SET description = COALESCE(?2, description), tags = ?3, \
                     stage = COALESCE(?4, stage), updated_at = ?5, properties = ?6, \
                     flavors = COALESCE(?7, flavors) WHERE id = ?1",
                    params![
                        row.id,
                        change.description,
                        to_json(&tags)?,
                        change.stage.map(Stage::name),
                        now,
                        to_json(&properties)?,
                        change.flavors.as_ref().map(to_json).transpose()?
                    ],
                )?;
                if let Some(stage) = change.stage {
                    move_others(tx, row.id, stage, change.archive_others, now)?;
                }
                announce(tx, workspace, &change.occurred, now)?;
                find(tx, workspace, &name, &which)
            })
            .await
    }

    /// Deletes one version, or the model with all of them, unless an endpoint has one. Their numbers
    /// stay used, unless the model is to be forgotten.
    pub async fn delete_model(
        &self,
        workspace: i64,
        name: &str,
        version: Option<u64>,
        forget: bool,
        now: Time,
    ) -> Result<ModelDeletion> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let Some(id) = registered_models::id_of(tx, workspace, &name)? else {
                    return Ok(ModelDeletion::Missing);
                };
                let chosen = "model_id = ?1 AND (?2 IS NULL OR version = ?2)";
                let deployed = tx.one(
                    &format!(
                        "SELECT e.name, v.version FROM model_versions v \
                         JOIN deployments d ON v.id IN (d.model_version_id, d.good_model_version_id) \
                         JOIN endpoints e ON e.id = d.endpoint_id WHERE {chosen} ORDER BY e.name"
                    ),
                    params![id, version],
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
                    params![id, version],
                )?;
                if version.is_some() && deleted == 0 {
                    return Ok(ModelDeletion::Missing);
                }
                if version.is_none() && forget {
                    tx.execute("DELETE FROM models WHERE id = ?1", params![id])?;
                } else {
                    tx.execute(
                        "UPDATE models SET updated_at = ?2, deleted = ?3 WHERE id = ?1",
                        params![id, now, version.is_none()],
                    )?;
                }
                Ok(ModelDeletion::Deleted)
            })
            .await
    }
}

pub(super) fn insert(tx: &Tx<'_>, id: i64, version: u64, new: &NewModel) -> Result<()> {
    tx.execute(
        "INSERT INTO model_versions(model_id, version, kind, description, tags, tree, source, location, \
         lineage, created_by, created_at, updated_at, version_name, properties, flavors) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?12, ?13, ?14)",
        params![
            id,
            version,
            new.kind.to_string(),
            new.description,
            to_json(&new.tags)?,
            new.tree,
            new.source,
            new.location,
            to_json(&new.lineage)?,
            new.created_by,
            new.now,
            new.version_name,
            to_json(&new.properties)?,
            to_json(&new.flavors)?
        ],
    )
    .map(drop)
}

/// A change of stage is one of the model too, and may archive who was in that stage.
fn move_others(tx: &Tx<'_>, id: i64, stage: Stage, archive: bool, now: Time) -> Result<()> {
    if archive {
        tx.execute(
            "UPDATE model_versions SET stage = 'Archived', updated_at = ?3 WHERE id != ?1 AND stage = ?2 \
             AND model_id = (SELECT model_id FROM model_versions WHERE id = ?1)",
            params![id, stage.name(), now],
        )?;
    }
    tx.execute(
        "UPDATE models SET updated_at = ?2 \
         WHERE id = (SELECT model_id FROM model_versions WHERE id = ?1)",
        params![id, now],
    )
    .map(drop)
}

/// Clients of MLflow look at this tag to see what a logged model was registered as.
fn note_on_logged_model(
    tx: &Tx<'_>,
    workspace: i64,
    logged_model: &str,
    registered: &Model,
) -> Result<()> {
    const TAG: &str = "mlflow.modelVersions";
    let found = tx.one(
        "SELECT id, tags FROM logged_models WHERE workspace_id = ?1 AND name = ?2 AND deleted = 0",
        params![workspace, logged_model],
        |row| Ok((row.get::<i64>(0)?, json(row, 1)?)),
    )?;
    let Some((id, mut tags)) = found else {
        return Ok(());
    };
    let tags: &mut BTreeMap<String, String> = &mut tags;
    let entry = format!(
        "{{\"name\": {}, \"version\": {}}}",
        to_json(&registered.name)?,
        registered.version
    );
    let list = match tags.get(TAG).and_then(|text| text.strip_suffix(']')) {
        Some(list) if list != "[" => format!("{list}, {entry}]"),
        _ => format!("[{entry}]"),
    };
    tags.insert(TAG.to_owned(), list);
    tx.execute(
        "UPDATE logged_models SET tags = ?2 WHERE id = ?1",
        params![id, to_json(tags)?],
    )
    .map(drop)
}
