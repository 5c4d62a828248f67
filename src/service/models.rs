//! Models: registering from runs and trees, versions, what keeps a version from being deleted.

use std::collections::BTreeSet;

use super::{Action, Caller, Perform, Service};
use crate::{
    api::{
        Done, Error, Result,
        files::{Artifact, CreateTree, GetTree, Hash, ListArtifacts, Tree, TreeEntry},
        models::{
            DeleteModel, GetModel, Lineage, ListModels, Model, ModelSource, ModelType,
            RegisterModel, UpdateModel,
        },
        names,
        runs::GetRun,
    },
    store::{ModelChange, ModelDeletion, ModelRow, NewModel, WorkspaceRow},
};

/// The file that makes a folder a model in MLflow format.
const MLMODEL: &str = "MLmodel";
/// How many of a run's artifacts an error lists.
const LISTED: usize = 8;

impl Service {
    /// One version of a model, or why there is none; the newest when `version` is absent.
    pub(super) async fn find_model(
        &self,
        row: &WorkspaceRow,
        name: &str,
        version: Option<u64>,
    ) -> Result<ModelRow> {
        match self.store.model(row.id, name, version).await? {
            Some(found) => Ok(found),
            None => Err(self.unknown_model(row, name, version).await?),
        }
    }

    async fn unknown_model(
        &self,
        row: &WorkspaceRow,
        name: &str,
        version: Option<u64>,
    ) -> Result<Error> {
        let place = format!(" in workspace `{}`", row.workspace.name);
        let versions = self
            .store
            .list_models(row.id, Some(name.to_owned()), true)
            .await?;
        if let Some(newest) = versions.first().map(|row| &row.model) {
            let name = &newest.name;
            return Ok(match version {
                Some(version) => Error::not_found(format!(
                    "No model `{name}` version {version}{place}"
                ))
                .hint(format!(
                    "The newest version is {}; see all: aml model list --name {name}",
                    newest.version
                )),
                None => Error::not_found(format!("Every version of `{name}` is archived"))
                    .hint(format!("aml model restore {name}:{}", newest.version)),
            });
        }
        let rows = self.store.list_models(row.id, None, true).await?;
        let nearest = names::nearest(name, rows.iter().map(|row| row.model.name.as_str()));
        let error = Error::unknown("model", name, &place, nearest);
        Ok(if nearest.is_none() {
            error.hint("See which there are: aml model list")
        } else {
            error
        })
    }
}

impl Perform for RegisterModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Model> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        names::MODEL.check(&self.name)?;
        for key in self.tags.keys() {
            names::TAG.check(key)?;
        }
        let (tree, entries, lineage) = match self.source {
            ModelSource::Run { run, path } => from_run(service, caller, &row, &run, &path).await?,
            ModelSource::Tree { hash, path } => {
                let tree = GetTree {
                    workspace: self.workspace,
                    hash,
                };
                let tree = tree.perform(service, caller).await?;
                let lineage = Lineage {
                    path: Some(path),
                    ..Lineage::default()
                };
                (hash, tree.entries, lineage)
            }
        };
        if entries.is_empty() {
            return Err(Error::invalid("A model needs at least one file").at("path"));
        }
        let new = NewModel {
            name: self.name,
            kind: check_kind(self.kind, &entries)?,
            description: self.description,
            tags: self.tags,
            tree,
            lineage,
            created_by: caller.name().to_owned(),
            now: service.now(),
        };
        match service.store.register_model(row.id, new).await? {
            Some(registered) => Ok(registered.model),
            None => Err(Error::conflict("The model's files were deleted meanwhile")
                .hint("Register it again")),
        }
    }
}

/// What `wanted` says, if the files agree; else what the files say.
fn check_kind(wanted: Option<ModelType>, entries: &[TreeEntry]) -> Result<ModelType> {
    let has_mlmodel = entries.iter().any(|entry| entry.path == MLMODEL);
    match wanted {
        Some(ModelType::Mlflow) if !has_mlmodel => Err(Error::invalid(
            "A model of type mlflow has a file `MLmodel` at its top, and this one does not",
        )
        .at("type")
        .hint("Name the folder that holds MLmodel, or register it with --type custom")),
        Some(kind) => Ok(kind),
        None if has_mlmodel => Ok(ModelType::Mlflow),
        None => Ok(ModelType::Custom),
    }
}

