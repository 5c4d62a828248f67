//! The course of an export: experiment by experiment, their runs in batches, then their models; at the
//! end the registry. The workspace is read as any tracking store is, by its address.

mod registry;
mod traces;

use std::{
    collections::{HashMap, HashSet},
    path::Path,
};

use futures_util::future::LocalBoxFuture;

use crate::{
    names::select,
    record::{Experiment, Owner, Run},
    source::{Cursor, Source},
    tally::{Count, Tally},
    target::Database,
};
use api::{Error, Result, files::Hash, imports::Outcome};
use client::save;

/// The experiments that an export is about.
pub struct Chosen(Vec<Experiment>);

impl Chosen {
    /// Finds those of these names, or all; a name that is not there is an error, before anything is
    /// written.
    pub async fn find(source: &Source, names: &[String]) -> Result<Self> {
        let mut found = source.experiments().await?;
        select(&mut found, names, "")?;
        Ok(Self(found))
    }
}

/// An export of a workspace.
pub struct Export<'a> {
    pub source: &'a Source,
    pub target: &'a mut Database,
    /// Only these experiments; all when empty.
    pub experiments: &'a [String],
    pub chosen: Chosen,
    /// Write what is deleted too, as deleted.
    pub include_deleted: bool,
    /// Write all of every run again.
    pub again: bool,
    /// Told of runs and traces that were dealt with.
    pub progress: &'a dyn Fn(u64),
    /// Where the files of runs and models lie, by their ids, as far as they were dealt with.
    pub folders: HashMap<String, String>,
}

impl<'a> Export<'a> {
    /// Writes everything that is not there yet. What was written by then stays when an error ends it.
    pub fn run(mut self) -> LocalBoxFuture<'a, Result<Tally>> {
        Box::pin(async move {
            let mut tally = Tally::default();
            let found = std::mem::take(&mut self.chosen.0);
            tally.experiments.found = found.len() as u64;
            let mut wanted = Vec::new();
            for experiment in &found {
                if experiment.deleted && !self.include_deleted {
                    tally.experiments.left_out += 1;
                    self.leave_out(experiment, &mut tally).await?;
                    continue;
                }
                add(&mut tally.experiments, self.target.experiment(experiment)?);
                self.write_runs(experiment, &mut tally).await?;
                wanted.push(experiment);
            }
            // Models and traces name runs, which may be those of another experiment.
            for experiment in wanted {
                self.write_models(experiment, &mut tally).await?;
                self.write_traces(experiment, &mut tally).await?;
            }
            self.write_registry(&found, &mut tally).await?;
            Ok(tally)
        })
    }

    async fn leave_out(&self, experiment: &Experiment, tally: &mut Tally) -> Result<()> {
        let mut page = None;
        loop {
            let runs = self.source.runs(experiment, page).await?;
            let count = runs.items.len() as u64;
            tally.runs.found += count;
            tally.runs.left_out += count;
            (self.progress)(count);
            page = runs.next;
            if page.is_none() {
                break;
            }
        }
        let mut page = None;
        loop {
            let traces = self.source.traces(experiment, page).await?;
            let count = traces.items.len() as u64;
            tally.traces.found += count;
            tally.traces.left_out += count;
            page = traces.next;
            if page.is_none() {
                return Ok(());
            }
        }
    }

    async fn write_runs(&mut self, experiment: &Experiment, tally: &mut Tally) -> Result<()> {
        let mut page = None;
        loop {
            let found = self.source.runs(experiment, page).await?;
            let all = found.items.len() as u64;
            tally.runs.found += all;
            let mut wanted = Vec::new();
            let mut known = HashSet::new();
            let id = self.target.experiment_id(&experiment.id)?.to_owned();
            for run in found.items {
                let stamp = stamp(&run);
                if run.deleted && !self.include_deleted {
                    tally.runs.left_out += 1;
                    continue;
                }
                let folder = format!("{id}/{}/artifacts", run.id);
                self.folders.insert(run.id.clone(), folder);
                if !self.again && self.target.stamp(&run.id)?.as_ref() == Some(&stamp) {
                    known.insert(run.id.clone());
                }
                wanted.push(run);
            }
            let source = self.source;
            let outcomes = self
                .target
                .at_once(async |target| {
                    write_batch(source, target, experiment, (&wanted, &known), tally).await
                })
                .await?;
            for outcome in outcomes {
                add(&mut tally.runs, outcome);
            }
            (self.progress)(all);
            page = found.next;
            if page.is_none() {
                return Ok(());
            }
        }
    }

    async fn write_models(&mut self, experiment: &Experiment, tally: &mut Tally) -> Result<()> {
        for mut model in self.source.models(experiment).await? {
            tally.logged_models.found += 1;
            // As in MLflow, what was measured goes with its run: one that is left out has none.
            let measured = std::mem::take(&mut model.metrics);
            for (run, metric) in measured {
                if self.target.has_run(&run)? {
                    model.metrics.push((run, metric));
                }
            }
            let stamp = stamp(&model);
            if model.deleted && !self.include_deleted {
                tally.logged_models.left_out += 1;
                continue;
            }
            let id = self.target.experiment_id(&experiment.id)?;
            let folder = format!("{id}/models/{}/artifacts", model.id);
            self.folders.insert(model.id.clone(), folder.clone());
            let is_known = !self.again && self.target.stamp(&model.id)?.as_ref() == Some(&stamp);
            let files = if is_known { Files::Missing } else { Files::All };
            let owner = Owner::Model(&model);
            let copied = copy(self.source, self.target, owner, (&folder, files), tally).await?;
            if is_known {
                add(
                    &mut tally.logged_models,
                    outcome_of_more(copied.written > 0),
                );
                continue;
            }
            let write = async |target: &mut Database| target.model(&experiment.id, &model, &stamp);
            let outcome = self.target.at_once(write).await?;
            add(&mut tally.logged_models, outcome);
        }
        Ok(())
    }
}

