//! Experiments as stored.

use std::collections::BTreeMap;

use super::{
    Store,
    db::{Row, RowResult, Tx, count, json, params, to_json},
};
use api::{Error, Result, Time, experiments::Experiment, imports::ImportedExperiment};

const COLUMNS: &str = "e.id, e.name, e.artifact_location, e.deleted, e.tags, e.created_at, e.updated_at, \
                       e.runs";

fn experiment(row: &Row<'_>) -> RowResult<Experiment> {
    Ok(Experiment {
        id: row.get::<i64>(0)?.to_string(),
        name: row.get(1)?,
        artifact_location: row.get(2)?,
        deleted: row.get(3)?,
        tags: json(row, 4)?,
        created_at: row.get(5)?,
        updated_at: row.get(6)?,
        runs: count(row, 7)?,
    })
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct ExperimentChange {
    pub name: Option<String>,
    pub deleted: Option<bool>,
    pub set_tags: BTreeMap<String, String>,
    pub remove_tags: Vec<String>,
}

impl Store {
    /// Adds an experiment; none when the name is taken, also by a deleted one. Without a location
    /// its artifacts are below `root`, in a folder of its number.
    pub async fn create_experiment(
        &self,
        workspace: i64,
        name: String,
        location: Option<String>,
        root: String,
        tags: BTreeMap<String, String>,
        now: Time,
    ) -> Result<Option<Experiment>> {
        self.db
            .write(move |tx| {
                let tags = to_json(&tags)?;
                let Some(id) = insert(tx, workspace, &name, &tags, now)? else {
                    return Ok(None);
                };
                let location = location.unwrap_or_else(|| format!("{root}/{id}"));
                tx.execute(
                    "UPDATE experiments SET artifact_location = ?2 WHERE id = ?1",
                    params![id, location],
                )?;
                by_id(tx, workspace, id)
            })
            .await
    }

    /// The experiments of a workspace, newest first.
    pub async fn list_experiments(
        &self,
        workspace: i64,
        include_deleted: bool,
    ) -> Result<Vec<Experiment>> {
        self.db
            .read(move |tx| {
                tx.all(
                    &format!(
                        "SELECT {COLUMNS} FROM experiments e WHERE e.workspace_id = ?1 \
                         AND (?2 OR e.deleted = 0) ORDER BY e.created_at DESC, e.id DESC"
                    ),
                    params![workspace, include_deleted],
                    experiment,
                )
            })
            .await
    }

    pub async fn experiment_named(
        &self,
        workspace: i64,
        name: String,
    ) -> Result<Option<Experiment>> {
        self.db
            .look(|tx| {
                tx.one(
                    &format!(
                        "SELECT {COLUMNS} FROM experiments e WHERE e.workspace_id = ?1 AND e.name = ?2"
                    ),
                    params![workspace, name],
                    experiment,
                )
            })
            .await
    }

    pub async fn experiment(&self, workspace: i64, id: i64) -> Result<Option<Experiment>> {
        self.db.look(|tx| by_id(tx, workspace, id)).await
    }

    /// Changes an experiment; its runs are deleted and restored with it. A taken name is a conflict.
    pub async fn update_experiment(
        &self,
        workspace: i64,
        id: i64,
        change: ExperimentChange,
        now: Time,
    ) -> Result<Option<Experiment>> {
        self.db
            .write(move |tx| {
                let Some(mut found) = by_id(tx, workspace, id)? else {
                    return Ok(None);
                };
                if let Some(name) = change.name {
                    rename(tx, workspace, id, &name)?;
                }
                found.tags.extend(change.set_tags);
                found
                    .tags
                    .retain(|key, _| !change.remove_tags.contains(key));
                tx.execute(
                    "UPDATE experiments SET tags = ?2, updated_at = ?3 WHERE id = ?1",
                    params![id, to_json(&found.tags)?, now],
                )?;
                if let Some(deleted) = change.deleted {
                    tx.execute(
                        "UPDATE experiments SET deleted = ?2 WHERE id = ?1",
                        params![id, deleted],
                    )?;
                    tx.execute(
                        "UPDATE runs SET deleted = ?2 WHERE experiment_id = ?1",
                        params![id, deleted],
                    )?;
                }
                by_id(tx, workspace, id)
            })
            .await
    }
}

fn by_id(tx: &Tx<'_>, workspace: i64, id: i64) -> Result<Option<Experiment>> {
    tx.one(
        &format!("SELECT {COLUMNS} FROM experiments e WHERE e.workspace_id = ?1 AND e.id = ?2"),
        params![workspace, id],
        experiment,
    )
}

/// What a new run needs to know of its experiment.
pub(super) struct Home {
    pub id: i64,
    pub name: String,
    pub artifact_location: String,
    pub deleted: bool,
}

pub(super) fn home(tx: &Tx<'_>, workspace: i64, id: i64) -> Result<Option<Home>> {
    tx.one(
        "SELECT id, name, artifact_location, deleted FROM experiments WHERE workspace_id = ?1 AND id = ?2",
        params![workspace, id],
        |row| {
            Ok(Home {
                id: row.get(0)?,
                name: row.get(1)?,
                artifact_location: row.get(2)?,
                deleted: row.get(3)?,
            })
        },
    )
}

/// Whether an experiment is deleted; none when it is not there.
pub(super) fn is_deleted(tx: &Tx<'_>, workspace: i64, id: i64) -> Result<Option<bool>> {
    tx.one(
        "SELECT deleted FROM experiments WHERE workspace_id = ?1 AND id = ?2",
        params![workspace, id],
        |row| row.get(0),
    )
}

fn rename(tx: &Tx<'_>, workspace: i64, id: i64, name: &str) -> Result<()> {
    let taken = tx.one(
        "SELECT 1 FROM experiments WHERE workspace_id = ?1 AND name = ?2 AND id <> ?3",
        params![workspace, name, id],
        |_| Ok(()),
    )?;
    if taken.is_some() {
        return Err(Error::conflict(format!("There is an experiment `{name}` already")).at("name"));
    }
    tx.execute(
        "UPDATE experiments SET name = ?2 WHERE id = ?1",
        params![id, name],
    )?;
    Ok(())
}

/// Where artifacts are that this store keeps.
pub const KEPT_HERE: &str = "mlflow-artifacts:";

/// Adds an experiment whose artifacts are kept here.
fn insert(tx: &Tx<'_>, workspace: i64, name: &str, tags: &str, now: Time) -> Result<Option<i64>> {
    let id: Option<i64> = tx.one(
        "INSERT INTO experiments(workspace_id, name, artifact_location, tags, created_at, updated_at) \
         VALUES (?1, ?2, '', ?3, ?4, ?4) ON CONFLICT(workspace_id, name) DO NOTHING RETURNING id",
        params![workspace, name, tags, now],
        |row| row.get(0),
    )?;
    if let Some(id) = id {
        tx.execute(
            "UPDATE experiments SET artifact_location = ?2 WHERE id = ?1",
            params![id, format!("{KEPT_HERE}/{id}")],
        )?;
    }
    Ok(id)
}

/// Makes an experiment as it was recorded elsewhere, or sets the tags of the one of that name.
pub(super) fn import(tx: &Tx<'_>, workspace: i64, new: &ImportedExperiment) -> Result<Experiment> {
    let (id, mut tags) = match insert(tx, workspace, &new.name, "{}", new.created_at)? {
        Some(id) => {
            tx.execute(
                "UPDATE experiments SET deleted = ?2, updated_at = ?3 WHERE id = ?1",
                params![id, new.deleted, new.updated_at],
            )?;
            (id, BTreeMap::new())
        }
        None => found(tx, workspace, &new.name)?,
    };
    tags.extend(new.tags.clone());
    tx.execute(
        "UPDATE experiments SET tags = ?2 WHERE id = ?1",
        params![id, to_json(&tags)?],
    )?;
    by_id(tx, workspace, id)?.ok_or_else(|| Error::internal("An experiment vanished"))
}

fn found(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<(i64, BTreeMap<String, String>)> {
    let found = tx.one(
        "SELECT id, tags FROM experiments WHERE workspace_id = ?1 AND name = ?2",
        params![workspace, name],
        |row| Ok((row.get(0)?, json(row, 1)?)),
    )?;
    found.ok_or_else(|| Error::internal("An experiment vanished"))
}

/// The number of the experiment of that name, made when there is none.
pub(super) fn ensure(tx: &Tx<'_>, workspace: i64, name: &str, now: Time) -> Result<i64> {
    let found = tx.one(
        "SELECT id FROM experiments WHERE workspace_id = ?1 AND name = ?2",
        params![workspace, name],
        |row| row.get(0),
    )?;
    if let Some(found) = found {
        return Ok(found);
    }
    let made = insert(tx, workspace, name, "{}", now)?;
    made.ok_or_else(|| Error::internal("An experiment appeared in a transaction"))
}