/// Makes a tree of what a run has put out at `path`.
async fn from_run(
    service: &Service,
    caller: &Caller,
    row: &WorkspaceRow,
    run: &str,
    path: &str,
) -> Result<(Hash, Vec<TreeEntry>, Lineage)> {
    let workspace = &row.workspace.name;
    let get_run = GetRun {
        workspace: workspace.to_owned(),
        run: run.to_owned(),
    };
    let run = get_run.perform(service, caller).await?;
    let all = ListArtifacts {
        workspace: workspace.to_owned(),
        run: run.name.clone(),
        path: String::new(),
    };
    let all = all.perform(service, caller).await?;
    let path = path.trim_start_matches("./").trim_matches('/');
    let mut entries = below(&all, path);
    if entries.is_empty()
        && let Some(place) = logged_model(service, row, &run.name, path).await?
    {
        entries = below(&all, &place);
    }
    if entries.is_empty() {
        let id = service.find_run(row, &run.name).await?;
        let logged = service.store.list_logged_models(row.id, Some(id)).await?;
        let logged: Vec<&str> = logged.iter().map(|model| model.name.as_str()).collect();
        return Err(not_produced(&run.name, path, &all, &logged));
    }
    let tree = Tree::new(entries);
    let create = CreateTree {
        workspace: workspace.to_owned(),
        tree: tree.clone(),
    };
    let info = create.perform(service, caller).await?;
    let job = run.job.as_ref();
    let lineage = Lineage {
        run: Some(run.name),
        path: Some(path.to_owned()),
        experiment: Some(run.experiment),
        snapshot: run.snapshot.map(|snapshot| snapshot.hash.hex()),
        environment: job.map(|job| job.environment.name().to_owned()),
        git_commit: job.and_then(|job| Some(job.git.as_ref()?.commit.clone())),
    };
    Ok((info.hash, tree.entries, lineage))
}

/// Where the files of a run's logged model are that `path` begins with the name of.
async fn logged_model(
    service: &Service,
    row: &WorkspaceRow,
    run: &str,
    path: &str,
) -> Result<Option<String>> {
    let run = service.find_run(row, run).await?;
    let (name, inside) = path.split_once('/').unwrap_or((path, ""));
    let found = service.resolve_logged_model(row, run, name).await?;
    Ok(found.map(|model| {
        let place = format!("{}/{inside}", model.path());
        place.trim_end_matches('/').to_owned()
    }))
}

/// The artifacts at or below `path`, relative to it; a file keeps its own name. All when it is empty.
fn below(artifacts: &[Artifact], path: &str) -> Vec<TreeEntry> {
    let relative = |artifact: &Artifact| -> Option<String> {
        if path.is_empty() {
            return Some(artifact.path.clone());
        }
        match artifact.path.strip_prefix(path)? {
            "" => artifact.path.rsplit('/').next().map(str::to_owned),
            rest => rest.strip_prefix('/').map(str::to_owned),
        }
    };
    let entry = |artifact: &Artifact| {
        Some(TreeEntry {
            path: relative(artifact)?,
            hash: artifact.hash,
            size: artifact.size,
            executable: false,
            symlink: false,
        })
    };
    artifacts.iter().filter_map(entry).collect()
}

/// The error for a path that a run did not put out: names the closest, or lists what there is.
fn not_produced(run: &str, path: &str, artifacts: &[Artifact], logged: &[&str]) -> Error {
    let error =
        Error::not_found(format!("The run `{run}` has put out nothing at `{path}`")).at("path");
    let mut places: BTreeSet<&str> = logged.iter().copied().collect();
    for artifact in artifacts {
        places.insert(&artifact.path);
        for (end, _) in artifact.path.match_indices('/') {
            places.insert(&artifact.path[..end]);
        }
    }
    if let Some(nearest) = names::nearest(path, places.iter().copied()) {
        return error.hint(format!("Did you mean `{nearest}`?"));
    }
    if artifacts.is_empty() {
        return error.hint("It has no artifacts; a job puts out what it writes to ./outputs");
    }
    let listed: Vec<_> = artifacts
        .iter()
        .take(LISTED)
        .map(|artifact| format!("`{}`", artifact.path))
        .collect();
    let more = if artifacts.len() > LISTED {
        ", …"
    } else {
        ""
    };
    error.hint(format!("It has put out {}{more}", listed.join(", ")))
}

