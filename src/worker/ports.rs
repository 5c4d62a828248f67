//! Inputs and outputs of a job by name: brought before its command starts, kept when it has ended.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

use super::{Settings, io_error, persist, private_dir};
use api::{
    Error, Result,
    assets::{AssetKind, AssetRef, CreateAsset, Holder},
    files::Hash,
    jobs::{Described, InputMode, JobInput, JobOutput, OutputMode},
    lineage::{Node, NodeKind, RecordLineage, RunLink},
    mirrors::Mirrors,
    models::{ModelSource, ModelType, RegisterModel},
    paths::Location,
    work::Assignment,
};
use client::{
    Client, Limit, Take, UploadOptions,
    inputs::{At, Bring, Located, Wanted, apart},
};
use spec::expression::{Expression, Template};

/// The ports of one run.
pub struct Ports<'a> {
    pub client: &'a Client,
    pub settings: &'a Settings,
    pub assignment: &'a Assignment,
    pub described: &'a Described,
    /// The run's folder.
    pub folder: &'a Path,
    /// What stands for addresses.
    pub mirrors: Mirrors,
}

/// What the command finds.
#[derive(Debug, Default)]
pub struct Bound {
    pub inputs: BTreeMap<String, String>,
    pub outputs: BTreeMap<String, String>,
    /// What could not be done as it was asked for.
    pub notes: Vec<String>,
}

/// What came of storing the outputs.
#[derive(Debug, Default)]
pub struct Stored {
    /// Why outputs are not stored, or not registered.
    pub errors: Vec<Error>,
    pub notes: Vec<String>,
}

impl Bound {
    /// A text with what its expressions stand for. An input that is not given is nothing, and with it
    /// the optional block around it.
    pub fn fill(&self, text: &str, name: &str) -> Result<String> {
        Template::parse(text).fill(&mut |expression| match expression {
            Expression::Input(input) | Expression::SearchSpace(input) => {
                Ok(self.inputs.get(input).cloned())
            }
            Expression::Output(output) => match self.outputs.get(output) {
                Some(path) => Ok(Some(path.clone())),
                None => {
                    Err(Error::invalid(format!("The job has no output `{output}`")).at("command"))
                }
            },
            Expression::Name => Ok(Some(name.to_owned())),
            other => Err(Error::invalid(format!("`{other}` means nothing here")).at("command")),
        })
    }

    /// Variables by which Azure ML's libraries find inputs and outputs.
    pub fn variables(&self) -> impl Iterator<Item = (String, String)> + '_ {
        let variable = |prefix: &'static str| {
            move |(name, value): (&String, &String)| (format!("{prefix}{name}"), value.clone())
        };
        let inputs = self.inputs.iter().map(variable("AZURE_ML_INPUT_"));
        inputs.chain(self.outputs.iter().map(variable("AZURE_ML_OUTPUT_")))
    }
}

