//! What a path means: which files an asset, a run's output or a place in a datastore has now.

use std::collections::BTreeMap;

use super::{Action, Caller, Perform, Service, sweeps::BEST_TAG};
use api::{
    Error, Result,
    assets::{Asset, AssetKind, AssetRef, GetAsset},
    datastores::{Datastore, DatastoreType},
    files::{Hash, ListArtifacts, check_path},
    jobs::SEARCHES,
    lineage::{self, Node, NodeKind},
    models::{GetModel, Which},
    names,
    paths::{Files, Location, ResolvePath, Resolved},
    registries,
    runs::Job,
};
use async_trait::async_trait;
use store::{FilePlace, WorkspaceRow};

/// The folder of a datastore whose contents are trees.
const UPLOADS: &str = "LocalUpload";
/// References that lead to references, at most.
const STEPS: u32 = 8;

#[async_trait]
impl Perform for ResolvePath {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Resolved> {
        let mut asset = None;
        let mut output_kind = None;
        let asked = self.workspace.clone();
        let (mut workspace, mut path) = (self.workspace, self.path);
        for _ in 0..STEPS {
            let location = Location::parse(&path)?;
            let step = service
                .resolve(caller, &workspace, location, self.model)
                .await?;
            match step {
                Step::Files(mut found) => {
                    if let Some((node, kind)) = asset {
                        found.asset = Some(node);
                        found.kind = kind;
                    }
                    found.kind = found.kind.or(output_kind);
                    return service.in_words_of(caller, &asked, found).await;
                }
                Step::See {
                    place,
                    path: next,
                    node,
                    kind,
                } => {
                    asset.get_or_insert((node, kind));
                    (workspace, path) = (place, next);
                }
                Step::Output(next, kind) => {
                    output_kind.get_or_insert(kind);
                    path = next;
                }
            }
        }
        Err(
            Error::invalid(format!("`{path}` leads to one reference after another"))
                .at("path")
                .hint("Name the place of the files itself: azureml://datastores/NAME/paths/PATH"),
        )
    }
}

enum Step {
    Files(Resolved),
    /// An asset that lies at another address.
    See {
        /// The workspace or registry of the asset, which its path is read in.
        place: String,
        path: String,
        node: Node,
        kind: Option<String>,
    },
    /// An output that is kept at another address, and its type.
    Output(String, String),
}

fn files(uri: String, files: Files) -> Step {
    Step::Files(Resolved {
        uri,
        kind: None,
        asset: None,
        files,
    })
}

impl Service {
    /// Files whose address goes on meaning them in the workspace that asked: with the name of their own
    /// when that is another.
    async fn in_words_of(
        &self,
        caller: &Caller,
        asked: &str,
        mut found: Resolved,
    ) -> Result<Resolved> {
        let (Files::Datastore { workspace, .. } | Files::Tree { workspace, .. }) = &found.files
        else {
            return Ok(found);
        };
        if let Some(rest) = found.uri.strip_prefix("azureml://datastores/")
            && !workspace.eq_ignore_ascii_case(asked)
            && registries::named_in(workspace).is_none()
        {
            let row = self.enter(caller, workspace, Action::Read).await?;
            let own = row.workspace;
            found.uri = format!(
                "azureml://subscriptions/{}/resourcegroups/{}/workspaces/{}/datastores/{rest}",
                own.subscription, own.resource_group, own.name
            );
        }
        Ok(found)
    }

