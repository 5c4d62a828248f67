//! The registered models of MLflow's databases.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::database::{Database, text};
use crate::record::{Pairs, Registered, Version, stage};
use api::{Result, Time};

pub fn registered(database: &Database) -> Result<Vec<Registered>> {
    if !database.has("registered_models.name") {
        return Ok(Vec::new());
    }
    let read = Read { database };
    let mut all = database.all(
        &format!(
            "SELECT name, description, creation_time, last_updated_time FROM registered_models \
             WHERE {} ORDER BY name",
            read.here("registered_models")
        ),
        params![database.workspace],
        |row| {
            let (created_at, updated_at) = times(row, 2)?;
            Ok(Registered {
                name: text(row, 0)?,
                description: text(row, 1)?,
                tags: Pairs::new(),
                aliases: BTreeMap::new(),
                created_at,
                updated_at,
                versions: Vec::new(),
            })
        },
    )?;
    for model in &mut all {
        model.tags = read.pairs("registered_model_tags", &model.name, None)?;
        if database.has("registered_model_aliases.alias") {
            model.aliases = read.aliases(&model.name)?;
        }
        model.versions = read.versions(&model.name)?;
    }
    Ok(all)
}

struct Read<'a> {
    database: &'a Database,
}

impl Read<'_> {
    /// A condition on a table: that its rows are of the workspace.
    fn here(&self, table: &str) -> &'static str {
        if self.database.has(&format!("{table}.workspace")) {
            "workspace = ?1"
        } else {
            "?1 = ?1"
        }
    }

    fn pairs(&self, table: &str, name: &str, version: Option<u64>) -> Result<Pairs> {
        let of_version = match version {
            Some(_) => "AND version = ?3",
            None => "AND ?3 IS NULL",
        };
        let sql = format!(
            "SELECT key, value FROM {table} WHERE {} AND name = ?2 {of_version}",
            self.here(table)
        );
        let pairs = self.database.all(
            &sql,
            params![self.database.workspace, name, version],
            |row| Ok((text(row, 0)?, text(row, 1)?)),
        )?;
        Ok(pairs.into_iter().collect())
    }

    fn aliases(&self, name: &str) -> Result<BTreeMap<String, u64>> {
        let sql = format!(
            "SELECT alias, version FROM registered_model_aliases WHERE {} AND name = ?2",
            self.here("registered_model_aliases")
        );
        let aliases = self
            .database
            .all(&sql, params![self.database.workspace, name], |row| {
                Ok((text(row, 0)?, row.get(1)?))
            })?;
        Ok(aliases.into_iter().collect())
    }

    fn versions(&self, name: &str) -> Result<Vec<Version>> {
        let location = if self.database.has("model_versions.storage_location") {
            "COALESCE(NULLIF(storage_location, ''), source)"
        } else {
            "source"
        };
        // What was deleted is kept, without its source.
        let sql = format!(
            "SELECT version, description, current_stage, user_id, source, {location}, run_id, run_link, \
             creation_time, last_updated_time FROM model_versions WHERE {} AND name = ?2 \
             AND current_stage <> 'Deleted_Internal' ORDER BY version",
            self.here("model_versions")
        );
        let mut versions =
            self.database
                .all(&sql, params![self.database.workspace, name], version)?;
        for version in &mut versions {
            version.id = format!("{name}/{}", version.number);
            version.tags = self.pairs("model_version_tags", name, Some(version.number))?;
        }
        Ok(versions)
    }
}

fn version(row: &Row<'_>) -> rusqlite::Result<Version> {
    let some = |column| -> rusqlite::Result<Option<String>> {
        Ok(Some(text(row, column)?).filter(|text| !text.is_empty()))
    };
    let (created_at, updated_at) = times(row, 8)?;
    Ok(Version {
        id: String::new(),
        number: row.get(0)?,
        description: text(row, 1)?,
        tags: Pairs::new(),
        stage: stage(&text(row, 2)?),
        user: text(row, 3)?,
        source: text(row, 4)?,
        location: text(row, 5)?,
        run: some(6)?,
        run_link: some(7)?,
        created_at,
        updated_at,
    })
}

fn times(row: &Row<'_>, column: usize) -> rusqlite::Result<(Time, Time)> {
    let created_at: i64 = row.get::<_, Option<_>>(column)?.unwrap_or_default();
    let updated_at: Option<i64> = row.get(column + 1)?;
    Ok((Time(created_at), Time(updated_at.unwrap_or(created_at))))
}
