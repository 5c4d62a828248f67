//! What was brought over from elsewhere, as stored.

use std::collections::BTreeMap;

use super::{
    Store,
    artifacts::{Holder, obstacle, put},
    blobs::first_missing,
    db::{Tx, params, to_json},
    experiments, logged_models,
    metrics::{self, Point, log_points},
    run_links,
    runs::{NAME_TAG, PARENT_TAG, RunRow, by_id, by_name, record, set_display_name},
    trees::Stored,
};
use api::{
    Error, Result, Time,
    experiments::Experiment,
    files::{Artifact, Hash},
    imports::{Imported, ImportedExperiment, ImportedModel, ImportedRun},
    logged_models::RunLinks,
    runs::RunStatus,
};

/// A run to bring over, and the name it should have.
#[derive(Debug, Clone)]
pub struct NewImport {
    pub name: String,
    pub run: ImportedRun,
    pub points: Vec<Point>,
}

impl Store {
    /// Makes the experiments that are not there; sets the tags of those that are.
    pub async fn import_experiments(
        &self,
        workspace: i64,
        experiments: Vec<ImportedExperiment>,
    ) -> Result<Vec<Experiment>> {
        self.db
            .write(move |tx| {
                let import = |new: &ImportedExperiment| experiments::import(tx, workspace, new);
                experiments.iter().map(import).collect()
            })
            .await
    }

    /// What is known of the runs of these origins.
    pub async fn find_imported(
        &self,
        workspace: i64,
        origins: Vec<String>,
    ) -> Result<BTreeMap<String, Imported>> {
        self.db
            .read(move |tx| {
                let rows = tx.all(
                    "SELECT i.origin, COALESCE(r.name, t.name), i.stamp FROM imports i \
                     LEFT JOIN runs r ON r.id = i.run_id LEFT JOIN traces t ON t.id = i.trace_id \
                     WHERE i.workspace_id = ?1 \
                     AND i.origin IN (SELECT value FROM json_each(?2))",
                    params![workspace, to_json(&origins)?],
                    |row| {
                        let (run, stamp) = (row.get(1)?, row.get(2)?);
                        Ok((row.get(0)?, Imported { run, stamp }))
                    },
                )?;
                Ok(rows.into_iter().collect())
            })
            .await
    }

    /// Makes or completes runs, all of them or none; answers their names.
    pub async fn import_runs(
        &self,
        workspace: i64,
        experiment: i64,
        runs: Vec<NewImport>,
        now: Time,
    ) -> Result<Stored<Vec<String>>> {
        let files = runs.iter().flat_map(|new| &new.run.artifacts);
        let blobs: Vec<(Hash, u64)> = files.map(|file| (file.hash, file.size)).collect();
        self.db
            .write(move |tx| {
                if let Some(missing) = first_missing(tx, blobs)? {
                    return Ok(Stored::Missing(missing));
                }
                let import = |new| import_run(tx, workspace, experiment, new, now);
                let names: Result<Vec<String>> = runs.iter().map(import).collect();
                names.map(Stored::Done)
            })
            .await
    }

    /// Makes or completes logged models, all of them or none; answers their ids.
    pub async fn import_models(
        &self,
        workspace: i64,
        experiment: i64,
        models: Vec<ImportedModel>,
    ) -> Result<Vec<String>> {
        self.db
            .write(move |tx| {
                let import = |new| logged_models::import(tx, workspace, experiment, new);
                models.iter().map(import).collect()
            })
            .await
    }
}

fn import_run(
    tx: &Tx<'_>,
    workspace: i64,
    experiment: i64,
    new: &NewImport,
    now: Time,
) -> Result<String> {
    let run = &new.run;
    let found = find(tx, workspace, experiment, new)?;
    let (experiment, id) = match &found {
        Some(found) => {
            update(tx, found, run)?;
            let own = found.run.experiment_id.parse();
            (own.unwrap_or(experiment), found.id)
        }
        None => (experiment, insert(tx, workspace, experiment, new, now)?),
    };
    for (key, value) in &run.params {
        tx.execute(
            "INSERT INTO params(run_id, key, value) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING",
            params![id, key, value],
        )?;
    }
    for (key, value) in &run.tags {
        match key.as_str() {
            NAME_TAG => {}
            PARENT_TAG => metrics::set_tag(tx, id, key, &name_of(tx, workspace, value)?)?,
            _ => metrics::set_tag(tx, id, key, value)?,
        }
    }
    set_display_name(tx, id, &run.display_name)?;
    metrics::set_tag(tx, id, NAME_TAG, &run.display_name)?;
    log_points(tx, (experiment, id), &new.points)?;
    add_artifacts(tx, id, run, now)?;
    run_links::add(tx, id, &models_here(tx, workspace, &run.links)?)?;
    note(tx, workspace, &run.origin, id, run.stamp.as_deref())?;
    by_id(tx, id)?
        .map(|row| row.run.name)
        .ok_or_else(|| Error::internal("An imported run vanished"))
}