    async fn resolve(
        &self,
        caller: &Caller,
        workspace: &str,
        location: Location,
        model: bool,
    ) -> Result<Step> {
        match location {
            Location::Local(path) => Err(Error::invalid(format!(
                "`{path}` is a path of one machine; the workspace cannot look there"
            ))
            .at("path")
            .hint("Upload it: aml data create --path, and name the asset")),
            Location::Url(url) => Ok(files(url.clone(), Files::Url { url })),
            Location::Git {
                url,
                revision,
                path,
            } => {
                let uri = format!("git+{url}");
                Ok(files(
                    uri,
                    Files::Git {
                        url,
                        revision,
                        path,
                    },
                ))
            }
            Location::Asset(asset) => self.resolve_asset(caller, workspace, asset, model).await,
            Location::Datastore {
                workspace: other,
                datastore,
                path,
            } => {
                let workspace = other.as_deref().unwrap_or(workspace);
                self.resolve_datastore(caller, workspace, &datastore, path)
                    .await
            }
            Location::Run { run, output, path } => {
                let row = self.enter(caller, workspace, Action::Read).await?;
                match output {
                    None => self.resolve_artifacts(caller, &row, run, path).await,
                    Some(output) => self.resolve_output(&row, &run, &output, &path).await,
                }
            }
        }
    }

    async fn resolve_asset(
        &self,
        caller: &Caller,
        workspace: &str,
        asset: AssetRef,
        model: bool,
    ) -> Result<Step> {
        let place = asset.holder.workspace(workspace);
        let said = asset.kind.as_deref();
        if said == Some("models") || (said.is_none() && model) {
            return self.resolve_model(caller, place, &asset).await;
        }
        let kind = match said {
            None => AssetKind::Data,
            Some(word) => AssetKind::parse(word).ok_or_else(|| {
                Error::invalid(format!("`{word}` have no files that could be fetched")).at("path")
            })?,
        };
        let get = GetAsset::of(&asset, kind, &place);
        let found = match get.perform(self, caller).await {
            Err(error) if error.code == api::Code::NotFound && said.is_none() => {
                // Perhaps it is a model that is meant.
                let model = self.resolve_model(caller, place, &asset).await;
                return model.map_err(|_| error);
            }
            found => found?,
        };
        files_of(&found, place)
    }

    async fn resolve_model(
        &self,
        caller: &Caller,
        place: String,
        asset: &AssetRef,
    ) -> Result<Step> {
        let version = asset.pick.version().map(|version| Which::version(&version));
        let (version, version_name) = version.map_or((None, None), Which::apart);
        let get = GetModel {
            workspace: place.clone(),
            name: asset.name.clone(),
            version,
            version_name,
            // A label of Azure's is what MLflow calls an alias.
            alias: asset.pick.label(),
        };
        let model = get.perform(self, caller).await?;
        let node = Node::new(
            NodeKind::Model,
            lineage::name_in(&place, &model.name),
            Some(model.version.to_string()),
        );
        let kind = Some(format!("{}_model", model.kind));
        let called = model.version_called();
        match (model.files, model.location) {
            (Some(files), _) => Ok(Step::Files(Resolved {
                uri: format!("azureml:{}:{called}", model.name),
                kind,
                asset: Some(node),
                files: Files::Tree {
                    workspace: place,
                    hash: files.hash,
                    path: String::new(),
                },
            })),
            (None, Some(path)) => Ok(Step::See {
                place,
                path,
                node,
                kind,
            }),
            (None, None) => Err(Error::invalid(format!(
                "The model `{}` version {called} has no files",
                model.name
            ))
            .at("path")),
        }
    }

    async fn resolve_datastore(
        &self,
        caller: &Caller,
        workspace: &str,
        name: &str,
        path: String,
    ) -> Result<Step> {
        let row = self.enter(caller, workspace, Action::Read).await?;
        let found = self.find_datastore(&row, Some(name)).await?;
        let name = found.datastore.name.clone();
        let uri = format!("azureml://datastores/{name}/paths/{path}");
        if let Some((hash, inside)) = self.uploaded(&row, &path).await? {
            let workspace = workspace.to_owned();
            let tree = Files::Tree {
                workspace,
                hash,
                path: inside,
            };
            return Ok(files(uri, tree));
        }
        if !path.is_empty() {
            check_path(&path)?;
        }
        let (folder, url) = match self.place(&row, &found) {
            // Only who may open any folder of this machine learns where it is.
            Ok(FilePlace::Folder(root)) if Self::is_admin(caller) => {
                let path = root.join(&path).to_string_lossy().into_owned();
                (Some(path), String::new())
            }
            Ok(FilePlace::Folder(_)) => (None, String::new()),
            // It may be mirrored where it is read.
            Ok(FilePlace::Cloud(_)) | Err(_) => (None, cloud_url(&found.datastore, &path)),
        };
        Ok(files(
            uri,
            Files::Datastore {
                workspace: workspace.to_owned(),
                datastore: name,
                path,
                url,
                folder,
            },
        ))
    }

