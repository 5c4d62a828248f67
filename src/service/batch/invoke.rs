//! Invoking a batch endpoint: the job that scores the data.
//!
//! A job of a model deployment is a command like any other: its code is that of the deployment with
//! our driver beside it, which cuts the files of the inputs into mini-batches and hands them to
//! processes with the scoring script.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{
    super::{
        Action, Caller, Perform, Service,
        minibatch::{self, DRIVER, OutputAction, positive},
    },
    base, pinned, read,
    settings::{Settings, check_level, check_output_file, settings},
};
use api::{
    Error, Result,
    assets::{AssetKind, AssetRef, CreateAsset, GetAsset},
    batch::{BatchDeployment, DEPLOYMENT_TAG, ENDPOINT_TAG, InvokeBatch, SCORE},
    files::{GetTree, Hash},
    jobs::CreateJob,
    models::{Model, ModelType},
    runs::{GetRun, Run},
};
use spec::{
    kinds::{
        batch,
        serving::{DeploymentBase, ModelSource},
    },
    mlflow,
};
use store::WorkspaceRow;

const MLFLOW_IMAGE: &str = "mcr.microsoft.com/azureml/mlflow-ubuntu20.04-py38-cpu-inference:latest";
/// The longest `conda.yaml` or `requirements.txt` of a model that is read, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

#[async_trait]
impl Perform for InvokeBatch {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        let endpoint = service.find_batch_endpoint(&row, &self.endpoint).await?;
        let named = self.deployment.clone();
        let name = named.or_else(|| endpoint.endpoint.default_deployment.clone());
        let Some(name) = name else {
            let there = service.store.batch_deployments(endpoint.id).await?;
            let endpoint = &endpoint.endpoint.name;
            let hint = if there.is_empty() {
                format!("Make one: aml batch deploy {endpoint} -f deployment.yml")
            } else {
                "Name a deployment, or make one the default".to_owned()
            };
            return Err(Error::invalid(format!(
                "The batch endpoint `{endpoint}` has no default deployment"
            ))
            .at("deployment")
            .hint(hint));
        };
        let deployment = service.find_batch_deployment(&endpoint, &name).await?;
        let written = read(&deployment.definition)?;
        let invocation = Invocation {
            service,
            caller,
            row: &row,
            request: &self,
            deployment: &deployment,
        };
        let mut definition = match &written {
            batch::BatchDeployment::Pipeline(_) => {
                invocation.says_nothing_of_minibatches()?;
                invocation.pipeline().await?
            }
            model => {
                let base = base(model)
                    .ok_or_else(|| Error::internal("A model deployment without its base"))?;
                invocation.model(base, &settings(model)).await?
            }
        };
        let experiment = self.experiment.clone();
        let experiment = experiment.unwrap_or_else(|| endpoint.endpoint.name.clone());
        let tags = json!({
            ENDPOINT_TAG: endpoint.endpoint.name,
            DEPLOYMENT_TAG: deployment.name,
        });
        definition.insert("name".to_owned(), json!(self.job));
        definition.insert("experiment_name".to_owned(), json!(experiment));
        definition.insert("tags".to_owned(), tags);
        let create = CreateJob {
            workspace: row.workspace.name.clone(),
            name: self.job,
            experiment,
            definition,
            git: None,
            search_path: self.search_path,
        };
        create.perform(service, caller).await
    }
}

struct Invocation<'a> {
    service: &'a Service,
    caller: &'a Caller,
    row: &'a WorkspaceRow,
    request: &'a InvokeBatch,
    deployment: &'a BatchDeployment,
}

/// An input as a pipeline job has it: an invocation writes a value as `{type: string, default: x}`.
fn literal(input: &Value) -> Value {
    let Some(value) = input.get("default").filter(|_| input.get("path").is_none()) else {
        return input.clone();
    };
    let kind = input
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    // From a command line it comes as text.
    match (kind, value) {
        ("number" | "integer" | "boolean", Value::String(text)) => {
            serde_json::from_str(&text.to_lowercase()).unwrap_or_else(|_| value.clone())
        }
        _ => value.clone(),
    }
}

