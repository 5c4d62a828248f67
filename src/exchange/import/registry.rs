//! Registered models and prompts, once the runs and logged models that they are made of are here.

use std::collections::BTreeMap;

use super::{Import, State, is_trouble_of_one};
use crate::{
    origin::{Place, place},
    record::{Owner, Registered, Version},
    tally::Count,
};
use api::{
    Result,
    files::CreateTree,
    files::Tree,
    imports::{
        FindImported, ImportRegisteredModel, Imported, ImportedRegistration, ImportedVersion,
        Outcome,
    },
    models::ModelSource,
    registered_models::is_prompt,
};

impl Import<'_> {
    /// Brings over the registry: all of it, or what came out of the experiments that were asked for.
    pub(super) async fn bring_registry(&self, state: &mut State) -> Result<()> {
        for model in self.source.registered().await? {
            let known = self.known(&model).await?;
            let is_ours = |version: &Version| {
                version
                    .run
                    .as_ref()
                    .is_some_and(|run| known.contains_key(run))
            };
            if !self.experiments.is_empty() && !model.versions.iter().any(is_ours) {
                continue;
            }
            state.tally.registered_models.found += 1;
            state.tally.model_versions.found += model.versions.len() as u64;
            match self.bring_registered(&model, &known, state).await {
                Ok(outcome) => count(&model, &outcome, state),
                Err(error) if is_trouble_of_one(&error) => {
                    state.tally.registered_models.failed += 1;
                    state.tally.model_versions.failed += model.versions.len() as u64;
                    state.remark(format!("The model `{}`: {error}", model.name));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What became of the runs and logged models that versions name.
    async fn known(&self, model: &Registered) -> Result<BTreeMap<String, Imported>> {
        let mut origins = Vec::new();
        for version in &model.versions {
            origins.extend(version.run.clone());
            match place(version) {
                Place::Run { id, .. } | Place::Model { id, .. } => origins.push(id),
                Place::Version { .. } | Place::Other => {}
            }
        }
        let find = FindImported {
            workspace: self.workspace.to_owned(),
            origins,
        };
        self.client.call(&find).await
    }

    async fn bring_registered(
        &self,
        model: &Registered,
        known: &BTreeMap<String, Imported>,
        state: &mut State,
    ) -> Result<ImportedRegistration> {
        let mut versions = Vec::with_capacity(model.versions.len());
        for version in &model.versions {
            let here = |id: &String| known.get(id).and_then(|imported| imported.run.clone());
            let logged = match place(version) {
                Place::Model { id, .. } if known.contains_key(&id) => Some(id),
                _ => None,
            };
            versions.push(ImportedVersion {
                version: version.number,
                source: self.source_here(model, version, known, state).await?,
                uri: Some(version.source.clone()).filter(|source| !source.is_empty()),
                run: version.run.as_ref().and_then(here),
                logged_model: logged,
                run_link: version.run_link.clone(),
                description: version.description.clone(),
                tags: version.tags.clone(),
                stage: version.stage,
                created_by: version.user.clone(),
                created_at: version.created_at,
                updated_at: version.updated_at,
            });
        }
        let import = ImportRegisteredModel {
            workspace: self.workspace.to_owned(),
            name: model.name.clone(),
            description: model.description.clone(),
            tags: model.tags.clone(),
            aliases: model.aliases.clone(),
            created_at: model.created_at,
            updated_at: model.updated_at,
            versions,
            again: self.again,
        };
        self.client.call(&import).await
    }

    /// Where the files of a version are here; those that came with no run are brought along.
    async fn source_here(
        &self,
        model: &Registered,
        version: &Version,
        known: &BTreeMap<String, Imported>,
        state: &mut State,
    ) -> Result<ModelSource> {
        if is_prompt(&model.tags) || is_prompt(&version.tags) {
            return Ok(ModelSource::Nothing);
        }
        match place(version) {
            Place::Run { id, path } => {
                if let Some(run) = known.get(&id).and_then(|imported| imported.run.clone()) {
                    return Ok(ModelSource::Run { run, path });
                }
            }
            Place::Model { id, path } if known.contains_key(&id) => {
                return Ok(ModelSource::LoggedModel { id, path });
            }
            Place::Version { name, number } => {
                return Ok(ModelSource::Version {
                    name,
                    version: number,
                });
            }
            Place::Model { .. } | Place::Other => {}
        }
        let elsewhere = ModelSource::Elsewhere {
            uri: version.source.clone(),
        };
        let owner = [Owner::Version(version)];
        let Some(files) = self.gather(&owner, state).await?.pop() else {
            return Ok(elsewhere);
        };
        if !files.later.is_empty() {
            state.remark(format!(
                "The files of the model `{}` stay where they are: the run that made them is not here",
                version.id
            ));
        }
        if files.entries.is_empty() || !files.later.is_empty() {
            return Ok(elsewhere);
        }
        let tree = CreateTree {
            workspace: self.workspace.to_owned(),
            tree: Tree::new(files.entries),
        };
        let hash = self.client.call(&tree).await?.hash;
        let path = version.source.clone();
        Ok(ModelSource::Tree { hash, path })
    }
}

fn count(model: &Registered, outcome: &ImportedRegistration, state: &mut State) {
    add(&mut state.tally.registered_models, outcome.model);
    for (number, outcome) in &outcome.versions {
        if *outcome == Outcome::Taken {
            state.remark(format!(
                "The model `{}` has another version {number} here, which stays",
                model.name
            ));
        }
        add(&mut state.tally.model_versions, *outcome);
    }
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
