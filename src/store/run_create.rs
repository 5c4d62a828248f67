//! How runs come to be stored.

use std::collections::BTreeMap;

use super::{
    Store,
    db::{Tx, params, to_json},
    experiments, metrics,
    runs::{NAME_TAG, RunRow, by_id, by_name, record},
};
use crate::api::{
    Error, Result, Time,
    runs::{Job, RunStatus},
};

/// What a new run starts with.
#[derive(Debug, Clone)]
pub struct NewRun {
    pub workspace: i64,
    pub name: String,
    pub experiment: ExperimentRef,
    pub display_name: String,
    pub status: RunStatus,
    pub user: String,
    pub job: Option<Job>,
    pub tags: BTreeMap<String, String>,
    pub created_at: Time,
    pub started_at: Option<Time>,
}

/// The experiment a new run belongs to.
#[derive(Debug, Clone)]
pub enum ExperimentRef {
    /// Made when there is none of that name.
    Name(String),
    Id(i64),
}

/// How the making of a run came out.
#[derive(Debug)]
pub enum Created {
    New(RunRow),
    /// The name is taken by this run.
    Taken(RunRow),
    NoExperiment,
    ExperimentDeleted,
    /// The job's snapshot is not stored in the workspace.
    NoSnapshot,
}

impl Store {
    /// Makes a run, and its experiment when that is given by a new name.
    pub async fn create_run(&self, new: NewRun) -> Result<Created> {
        self.db.write(move |tx| create(tx, &new)).await
    }
}

fn create(tx: &Tx<'_>, new: &NewRun) -> Result<Created> {
    if let Some(taken) = by_name(tx, new.workspace, &new.name)? {
        return Ok(Created::Taken(taken));
    }
    let snapshot = new.job.as_ref().and_then(|job| job.snapshot);
    if let Some(snapshot) = snapshot {
        let stored = tx.one(
            "SELECT 1 FROM trees WHERE workspace_id = ?1 AND hash = ?2",
            params![new.workspace, snapshot],
            |_| Ok(()),
        )?;
        if stored.is_none() {
            return Ok(Created::NoSnapshot);
        }
    }
    let experiment = match &new.experiment {
        ExperimentRef::Name(name) => Some(experiments::ensure(
            tx,
            new.workspace,
            name,
            new.created_at,
        )?),
        ExperimentRef::Id(id) => tx.one(
            "SELECT id, deleted FROM experiments WHERE workspace_id = ?1 AND id = ?2",
            params![new.workspace, id],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?,
    };
    let experiment: i64 = match experiment {
        None => return Ok(Created::NoExperiment),
        Some((_, true)) => return Ok(Created::ExperimentDeleted),
        Some((id, false)) => id,
    };
    let job = new.job.as_ref().map(to_json).transpose()?;
    let ended_at = new.status.ended().then_some(new.created_at);
    let id: Option<i64> = tx.one(
        "INSERT INTO runs(workspace_id, experiment_id, name, display_name, status, job, snapshot, user, \
         created_at, started_at, ended_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) RETURNING id",
        params![
            new.workspace,
            experiment,
            new.name,
            new.display_name,
            new.status.name(),
            job,
            snapshot,
            new.user,
            new.created_at,
            new.started_at,
            ended_at
        ],
        |row| row.get(0),
    )?;
    let id = id.ok_or_else(|| Error::internal("A run was not stored"))?;
    record(tx, id, new.status, new.created_at, None)?;
    for (key, value) in &new.tags {
        metrics::set_tag(tx, id, key, value)?;
    }
    metrics::set_tag(tx, id, NAME_TAG, &new.display_name)?;
    for (key, value) in new.job.iter().flat_map(|job| &job.params) {
        metrics::set_param(tx, id, key, value)?;
    }
    match by_id(tx, id)? {
        Some(row) => Ok(Created::New(row)),
        None => Err(Error::internal("A new run vanished")),
    }
}
