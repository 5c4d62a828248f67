//! Runs, a batch at a time: their records and points in one operation, with the files that are small.

use std::collections::BTreeMap;

use super::{Import, State, bare, files::Gathered, is_trouble_of_one};
use crate::{
    record::{Model, Owner, Run},
    source::{Cursor, POINTS},
};
use api::{
    Result,
    experiments::Experiment as Ours,
    files::Hash,
    imports::{FindImported, Imported, ImportedRun},
};

/// Tells whether a run has changed there since all of it was here.
fn stamp(run: &Run) -> String {
    let state = serde_json::to_vec(run).unwrap_or_default();
    Hash::of(&state).hex()[..32].to_owned()
}

impl Import<'_> {
    pub(super) async fn bring_runs(
        &self,
        ours: &Ours,
        models: &[Model],
        runs: Vec<Run>,
        state: &mut State,
    ) -> Result<()> {
        let all = runs.len() as u64;
        let find = FindImported {
            workspace: self.workspace.to_owned(),
            origins: runs.iter().map(|run| run.id.clone()).collect(),
        };
        let known = self.client.call(&find).await?;
        let runs = self.wanted(runs, &known, state);
        if let Err(error) = self.bring_batch(ours, models, &runs, state).await {
            if !is_trouble_of_one(&error) {
                return Err(error);
            }
            // One of them is the trouble; the others shall not suffer from it.
            for run in &runs {
                let one = std::slice::from_ref(run);
                if let Err(error) = self.bring_batch(ours, models, one, state).await {
                    if !is_trouble_of_one(&error) {
                        return Err(error);
                    }
                    state.tally.runs.failed += 1;
                    state.remark(format!("The run `{}`: {error}", run.id));
                } else {
                    count(state, run, &known);
                }
            }
        } else {
            for run in &runs {
                count(state, run, &known);
            }
        }
        (self.progress)(all);
        Ok(())
    }

    /// Leaves out what is here already, and what was deleted there or here.
    fn wanted(
        &self,
        runs: Vec<Run>,
        known: &BTreeMap<String, Imported>,
        state: &mut State,
    ) -> Vec<Run> {
        let tally = &mut state.tally.runs;
        let wanted = |run: &Run| match known.get(&run.id) {
            None if run.deleted && !self.include_deleted => {
                tally.left_out += 1;
                false
            }
            Some(Imported { run: None, .. }) if !self.again => {
                tally.left_out += 1;
                false
            }
            Some(known) if known.stamp.as_ref() == Some(&stamp(run)) && !self.again => {
                tally.unchanged += 1;
                false
            }
            _ => true,
        };
        runs.into_iter().filter(wanted).collect()
    }

    async fn bring_batch(
        &self,
        ours: &Ours,
        models: &[Model],
        runs: &[Run],
        state: &mut State,
    ) -> Result<()> {
        if runs.is_empty() {
            return Ok(());
        }
        let owners: Vec<Owner<'_>> = runs.iter().map(Owner::Run).collect();
        let gathered = self.gather(&owners, state).await?;
        let has_models = |run: &Run| {
            let links = &run.links;
            !links.model_inputs.is_empty()
                || !links.model_outputs.is_empty()
                || models
                    .iter()
                    .any(|model| model.run.as_ref() == Some(&run.id))
        };
        // Complete is what has nothing more to come.
        let complete: Vec<bool> = runs
            .iter()
            .zip(&gathered)
            .map(|(run, files)| files.reached && files.later.is_empty() && !has_models(run))
            .collect();
        let names = self
            .send_batch(ours, runs, &gathered, &complete, state)
            .await?;
        for ((run, files), name) in runs.iter().zip(&gathered).zip(&names) {
            for file in &files.later {
                self.stream(Owner::Run(run), file, name, &file.path).await?;
            }
        }
        for ((run, files), complete) in runs.iter().zip(&gathered).zip(complete) {
            if !complete {
                let mut rest = bare(run);
                rest.links = run.links.clone();
                rest.stamp = files.reached.then(|| stamp(run));
                state.linked_later.push((ours.id.clone(), rest));
            }
        }
        Ok(())
    }

    /// Sends records and points; what would be too much for one operation goes in several.
    async fn send_batch(
        &self,
        ours: &Ours,
        runs: &[Run],
        gathered: &[Gathered],
        complete: &[bool],
        state: &mut State,
    ) -> Result<Vec<String>> {
        let mut parts: Vec<ImportedRun> = runs.iter().map(bare).collect();
        for ((part, run), files) in parts.iter_mut().zip(runs).zip(gathered) {
            part.params = run.params.clone();
            part.tags = run.tags.clone();
            part.links = run.links.clone();
            part.artifacts.clone_from(&files.entries);
        }
        let place: BTreeMap<&str, usize> = runs
            .iter()
            .enumerate()
            .map(|(at, run)| (run.id.as_str(), at))
            .collect();
        let mut cursor = Cursor::default();
        let mut held = 0;
        while let Some(points) = self.source.points(runs, &mut cursor).await? {
            held += points.len();
            state.tally.metric_points += points.len() as u64;
            for (run, point) in points {
                if let Some(at) = place.get(run.as_str()) {
                    parts[*at].metrics.push(point);
                }
            }
            if held >= POINTS {
                let next = runs.iter().map(bare).collect();
                self.send(&ours.id, std::mem::replace(&mut parts, next))
                    .await?;
                held = 0;
            }
        }
        for ((part, run), complete) in parts.iter_mut().zip(runs).zip(complete) {
            part.stamp = complete.then(|| stamp(run));
        }
        self.send(&ours.id, parts).await
    }
}

fn count(state: &mut State, run: &Run, known: &BTreeMap<String, Imported>) {
    let count = &mut state.tally.runs;
    if known.contains_key(&run.id) {
        count.updated += 1;
    } else {
        count.new += 1;
    }
}
