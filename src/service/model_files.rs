//! Where the files of a model version come from: runs, logged models, other versions and stored
//! trees. Files that this workspace has become a tree, which copies nothing.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{Caller, Perform, Service};
use api::{
    Code, Error, Result,
    files::{Artifact, GetTree, Hash, ListArtifacts, Tree, TreeEntry},
    logged_models::{GetLoggedModel, LoggedModel, path_of},
    models::{Lineage, ModelSource, ModelType, Which},
    names,
    paths::{Location, check_open},
    registries,
    runs::{GetRun, Run},
};
use store::{ModelRow, Stored, WorkspaceRow};

/// The file that makes a folder a model in MLflow format.
const MLMODEL: &str = "MLmodel";
/// The most bytes of that file that are read for what it says.
const LONGEST_MLMODEL: u64 = 1 << 20;
/// How many of a run's artifacts an error lists.
const LISTED: usize = 8;

/// What a source turned out to be.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub tree: Option<Hash>,
    /// Those of the tree.
    pub entries: Vec<TreeEntry>,
    pub kind: Option<ModelType>,
    /// The URI of files that are not here.
    pub location: Option<String>,
    pub lineage: Lineage,
}

impl Service {
    /// Finds out what a source is. With `later`, files that are not there yet are no error.
    pub(super) async fn model_files(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        source: ModelSource,
        later: bool,
    ) -> Result<Found> {
        match source {
            ModelSource::Run { run, path } => {
                self.files_of_run(caller, row, run, &path, later).await
            }
            ModelSource::LoggedModel { id, path } => {
                self.files_of_logged_model(caller, row, id, &path, later)
                    .await
            }
            ModelSource::Version { name, version } => {
                let which = Which::Version(version);
                let found = self.find_model(row, &name, which).await?;
                Ok(Found::copy_of(found))
            }
            ModelSource::Tree { hash, path } => {
                let tree = GetTree {
                    workspace: row.workspace.name.clone(),
                    hash,
                };
                let tree = tree.perform(self, caller).await?;
                if tree.entries.is_empty() {
                    return Err(Error::invalid("A model needs at least one file").at("path"));
                }
                Ok(Found {
                    tree: Some(hash),
                    entries: tree.entries,
                    lineage: Lineage {
                        path: Some(path),
                        ..Lineage::default()
                    },
                    ..Found::default()
                })
            }
            ModelSource::Elsewhere { uri } => {
                check_open(&uri)?;
                // What was made elsewhere may name what is there.
                if !later {
                    self.check_datastore(row, &uri).await?;
                }
                Ok(Found {
                    location: Some(uri),
                    ..Found::default()
                })
            }
            ModelSource::Nothing => Ok(Found::default()),
        }
    }

    /// Refuses a place in a datastore that the workspace does not have. A registry has none of its own.
    async fn check_datastore(&self, row: &WorkspaceRow, uri: &str) -> Result<()> {
        let here = &row.workspace.name;
        if let Ok(Location::Datastore {
            workspace,
            datastore,
            ..
        }) = Location::parse(uri)
            && workspace.is_none_or(|named| named.eq_ignore_ascii_case(here))
            && registries::named_in(here).is_none()
        {
            let found = self.find_datastore(row, Some(&datastore)).await;
            found.map_err(|error| error.at("path"))?;
        }
        Ok(())
    }

