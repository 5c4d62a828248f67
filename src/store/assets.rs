//! Assets and their versions as stored.

use std::collections::{BTreeMap, HashSet};

use serde_json::{Map, Value};

use super::{
    Store,
    db::{Row, RowResult, Tx, json, optional_json, params, to_json},
};
use api::{
    Error, Result, Time,
    assets::{Archived, Asset, AssetKind, Pick},
    files::{Hash, TreeInfo},
};

/// A version and its number in the store.
#[derive(Debug, Clone)]
pub struct AssetRow {
    pub id: i64,
    pub asset: Asset,
}

/// What a new version starts with.
#[derive(Debug, Clone)]
pub struct NewAsset {
    pub kind: AssetKind,
    pub name: String,
    /// The next number when absent.
    pub version: Option<String>,
    pub anonymous: bool,
    pub spec: Map<String, Value>,
    pub digest: Hash,
    pub tree: Option<Hash>,
    pub change: AssetChange,
    pub by: String,
    pub now: Time,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct AssetChange {
    pub description: Option<String>,
    /// An empty value removes the tag.
    pub tags: BTreeMap<String, String>,
    /// An empty value removes the property.
    pub properties: BTreeMap<String, String>,
    pub labels: Vec<String>,
    pub unlabel: Vec<String>,
    /// Keys of the spec; null takes one away.
    pub settings: Map<String, Value>,
}

impl AssetChange {
    fn is_empty(&self) -> bool {
        self.description.is_none()
            && self.tags.is_empty()
            && self.properties.is_empty()
            && self.labels.is_empty()
            && self.unlabel.is_empty()
            && self.settings.is_empty()
    }
}

/// How the creation of a version came out.
#[derive(Debug)]
pub enum AssetCreated {
    New(AssetRow),
    /// It was there with the same content.
    Same(AssetRow),
    /// It is there with other content; nothing was changed.
    Taken(AssetRow),
    /// Versions of this asset are of another type, such as this one.
    OtherType(String),
    /// The workspace has no such tree.
    NoTree,
}

/// The one that `latest` means, of the asset `a`.
const LATEST: &str = "(SELECT x.id FROM asset_versions x WHERE x.asset_id = a.id AND x.archived = 0 \
                      ORDER BY x.id DESC LIMIT 1)";

fn select() -> String {
    format!(
        "SELECT v.id, a.kind, a.name, v.version, v.spec, v.description, v.tags, v.properties, \
         v.tree, t.files, t.size, a.anonymous, a.archived OR v.archived, v.digest, v.created_by, \
         v.created_at, v.updated_by, v.updated_at, \
         (SELECT json_group_array(label) FROM asset_labels l WHERE l.version_id = v.id), \
         a.archived = 0 AND v.id = {LATEST} \
         FROM assets a JOIN asset_versions v ON v.asset_id = a.id \
         LEFT JOIN trees t ON t.workspace_id = a.workspace_id AND t.hash = v.tree"
    )
}

fn asset(row: &Row<'_>) -> RowResult<AssetRow> {
    let tree: Option<Hash> = row.get(8)?;
    let files: Option<u64> = row.get(9)?;
    let size: Option<u64> = row.get(10)?;
    let mut labels: Vec<String> = json(row, 18)?;
    if row.get::<Option<bool>>(19)? == Some(true) {
        labels.insert(0, "latest".to_owned());
    }
    Ok(AssetRow {
        id: row.get(0)?,
        asset: Asset {
            kind: kind(&row.get::<String>(1)?),
            name: row.get(2)?,
            version: row.get(3)?,
            spec: optional_json(row, 4)?.unwrap_or_default(),
            description: row.get(5)?,
            tags: json(row, 6)?,
            properties: json(row, 7)?,
            files: tree.map(|hash| TreeInfo {
                hash,
                files: files.unwrap_or_default(),
                size: size.unwrap_or_default(),
            }),
            labels,
            anonymous: row.get(11)?,
            archived: row.get(12)?,
            digest: row.get(13)?,
            created_by: row.get(14)?,
            created_at: row.get(15)?,
            updated_by: row.get(16)?,
            updated_at: row.get(17)?,
        },
    })
}

fn kind(text: &str) -> AssetKind {
    AssetKind::parse(text).unwrap_or(AssetKind::Data)
}

fn by_id(tx: &Tx<'_>, id: i64) -> Result<AssetRow> {
    let found = tx.one(&format!("{} WHERE v.id = ?1", select()), params![id], asset)?;
    found.ok_or_else(|| Error::internal("An asset vanished while it was written"))
}

/// The number of the version that is picked.
fn pick_id(
    tx: &Tx<'_>,
    workspace: i64,
    kind: AssetKind,
    name: &str,
    pick: &Pick,
) -> Result<Option<i64>> {
    let of_asset = "FROM assets a JOIN asset_versions v ON v.asset_id = a.id \
                    WHERE a.workspace_id = ?1 AND a.kind = ?2 AND a.name = ?3";
    let (condition, word) = match pick {
        Pick::Latest => (format!("a.archived = 0 AND v.id = {LATEST}"), None),
        Pick::Version(version) => ("v.version = ?4".to_owned(), Some(version)),
        Pick::Label(label) => (
            "v.id = (SELECT version_id FROM asset_labels WHERE asset_id = a.id AND label = ?4)"
                .to_owned(),
            Some(label),
        ),
    };
    let sql = format!("SELECT v.id {of_asset} AND {condition}");
    match word {
        Some(word) => tx.one(&sql, params![workspace, kind.name(), name, word], |row| {
            row.get(0)
        }),
        None => tx.one(&sql, params![workspace, kind.name(), name], |row| {
            row.get(0)
        }),
    }
}

impl Store {
    /// Adds a version, and the asset when it is new.
    pub async fn create_asset(&self, workspace: i64, new: NewAsset) -> Result<AssetCreated> {
        self.db.write(move |tx| create(tx, workspace, &new)).await
    }

