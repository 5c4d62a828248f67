//! Registered models and prompts, once the runs and logged models that they are made of are here.

use std::collections::BTreeMap;

use super::{Import, State};
use crate::{
    api::{
        Code, Result,
        files::CreateTree,
        files::Tree,
        imports::{
            FindImported, ImportRegisteredModel, Imported, ImportedRegistration, ImportedVersion,
            Outcome,
        },
        models::ModelSource,
        registered_models::is_prompt,
    },
    exchange::{
        record::{Owner, Registered, Version},
        tally::Count,
    },
};

/// What there is at the place of a version's files.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Run { id: String, path: String },
    Model { id: String, path: String },
    Version { name: String, number: u64 },
    Other,
}

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
                Err(error) if matches!(error.code, Code::Invalid | Code::Conflict) => {
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

/// What a version's source says, or else the folder in which its files lie.
fn place(version: &Version) -> Place {
    match named(&version.source) {
        Place::Other => named(&version.location),
        found => found,
    }
}

fn named(uri: &str) -> Place {
    if let Some(rest) = uri.strip_prefix("runs:/") {
        let (id, path) = rest.split_once('/').unwrap_or((rest, ""));
        return Place::Run {
            id: id.to_owned(),
            path: path.to_owned(),
        };
    }
    if let Some(rest) = uri.strip_prefix("models:/") {
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        return match rest.parse() {
            _ if name.starts_with("m-") => Place::Model {
                id: name.to_owned(),
                path: rest.to_owned(),
            },
            Ok(number) => Place::Version {
                name: name.to_owned(),
                number,
            },
            Err(_) => Place::Other,
        };
    }
    let parts: Vec<&str> = uri.split('/').collect();
    let artifacts = parts.iter().position(|part| *part == "artifacts");
    let Some((owner, at)) = artifacts.and_then(|at| Some((parts.get(at.checked_sub(1)?)?, at)))
    else {
        return Place::Other;
    };
    let (id, path) = ((*owner).to_owned(), parts[at + 1..].join("/"));
    let path = path.trim_end_matches('/').to_owned();
    if id.starts_with("m-") {
        Place::Model { id, path }
    } else {
        Place::Run { id, path }
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

#[cfg(test)]
mod tests {
    use super::{Place, named};

    #[test]
    fn the_place_of_a_version_tells_what_made_it() {
        let run = |path: &str| Place::Run {
            id: "ab12".to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(named("runs:/ab12/a/b"), run("a/b"));
        assert_eq!(named("mlflow-artifacts:/1/ab12/artifacts/a"), run("a"));
        assert_eq!(named("/x/mlruns/1/ab12/artifacts"), run(""));
        let model = |path: &str| Place::Model {
            id: "m-1".to_owned(),
            path: path.to_owned(),
        };
        assert_eq!(named("models:/m-1"), model(""));
        assert_eq!(named("s3://b/1/models/m-1/artifacts/x"), model("x"));
        let version = Place::Version {
            name: "iris".to_owned(),
            number: 3,
        };
        assert_eq!(named("models:/iris/3"), version);
        for uri in [
            "",
            "s3://bucket/model",
            "models:/iris/Production",
            "artifacts",
        ] {
            assert_eq!(named(uri), Place::Other, "{uri}");
        }
    }
}