    /// What a run has put out at `path`, which may begin with the name of one of its logged models.
    async fn files_of_run(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        run: String,
        path: &str,
        later: bool,
    ) -> Result<Found> {
        let path = path.trim_start_matches("./").trim_matches('/');
        let run = match self.run_for_model(caller, row, &run).await {
            Ok(run) => run,
            Err(error) if later && error.code == Code::NotFound => {
                return Ok(Found {
                    lineage: Lineage {
                        run: Some(run),
                        path: Some(path.to_owned()),
                        ..Lineage::default()
                    },
                    ..Found::default()
                });
            }
            Err(error) => return Err(error),
        };
        let all = self.artifacts_for_model(caller, row, &run.name).await?;
        let mut entries = below(&all, path);
        let mut lineage = of_run(&run, path);
        if entries.is_empty() {
            let (name, inside) = path.split_once('/').unwrap_or((path, ""));
            let id = self.find_run(row, &run.name).await?;
            if let Some(model) = self.resolve_logged_model(row, id, name).await? {
                let place = format!("{}/{inside}", model.path());
                entries = below(&all, place.trim_end_matches('/'));
                lineage.logged_model = Some(model.id);
            }
        }
        if entries.is_empty() && !later {
            let id = self.find_run(row, &run.name).await?;
            let logged = self.store.list_logged_models(row.id, Some(id)).await?;
            let logged: Vec<&str> = logged.iter().map(|model| model.name.as_str()).collect();
            return Err(not_produced(&run.name, path, &all, &logged));
        }
        let location = join(&run.artifact_uri, path);
        self.stored(row, entries, lineage, location).await
    }

    async fn files_of_logged_model(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        id: String,
        path: &str,
        later: bool,
    ) -> Result<Found> {
        let get = GetLoggedModel {
            workspace: row.workspace.name.clone(),
            id,
            include_deleted: false,
        };
        let model: LoggedModel = get.perform(self, caller).await?;
        let path = path.trim_matches('/');
        let mut lineage = Lineage {
            run: model.run.clone(),
            path: Some(join(&model.name, path)),
            ..Lineage::default()
        };
        let mut entries = Vec::new();
        // The run that is named may not be one of this workspace.
        if let Some(run) = &model.run
            && let Ok(run) = self.run_for_model(caller, row, run).await
        {
            let all = self.artifacts_for_model(caller, row, &run.name).await?;
            entries = below(&all, &join(&path_of(&model.id), path));
            lineage = of_run(&run, &join(&model.name, path));
        }
        if entries.is_empty() && !later {
            return Err(Error::not_found(format!(
                "The logged model `{}` has no files at `{path}`",
                model.name
            ))
            .at("path"));
        }
        lineage.logged_model = Some(model.id);
        let location = join(&model.artifact_uri, path);
        self.stored(row, entries, lineage, location).await
    }

    /// Makes a tree of the entries; without any, the files are at `location`.
    async fn stored(
        &self,
        row: &WorkspaceRow,
        entries: Vec<TreeEntry>,
        lineage: Lineage,
        location: String,
    ) -> Result<Found> {
        if entries.is_empty() {
            return Ok(Found {
                location: Some(location),
                lineage,
                ..Found::default()
            });
        }
        let tree = Tree::new(entries);
        match self
            .store
            .create_tree(row.id, tree.clone(), self.now())
            .await?
        {
            Stored::Done(info) => Ok(Found {
                tree: Some(info.hash),
                entries: tree.entries,
                lineage,
                ..Found::default()
            }),
            Stored::Missing(_) => Err(Error::conflict("The model's files were deleted meanwhile")
                .hint("Register it again")),
        }
    }

    /// Takes the files of a version that was registered before they were there, once they are.
    pub(super) async fn with_files(
        &self,
        row: &WorkspaceRow,
        mut found: ModelRow,
    ) -> Result<ModelRow> {
        let lineage = &found.model.lineage;
        let source = match (&lineage.logged_model, &lineage.run, &lineage.path) {
            _ if found.model.files.is_some() => return Ok(found),
            (Some(id), _, Some(path)) => ModelSource::LoggedModel {
                id: id.clone(),
                path: path
                    .split_once('/')
                    .map_or("", |(_, inside)| inside)
                    .to_owned(),
            },
            (None, Some(run), Some(path)) => ModelSource::Run {
                run: run.clone(),
                path: path.clone(),
            },
            _ => return Ok(found),
        };
        // Asked by the service itself: who may see the version sees its files.
        let files = match Box::pin(self.model_files(&Caller::Owner, row, source, true)).await {
            Ok(files) => files,
            Err(error) if error.code == Code::NotFound => return Ok(found),
            Err(error) => return Err(error),
        };
        let Some(tree) = files.tree else {
            return Ok(found);
        };
        let kind = check_kind(None, &files.entries)?;
        self.store.complete_model(found.id, tree, kind).await?;
        let which = Which::Version(found.model.version);
        if let Some(again) = self.store.model(row.id, &found.model.name, which).await? {
            found = again;
        }
        Ok(found)
    }