    /// The tree that an address below `LocalUpload` stands for, and the path within it.
    async fn uploaded(&self, row: &WorkspaceRow, path: &str) -> Result<Option<(Hash, String)>> {
        let mut parts = path.splitn(4, '/');
        if parts.next() != Some(UPLOADS) {
            return Ok(None);
        }
        let Some(tree) = self
            .store
            .tree_named(row.id, parts.next().unwrap_or(""))
            .await?
        else {
            return Ok(None);
        };
        // The name that the folder or file had; a file is there under its name.
        let name = parts.next().unwrap_or_default();
        let rest = parts.next().unwrap_or_default();
        let tree_entries = self
            .store
            .read_tree(row.id, tree)
            .await?
            .unwrap_or_default();
        let is_file = rest.is_empty()
            && tree_entries.entries.len() == 1
            && tree_entries.entries[0].path == name;
        let inside = if is_file { name } else { rest };
        Ok(Some((tree, inside.to_owned())))
    }

    async fn resolve_artifacts(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        run: String,
        path: String,
    ) -> Result<Step> {
        let (run, _) = self.maker_of_outputs(row, &run).await?;
        let workspace = row.workspace.name.clone();
        let list = ListArtifacts {
            workspace: workspace.clone(),
            run: run.clone(),
            path: path.clone(),
        };
        let mut place = path.clone();
        if list.perform(self, caller).await?.is_empty() && !path.is_empty() {
            let id = self.find_run(row, &run).await?;
            // What scripts log as a model lies elsewhere than its name says.
            let (name, inside) = path.split_once('/').unwrap_or((&path, ""));
            if let Some(model) = self.resolve_logged_model(row, id, name).await? {
                let full = format!("{}/{inside}", model.path());
                full.trim_end_matches('/').clone_into(&mut place);
            } else {
                return Err(self.unknown_artifact(id, &run, &path).await?);
            }
        }
        Ok(files(
            format!("azureml://jobs/{run}/outputs/artifacts/paths/{path}"),
            Files::Artifacts {
                workspace,
                run,
                path: place,
            },
        ))
    }

    /// The run whose outputs a run's are, and what it executes: of a sweep its best trial.
    async fn maker_of_outputs(&self, row: &WorkspaceRow, run: &str) -> Result<(String, Job)> {
        let job = self.job_of(row, run).await?;
        let kind = job.described.as_ref();
        let kind = kind.and_then(|described| described.definition.get("type")?.as_str());
        if !kind.is_some_and(|kind| SEARCHES.contains(&kind)) {
            return Ok((run.to_owned(), job));
        }
        let found = self.store.run(row.id, run).await?;
        let best = found.and_then(|found| found.run.tags.get(BEST_TAG).cloned());
        let best = best.ok_or_else(|| {
            Error::not_found(format!("The sweep `{run}` has no best trial"))
                .hint(format!("See its trials: aml sweep show {run}"))
        })?;
        let job = self.job_of(row, &best).await?;
        Ok((best, job))
    }

    async fn job_of(&self, row: &WorkspaceRow, run: &str) -> Result<Job> {
        match self.store.job_of(row.id, run).await? {
            Some(job) => Ok(job),
            None => Err(self.unknown_run(row, run).await?),
        }
    }