impl Invocation<'_> {
    fn workspace(&self) -> &str {
        &self.row.workspace.name
    }

    /// Refuses what a pipeline would not heed.
    fn says_nothing_of_minibatches(&self) -> Result<()> {
        let asked = self.request;
        let settings = [
            (asked.mini_batch_size.is_some(), "mini_batch_size"),
            (asked.instance_count.is_some(), "instance_count"),
            (asked.output_file_name.is_some(), "output_file_name"),
            (asked.error_threshold.is_some(), "error_threshold"),
            (asked.max_retries.is_some(), "retry_settings.max_retries"),
            (asked.timeout.is_some(), "retry_settings.timeout"),
            (
                asked.max_concurrency_per_instance.is_some(),
                "max_concurrency_per_instance",
            ),
            (asked.logging_level.is_some(), "logging_level"),
        ];
        let Some((_, said)) = settings.into_iter().find(|(is_said, _)| *is_said) else {
            return Ok(());
        };
        let name = &self.deployment.name;
        Err(Error::invalid(format!(
            "The deployment `{name}` runs a pipeline, which knows no `{said}`"
        ))
        .at(said)
        .hint("Leave it out; what a step does is said in its component, or by an input of the pipeline"))
    }

    /// A pipeline job of the deployment's component, or what its finished job was.
    async fn pipeline(&self) -> Result<Map<String, Value>> {
        let definition = &self.deployment.definition;
        let mut job = match definition.get("job_definition").and_then(Value::as_str) {
            Some(name) => self.of_job(name).await?,
            None => Map::new(),
        };
        job.insert("type".to_owned(), json!("pipeline"));
        for key in ["component", "settings", "description"] {
            if let Some(value) = definition.get(key).filter(|value| !value.is_null()) {
                job.insert(key.to_owned(), value.clone());
            }
        }
        let inputs = self.request.inputs.iter();
        let inputs = inputs.map(|(name, input)| (name.clone(), literal(input)));
        for (key, given) in [
            ("inputs", inputs.collect()),
            ("outputs", self.request.outputs.clone()),
        ] {
            if given.is_empty() {
                continue;
            }
            match job.get_mut(key) {
                Some(Value::Object(before)) => before.extend(given),
                _ => {
                    job.insert(key.to_owned(), given.into());
                }
            }
        }
        Ok(job)
    }

    /// The definition of a job that was a pipeline.
    async fn of_job(&self, name: &str) -> Result<Map<String, Value>> {
        let name = name.strip_prefix("azureml:").unwrap_or(name);
        let get = GetRun {
            workspace: self.workspace().to_owned(),
            run: name.to_owned(),
        };
        let run = get.perform(self.service, self.caller).await;
        let run = run.map_err(|error| error.at("job_definition"))?;
        let described = run.job.and_then(|job| job.described);
        let definition = described.map(|described| described.definition);
        let definition = definition.filter(|job| job.get("type") == Some(&json!("pipeline")));
        definition.ok_or_else(|| {
            Error::invalid(format!("The job `{name}` is no pipeline")).at("job_definition")
        })
    }

    async fn model(
        &self,
        base: &DeploymentBase,
        settings: &Settings<'_>,
    ) -> Result<Map<String, Value>> {
        let model = match &base.model {
            Some(ModelSource::Name(name)) => {
                let found = self.service.model_of(self.caller, self.row, name).await;
                let model = found.map_err(|error| error.at("model"))?.model;
                Some((model, name))
            }
            _ => None,
        };
        let (model, named) = model.unzip();
        let named = named.map_or("", |name| name);
        let script = base.code_configuration.as_ref();
        let script = script.and_then(|code| code.scoring_script.as_deref());
        let code = script.and(base.code_configuration.as_ref());
        let code = code.and_then(|code| code.code.as_ref());
        let code = match code {
            Some(code) => {
                let code = self.service.code_of(self.caller, self.workspace(), code);
                Some(code.await?)
            }
            None => None,
        };
        if script.is_none() && model.as_ref().is_none_or(|m| m.kind != ModelType::Mlflow) {
            return Err(Error::invalid(
                "A model that is not in MLflow format needs a scoring script",
            )
            .at("code_configuration"));
        }
        let mut inputs = self.inputs().await?;
        let is_empty = inputs.is_empty();
        let mut command = format!("python {}", DRIVER.path);
        for name in inputs.keys() {
            command.extend([" --input \"${{inputs.", name, "}}\""]);
        }
        if let Some(model) = &model {
            let kind = match model.kind {
                ModelType::Mlflow => "mlflow_model",
                ModelType::Custom => "custom_model",
                ModelType::Triton => "triton_model",
            };
            let path = pinned(named, model)?;
            inputs.insert("aml_model".to_owned(), json!({"type": kind, "path": path}));
            command.push_str(" --model \"${{inputs.aml_model}}\"");
        }
        command.push_str(" --output \"${{outputs.score}}\"");
        let environment = self.deployment.definition.get("environment").cloned();
        let environment = match (environment, &model) {
            (Some(environment), _) if !environment.is_null() => environment,
            (_, Some(model)) if script.is_none() => {
                let holder = AssetRef::parse(named)?.holder;
                self.of_mlflow(&holder.workspace(self.workspace()), model)
                    .await?
            }
            _ => json!({"image": "python"}),
        };
        let output = self.score()?;
        let variables = self.variables(base, settings, script, model.as_ref())?;
        if is_empty {
            return Err(Error::invalid("There is nothing to score")
                .at("inputs")
                .hint("Name data of the workspace, a path or an address: --input DATA"));
        }
        let definition = json!({
            "type": "command",
            "code": self.code(code).await?,
            "command": command,
            "environment": environment,
            "compute": settings.compute,
            "environment_variables": variables,
            "inputs": inputs,
            "outputs": {SCORE: output},
        });
        match definition {
            Value::Object(mut definition) => {
                definition.retain(|_, value| !value.is_null());
                Ok(definition)
            }
            _ => Err(Error::internal("A job is a mapping")),
        }
    }

    /// Where the scores go. They are the one output there is, whatever it is called.
    fn score(&self) -> Result<Value> {
        let outputs = &self.request.outputs;
        if let Some(other) = outputs.keys().find(|name| *name != SCORE)
            && outputs.len() > 1
        {
            let error = Error::invalid("A deployment of a model has one output");
            return Err(error.at(format!("outputs.{other}")).hint(format!(
                "Say where it goes by `{SCORE}`; a script writes more below AZUREML_BI_OUTPUT_PATH"
            )));
        }
        let mut output = match outputs.values().next() {
            Some(Value::Object(asked)) => asked.clone(),
            _ => Map::new(),
        };
        output.insert("type".to_owned(), json!("uri_folder"));
        Ok(Value::Object(output))
    }

    /// The inputs with their types; that of a data asset is what it was registered as.
    async fn inputs(&self) -> Result<Map<String, Value>> {
        let mut inputs = Map::new();
        for (name, input) in &self.request.inputs {
            let target = format!("inputs.{name}");
            let Value::Object(input) = input else {
                return Err(
                    Error::invalid("A model scores files and folders, no values").at(target),
                );
            };
            let mut input = input.clone();
            let path = input.get("path").and_then(Value::as_str);
            let Some(path) = path else {
                return Err(Error::invalid("The input has no `path`").at(target));
            };
            let asset = AssetRef::parse(path).ok();
            if let Some(asset) = asset.filter(|_| path.starts_with("azureml:")) {
                let get = GetAsset {
                    workspace: asset.holder.workspace(self.workspace()),
                    kind: AssetKind::Data,
                    name: asset.name.clone(),
                    version: asset.pick.version(),
                    label: asset.pick.label(),
                };
                if !path.starts_with("azureml://datastores") {
                    let found = get.perform(self.service, self.caller).await;
                    let found = found.map_err(|error| error.at(&target))?;
                    if let Some(kind) = found.text("type") {
                        input.insert("type".to_owned(), json!(kind));
                    }
                }
            }
            input.entry("type").or_insert_with(|| json!("uri_folder"));
            inputs.insert(name.clone(), Value::Object(input));
        }
        Ok(inputs)
    }

    fn variables(
        &self,
        base: &DeploymentBase,
        settings: &Settings<'_>,
        script: Option<&str>,
        model: Option<&Model>,
    ) -> Result<Map<String, Value>> {
        let own = base.environment_variables.iter();
        let mut variables: Map<String, Value> = own
            .map(|(name, value)| (name.to_owned(), json!(value.0)))
            .collect();
        for (name, value) in &settings.variables {
            variables.insert((*name).to_owned(), json!(value));
        }
        let asked = self.request;
        let instances = asked.instance_count.map_or(settings.instances, i64::from);
        let size = asked.mini_batch_size.map(i64::from);
        if let Some(name) = &asked.output_file_name {
            check_output_file(name)?;
        }
        if let Some(level) = &asked.logging_level {
            check_level(level)?;
        }
        let at_once = asked.max_concurrency_per_instance.map(i64::from);
        let name = model
            .and_then(|model| model.lineage.path.as_deref())
            .and_then(|path| path.trim_end_matches('/').rsplit('/').next())
            .filter(|name| api::files::check_path(name).is_ok());
        let driver = minibatch::Settings {
            script,
            model_name: name,
            step: false,
            tabular: Some(false),
            mini_batch_size: Some(positive(
                size.unwrap_or(settings.mini_batch_size),
                "mini_batch_size",
            )?),
            mini_batch_bytes: None,
            partition_keys: Vec::new(),
            concurrency: positive(instances, "instance_count")?.saturating_mul(positive(
                at_once.unwrap_or(settings.concurrency),
                "max_concurrency_per_instance",
            )?),
            output_action: if settings.append_row {
                OutputAction::AppendRow
            } else {
                OutputAction::SummaryOnly
            },
            output_file_name: asked
                .output_file_name
                .as_deref()
                .unwrap_or(settings.output_file),
            output_is_file: false,
            separator: if script.is_some() { " " } else { "," },
            max_retries: asked.max_retries.unwrap_or(settings.retries).max(0),
            timeout: positive(
                asked.timeout.unwrap_or(settings.timeout),
                "retry_settings.timeout",
            )?,
            error_threshold: asked.error_threshold.unwrap_or(settings.error_threshold),
            mini_batch_error_threshold: -1,
            logging_level: asked
                .logging_level
                .as_deref()
                .unwrap_or(settings.logging_level),
        };
        variables.insert(minibatch::VARIABLE.to_owned(), json!(driver.to_text()?));
        Ok(variables)
    }

    /// The reference of the deployment's code with the driver in it.
    async fn code(&self, code: Option<Hash>) -> Result<String> {
        let workspace = self.workspace().to_owned();
        let files = self
            .service
            .with_driver(self.caller, &workspace, code, &DRIVER);
        let files = files.await?;
        let mut spec = Map::new();
        spec.insert("path".to_owned(), json!(self.deployment.name));
        let asset = CreateAsset {
            workspace,
            kind: AssetKind::Code,
            name: None,
            version: None,
            spec,
            description: None,
            tags: [].into(),
            properties: [].into(),
            files: Some(files),
            labels: Vec::new(),
        };
        let asset = asset.perform(self.service, self.caller).await?;
        Ok(format!("azureml:{}:{}", asset.name, asset.version))
    }

    /// The environment that a model in MLflow format describes, with what reads the data. The model is
    /// of the workspace or registry `holder`.
    async fn of_mlflow(&self, holder: &str, model: &Model) -> Result<Value> {
        let conda = self.file_of(holder, model, "conda.yaml").await?;
        let requirements = self.file_of(holder, model, "requirements.txt").await?;
        Ok(json!({
            "image": MLFLOW_IMAGE,
            "conda_file": mlflow::described(&conda, &requirements),
        }))
    }

    /// The text of a file that lies beside the model's `MLmodel`; empty when there is none.
    async fn file_of(&self, holder: &str, model: &Model, name: &str) -> Result<String> {
        let Some(files) = &model.files else {
            return Ok(String::new());
        };
        let get = GetTree {
            workspace: holder.to_owned(),
            hash: files.hash,
        };
        let tree = get.perform(self.service, self.caller).await?;
        let root = tree.entries.iter().find_map(|entry| {
            let root = entry.path.strip_suffix("MLmodel")?;
            (root.is_empty() || root.ends_with('/')).then_some(root)
        });
        let path = format!("{}{name}", root.unwrap_or_default());
        let Some(entry) = tree.entries.iter().find(|entry| entry.path == path) else {
            return Ok(String::new());
        };
        if entry.size > LONGEST_LIST {
            let model = format!("{}:{}", model.name, model.version);
            return Err(Error::invalid(format!(
                "`{path}` of the model `{model}` has {} bytes; a list of packages has at most {LONGEST_LIST}",
                entry.size
            ))
            .at("model")
            .hint("Name an environment in the deployment, or register the model with a shorter list"));
        }
        let Some(blob) = self.service.store.open_blob(entry.hash).await? else {
            return Ok(String::new());
        };
        let bytes = tokio::task::spawn_blocking(move || blob.read()).await;
        let bytes =
            bytes.map_err(|e| Error::internal(format!("Reading `{path}` failed: {e}")))??;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}