impl Ports<'_> {
    /// Brings the inputs and makes the folders of the outputs. Records what the run uses.
    pub async fn bind(&self) -> Result<Bound> {
        let mut bound = Bound::default();
        let mut links = self.made_of();
        for (name, input) in &self.described.inputs {
            let (kind, path, mode) = match input {
                JobInput::Value { value } => {
                    bound.inputs.insert(name.clone(), value.clone());
                    continue;
                }
                JobInput::Files {
                    kind,
                    path,
                    mode,
                    path_on_compute,
                } => {
                    if let Some(place) = path_on_compute {
                        bound.notes.push(format!(
                            "The input {name} is not at {place} but where {{inputs.{name}}} says"
                        ));
                    }
                    (kind, path, *mode)
                }
            };
            let brought = self.bring(name, kind, path, mode).await;
            let (value, link) = brought.map_err(|error| Error {
                message: format!("The input `{name}`: {}", error.message),
                ..error
            })?;
            bound.inputs.insert(name.clone(), value);
            links.push(link);
        }
        for placed in self.placed() {
            let value = if placed.output.mode == OutputMode::Direct {
                self.direct(placed.output).await?
            } else {
                private_dir(&placed.folder)?;
                placed.path().to_string_lossy().into_owned()
            };
            bound.outputs.insert(placed.name.to_owned(), value);
        }
        self.record(links, Vec::new()).await?;
        Ok(bound)
    }

    /// The value of one input, and what is known of it.
    async fn bring(
        &self,
        name: &str,
        kind: &str,
        path: &str,
        mode: InputMode,
    ) -> Result<(String, RunLink)> {
        let located = self.locate(path, kind.ends_with("_model")).await?;
        let own = self.folder.join("inputs").join(name);
        let cache = self.settings.home.join("cache/inputs");
        let bring = Bring {
            cache: &cache,
            report: None,
        };
        let value = match mode {
            InputMode::Direct => located.direct(),
            InputMode::RoMount | InputMode::EvalMount => {
                let fetched = self.client.mount(&located, &own, bring).await?;
                fetched.path.to_string_lossy().into_owned()
            }
            InputMode::Download | InputMode::EvalDownload => {
                let fetched = self.client.fetch(&located, &own, None).await?;
                fetched.path.to_string_lossy().into_owned()
            }
        };
        // What is recorded can be read by all who see the run.
        let (uri, _) = apart(&located.uri);
        let node = located
            .asset
            .clone()
            .or_else(|| job_of(path))
            .unwrap_or_else(|| Node::new(NodeKind::Path, uri.clone(), None));
        let link = RunLink {
            name: name.to_owned(),
            node,
            uri: Some(uri),
            kind: Some(kind.to_owned()),
        };
        Ok((value, link))
    }

    async fn locate(&self, path: &str, model: bool) -> Result<Located> {
        let wanted = Wanted {
            workspace: &self.assignment.workspace,
            path,
            model,
            mirrors: &self.mirrors,
        };
        persist(|| self.client.locate(wanted)).await
    }

    /// Where the command writes an output by itself.
    async fn direct(&self, output: &JobOutput) -> Result<String> {
        let located = self.locate(&output.path, false).await?;
        if let At::Here(path) = &located.at {
            let folder = match output.kind.as_str() {
                "uri_file" => path.parent().unwrap_or(path),
                _ => path,
            };
            fs::create_dir_all(folder).map_err(|e| io_error("make", folder, &e))?;
        }
        Ok(located.direct())
    }

    /// The code and the environment of the job.
    fn made_of(&self) -> Vec<RunLink> {
        let definition = &self.described.definition;
        let link = |(key, kind): (&str, NodeKind)| {
            let text = definition.get(key)?.as_str()?;
            let asset = AssetRef::parse(text).ok()?;
            let name = match asset.holder {
                Holder::Registry(registry) => format!("registries/{registry}/{}", asset.name),
                Holder::Here | Holder::Workspace(_) => asset.name,
            };
            Some(RunLink {
                name: key.to_owned(),
                node: Node::new(kind, name, asset.pick.version()),
                uri: None,
                kind: None,
            })
        };
        let keys = [
            ("code", NodeKind::Code),
            ("environment", NodeKind::Environment),
        ];
        keys.into_iter().filter_map(link).collect()
    }

    /// Stores the outputs, and registers those that have a name. `completed` says how the command
    /// ended. One that cannot be stored keeps none of the others from it.
    pub async fn store(&self, completed: bool) -> Stored {
        let mut stored = Stored::default();
        let mut links = Vec::new();
        for placed in self.placed() {
            match self.store_one(&placed, completed, &mut stored.notes).await {
                Ok(node) => links.push(RunLink {
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
            .errors
            .extend(self.record(Vec::new(), links).await.err());
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
        let located = Location::parse(&placed.output.path)?;
        if let Location::Datastore {
            workspace,
            datastore,
            path,
        } = located
            && self.mirrors.find(&placed.output.path).is_none()
        {
            let workspace = workspace.as_deref().unwrap_or(&self.assignment.workspace);
            let upload = || {
                self.client
                    .upload_to_datastore(workspace, &datastore, &from, &path, None)
            };
            return persist(upload).await.map(drop);
        }
        match self.mirror(&placed.output.path) {
            Some(to) => {
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
            None => Err(Error::unsupported(format!(
                "nothing can be written to `{}` from here",
                placed.output.path
            ))
            .hint("Create a datastore for it and name azureml://datastores/NAME/paths/PATH")
            .hint("Or put a folder in its place: [mirrors] in config.toml")),
        }
    }

    /// The folder or file of this machine that stands for an address.
    fn mirror(&self, address: &str) -> Option<PathBuf> {
        let target = self.mirrors.find(address)?;
        match Location::parse(&target).ok()? {
            Location::Local(path) => Some(path.into()),
            _ => None,
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
            let register = RegisterModel {
                workspace,
                name: name.clone(),
                kind: Some(kind),
                source: ModelSource::Tree {
                    hash: self.tree(&placed.path()).await?,
                    path: output.path.clone(),
                },
                run: Some(self.assignment.run.clone()),
                description: String::new(),
                tags: BTreeMap::new(),
                uri: Some(output.path.clone()),
                logged_model: None,
                run_link: None,
                existing: false,
                files_later: false,
                version: output.version.as_deref().and_then(|v| v.parse().ok()),
            };
            let model = self.client.call(&register).await?;
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
            properties: [("aml.run".to_owned(), self.assignment.run.clone())].into(),
            files: None,
            labels: Vec::new(),
        };
        let asset = persist(|| self.client.call(&create)).await?;
        Ok(Node::new(NodeKind::Data, asset.name, Some(asset.version)))
    }

    async fn tree(&self, path: &Path) -> Result<Hash> {
        let workspace = &self.assignment.workspace;
        let uploaded = if path.is_file() {
            self.client.upload_file(workspace, path, None).await?
        } else {
            let options = UploadOptions {
                cache: None,
                limit: Limit::NONE,
                take: Take::Everything,
                report: None,
            };
            self.client.upload_folder(workspace, path, &options).await?
        };
        Ok(uploaded.tree.hash)
    }

    async fn record(&self, inputs: Vec<RunLink>, outputs: Vec<RunLink>) -> Result<()> {
        if inputs.is_empty() && outputs.is_empty() {
            return Ok(());
        }
        let record = RecordLineage {
            workspace: self.assignment.workspace.clone(),
            run: self.assignment.run.clone(),
            inputs,
            outputs,
        };
        persist(|| self.client.call(&record)).await.map(drop)
    }

    /// The outputs with their places in the run's folder.
    fn placed(&self) -> impl Iterator<Item = Placed<'_>> {
        self.described.outputs.iter().map(|(name, output)| Placed {
            name,
            output,
            folder: self.folder.join("named").join(name),
        })
    }
}

/// An output and where the command writes it.
struct Placed<'a> {
    name: &'a str,
    output: &'a JobOutput,
    folder: PathBuf,
}

impl Placed<'_> {
    /// The folder, or the file in it.
    fn path(&self) -> PathBuf {
        if self.output.kind != "uri_file" {
            return self.folder.clone();
        }
        let last = self.output.path.rsplit('/').next().unwrap_or_default();
        let name = if last.is_empty() { self.name } else { last };
        self.folder.join(name)
    }
}

/// The job whose output a path names.
fn job_of(path: &str) -> Option<Node> {
    match Location::parse(path).ok()? {
        Location::Run { run, .. } => Some(Node::run(run)),
        _ => None,
    }
}