    async fn resolve_output(
        &self,
        row: &WorkspaceRow,
        run: &str,
        output: &str,
        path: &str,
    ) -> Result<Step> {
        let (run, job) = &self.maker_of_outputs(row, run).await?;
        let outputs = job.described.as_ref();
        let none = BTreeMap::new();
        let outputs = outputs.map_or(&none, |described| &described.outputs);
        let named = |name: &&String| name.eq_ignore_ascii_case(output);
        let Some(name) = outputs.keys().find(named) else {
            let error = Error::not_found(format!("The run `{run}` has no output `{output}`"));
            let nearest = names::nearest(output, outputs.keys().map(String::as_str));
            let all: Vec<&str> = outputs.keys().map(String::as_str).collect();
            return Err(match nearest {
                Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
                None if all.is_empty() => error.hint("It has no named outputs"),
                None => error.hint(format!("It has {}", all.join(", "))),
            });
        };
        let (uri, kind) = (&outputs[name].path, &outputs[name].kind);
        let uri = uri.trim_end_matches('/');
        let next = if path.is_empty() {
            uri.to_owned()
        } else {
            format!("{uri}/{path}")
        };
        Ok(Step::Output(next, kind.clone()))
    }
}

/// Where the files of an asset are: with it, or at the address that it names.
fn files_of(asset: &Asset, place: String) -> Result<Step> {
    let kind = asset.text("type").map(str::to_owned);
    let node = Node::new(
        NodeKind::parse(asset.kind.name()).unwrap_or(NodeKind::Data),
        lineage::name_in(&place, &asset.name),
        Some(asset.version.clone()),
    );
    let build = asset.spec.get("build").and_then(|build| build.get("path"));
    let path = asset
        .text("path")
        .or_else(|| asset.text("code"))
        .or_else(|| build.and_then(serde_json::Value::as_str));
    if let Some(tree) = &asset.files {
        let file = kind.as_deref() == Some("uri_file");
        let name = path.unwrap_or_default().rsplit('/').next();
        return Ok(Step::Files(Resolved {
            uri: path.unwrap_or_default().to_owned(),
            kind,
            asset: Some(node),
            files: Files::Tree {
                workspace: place,
                hash: tree.hash,
                path: name.filter(|_| file).unwrap_or_default().to_owned(),
            },
        }));
    }
    match path {
        Some(path) => Ok(Step::See {
            place,
            path: path.to_owned(),
            node,
            kind,
        }),
        None => Err(
            Error::invalid(format!("The {} `{}` has no files", asset.kind, asset.name)).at("path"),
        ),
    }
}

/// The address of a cloud's datastore outside of Azure ML.
fn cloud_url(datastore: &Datastore, path: &str) -> String {
    let text = |key: &str| {
        let value = datastore.spec.get(key);
        value
            .and_then(serde_json::Value::as_str)
            .unwrap_or_default()
    };
    let account = text("account_name");
    let (protocol, endpoint) = (text("protocol"), text("endpoint"));
    match datastore.kind {
        DatastoreType::AzureBlob => {
            let container = text("container_name");
            format!("{protocol}://{account}.blob.{endpoint}/{container}/{path}")
        }
        DatastoreType::AzureFile => {
            let share = text("file_share_name");
            format!("{protocol}://{account}.file.{endpoint}/{share}/{path}")
        }
        DatastoreType::AzureDataLakeGen2 => {
            format!(
                "abfss://{}@{account}.dfs.{endpoint}/{path}",
                text("filesystem")
            )
        }
        DatastoreType::AzureDataLakeGen1 => {
            format!("adl://{}.azuredatalakestore.net/{path}", text("store_name"))
        }
        DatastoreType::OneLake => {
            format!(
                "abfss://{}@{endpoint}/{path}",
                text("one_lake_workspace_name")
            )
        }
        DatastoreType::Hdfs => format!("hdfs://{}/{path}", text("name_node_address")),
        DatastoreType::S3 => format!("s3://{}/{path}", text("bucket")),
        DatastoreType::Local => String::new(),
    }
}
