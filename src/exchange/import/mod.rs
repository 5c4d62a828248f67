//! The course of an import: experiment by experiment, their runs in batches, then their models; at the
//! end the registry.

mod files;
mod models;
mod registry;
mod runs;
mod traces;

use std::collections::BTreeMap;

use futures_util::future::LocalBoxFuture;

use crate::{
    names,
    record::{Experiment, Run},
    source::Source,
    tally::Tally,
};
use api::{
    Code, Error, Result,
    experiments::{Experiment as Ours, ListExperiments},
    imports::{ImportExperiments, ImportRuns, ImportedExperiment, ImportedRun},
    runs::RunStatus,
};
use client::Client;

/// Runs in one operation that only links them.
const BATCH: usize = 500;
/// Remarks beyond so many are counted only.
const REMARKS: usize = 50;

/// An import into a workspace.
pub struct Import<'a> {
    pub source: &'a Source,
    pub client: &'a Client,
    pub workspace: &'a str,
    /// Only these experiments; all when empty.
    pub experiments: &'a [String],
    /// Bring over what is deleted there, as deleted.
    pub include_deleted: bool,
    /// Look at all of every run again, and bring back what was deleted here for good.
    pub again: bool,
    /// Told of runs and traces that were dealt with.
    pub progress: &'a dyn Fn(u64),
}

/// What goes on while an import does.
struct State {
    tally: Tally,
    /// Runs whose links have to wait for the models of other experiments.
    linked_later: Vec<(String, ImportedRun)>,
}

impl<'a> Import<'a> {
    /// Brings over everything. What fails is told in the tally and does not keep back the rest; an
    /// error ends the import when nothing can go on, and what is here by then stays.
    pub fn run(self) -> LocalBoxFuture<'a, Result<Tally>> {
        Box::pin(async move {
            let mut state = State {
                tally: Tally::default(),
                linked_later: Vec::new(),
            };
            let mut found = self.source.experiments().await?;
            names::select(&mut found, self.experiments, " there")?;
            let names = names::names_here(&found, &mut state.tally);
            state.tally.experiments.found = found.len() as u64;
            let list = ListExperiments {
                workspace: self.workspace.to_owned(),
                include_deleted: true,
            };
            let here = self.client.call(&list).await?;
            for (experiment, name) in found.iter().zip(names) {
                if experiment.deleted && !self.include_deleted {
                    state.tally.experiments.left_out += 1;
                    self.leave_out(experiment, &mut state).await?;
                    continue;
                }
                let same = |ours: &&Ours| ours.name.to_lowercase() == name.to_lowercase();
                let known = here.iter().find(same);
                match self.make(experiment, &name, known, &mut state).await? {
                    Some(ours) => self.fill(experiment, &ours, &mut state).await?,
                    None => self.leave_out(experiment, &mut state).await?,
                }
            }
            self.link(&mut state).await?;
            self.bring_registry(&mut state).await?;
            Ok(state.tally)
        })
    }

    /// The experiment here, made or with its tags brought up to date; none when it was deleted here
    /// or cannot be made.
    async fn make(
        &self,
        experiment: &Experiment,
        name: &str,
        known: Option<&Ours>,
        state: &mut State,
    ) -> Result<Option<Ours>> {
        let count = &mut state.tally.experiments;
        if let Some(ours) = known {
            if ours.deleted && !experiment.deleted && !self.again {
                count.left_out += 1;
                state.remark(format!(
                    "The experiment `{name}` is deleted here; its runs are left out"
                ));
                return Ok(None);
            }
            let has = |(key, value): (&String, &String)| ours.tags.get(key) == Some(value);
            if experiment.tags.iter().all(has) {
                count.unchanged += 1;
                return Ok(Some(ours.clone()));
            }
        }
        let import = ImportExperiments {
            workspace: self.workspace.to_owned(),
            experiments: vec![ImportedExperiment {
                name: name.to_owned(),
                tags: experiment.tags.clone(),
                deleted: experiment.deleted,
                created_at: experiment.created_at,
                updated_at: experiment.updated_at,
            }],
        };
        match self.client.call(&import).await {
            Ok(made) => {
                match known {
                    Some(_) => count.updated += 1,
                    None => count.new += 1,
                }
                Ok(made.into_iter().next())
            }
            Err(error) if error.code == Code::Invalid => {
                count.failed += 1;
                state.remark(format!("The experiment `{name}`: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Counts what is not brought over.
    async fn leave_out(&self, experiment: &Experiment, state: &mut State) -> Result<()> {
        let mut page = None;
        loop {
            let runs = self.source.runs(experiment, page).await?;
            let count = runs.items.len() as u64;
            state.tally.runs.found += count;
            state.tally.runs.left_out += count;
            (self.progress)(count);
            page = runs.next;
            if page.is_none() {
                break;
            }
        }
        self.leave_out_traces(experiment, state).await
    }

    async fn fill(&self, experiment: &Experiment, ours: &Ours, state: &mut State) -> Result<()> {
        let models = self.source.models(experiment).await?;
        let mut page = None;
        loop {
            let mut found = self.source.runs(experiment, page).await?;
            state.tally.runs.found += found.items.len() as u64;
            for run in &mut found.items {
                run.deleted |= experiment.deleted;
            }
            self.bring_runs(ours, &models, found.items, state).await?;
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        self.bring_models(ours, &models, state).await?;
        self.bring_traces(experiment, ours, state).await
    }

    /// Links runs to models, now that all there will be are here.
    async fn link(&self, state: &mut State) -> Result<()> {
        let mut runs: BTreeMap<String, Vec<ImportedRun>> = BTreeMap::new();
        for (experiment, run) in std::mem::take(&mut state.linked_later) {
            runs.entry(experiment).or_default().push(run);
        }
        for (experiment, runs) in runs {
            for batch in runs.chunks(BATCH) {
                self.send(&experiment, batch.to_vec()).await?;
            }
        }
        Ok(())
    }

    async fn send(&self, experiment: &str, runs: Vec<ImportedRun>) -> Result<Vec<String>> {
        let import = ImportRuns {
            workspace: self.workspace.to_owned(),
            experiment_id: experiment.to_owned(),
            runs,
        };
        self.client.call(&import).await
    }
}

impl State {
    fn remark(&mut self, remark: String) {
        if self.tally.remarks.len() < REMARKS {
            self.tally.remarks.push(remark);
        }
    }
}

/// Whether an operation on many failed because of what one of them says.
fn is_trouble_of_one(error: &Error) -> bool {
    matches!(error.code, Code::Invalid | Code::Conflict)
}

/// A run without what is added to it piece by piece.
fn bare(run: &Run) -> ImportedRun {
    ImportedRun {
        origin: run.id.clone(),
        display_name: run.name.clone(),
        user: run.user.clone(),
        status: run.status,
        started_at: run.started_at,
        ended_at: run.ended_at.filter(|_| run.status != RunStatus::Running),
        deleted: run.deleted,
        ..ImportedRun::default()
    }
}
