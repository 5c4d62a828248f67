//! Bringing over what was recorded elsewhere.

use std::collections::BTreeMap;

use super::{
    Action, Caller, Perform, Service, experiments, metrics,
    traces::{check_id, check_keys, with_id},
};
use api::{
    Done, Error, Result,
    experiments::Experiment,
    files::{Hash, check_path},
    imports::{
        FindImported, ImportExperiments, ImportModels, ImportRuns, ImportTraces, Imported,
        ImportedRun, ImportedTrace,
    },
    names,
};
use async_trait::async_trait;
use store::{NewImport, Point, Stored, WorkspaceRow};

/// Longest name that leaves room for a number behind it.
const NAME: usize = 250;

impl Service {
    async fn enter_import(&self, caller: &Caller, workspace: &str) -> Result<WorkspaceRow> {
        self.allow_person(caller)?;
        self.enter(caller, workspace, Action::WriteRuns).await
    }

    async fn check_experiment(&self, row: &WorkspaceRow, id: &str) -> Result<i64> {
        let number = experiments::parse_id(id)?;
        match self.store.experiment(row.id, number).await? {
            Some(_) => Ok(number),
            None => Err(
                Error::not_found(format!("No experiment with the id `{id}`")).at("experiment_id"),
            ),
        }
    }
}

#[async_trait]
impl Perform for ImportExperiments {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Experiment>> {
        let row = service.enter_import(caller, &self.workspace).await?;
        for experiment in &self.experiments {
            names::EXPERIMENT.check(&experiment.name)?;
            metrics::check_tags(&experiment.tags)?;
        }
        service
            .store
            .import_experiments(row.id, self.experiments)
            .await
    }
}

#[async_trait]
impl Perform for FindImported {
    async fn perform(
        self,
        service: &Service,
        caller: &Caller,
    ) -> Result<BTreeMap<String, Imported>> {
        let row = service.enter_import(caller, &self.workspace).await?;
        service.store.find_imported(row.id, self.origins).await
    }
}

#[async_trait]
impl Perform for ImportRuns {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<String>> {
        let row = service.enter_import(caller, &self.workspace).await?;
        let experiment = service.check_experiment(&row, &self.experiment_id).await?;
        let new = self.runs.into_iter().map(check_run);
        let new = new.collect::<Result<Vec<_>>>()?;
        let stored = service
            .store
            .import_runs(row.id, experiment, new, service.now())
            .await?;
        match stored {
            Stored::Done(names) => Ok(names),
            Stored::Missing(hash) => Err(not_stored(hash)),
        }
    }
}

fn not_stored(hash: Hash) -> Error {
    Error::conflict(format!("The blob {hash} is not stored; send it again"))
}

fn check_run(mut run: ImportedRun) -> Result<NewImport> {
    let of_run = |error: Error| {
        let origin = &run.origin;
        Error::invalid(format!("{} (run `{origin}`)", error.message))
    };
    metrics::check_params(&run.params).map_err(of_run)?;
    metrics::check_tags(&run.tags).map_err(of_run)?;
    for file in &run.artifacts {
        check_path(&file.path).map_err(of_run)?;
    }
    for point in &run.metrics {
        metrics::check_key("metric", &point.key).map_err(of_run)?;
    }
    let since = run.started_at.map(|at| at.0).unwrap_or_default();
    let point = |point: api::metrics::MetricPoint| Point {
        timestamp: point.timestamp.unwrap_or(since),
        key: point.key,
        value: point.value.0,
        step: point.step,
    };
    let points = std::mem::take(&mut run.metrics);
    Ok(NewImport {
        name: name_for(&run.origin),
        points: points.into_iter().map(point).collect(),
        run,
    })
}

/// The origin, with whatever a name cannot have replaced.
fn name_for(origin: &str) -> String {
    if names::RUN.check(origin).is_ok() {
        return origin.to_owned();
    }
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = origin.chars().map(plain).take(NAME).collect();
    format!("_{name}")
}

#[async_trait]
impl Perform for ImportModels {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<String>> {
        let row = service.enter_import(caller, &self.workspace).await?;
        let experiment = service.check_experiment(&row, &self.experiment_id).await?;
        for model in &self.models {
            metrics::check_params(&model.params)?;
            metrics::check_tags(&model.tags)?;
        }
        service
            .store
            .import_models(row.id, experiment, self.models)
            .await
    }
}

#[async_trait]
impl Perform for ImportTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service.enter_import(caller, &self.workspace).await?;
        let experiment = service.check_experiment(&row, &self.experiment_id).await?;
        let traces = self.traces.into_iter().map(check_trace);
        let traces = traces.collect::<Result<Vec<_>>>()?;
        let stored = service
            .store
            .import_traces(row.id, experiment, traces, service.now())
            .await?;
        match stored {
            Stored::Done(()) => Ok(Done {}),
            Stored::Missing(hash) => Err(not_stored(hash)),
        }
    }
}

fn check_trace(mut trace: ImportedTrace) -> Result<ImportedTrace> {
    check_id("trace", &trace.origin)?;
    let origin = trace.origin.clone();
    let of_trace = |error: Error| Error::invalid(format!("{} (trace `{origin}`)", error.message));
    check_keys("metadata", &trace.metadata).map_err(of_trace)?;
    check_keys("tags", &trace.tags).map_err(of_trace)?;
    for span in &mut trace.spans {
        check_id("span", &span.id).map_err(of_trace)?;
        span.trace.clone_from(&origin);
    }
    for file in &trace.artifacts {
        check_path(&file.path).map_err(of_trace)?;
    }
    let assessments = std::mem::take(&mut trace.assessments).into_iter();
    trace.assessments = assessments.map(with_id).collect::<Result<_>>()?;
    Ok(trace)
}