    /// The same, unless a version of the asset has this content already.
    pub async fn create_asset_once(&self, workspace: i64, new: NewAsset) -> Result<AssetCreated> {
        self.db
            .write(move |tx| {
                let known = tx.one(
                    "SELECT v.id FROM assets a JOIN asset_versions v ON v.asset_id = a.id \
                     WHERE a.workspace_id = ?1 AND a.kind = ?2 AND a.name = ?3 AND v.digest = ?4",
                    params![workspace, new.kind.name(), new.name, new.digest],
                    |row| row.get(0),
                )?;
                match known {
                    Some(id) => by_id(tx, id).map(AssetCreated::Same),
                    None => create(tx, workspace, &new),
                }
            })
            .await
    }

    /// The digests of all versions of a kind.
    pub async fn asset_digests(&self, workspace: i64, kind: AssetKind) -> Result<HashSet<Hash>> {
        self.db
            .read(move |tx| {
                let all = tx.all(
                    "SELECT v.digest FROM assets a JOIN asset_versions v ON v.asset_id = a.id \
                     WHERE a.workspace_id = ?1 AND a.kind = ?2",
                    params![workspace, kind.name()],
                    |row| row.get(0),
                )?;
                Ok(all.into_iter().collect())
            })
            .await
    }

    pub async fn asset(
        &self,
        workspace: i64,
        kind: AssetKind,
        name: &str,
        pick: Pick,
    ) -> Result<Option<AssetRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| {
                let id = pick_id(tx, workspace, kind, &name, &pick)?;
                id.map(|id| by_id(tx, id)).transpose()
            })
            .await
    }

    /// All versions of one asset, or the latest of each that has a name; those created last first.
    pub async fn list_assets(
        &self,
        workspace: i64,
        kind: AssetKind,
        name: Option<String>,
        archived: Archived,
        limit: Option<u32>,
    ) -> Result<Vec<AssetRow>> {
        self.db
            .read(move |tx| {
                let shown = match archived {
                    Archived::Exclude => "a.archived = 0 AND v.archived = 0",
                    Archived::Include => "1",
                    Archived::Only => "(a.archived OR v.archived)",
                };
                // The newest of those that are shown stands for its asset.
                let which = match (&name, archived) {
                    (Some(_), _) => "a.name = ?3".to_owned(),
                    (None, Archived::Exclude) => format!("a.anonymous = 0 AND v.id = {LATEST}"),
                    (None, Archived::Include | Archived::Only) => format!(
                        "a.anonymous = 0 AND ?3 IS NULL AND v.id = (SELECT max(v.id) FROM \
                         asset_versions v WHERE v.asset_id = a.id AND {shown})"
                    ),
                };
                let sql = format!(
                    "{} WHERE a.workspace_id = ?1 AND a.kind = ?2 AND {which} AND {shown} \
                     AND (?3 IS NULL OR a.name = ?3) ORDER BY v.id DESC LIMIT ?4",
                    select()
                );
                let limit = limit.map_or(-1, i64::from);
                tx.all(&sql, params![workspace, kind.name(), name, limit], asset)
            })
            .await
    }

    /// Changes one version, unless it is not there.
    pub async fn update_asset(
        &self,
        workspace: i64,
        kind: AssetKind,
        name: &str,
        pick: Pick,
        by: (String, Time),
        change: AssetChange,
    ) -> Result<Option<AssetRow>> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let Some(id) = pick_id(tx, workspace, kind, &name, &pick)? else {
                    return Ok(None);
                };
                apply(tx, by_id(tx, id)?, change, &by.0, by.1).map(Some)
            })
            .await
    }

    /// Archives or restores one version, or the whole asset; answers whether it is there.
    pub async fn archive_asset(
        &self,
        workspace: i64,
        kind: AssetKind,
        name: &str,
        pick: Option<Pick>,
        archived: bool,
    ) -> Result<bool> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                let changed = match pick {
                    None => tx.execute(
                        "UPDATE assets SET archived = ?4 WHERE workspace_id = ?1 AND kind = ?2 AND name = ?3",
                        params![workspace, kind.name(), name, archived],
                    )?,
                    Some(pick) => match pick_id(tx, workspace, kind, &name, &pick)? {
                        Some(id) => tx.execute(
                            "UPDATE asset_versions SET archived = ?2 WHERE id = ?1",
                            params![id, archived],
                        )?,
                        None => 0,
                    },
                };
                Ok(changed > 0)
            })
            .await
    }

    /// Deletes one version, or the asset's all; answers how many there were. Numbers stay used.
    pub async fn delete_asset(
        &self,
        workspace: i64,
        kind: AssetKind,
        name: &str,
        version: Option<String>,
    ) -> Result<usize> {
        let name = name.to_owned();
        self.db
            .write(move |tx| {
                tx.execute(
                    "DELETE FROM asset_versions WHERE (?4 IS NULL OR version = ?4) AND asset_id = \
                     (SELECT id FROM assets WHERE workspace_id = ?1 AND kind = ?2 AND name = ?3)",
                    params![workspace, kind.name(), name, version],
                )
            })
            .await
    }
}

