//! Jobs: what a description in Azure's words means as a run.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::{
    Action, Caller, Perform, Service, automl,
    deployment_settings::{CONTAINER, says_yes},
    job_places::{output_of_place, place_of_output},
    spark,
};
use api::{
    Code, Error, Result,
    assets::{AssetKind, AssetRef, GetAsset},
    computes::{CLUSTER, GetCompute, INSTANCE},
    datastores::GetDatastore,
    files::{CreateTree, GetTree, Hash},
    jobs::{
        CreateJob, DESCRIPTION_TAG, Described, Distribution, Framework, JobInput, JobOutput,
        JobService,
    },
    runs::{GetRun, Job, Run, SubmitRun},
};
use spec::{
    expression::{Expression, Template},
    kinds::{
        io::JobOutput as WrittenOutput,
        job::{self, CommandJob},
    },
    shape::Described as _,
};
use store::PARENT_TAG;

/// Processes of one job, at most; all of them run on one machine.
pub(super) const MOST_PROCESSES: u32 = 256;

#[async_trait]
impl Perform for CreateJob {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        let (mut request, mut shown) = (self, None);
        match request.definition.get("type").and_then(Value::as_str) {
            Some("pipeline") => return service.create_pipeline(caller, request).await,
            Some("sweep" | automl::TYPE) => return service.create_sweep(caller, request).await,
            Some("spark") => {
                let command = spark::as_command_job(&request.definition)?;
                shown = Some(std::mem::replace(&mut request.definition, command));
            }
            _ => {}
        }
        let written = read(&request.definition)?;
        let submission = Draft {
            service,
            caller,
            request,
        }
        .submission(written)
        .await?;
        with_definition(submission, shown)
            .perform(service, caller)
            .await
    }
}

/// The job that became a command, shown as what it is.
fn with_definition(mut submission: SubmitRun, shown: Option<Map<String, Value>>) -> SubmitRun {
    if let (Some(mut shown), Some(described)) = (shown, &mut submission.job.described) {
        for key in ["code", "environment", "compute"] {
            let found = described.definition.get(key).cloned();
            shown.extend(found.map(|found| (key.to_owned(), found)));
        }
        described.definition = shown;
    }
    submission
}

/// The definition as the kind of job it is.
fn read(definition: &Map<String, Value>) -> Result<CommandJob> {
    let kind = definition.get("type").and_then(Value::as_str);
    let kind = kind.unwrap_or("command");
    if kind != "command" {
        return Err(
            Error::unsupported(format!("Jobs of type `{kind}` are not run here"))
                .at("type")
                .hint("What is run are commands, Spark scripts, sweeps, AutoML and pipelines"),
        );
    }
    CommandJob::read(Some(&Value::Object(definition.clone())))
        .map_err(|mismatch| Error::invalid(format!("The job is not understood: {mismatch}")))
}

/// What is executed for a command job; what it works on and makes is put in later.
pub(super) fn job_of(
    written: &CommandJob,
    snapshot: Option<Hash>,
    environment: api::environments::Environment,
) -> Result<Job> {
    let variables = written.run.environment_variables.iter();
    Ok(Job {
        command: vec![written.run.command.clone()],
        snapshot,
        environment,
        environment_variables: variables
            .map(|(name, value)| (name.to_owned(), value.0.clone()))
            .collect(),
        timeout_seconds: timeout(written)?,
        container: says_yes(&written.base.properties, CONTAINER)?,
        described: Some(Box::new(Described {
            distribution: distribution(written)?,
            services: services(written)?,
            ..Described::default()
        })),
        ..Job::default()
    })
}

impl Service {
    /// The files of the code that `text` names, read in `place`, which the workspace has from now on;
    /// and the reference that goes on meaning it.
    pub(super) async fn resolve_code(
        &self,
        caller: &Caller,
        workspace: &str,
        place: &str,
        text: &str,
    ) -> Result<(Hash, Option<String>)> {
        let asset = AssetRef::parse(text).map_err(|error| error.at("code"))?;
        let place = asset.holder.workspace(place);
        let get = GetAsset::of(&asset, AssetKind::Code, &place);
        let found = get.perform(self, caller).await;
        let found = found.map_err(|error| error.at("code"))?;
        let Some(files) = found.files else {
            return Err(Error::invalid(format!("The code `{text}` has no files")).at("code"));
        };
        self.have_tree(caller, workspace, &place, files.hash)
            .await?;
        let here = asset.holder == api::assets::Holder::Here;
        let reference = format!("azureml:{}:{}", found.name, found.version);
        Ok((files.hash, here.then_some(reference)))
    }