/// Keeps what something was brought over as.
pub(super) fn note(
    tx: &Tx<'_>,
    workspace: i64,
    origin: &str,
    run: i64,
    stamp: Option<&str>,
) -> Result<()> {
    tx.execute(
        "INSERT INTO imports(workspace_id, origin, run_id, stamp) VALUES (?1, ?2, ?3, ?4) \
         ON CONFLICT(workspace_id, origin) DO UPDATE SET run_id = ?3, stamp = ?4",
        params![workspace, origin, run, stamp],
    )?;
    Ok(())
}

/// The run that this one was brought over as, or that was taken elsewhere from here.
fn find(tx: &Tx<'_>, workspace: i64, experiment: i64, new: &NewImport) -> Result<Option<RunRow>> {
    let known = tx.one(
        "SELECT run_id FROM imports WHERE workspace_id = ?1 AND origin = ?2 \
         AND run_id IS NOT NULL",
        params![workspace, new.run.origin],
        |row| row.get(0),
    )?;
    if let Some(id) = known {
        return by_id(tx, id);
    }
    let named = by_name(tx, workspace, &new.name)?;
    Ok(named.filter(|row| {
        new.name == new.run.origin
            && row.run.experiment_id == experiment.to_string()
            && row.run.started_at == new.run.started_at
    }))
}

fn insert(tx: &Tx<'_>, workspace: i64, experiment: i64, new: &NewImport, now: Time) -> Result<i64> {
    let run = &new.run;
    let created_at = run.started_at.unwrap_or(now);
    let id: Option<i64> = tx.one(
        "INSERT INTO runs(workspace_id, experiment_id, name, display_name, status, user, created_at, \
         started_at, ended_at, deleted) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) RETURNING id",
        params![
            workspace,
            experiment,
            free_name(tx, workspace, &new.name)?,
            run.display_name,
            run.status.name(),
            run.user,
            created_at,
            run.started_at,
            run.ended_at,
            run.deleted
        ],
        |row| row.get(0),
    )?;
    let id = id.ok_or_else(|| Error::internal("A run was not stored"))?;
    if run.status.ended() {
        record(tx, id, RunStatus::Running, created_at, None)?;
    }
    let since = run.ended_at.filter(|_| run.status.ended());
    record(tx, id, run.status, since.unwrap_or(created_at), None)?;
    Ok(id)
}

/// The name, or the first of `name-2`, `name-3`… that no run has.
fn free_name(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<String> {
    let mut free = name.to_owned();
    let mut number = 2;
    while by_name(tx, workspace, &free)?.is_some() {
        free = format!("{name}-{number}");
        number += 1;
    }
    Ok(free)
}

/// What was deleted here stays so; what is executed here has the state it has.
fn update(tx: &Tx<'_>, found: &RunRow, run: &ImportedRun) -> Result<()> {
    if found.run.job.is_some() {
        return Ok(());
    }
    tx.execute(
        "UPDATE runs SET status = ?2, ended_at = ?3, deleted = deleted OR ?4 WHERE id = ?1",
        params![found.id, run.status.name(), run.ended_at, run.deleted],
    )?;
    if run.status != found.run.status {
        let at = run
            .ended_at
            .or(run.started_at)
            .unwrap_or(found.run.created_at);
        record(tx, found.id, run.status, at, None)?;
    }
    Ok(())
}

/// What the run of an origin is called here.
pub(super) fn name_of(tx: &Tx<'_>, workspace: i64, origin: &str) -> Result<String> {
    let name = tx.one(
        "SELECT r.name FROM imports i JOIN runs r ON r.id = i.run_id \
         WHERE i.workspace_id = ?1 AND i.origin = ?2",
        params![workspace, origin],
        |row| row.get(0),
    )?;
    Ok(name.unwrap_or_else(|| origin.to_owned()))
}

fn add_artifacts(tx: &Tx<'_>, id: i64, run: &ImportedRun, now: Time) -> Result<()> {
    for file in &run.artifacts {
        if let Some(conflict) = obstacle(tx, Holder::Run(id), &file.path)? {
            return Err(conflict);
        }
        let artifact = Artifact {
            path: file.path.clone(),
            size: file.size,
            hash: file.hash,
            updated_at: now,
        };
        put(tx, Holder::Run(id), &artifact)?;
    }
    Ok(())
}

/// Links to the models as they are called here; one that was not brought over is left out.
fn models_here(tx: &Tx<'_>, workspace: i64, links: &RunLinks) -> Result<RunLinks> {
    let mut here = RunLinks {
        datasets: links.datasets.clone(),
        ..RunLinks::default()
    };
    for origin in &links.model_inputs {
        here.model_inputs
            .extend(logged_models::imported_as(tx, workspace, origin)?);
    }
    for output in &links.model_outputs {
        if let Some(model) = logged_models::imported_as(tx, workspace, &output.model)? {
            let mut output = output.clone();
            output.model = model;
            here.model_outputs.push(output);
        }
    }
    Ok(here)
}
