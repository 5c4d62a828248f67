//! How runs come to be stored.

use std::collections::BTreeMap;

use super::{
    Store,
    db::{Tx, params, to_json},
    driven::{self, NewDriven},
    experiments::{self, Home},
    metrics,
    runs::{NAME_TAG, PARENT_TAG, RunRow, by_name, id_of, record},
    trees::tree,
};
use api::{
    Result, Time,
    files::{Hash, TreeInfo},
    runs::{Job, Run, RunStatus, StatusChange},
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
    /// The driven run that makes it, and which of its parts this is.
    pub driver: Option<(i64, i64)>,
    /// It is a driven run itself.
    pub driven: Option<NewDriven>,
    /// What another run must agree in to have made the same.
    pub reuse_key: Option<Hash>,
    /// The run whose outputs it has: it has ended before it began.
    pub reuses: Option<String>,
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
    /// The name is taken by this run; with the job that the new one was to have.
    Taken(RunRow, Option<Box<Job>>),
    NoExperiment,
    ExperimentDeleted,
    /// The job's snapshot is not stored in the workspace.
    NoSnapshot,
}

impl Store {
    /// Makes a run, and its experiment when that is given by a new name.
    pub async fn create_run(&self, new: NewRun) -> Result<Created> {
        self.db.write(move |tx| create(tx, new)).await
    }
}

pub(super) fn create(tx: &Tx<'_>, mut new: NewRun) -> Result<Created> {
    if id_of(tx, new.workspace, &new.name)?.is_some()
        && let Some(taken) = by_name(tx, new.workspace, &new.name)?
    {
        return Ok(Created::Taken(taken, new.job.map(Box::new)));
    }
    let snapshot = match new.job.as_ref().and_then(|job| job.snapshot) {
        None => None,
        Some(hash) => match tree(tx, new.workspace, hash)? {
            Some((info, _)) => Some(info),
            None => return Ok(Created::NoSnapshot),
        },
    };
    let home = match &new.experiment {
        ExperimentRef::Name(name) => {
            let id = experiments::ensure(tx, new.workspace, name, new.created_at)?;
            experiments::home(tx, new.workspace, id)?
        }
        ExperimentRef::Id(id) => experiments::home(tx, new.workspace, *id)?,
    };
    let home = match home {
        None => return Ok(Created::NoExperiment),
        Some(home) if home.deleted => return Ok(Created::ExperimentDeleted),
        Some(home) => home,
    };
    let run = as_made(&mut new, &home, snapshot);
    let id = insert(tx, &new, home.id, &run)?;
    if let Some(driven) = &new.driven {
        driven::insert(tx, id, driven)?;
    }
    let reused = new.reuses.as_ref();
    let reused = reused.map(|name| format!("It has the outputs of {name}: nothing has changed"));
    record(tx, id, run.status, run.created_at, reused.as_deref())?;
    for (key, value) in &run.tags {
        metrics::set_tag(tx, id, key, value)?;
    }
    for (key, value) in &run.params {
        metrics::set_param(tx, id, key, value)?;
    }
    Ok(Created::New(RunRow {
        id,
        workspace_id: new.workspace,
        run,
    }))
}

/// What reading the run says once it is stored. Takes what is long of it.
fn as_made(new: &mut NewRun, home: &Home, snapshot: Option<TreeInfo>) -> Run {
    let mut tags = std::mem::take(&mut new.tags);
    tags.insert(NAME_TAG.to_owned(), new.display_name.clone());
    let params = new.job.as_ref().map(|job| job.params.clone());
    Run {
        name: new.name.clone(),
        display_name: new.display_name.clone(),
        experiment: home.name.clone(),
        experiment_id: home.id.to_string(),
        artifact_uri: format!("{}/{}/artifacts", home.artifact_location, new.name),
        status: new.status,
        reason: None,
        exit_code: None,
        job: new.job.take(),
        snapshot,
        user: new.user.clone(),
        parent: tags.get(PARENT_TAG).cloned(),
        created_at: new.created_at,
        started_at: new.started_at,
        ended_at: new.status.ended().then_some(new.created_at),
        usage: None,
        node: None,
        params: params.unwrap_or_default(),
        tags,
        metrics: BTreeMap::new(),
        history: vec![StatusChange {
            status: new.status,
            at: new.created_at,
            reason: None,
        }],
        deleted: false,
    }
}

fn insert(tx: &Tx<'_>, new: &NewRun, experiment: i64, run: &Run) -> Result<i64> {
    let job = run.job.as_ref().map(to_json).transpose()?;
    let compute = run.job.as_ref().and_then(compute_of);
    tx.insert(
        "INSERT INTO runs(workspace_id, experiment_id, name, display_name, status, job, snapshot, user, \
         created_at, started_at, ended_at, driver, place, driven, reuse_key, reuses, compute) VALUES \
         (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
        params![
            new.workspace,
            experiment,
            run.name,
            run.display_name,
            run.status.name(),
            job,
            run.snapshot.as_ref().map(|tree| tree.hash),
            run.user,
            run.created_at,
            run.started_at,
            run.ended_at,
            new.driver.map(|(driver, _)| driver),
            new.driver.map(|(_, place)| place),
            new.driven.is_some(),
            new.reuse_key,
            new.reuses,
            compute
        ],
    )
}

/// The compute that the description of a job names, if it does.
fn compute_of(job: &Job) -> Option<String> {
    let named = job.described.as_ref()?.definition.get("compute")?;
    Some(named.as_str()?.replace("azureml:", ""))
}