/// Writes runs with their files and points; of those that are known and as they were, what came to them
/// since: neither a file nor a point that is not the latest shows in a run's state.
async fn write_batch(
    source: &Source,
    target: &mut Database,
    experiment: &Experiment,
    (runs, known): (&[Run], &HashSet<String>),
    tally: &mut Tally,
) -> Result<Vec<Outcome>> {
    let id = target.experiment_id(&experiment.id)?.to_owned();
    let mut outcomes = Vec::with_capacity(runs.len());
    let mut more = HashSet::new();
    for run in runs {
        let folder = format!("{id}/{}/artifacts", run.id);
        let is_known = known.contains(&run.id);
        let files = if is_known { Files::Missing } else { Files::All };
        let copied = copy(source, target, Owner::Run(run), (&folder, files), tally).await?;
        if !is_known {
            outcomes.push(target.run(&experiment.id, run, &stamp(run))?);
        } else if copied.written > 0 {
            more.insert(run.id.clone());
        }
    }
    let mut cursor = Cursor::default();
    while let Some(points) = source.points(runs, &mut cursor).await? {
        for (run, point) in &points {
            let is_new = target.point(run, point)?;
            let is_known = known.contains(run);
            tally.metric_points += u64::from(is_new || !is_known);
            if is_new && is_known {
                more.insert(run.clone());
            }
        }
    }
    let of_known = known.iter().map(|run| outcome_of_more(more.contains(run)));
    outcomes.extend(of_known);
    Ok(outcomes)
}

fn outcome_of_more(came: bool) -> Outcome {
    if came {
        Outcome::Updated
    } else {
        Outcome::Unchanged
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Files {
    All,
    /// Those that are not there, or of another size.
    Missing,
}

struct Copied {
    found: usize,
    written: usize,
}

/// Copies the files of a run, model or version into a folder of the server's artifacts.
async fn copy(
    source: &Source,
    target: &Database,
    owner: Owner<'_>,
    (folder, which): (&str, Files),
    tally: &mut Tally,
) -> Result<Copied> {
    let files = source.files(owner).await?;
    if files.is_none() {
        tally.without_files += 1;
    }
    let files = files.unwrap_or_default();
    let mut written = 0;
    for file in &files {
        let place = target.place(folder, &file.path)?;
        let is_there = || std::fs::metadata(&place).is_ok_and(|there| there.len() == file.size);
        if which == Files::Missing && is_there() {
            continue;
        }
        written += 1;
        let parent = place.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(parent).map_err(|e| {
            Error::unavailable(format!("Cannot make `{}`: {e}", parent.display())).at("--artifacts")
        })?;
        save(source.read(owner, file).await?, &place, |_| ()).await?;
        tally.files += 1;
        tally.bytes += file.size;
    }
    Ok(Copied {
        found: files.len(),
        written,
    })
}

/// Tells whether something has changed since it was written.
fn stamp(state: &impl serde::Serialize) -> String {
    let state = serde_json::to_vec(state).unwrap_or_default();
    Hash::of(&state).hex()[..32].to_owned()
}

fn add(count: &mut Count, outcome: Outcome) {
    let place = match outcome {
        Outcome::Unchanged => &mut count.unchanged,
        Outcome::New => &mut count.new,
        Outcome::Updated => &mut count.updated,
        Outcome::LeftOut => &mut count.left_out,
        Outcome::Taken => &mut count.failed,
    };
    *place += 1;
}