fn create(tx: &Tx<'_>, workspace: i64, new: &NewAsset) -> Result<AssetCreated> {
    if let Some(tree) = new.tree {
        let stored = tx.one(
            "SELECT 1 FROM trees WHERE workspace_id = ?1 AND hash = ?2",
            params![workspace, tree],
            |_| Ok(()),
        )?;
        if stored.is_none() {
            return Ok(AssetCreated::NoTree);
        }
    }
    if let Some(version) = &new.version {
        let pick = Pick::Version(version.clone());
        if let Some(id) = pick_id(tx, workspace, new.kind, &new.name, &pick)? {
            let row = by_id(tx, id)?;
            if row.asset.digest != new.digest {
                return Ok(AssetCreated::Taken(row));
            }
            if new.change.is_empty() {
                return Ok(AssetCreated::Same(row));
            }
            let row = apply(tx, row, new.change.clone(), &new.by, new.now)?;
            return Ok(AssetCreated::Same(row));
        }
    }
    if let Some(other) = other_type(tx, workspace, new)? {
        return Ok(AssetCreated::OtherType(other));
    }
    insert(tx, workspace, new).map(AssetCreated::New)
}

/// Data of one name is of one type in all its versions.
fn other_type(tx: &Tx<'_>, workspace: i64, new: &NewAsset) -> Result<Option<String>> {
    if new.kind != AssetKind::Data {
        return Ok(None);
    }
    let found: Option<Option<String>> = tx.one(
        "SELECT json_extract(v.spec, '$.type') FROM assets a JOIN asset_versions v ON v.asset_id = a.id \
         WHERE a.workspace_id = ?1 AND a.kind = ?2 AND a.name = ?3 ORDER BY v.id DESC LIMIT 1",
        params![workspace, new.kind.name(), new.name],
        |row| row.get(0),
    )?;
    let wanted = new.spec.get("type").and_then(Value::as_str);
    Ok(found.flatten().filter(|found| wanted != Some(found)))
}