    /// Sees to it that a workspace has a tree that another workspace or a registry has.
    pub(super) async fn have_tree(
        &self,
        caller: &Caller,
        workspace: &str,
        place: &str,
        hash: Hash,
    ) -> Result<()> {
        if place.eq_ignore_ascii_case(workspace) {
            return Ok(());
        }
        let get = GetTree {
            workspace: place.to_owned(),
            hash,
        };
        let copy = CreateTree {
            workspace: workspace.to_owned(),
            tree: get.perform(self, caller).await?,
        };
        copy.perform(self, caller).await.map(drop)
    }
}

struct Draft<'a> {
    service: &'a Service,
    caller: &'a Caller,
    request: CreateJob,
}

impl Draft<'_> {
    async fn submission(mut self, written: CommandJob) -> Result<SubmitRun> {
        self.check_compute(&written).await?;
        let snapshot = self.code(&written).await?;
        let environment = self.environment(&written).await?;
        let mut job = job_of(&written, snapshot, environment)?;
        job.git = self.request.git.take();
        let outputs = self.outputs(&written).await?;
        if let Some(described) = &mut job.described {
            described.inputs = inputs(&written)?;
            described.outputs = outputs;
            described.definition = std::mem::take(&mut self.request.definition);
        }
        let base = &written.base;
        Ok(SubmitRun {
            workspace: self.request.workspace,
            name: self.request.name,
            experiment: base
                .experiment_name
                .clone()
                .unwrap_or(self.request.experiment),
            display_name: base.display_name.clone(),
            tags: tags(&written),
            job,
        })
    }

    /// Refuses what the compute never has room for. One that was not created is the worker's machine.
    async fn check_compute(&self, written: &CommandJob) -> Result<()> {
        let resources = written.run.resources.as_ref();
        let nodes = resources
            .and_then(|resources| resources.instance_count)
            .map(|nodes| nodes.0);
        let definition = &self.request.definition;
        let named = definition.get("compute").and_then(Value::as_str);
        let (Some(nodes), Some(named)) = (nodes, named) else {
            return Ok(());
        };
        let name = named.strip_prefix("azureml:").unwrap_or(named);
        let get = GetCompute {
            workspace: self.request.workspace.clone(),
            name: name.rsplit('/').next().unwrap_or(name).to_owned(),
        };
        let compute = match get.perform(self.service, self.caller).await {
            Err(error) if error.code == Code::NotFound => return Ok(()),
            found => found?,
        };
        let most = match compute.kind.as_str() {
            CLUSTER => compute.slots().and_then(|slots| i64::try_from(slots).ok()),
            INSTANCE => Some(1),
            _ => None,
        };
        match most.filter(|most| nodes > *most) {
            None => Ok(()),
            Some(most) => Err(Error::invalid(format!(
                "The job wants {nodes} instances; `{}` has at most {most}",
                compute.name
            ))
            .at("resources.instance_count")
            .hint(format!(
                "Lower it, or let the compute have more: az ml compute update -n {} --max-instances {nodes}",
                compute.name
            ))),
        }
    }

    /// The files of the code, which the workspace has.
    async fn code(&mut self, written: &CommandJob) -> Result<Option<Hash>> {
        let Some(code) = &written.run.code else {
            return Ok(None);
        };
        let workspace = self.request.workspace.clone();
        let found = self
            .service
            .resolve_code(self.caller, &workspace, &workspace, code);
        let (files, reference) = found.await?;
        if let Some(reference) = reference {
            self.define("code", Value::from(reference));
        }
        Ok(Some(files))
    }

    async fn environment(
        &mut self,
        written: &CommandJob,
    ) -> Result<api::environments::Environment> {
        let workspace = self.request.workspace.clone();
        let source = &written.run.environment;
        let resolved = self
            .service
            .resolve_environment(self.caller, &workspace, source);
        let (environment, reference) = resolved.await?;
        if let Some(reference) = reference {
            self.define("environment", Value::from(reference));
        }
        Ok(match &self.request.search_path {
            Some(path) => environment.found_in(path),
            None => environment,
        })
    }

    /// Sets a key of the definition to what it was found to be.
    fn define(&mut self, key: &str, value: Value) {
        self.request.definition.insert(key.to_owned(), value);
    }

    async fn outputs(&mut self, written: &CommandJob) -> Result<BTreeMap<String, JobOutput>> {
        let mut outputs = BTreeMap::new();
        if written.outputs.is_empty() {
            return Ok(outputs);
        }
        let get = GetDatastore {
            workspace: self.request.workspace.clone(),
            name: None,
            secrets: false,
        };
        let datastore = get.perform(self.service, self.caller).await?.name;
        for (name, value) in written.outputs.iter() {
            let mut output = self
                .output(name, value.as_ref(), &datastore)
                .map_err(|error| error.at(format!("outputs.{name}")))?;
            if self.is_place_of_another(name, &output.path).await {
                output.path = place_of_output(&datastore, &self.request.name, name);
            }
            outputs.insert(name.to_owned(), output);
        }
        Ok(outputs)
    }

    /// Whether it is the place that another job has given its output of that name, as `show` prints it:
    /// what is created from that does not write over the other's.
    async fn is_place_of_another(&self, name: &str, path: &str) -> bool {
        let Some((run, output)) = output_of_place(path) else {
            return false;
        };
        if output != name || run == self.request.name {
            return false;
        }
        let get = GetRun {
            workspace: self.request.workspace.clone(),
            run,
        };
        get.perform(self.service, self.caller).await.is_ok()
    }

    fn output(
        &self,
        name: &str,
        written: Option<&WrittenOutput>,
        datastore: &str,
    ) -> Result<JobOutput> {
        let word = |value: Option<Value>| {
            let text = value.as_ref().and_then(Value::as_str);
            text.map(str::to_owned)
        };
        let kind = written.and_then(|output| word(output.r#type.write()));
        let mode = written.and_then(|output| output.mode.write());
        let path = match written.and_then(|output| output.path.as_deref()) {
            Some(path) => self.filled(path, datastore)?,
            None => place_of_output(datastore, &self.request.name, name),
        };
        Ok(JobOutput {
            kind: kind.unwrap_or_else(|| "uri_folder".to_owned()),
            path,
            mode: match mode {
                Some(mode) => {
                    serde_json::from_value(mode).map_err(|e| Error::invalid(e.to_string()))?
                }
                None => api::jobs::OutputMode::default(),
            },
            name: written.and_then(|output| output.name.clone()),
            version: written.and_then(|output| word(output.version.write())),
        })
    }

    /// A path with `${{name}}` and `${{default_datastore}}` filled in.
    fn filled(&self, path: &str, datastore: &str) -> Result<String> {
        Template::parse(path).fill(&mut |expression| match expression {
            Expression::Name => Ok(Some(self.request.name.clone())),
            Expression::Other(word) if word == "default_datastore" => {
                Ok(Some(datastore.to_owned()))
            }
            other => Err(Error::invalid(format!(
                "`{other}` means nothing in the path of an output"
            ))
            .hint("`${{name}}` is the job's name")),
        })
    }
}

pub(super) fn inputs(written: &CommandJob) -> Result<BTreeMap<String, JobInput>> {
    let mut inputs = BTreeMap::new();
    for (name, value) in written.inputs.iter() {
        let read = input(value).map_err(|error| error.at(format!("inputs.{name}")))?;
        inputs.insert(name.to_owned(), read);
    }
    Ok(inputs)
}

/// An input in the words of jobs.
pub(super) fn input(written: &spec::kinds::io::JobInput) -> Result<JobInput> {
    use spec::kinds::io::JobInput as Written;
    let value = match written {
        Written::Literal(literal) => {
            return Ok(JobInput::Value {
                value: literal.to_text(),
                made: false,
            });
        }
        Written::Value(value) => {
            return Ok(JobInput::Value {
                value: value.value.to_text(),
                made: false,
            });
        }
        Written::Data(_) | Written::Model(_) | Written::Table(_) => written.write(),
    };
    let Some(Value::Object(mut fields)) = value else {
        return Err(Error::invalid("The input is not understood"));
    };
    if !fields.contains_key("path") {
        return Err(Error::invalid("The input has no path"));
    }
    fields
        .entry("type")
        .or_insert_with(|| Value::from("uri_folder"));
    serde_json::from_value(Value::Object(fields)).map_err(|e| Error::invalid(e.to_string()))
}

fn tags(written: &CommandJob) -> BTreeMap<String, String> {
    let mut tags = tags_of(&written.base);
    if let Some(parent) = &written.parent_job_name {
        tags.insert(PARENT_TAG.to_owned(), parent.clone());
    }
    tags
}

/// What a description says as tags of its run.
pub(super) fn tags_of(base: &job::JobBase) -> BTreeMap<String, String> {
    let own = base.tags.iter();
    let mut tags: BTreeMap<String, String> = own
        .map(|(key, value)| (key.to_owned(), value.0.clone()))
        .collect();
    if let Some(description) = &base.description {
        tags.insert(DESCRIPTION_TAG.to_owned(), description.clone());
    }
    tags
}

fn timeout(written: &CommandJob) -> Result<Option<u64>> {
    let limit = written.limits.as_ref().and_then(|limits| limits.timeout);
    limit
        .map(|seconds| {
            u64::try_from(seconds).map_err(|_| {
                Error::invalid("A timeout is a number of seconds").at("limits.timeout")
            })
        })
        .transpose()
}

fn count(value: Option<i64>, place: &str) -> Result<u32> {
    let value = value.unwrap_or(1);
    u32::try_from(value)
        .ok()
        .filter(|count| (1..=MOST_PROCESSES).contains(count))
        .ok_or_else(|| {
            Error::invalid(format!(
                "`{value}` is not a number from 1 to {MOST_PROCESSES}"
            ))
            .at(place)
        })
}

fn distribution(written: &CommandJob) -> Result<Option<Distribution>> {
    let resources = written.run.resources.as_ref();
    let nodes = count(
        resources
            .and_then(|resources| resources.instance_count)
            .map(|nodes| nodes.0),
        "resources.instance_count",
    )?;
    let of = |framework, processes, parameter_servers| Distribution {
        framework,
        nodes,
        processes,
        parameter_servers,
    };
    let each = "distribution.process_count_per_instance";
    Ok(match &written.run.distribution {
        None => None,
        Some(job::Distribution::PyTorch(found)) => Some(of(
            Framework::Pytorch,
            count(found.process_count_per_instance, each)?,
            0,
        )),
        Some(job::Distribution::Mpi(found)) => Some(of(
            Framework::Mpi,
            count(found.process_count_per_instance, each)?,
            0,
        )),
        Some(job::Distribution::TensorFlow(found)) => {
            let workers = found.worker_count.or(Some(i64::from(nodes)));
            let servers = found.parameter_server_count.unwrap_or(0).max(0);
            Some(of(
                Framework::Tensorflow,
                count(workers, "distribution.worker_count")?,
                count(
                    Some(servers.saturating_add(1)),
                    "distribution.parameter_server_count",
                )? - 1,
            ))
        }
        Some(job::Distribution::Ray(_)) => Some(of(Framework::Ray, 1, 0)),
    })
}

fn services(written: &CommandJob) -> Result<BTreeMap<String, JobService>> {
    let mut services = BTreeMap::new();
    for (name, service) in written.base.services.iter() {
        let Some(kind) = service.r#type.write() else {
            continue;
        };
        let port = service.port.map(|port| {
            u16::try_from(port).map_err(|_| {
                Error::invalid(format!("`{port}` is no port")).at(format!("services.{name}.port"))
            })
        });
        services.insert(
            name.to_owned(),
            JobService {
                kind: kind.as_str().unwrap_or_default().to_owned(),
                port: port.transpose()?,
                log_dir: service.log_dir.clone(),
            },
        );
    }
    Ok(services)
}
