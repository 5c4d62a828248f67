//! Registered models in a database of MLflow's.

use rusqlite::params;

use super::database::Database;
use crate::record::{Registered, Version};
use api::{Result, imports::Outcome};

impl Database {
    /// Writes a registered model without its versions.
    pub fn registered(&self, model: &Registered) -> Result<Outcome> {
        let known: Option<Option<i64>> = self.one(
            "SELECT last_updated_time FROM registered_models WHERE name = ?1",
            [&model.name],
        )?;
        let outcome = match known {
            None => Outcome::New,
            Some(at) if at == Some(model.updated_at.0) => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        };
        let values = params![
            model.name,
            model.created_at.0,
            model.updated_at.0,
            model.description
        ];
        let sql = match outcome {
            Outcome::New => {
                "INSERT INTO registered_models(name, creation_time, last_updated_time, description) \
                 VALUES (?1, ?2, ?3, ?4)"
            }
            _ => {
                "UPDATE registered_models SET creation_time = ?2, last_updated_time = ?3, description = ?4 \
                 WHERE name = ?1"
            }
        };
        self.execute(sql, values)?;
        self.pairs("registered_model_tags", ("name", &model.name), &model.tags)?;
        Ok(outcome)
    }

    /// Whether a version was written whose files are at `location`.
    pub fn has_version(&self, name: &str, number: u64, location: &str) -> Result<bool> {
        let found: Option<i64> = self.one(
            "SELECT 1 FROM model_versions WHERE name = ?1 AND version = ?2 AND storage_location = ?3",
            params![name, number, location],
        )?;
        Ok(found.is_some())
    }

    /// Writes a version, whose files are at `location`.
    pub fn version(
        &self,
        model: &Registered,
        version: &Version,
        location: &str,
    ) -> Result<Outcome> {
        let known: Option<Option<i64>> = self.one(
            "SELECT last_updated_time FROM model_versions WHERE name = ?1 AND version = ?2",
            params![model.name, version.number],
        )?;
        let outcome = match known {
            None => Outcome::New,
            Some(at) if at == Some(version.updated_at.0) => Outcome::Unchanged,
            Some(_) => Outcome::Updated,
        };
        let key = params![model.name, version.number];
        let of_version = "name = ?1 AND version = ?2";
        self.execute(
            &format!("DELETE FROM model_version_tags WHERE {of_version}"),
            key,
        )?;
        let key = params![model.name, version.number];
        self.execute(
            &format!("DELETE FROM model_versions WHERE {of_version}"),
            key,
        )?;
        self.execute(
            "INSERT INTO model_versions(name, version, creation_time, last_updated_time, description, user_id, \
             current_stage, source, run_id, status, run_link, storage_location) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'READY', ?10, ?11)",
            params![
                model.name,
                version.number,
                version.created_at.0,
                version.updated_at.0,
                version.description,
                version.user,
                version.stage.name(),
                source(version, location),
                version.run,
                version.run_link,
                location
            ],
        )?;
        for (key, value) in &version.tags {
            self.execute(
                "INSERT INTO model_version_tags(key, value, name, version) VALUES (?1, ?2, ?3, ?4)",
                params![key, value, model.name, version.number],
            )?;
        }
        Ok(outcome)
    }

    /// Lets the aliases be those of the model, once its versions are there.
    pub fn aliases(&self, model: &Registered) -> Result<()> {
        self.execute(
            "DELETE FROM registered_model_aliases WHERE name = ?1",
            [&model.name],
        )?;
        for (alias, version) in &model.aliases {
            self.execute(
                "INSERT INTO registered_model_aliases(alias, version, name) VALUES (?1, ?2, ?3)",
                params![alias, version, model.name],
            )?;
        }
        Ok(())
    }
}

/// A source that names a run, a model or a place elsewhere goes on to; one of the server's own files is
/// where they are now.
fn source<'a>(version: &'a Version, location: &'a str) -> &'a str {
    if version.source.is_empty() || version.source.starts_with("mlflow-artifacts:") {
        location
    } else {
        &version.source
    }
}