    /// Completes what is known of a version's origin by what its run says.
    pub(super) async fn lineage_of_run(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        lineage: &mut Lineage,
    ) {
        let Some(run) = lineage.run.clone().filter(|_| lineage.experiment.is_none()) else {
            return;
        };
        // It may be a run of another server.
        if let Ok(run) = self.run_for_model(caller, row, &run).await {
            let path = lineage.path.take();
            let logged_model = lineage.logged_model.take();
            *lineage = of_run(&run, "");
            lineage.path = path;
            lineage.logged_model = logged_model;
        }
    }

    /// How a model in MLflow format says that it may be loaded.
    pub(super) async fn flavors_of(&self, entries: &[TreeEntry]) -> Result<Map<String, Value>> {
        let file = entries.iter().find(|entry| entry.path == MLMODEL);
        let Some(file) = file.filter(|file| file.size <= LONGEST_MLMODEL) else {
            return Ok(Map::new());
        };
        let Some(blob) = self.store.open_blob(file.hash).await? else {
            return Ok(Map::new());
        };
        let bytes = tokio::task::spawn_blocking(move || blob.read()).await;
        let bytes = bytes.map_err(|e| Error::internal(e.to_string()))??;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // A file that is not understood is as good as one that says nothing.
        let described = spec::load::parse(text, MLMODEL.as_ref(), MLMODEL)
            .root
            .to_value();
        match described.get("flavors") {
            Some(Value::Object(flavors)) => Ok(flavors.clone()),
            _ => Ok(Map::new()),
        }
    }

    async fn run_for_model(&self, caller: &Caller, row: &WorkspaceRow, run: &str) -> Result<Run> {
        let get = GetRun {
            workspace: row.workspace.name.clone(),
            run: run.to_owned(),
        };
        get.perform(self, caller).await
    }

    async fn artifacts_for_model(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        run: &str,
    ) -> Result<Vec<Artifact>> {
        let list = ListArtifacts {
            workspace: row.workspace.name.clone(),
            run: run.to_owned(),
            path: String::new(),
        };
        list.perform(self, caller).await
    }
}

impl Found {
    /// The same files, from the same origin.
    fn copy_of(row: ModelRow) -> Self {
        let model = row.model;
        let tree = model.files.map(|files| files.hash);
        Self {
            tree,
            entries: Vec::new(),
            kind: Some(model.kind),
            location: match tree {
                Some(_) => None,
                None => model.location.or(model.source),
            },
            lineage: model.lineage,
        }
    }
}

fn of_run(run: &Run, path: &str) -> Lineage {
    let job = run.job.as_ref();
    Lineage {
        run: Some(run.name.clone()),
        path: Some(path.to_owned()),
        experiment: Some(run.experiment.clone()),
        snapshot: run.snapshot.as_ref().map(|snapshot| snapshot.hash.hex()),
        environment: job.map(|job| job.environment.name().to_owned()),
        git_commit: job.and_then(|job| Some(job.git.as_ref()?.commit.clone())),
        ..Lineage::default()
    }
}

fn join(folder: &str, path: &str) -> String {
    match path {
        "" => folder.to_owned(),
        path => format!("{folder}/{path}"),
    }
}

/// What `wanted` says, if the files agree; else what the files say.
pub(super) fn check_kind(wanted: Option<ModelType>, entries: &[TreeEntry]) -> Result<ModelType> {
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

#[cfg(test)]
mod tests {
    use super::{below, check_kind, not_produced};
    use api::{
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