fn insert(tx: &Tx<'_>, workspace: i64, new: &NewAsset) -> Result<AssetRow> {
    let number = new.version.as_ref().and_then(|v| v.parse::<i64>().ok());
    let found = tx.one(
        "INSERT INTO assets(workspace_id, kind, name, anonymous, last_number, created_at) \
         VALUES (?1, ?2, ?3, ?4, coalesce(?5, iif(?6, 1, 0)), ?7) \
         ON CONFLICT(workspace_id, kind, name) DO UPDATE \
         SET last_number = max(last_number + ?6, coalesce(?5, 0)) \
         RETURNING id, last_number",
        params![
            workspace,
            new.kind.name(),
            new.name,
            new.anonymous,
            number.filter(|number| *number >= 0),
            new.version.is_none(),
            new.now
        ],
        |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
    )?;
    let Some((asset_id, next)) = found else {
        return Err(Error::internal("An asset was not inserted"));
    };
    let version = new.version.clone().unwrap_or_else(|| next.to_string());
    let id = tx.one(
        "INSERT INTO asset_versions(asset_id, version, digest, spec, tree, description, tags, properties, \
         created_by, created_at, updated_by, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, '', '{}', '{}', ?6, ?7, ?6, ?7) RETURNING id",
        params![
            asset_id,
            version,
            new.digest,
            to_json(&new.spec)?,
            new.tree,
            new.by,
            new.now
        ],
        |row| row.get(0),
    )?;
    let row = by_id(tx, id.unwrap_or_default())?;
    if new.change.is_empty() {
        return Ok(row);
    }
    apply(tx, row, new.change.clone(), &new.by, new.now)
}

fn apply(
    tx: &Tx<'_>,
    mut row: AssetRow,
    change: AssetChange,
    by: &str,
    now: Time,
) -> Result<AssetRow> {
    let asset = &mut row.asset;
    if let Some(description) = change.description {
        asset.description = description;
    }
    merge(&mut asset.tags, change.tags);
    merge(&mut asset.properties, change.properties);
    for (key, value) in change.settings {
        match value {
            Value::Null => drop(asset.spec.shift_remove(&key)),
            value => drop(asset.spec.insert(key, value)),
        }
    }
    tx.execute(
        "UPDATE asset_versions SET description = ?2, tags = ?3, properties = ?4, updated_by = ?5, \
         updated_at = ?6, spec = ?7 WHERE id = ?1",
        params![
            row.id,
            asset.description,
            to_json(&asset.tags)?,
            to_json(&asset.properties)?,
            by,
            now,
            to_json(&asset.spec)?
        ],
    )?;
    for label in change.labels {
        tx.execute(
            "INSERT INTO asset_labels(asset_id, label, version_id) \
             SELECT asset_id, ?2, id FROM asset_versions WHERE id = ?1 \
             ON CONFLICT(asset_id, label) DO UPDATE SET version_id = ?1",
            params![row.id, label],
        )?;
    }
    for label in change.unlabel {
        tx.execute(
            "DELETE FROM asset_labels WHERE version_id = ?1 AND label = ?2",
            params![row.id, label],
        )?;
    }
    by_id(tx, row.id)
}

pub(super) fn merge(map: &mut BTreeMap<String, String>, change: BTreeMap<String, String>) {
    for (key, value) in change {
        if value.is_empty() {
            map.remove(&key);
        } else {
            map.insert(key, value);
        }
    }
}
