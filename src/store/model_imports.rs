//! Registered models that were recorded elsewhere, as stored.

use std::collections::BTreeMap;

use super::{
    Store,
    db::{Tx, json, params, to_json},
    models::{NewModel, insert},
    registered_models::{self, NewRegisteredModel, id_of},
};
use api::{
    Result, Time,
    imports::{ImportedRegistration, Outcome},
    models::Stage,
};

/// A registered model to bring over.
#[derive(Debug, Clone)]
pub struct ModelImport {
    pub name: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub aliases: BTreeMap<String, u64>,
    pub created_at: Time,
    pub updated_at: Time,
    pub versions: Vec<VersionImport>,
    /// Bring back what was deleted here.
    pub again: bool,
}

/// A version to bring over; `new` says when it was made.
#[derive(Debug, Clone)]
pub struct VersionImport {
    pub version: u64,
    pub new: NewModel,
    pub stage: Stage,
    pub updated_at: Time,
}

impl Store {
    /// Makes a registered model with its versions, or brings it up to date: all of it or nothing.
    pub async fn import_registered_model(
        &self,
        workspace: i64,
        import: ModelImport,
    ) -> Result<ImportedRegistration> {
        self.db
            .write(move |tx| {
                let (id, model) = import_model(tx, workspace, &import)?;
                let mut versions = BTreeMap::new();
                for version in &import.versions {
                    let outcome = import_version(tx, id, version, import.again)?;
                    versions.insert(version.version, outcome);
                }
                for (alias, version) in &import.aliases {
                    if versions.get(version) != Some(&Outcome::Taken) {
                        set_alias(tx, id, alias, *version)?;
                    }
                }
                tx.execute(
                    "UPDATE models SET updated_at = ?2 WHERE id = ?1",
                    params![id, import.updated_at],
                )?;
                Ok(ImportedRegistration { model, versions })
            })
            .await
    }
}

fn import_model(tx: &Tx<'_>, workspace: i64, import: &ModelImport) -> Result<(i64, Outcome)> {
    let Some(id) = id_of(tx, workspace, &import.name)? else {
        let new = NewRegisteredModel {
            description: import.description.clone(),
            tags: import.tags.clone(),
            ..NewRegisteredModel::called(&import.name, import.created_at)
        };
        let id = registered_models::insert(tx, workspace, &new)?;
        return Ok((id, Outcome::New));
    };
    let changed = tx.execute(
        "UPDATE models SET description = ?2, tags = ?3 WHERE id = ?1 AND (description, tags) != (?2, ?3)",
        params![id, import.description, to_json(&import.tags)?],
    )?;
    let outcome = match changed {
        0 => Outcome::Unchanged,
        _ => Outcome::Updated,
    };
    Ok((id, outcome))
}

fn import_version(tx: &Tx<'_>, model: i64, import: &VersionImport, again: bool) -> Result<Outcome> {
    let known = tx.one(
        "SELECT id, created_at, description, tags, stage FROM model_versions \
         WHERE model_id = ?1 AND version = ?2",
        params![model, import.version],
        |row| {
            Ok((
                row.get::<i64>(0)?,
                row.get::<Time>(1)?,
                (row.get(2)?, json(row, 3)?, row.get(4)?),
            ))
        },
    )?;
    let new = &import.new;
    let outcome = match known {
        Some((_, created_at, _)) if created_at != new.now => return Ok(Outcome::Taken),
        Some((_, _, said))
            if said
                == (
                    new.description.clone(),
                    new.tags.clone(),
                    import.stage.name().to_owned(),
                ) =>
        {
            return Ok(Outcome::Unchanged);
        }
        Some(_) => Outcome::Updated,
        None if !again && was_used(tx, model, import.version)? => return Ok(Outcome::LeftOut),
        None => {
            insert(tx, model, import.version, new)?;
            Outcome::New
        }
    };
    tx.execute(
        "UPDATE model_versions SET description = ?3, tags = ?4, stage = ?5, updated_at = ?6 \
         WHERE model_id = ?1 AND version = ?2",
        params![
            model,
            import.version,
            new.description,
            to_json(&new.tags)?,
            import.stage.name(),
            import.updated_at
        ],
    )?;
    tx.execute(
        "UPDATE models SET last_version = max(last_version, ?2) WHERE id = ?1",
        params![model, import.version],
    )?;
    Ok(outcome)
}

/// Whether a version of that number, which is not there, was.
fn was_used(tx: &Tx<'_>, model: i64, version: u64) -> Result<bool> {
    let used = tx.one(
        "SELECT 1 FROM models WHERE id = ?1 AND last_version >= ?2",
        params![model, version],
        |_| Ok(()),
    )?;
    Ok(used.is_some())
}

fn set_alias(tx: &Tx<'_>, model: i64, alias: &str, version: u64) -> Result<()> {
    tx.execute(
        "INSERT INTO model_aliases(model_id, alias, version_id) \
         SELECT ?1, ?2, id FROM model_versions WHERE model_id = ?1 AND version = ?3 \
         ON CONFLICT(model_id, alias) DO UPDATE SET version_id = excluded.version_id",
        params![model, alias, version],
    )
    .map(drop)
}
