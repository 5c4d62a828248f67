//! Logged models, once the runs that made them are here: their files are artifacts of those runs.

use std::collections::BTreeMap;

use super::{Import, State};
use crate::{
    record::{Model, Owner},
    tally::Count,
};
use api::{
    Result,
    experiments::Experiment as Ours,
    files::Hash,
    imports::{FindImported, ImportModels, Imported, ImportedModel, ImportedRun},
    logged_models::path_of,
    runs::RunStatus,
};

/// Models sent at once.
const BATCH: usize = 50;

/// Tells whether a model has changed there since all of it was here.
fn stamp(model: &Model) -> String {
    let state = serde_json::to_vec(model).unwrap_or_default();
    Hash::of(&state).hex()[..32].to_owned()
}

impl Import<'_> {
    pub(super) async fn bring_models(
        &self,
        ours: &Ours,
        models: &[Model],
        state: &mut State,
    ) -> Result<()> {
        state.tally.logged_models.found += models.len() as u64;
        let (deleted, models): (Vec<&Model>, Vec<&Model>) = models
            .iter()
            .partition(|model| model.deleted && !self.include_deleted);
        state.tally.logged_models.left_out += deleted.len() as u64;
        for batch in models.chunks(BATCH) {
            let find = FindImported {
                workspace: self.workspace.to_owned(),
                origins: batch.iter().map(|model| model.id.clone()).collect(),
            };
            let known = self.client.call(&find).await?;
            let wanted = self.wanted_models(batch, &known, &mut state.tally.logged_models);
            if !wanted.is_empty() {
                self.bring_model_batch(ours, &wanted, state).await?;
            }
        }
        Ok(())
    }

    fn wanted_models<'a>(
        &self,
        models: &[&'a Model],
        known: &BTreeMap<String, Imported>,
        count: &mut Count,
    ) -> Vec<&'a Model> {
        let mut wanted = Vec::new();
        for model in models {
            let place = match known.get(&model.id) {
                Some(Imported { run: None, .. }) if !self.again => &mut count.left_out,
                Some(known) if known.stamp.as_ref() == Some(&stamp(model)) && !self.again => {
                    &mut count.unchanged
                }
                known => {
                    wanted.push(*model);
                    match known {
                        Some(_) => &mut count.updated,
                        None => &mut count.new,
                    }
                }
            };
            *place += 1;
        }
        wanted
    }

    async fn bring_model_batch(
        &self,
        ours: &Ours,
        models: &[&Model],
        state: &mut State,
    ) -> Result<()> {
        let runs = self.runs_here(models).await?;
        let here = |run: &String| runs.get(run).cloned();
        let mut holders = BTreeMap::new();
        for model in models {
            let run = match model.run.as_ref().and_then(here) {
                Some(run) => run,
                None => self.holder(ours, model).await?,
            };
            holders.insert(model.id.as_str(), run);
        }
        let imported: Vec<ImportedModel> = models
            .iter()
            .map(|model| ImportedModel {
                origin: model.id.clone(),
                name: model.name.clone(),
                kind: model.kind.clone(),
                status: model.status,
                run: holders.get(model.id.as_str()).cloned(),
                params: model.params.clone(),
                tags: model.tags.clone(),
                metrics: model
                    .metrics
                    .iter()
                    .filter_map(|(run, metric)| Some((here(run)?, metric.clone())))
                    .collect(),
                deleted: model.deleted,
                created_at: model.created_at,
                updated_at: model.updated_at,
                stamp: None,
            })
            .collect();
        let mut import = ImportModels {
            workspace: self.workspace.to_owned(),
            experiment_id: ours.id.clone(),
            models: imported,
        };
        let ids = self.client.call(&import).await?;
        let reached = self
            .bring_model_files(models, &ids, &holders, state)
            .await?;
        for ((imported, model), reached) in import.models.iter_mut().zip(models).zip(reached) {
            imported.stamp = reached.then(|| stamp(model));
        }
        self.client.call(&import).await?;
        Ok(())
    }

    /// What runs that models name are called here.
    async fn runs_here(&self, models: &[&Model]) -> Result<BTreeMap<String, String>> {
        let made = models.iter().filter_map(|model| model.run.clone());
        let measured = models
            .iter()
            .flat_map(|model| &model.metrics)
            .map(|(run, _)| run.clone());
        let find = FindImported {
            workspace: self.workspace.to_owned(),
            origins: made.chain(measured).collect(),
        };
        let found = self.client.call(&find).await?;
        Ok(found
            .into_iter()
            .filter_map(|(origin, imported)| Some((origin, imported.run?)))
            .collect())
    }

    /// A run to hold the files of a model that no run here has made.
    async fn holder(&self, ours: &Ours, model: &Model) -> Result<String> {
        let run = ImportedRun {
            origin: model.id.clone(),
            display_name: model.name.clone(),
            status: RunStatus::Completed,
            started_at: Some(model.created_at),
            ended_at: Some(model.updated_at),
            deleted: model.deleted,
            ..ImportedRun::default()
        };
        let mut names = self.send(&ours.id, vec![run]).await?;
        Ok(names.pop().unwrap_or_default())
    }

    async fn bring_model_files(
        &self,
        models: &[&Model],
        ids: &[String],
        holders: &BTreeMap<&str, String>,
        state: &mut State,
    ) -> Result<Vec<bool>> {
        let owners: Vec<Owner<'_>> = models.iter().map(|model| Owner::Model(model)).collect();
        let gathered = self.gather(&owners, state).await?;
        let mut reached = Vec::with_capacity(models.len());
        for ((model, id), files) in models.iter().zip(ids).zip(gathered) {
            let run = &holders[model.id.as_str()];
            let below = |path: &str| format!("{}/{path}", path_of(id));
            for file in &files.later {
                let path = below(&file.path);
                self.stream(Owner::Model(model), file, run, &path).await?;
            }
            let mut entries = files.entries;
            for entry in &mut entries {
                entry.path = below(&entry.path);
            }
            self.client
                .add_artifacts(self.workspace, run, entries)
                .await?;
            reached.push(files.reached);
        }
        Ok(reached)
    }
}
