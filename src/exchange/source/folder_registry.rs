//! The registered models of MLflow's folders: a folder for each model and version.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;

use super::{
    folder::{META, folders_with_meta, name_of, pairs, read, read_yaml},
    place::{cannot_read, files_in},
};
use crate::record::{Registered, Version, stage};
use api::{Result, Time};

#[derive(Deserialize)]
struct ModelMeta {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    creation_timestamp: Option<i64>,
    #[serde(default)]
    last_updated_timestamp: Option<i64>,
}

#[derive(Deserialize)]
struct VersionMeta {
    version: u64,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    current_stage: Option<String>,
    #[serde(default)]
    user_id: Option<String>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    storage_location: Option<String>,
    #[serde(default)]
    run_id: Option<String>,
    #[serde(default)]
    run_link: Option<String>,
    #[serde(default)]
    creation_timestamp: Option<i64>,
    #[serde(default)]
    last_updated_timestamp: Option<i64>,
}

pub fn registered(root: &Path) -> Result<Vec<Registered>> {
    let folders = folders_with_meta(root)?;
    folders.iter().map(|folder| model(folder)).collect()
}

fn model(folder: &Path) -> Result<Registered> {
    let meta: ModelMeta = read_yaml(&folder.join(META))?;
    let mut versions = Vec::new();
    for version_folder in folders_with_meta(folder)? {
        if name_of(&version_folder).starts_with("version-") {
            versions.extend(version(&meta.name, &version_folder)?);
        }
    }
    versions.sort_by_key(|version| version.number);
    let created_at = Time(meta.creation_timestamp.unwrap_or_default());
    Ok(Registered {
        description: meta.description.unwrap_or_default(),
        tags: pairs(&folder.join("tags"))?,
        aliases: aliases(&folder.join("aliases"))?,
        created_at,
        updated_at: meta.last_updated_timestamp.map_or(created_at, Time),
        versions,
        name: meta.name,
    })
}

/// What was deleted is kept, without its source.
fn version(name: &str, folder: &Path) -> Result<Option<Version>> {
    let meta: VersionMeta = read_yaml(&folder.join(META))?;
    let word = meta.current_stage.unwrap_or_default();
    if word == "Deleted_Internal" {
        return Ok(None);
    }
    let some = |text: Option<String>| text.filter(|text| !text.is_empty());
    let source = meta.source.unwrap_or_default();
    let created_at = Time(meta.creation_timestamp.unwrap_or_default());
    Ok(Some(Version {
        id: format!("{name}/{}", meta.version),
        number: meta.version,
        description: meta.description.unwrap_or_default(),
        tags: pairs(&folder.join("tags"))?,
        stage: stage(&word),
        user: meta.user_id.unwrap_or_default(),
        location: some(meta.storage_location).unwrap_or_else(|| source.clone()),
        source,
        run: some(meta.run_id),
        run_link: some(meta.run_link),
        created_at,
        updated_at: meta.last_updated_timestamp.map_or(created_at, Time),
    }))
}

fn aliases(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let files = files_in(folder)?;
    let alias = |file: crate::record::File| {
        let path = folder.join(&file.path);
        let number = read(&path)?.trim().parse();
        let number = number.map_err(|_| cannot_read(&path, &"it is no version"))?;
        Ok((file.path, number))
    };
    files.into_iter().map(alias).collect()
}