impl Perform for ListModels {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Model>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let rows = service
            .store
            .list_models(row.id, self.name.clone(), self.include_archived)
            .await?;
        match self.name {
            Some(name) if rows.is_empty() && !self.include_archived => {
                // Tells a name that is unknown from one whose versions are all archived.
                service.find_model(&row, &name, None).await?;
                Ok(Vec::new())
            }
            Some(name) if rows.is_empty() => Err(service.unknown_model(&row, &name, None).await?),
            _ => Ok(rows.into_iter().map(|row| row.model).collect()),
        }
    }
}

impl Perform for GetModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Model> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_model(&row, &self.name, self.version).await?;
        Ok(found.model)
    }
}

impl Perform for UpdateModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Model> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        for key in self.tags.keys() {
            names::TAG.check(key)?;
        }
        let change = ModelChange {
            description: self.description,
            tags: self.tags,
            archived: self.archived,
        };
        let updated = service
            .store
            .update_model(row.id, &self.name, self.version, service.now(), change)
            .await?;
        match updated {
            Some(updated) => Ok(updated.model),
            None => Err(service
                .unknown_model(&row, &self.name, Some(self.version))
                .await?),
        }
    }
}

impl Perform for DeleteModel {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteModels)
            .await?;
        let name = &self.name;
        match service
            .store
            .delete_model(row.id, name, self.version)
            .await?
        {
            ModelDeletion::Deleted => Ok(Done {}),
            ModelDeletion::Missing => Err(service.unknown_model(&row, name, self.version).await?),
            ModelDeletion::Deployed { endpoint, version } => Err(Error::conflict(format!(
                "`{name}:{version}` is deployed as the endpoint `{endpoint}`"
            ))
            .hint(format!(
                "Delete the endpoint first: aml endpoint delete {endpoint}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{below, check_kind, not_produced};
    use crate::api::{
        Time,
        files::{Artifact, Hash},
        models::ModelType,
    };

    fn artifacts(paths: &[&str]) -> Vec<Artifact> {
        let artifact = |path: &&str| Artifact {
            path: (*path).to_owned(),
            size: 1,
            hash: Hash::of(path.as_bytes()),
            updated_at: Time(0),
        };
        paths.iter().map(artifact).collect()
    }

    fn paths(all: &[&str], path: &str) -> String {
        let entries = below(&artifacts(all), path);
        let paths: Vec<_> = entries.into_iter().map(|entry| entry.path).collect();
        paths.join(" ")
    }

    #[test]
    fn a_folder_becomes_the_top_and_a_file_keeps_its_name() {
        let all = [
            "outputs/model/MLmodel",
            "outputs/model/a/b",
            "outputs/model2",
        ];
        assert_eq!(paths(&all, "outputs/model"), "MLmodel a/b");
        assert_eq!(paths(&all, "outputs/model2"), "model2");
        assert_eq!(paths(&all, "outputs/mod"), "");
        assert_eq!(paths(&["x", "y/z"], ""), "x y/z");
    }

    #[test]
    fn a_wrong_path_names_the_nearest_or_lists_what_there_is() {
        let hint = |path: &str, all: &[&str]| {
            not_produced("brave-otter", path, &artifacts(all), &["forest"])
                .hints
                .concat()
        };
        let all = ["outputs/model/model.pkl"];
        assert_eq!(hint("forrest", &all), "Did you mean `forest`?");
        assert_eq!(hint("outputs/modle", &all), "Did you mean `outputs/model`?");
        assert_eq!(
            hint("zzz", &all),
            "It has put out `outputs/model/model.pkl`"
        );
        assert!(hint("zzz", &[]).contains("./outputs"));
    }

    #[test]
    fn the_type_comes_from_the_files_unless_it_contradicts_them() {
        let mlflow = below(&artifacts(&["MLmodel"]), "");
        let custom = below(&artifacts(&["nested/MLmodel"]), "");
        assert_eq!(check_kind(None, &mlflow).unwrap(), ModelType::Mlflow);
        assert_eq!(check_kind(None, &custom).unwrap(), ModelType::Custom);
        assert_eq!(
            check_kind(Some(ModelType::Custom), &mlflow).unwrap(),
            ModelType::Custom
        );
        assert!(check_kind(Some(ModelType::Mlflow), &custom).is_err());
    }
}
