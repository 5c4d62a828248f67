//! Outputs of a job when its command has ended: stored, and registered under their names.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{
    persist,
    ports::{Placed, Ports},
};
use api::{
    Code, Error, Result,
    assets::{Archived, Asset, AssetKind, CreateAsset, ListAssets},
    datastores::TestDatastore,
    files::Hash,
    jobs::{JobOutput, OutputMode},
    lineage::{Node, NodeKind, RunLink},
    models::{ListModels, Model, ModelSource, ModelType, RegisterModel, Which},
    paths::Location,
};
use client::{
    Limit, Take, UploadOptions,
    inputs::{At, Located},
};

/// The property that says which run made an asset.
const OF_RUN: &str = "aml.run";

/// What came of storing the outputs.
#[derive(Debug, Default)]
pub struct Stored {
    /// Why outputs are not stored, or not registered.
    pub errors: Vec<Error>,
    pub notes: Vec<String>,
    /// What the run made.
    pub made: Vec<RunLink>,
}

/// Where an output is written.
pub(super) enum Target {
    Datastore {
        workspace: String,
        datastore: String,
        path: String,
    },
    /// A folder or file of this machine that stands for its address.
    Folder(PathBuf),
}

impl Ports<'_> {
    /// Stores the outputs, and registers those that have a name. `completed` says how the command
    /// ended. One that cannot be stored keeps none of the others from it.
    pub async fn store(&self, completed: bool) -> Stored {
        let mut stored = Stored::default();
        for placed in self.placed() {
            match self.store_one(&placed, completed, &mut stored.notes).await {
                Ok(node) => stored.made.push(RunLink {
                    name: placed.name.to_owned(),
                    node,
                    uri: Some(placed.output.path.clone()),
                    kind: Some(placed.output.kind.clone()),
                }),
                Err(error) => stored.errors.push(Error {
                    message: format!("The output `{}`: {}", placed.name, error.message),
                    ..error
                }),
            }
        }
        stored
    }

    async fn store_one(
        &self,
        placed: &Placed<'_>,
        completed: bool,
        notes: &mut Vec<String>,
    ) -> Result<Node> {
        let mode = placed.output.mode;
        let kept = match mode {
            OutputMode::RwMount => true,
            OutputMode::Upload => completed,
            OutputMode::Direct => false,
        };
        let there = placed.path().exists();
        if kept && there {
            self.upload(placed).await?;
        }
        let nothing = mode != OutputMode::Direct && !there;
        if let Some(asset) = placed.output.name.as_ref().filter(|_| completed && nothing) {
            let name = placed.name;
            notes.push(format!(
                "the output {name} was not registered as {asset}: the command wrote nothing to \
                 {{outputs.{name}}}"
            ));
        }
        self.registered(placed, completed && !nothing).await
    }

    async fn upload(&self, placed: &Placed<'_>) -> Result<()> {
        let from = placed.path();
        match self.target(&placed.output.path)? {
            Target::Datastore {
                workspace,
                datastore,
                path,
            } => {
                let test = TestDatastore {
                    workspace: workspace.clone(),
                    name: datastore.clone(),
                };
                let upload = async || {
                    let upload = self
                        .client
                        .upload_to_datastore(&workspace, &datastore, &from, &path, None);
                    match upload.await {
                        // A server that stops listening in the middle does not say why.
                        Err(error) if error.code.retryable() && error.target.is_none() => {
                            Err(self.client.call(&test).await.err().unwrap_or(error))
                        }
                        uploaded => uploaded,
                    }
                };
                persist(upload).await?;
                self.note_stored(placed, (&workspace, &datastore, &path));
                Ok(())
            }
            Target::Folder(to) => {
                let folder = if from.is_file() {
                    to.parent().unwrap_or(&to).to_owned()
                } else {
                    to
                };
                let here = Located {
                    uri: placed.output.path.clone(),
                    kind: None,
                    asset: None,
                    at: At::Here(from),
                };
                self.client.fetch(&here, &folder, None).await.map(drop)
            }
        }
    }

    /// Where what an address means is written.
    pub(super) fn target(&self, address: &str) -> Result<Target> {
        let nothing = || {
            Error::unsupported(format!("nothing can be written to `{address}` from here"))
                .hint("Create a datastore for it and name azureml://datastores/NAME/paths/PATH")
                .hint("Or put a folder in its place: [mirrors] in config.toml")
        };
        if let Some(mirror) = self.mirrors.find(address) {
            return match Location::parse(&mirror)? {
                Location::Local(path) => Ok(Target::Folder(path.into())),
                _ => Err(nothing()),
            };
        }
        match Location::parse(address)? {
            Location::Datastore {
                workspace,
                datastore,
                path,
            } => Ok(Target::Datastore {
                workspace: workspace.unwrap_or_else(|| self.assignment.workspace.clone()),
                datastore,
                path,
            }),
            _ => Err(nothing()),
        }
    }

    /// What an output is from now on: an asset when it has a name and is to be one.
    async fn registered(&self, placed: &Placed<'_>, wanted: bool) -> Result<Node> {
        let output = placed.output;
        let Some(name) = output.name.as_ref().filter(|_| wanted) else {
            return Ok(Node::new(NodeKind::Path, output.path.clone(), None));
        };
        let workspace = self.assignment.workspace.clone();
        let kind = match output.kind.as_str() {
            "mlflow_model" => Some(ModelType::Mlflow),
            "custom_model" => Some(ModelType::Custom),
            "triton_model" => Some(ModelType::Triton),
            _ => None,
        };
        if let Some(kind) = kind {
            let hash = self.tree(&self.files_of(placed).await?).await?;
            let model = self.register_model(output, name, kind, hash).await?;
            let version = Some(model.version.to_string());
            return Ok(Node::new(NodeKind::Model, model.name, version));
        }
        let spec = [("type", &output.kind), ("path", &output.path)];
        let spec = spec.map(|(key, value)| (key.to_owned(), Value::from(value.clone())));
        let create = CreateAsset {
            workspace,
            kind: AssetKind::Data,
            name: Some(name.clone()),
            version: output.version.clone(),
            spec: spec.into_iter().collect::<Map<_, _>>(),
            description: None,
            tags: BTreeMap::new(),
            properties: [(OF_RUN.to_owned(), self.assignment.run.clone())].into(),
            files: None,
            labels: Vec::new(),
        };
        let asset = persist(|| self.create_once(&create)).await?;
        Ok(Node::new(NodeKind::Data, asset.name, Some(asset.version)))
    }

    /// Where the files of an output are on this machine now that the command has ended.
    async fn files_of(&self, placed: &Placed<'_>) -> Result<PathBuf> {
        if placed.output.mode != OutputMode::Direct {
            return Ok(placed.path());
        }
        let located = self.locate(&placed.output.path, false).await?;
        if let At::Here(path) = located.at {
            return Ok(path);
        }
        Ok(self.fetch(&located, &placed.folder).await?.path)
    }

    /// Registers a model of this run. Only one worker has the run, so what one that was killed has
    /// registered already is found.
    async fn register_model(
        &self,
        output: &JobOutput,
        name: &str,
        kind: ModelType,
        hash: Hash,
    ) -> Result<Model> {
        let workspace = &self.assignment.workspace;
        let run = Some(self.assignment.run.clone());
        let list = ListModels {
            workspace: workspace.clone(),
            name: Some(name.to_owned()),
            include_archived: true,
            prompts: false,
        };
        let version = output.version.as_deref().map(Which::version);
        let (version, version_name) = version.map_or((None, None), Which::apart);
        let register = RegisterModel {
            workspace: workspace.clone(),
            name: name.to_owned(),
            kind: Some(kind),
            source: ModelSource::Tree {
                hash,
                path: output.path.clone(),
            },
            run: run.clone(),
            uri: Some(output.path.clone()),
            version,
            version_name,
            ..RegisterModel::default()
        };
        persist(async || {
            let known = unless_missing(self.client.call(&list).await)?;
            let same = |model: &Model| {
                model.lineage.run == run && model.files.as_ref().is_some_and(|f| f.hash == hash)
            };
            match known.into_iter().flatten().find(same) {
                Some(model) => Ok(model),
                None => self.client.call(&register).await,
            }
        })
        .await
    }

    /// Creates an asset of this run, unless a worker that was killed has done it.
    async fn create_once(&self, create: &CreateAsset) -> Result<Asset> {
        let list = ListAssets {
            workspace: create.workspace.clone(),
            kind: create.kind,
            name: create.name.clone(),
            archived: Archived::Include,
            limit: None,
        };
        let known = unless_missing(self.client.call(&list).await)?;
        let same = |asset: &Asset| {
            asset.properties.get(OF_RUN) == Some(&self.assignment.run) && asset.spec == create.spec
        };
        match known.into_iter().flatten().find(same) {
            Some(asset) => Ok(asset),
            None => self.client.call(create).await,
        }
    }

    async fn tree(&self, path: &Path) -> Result<Hash> {
        let workspace = &self.assignment.workspace;
        let options = UploadOptions {
            cache: None,
            limit: Limit::NONE,
            take: Take::Everything,
            report: None,
        };
        let uploaded = persist(async || {
            if path.is_file() {
                self.client.upload_file(workspace, path, None).await
            } else {
                self.client.upload_folder(workspace, path, &options).await
            }
        });
        Ok(uploaded.await?.tree.hash)
    }
}

/// Nothing is known of a name that nobody has used.
fn unless_missing<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Err(error) if error.code == Code::NotFound => Ok(None),
        found => found.map(Some),
    }
}
