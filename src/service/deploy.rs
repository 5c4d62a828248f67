//! Deploying: what may be served, in which environment, on which port.

use super::{
    Action, Caller, Perform, Service, autoscale::check_scalable, programs::check_program,
    run_create::check_variable,
};
use api::{
    Error, Result,
    autoscale::Autoscale,
    deployments::{DEFAULT, Deploy, Deployment, MOST_INSTANCES, ModelVersion, without_native},
    endpoints::{Endpoint, LOCAL},
    environments::Environment,
    files::{GetTree, Hash},
    models::{Model, ModelType, Which},
    names,
    runs::GetRun,
};
use async_trait::async_trait;
use store::{EndpointRow, ModelRow, NewDeployment, WorkspaceRow};

/// Keys of the files of deployments.
pub(super) const CODE: &str = "code_configuration.code";
pub(super) const SCRIPT: &str = "code_configuration.scoring_script";

/// Variables that tell the processes what they serve.
const RESERVED: [&str; 7] = [
    "AZUREML_MODEL_DIR",
    "AZUREML_ENTRY_SCRIPT",
    "AZUREML_DEPLOYMENT_NAME",
    "AML_APP_ROOT",
    "SERVICE_NAME",
    "SERVICE_VERSION",
    "WORKSPACE_NAME",
];

#[async_trait]
impl Perform for Deploy {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        check_endpoint_name(&self.name)?;
        if let Some(port) = self.port {
            service.check_port(&row, &self.name, port).await?;
        }
        let there = service.store.endpoint(row.id, &self.name).await?;
        let others = there
            .as_ref()
            .map_or(&[] as &[_], |there| there.deployments.as_slice());
        let name = match (self.deployment_name, others) {
            (Some(name), _) => name,
            (None, []) => DEFAULT.to_owned(),
            (None, [only]) => only.name.clone(),
            (None, several) => {
                let names: Vec<&str> = several.iter().map(|one| one.name.as_str()).collect();
                return Err(Error::invalid(format!(
                    "The endpoint `{}` has several deployments: {}",
                    self.name,
                    names.join(", ")
                ))
                .at("deployment")
                .hint("Say which: --deployment NAME"));
            }
        };
        let asked = Asked {
            endpoint: self.name,
            name,
            all_traffic: self.all_traffic,
            first_traffic: true,
            port: self.port,
        };
        let model = match &self.deployment.model {
            Some(named) => {
                let which = Which::Version(named.version);
                Some(service.find_model(&row, &named.model, which).await?)
            }
            None => None,
        };
        let deployed = service.deploy(caller, &row, asked, model, self.deployment);
        let deployed = deployed.await?;
        Ok(service.show_endpoint(deployed))
    }
}

/// Where something is to be deployed.
pub(super) struct Asked {
    pub endpoint: String,
    pub name: String,
    pub all_traffic: bool,
    pub first_traffic: bool,
    pub port: Option<u16>,
}

/// Accepts the name of an endpoint, also of one that was made apart.
pub(super) fn check_endpoint_name(name: &str) -> Result<()> {
    names::ENDPOINT.check(name.strip_prefix(LOCAL).unwrap_or(name))
}

impl Service {
    /// Checks and records what is to be served, and lets the host know.
    pub(super) async fn deploy(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        asked: Asked,
        model: Option<ModelRow>,
        mut deployment: Deployment,
    ) -> Result<EndpointRow> {
        names::DEPLOYMENT.check(&asked.name)?;
        check_numbers(&deployment)?;
        self.check_secrets(caller, row, &deployment).await?;
        let there = self.store.endpoint(row.id, &asked.endpoint).await?;
        let before = there
            .as_ref()
            .and_then(|there| there.deployment(&asked.name));
        if let Some(rules) = before.and_then(|before| before.autoscale.as_ref()) {
            check_rules(rules, &deployment)?;
        }
        let known = model.as_ref().map(|found| &found.model);
        self.check_deployment(caller, row, known, &deployment)
            .await?;
        if let Some(model) = known {
            self.inherit_environment(caller, row, model, &mut deployment)
                .await;
            deployment.model = Some(ModelVersion {
                model: model.name.clone(),
                version: model.version,
            });
        }
        let new = NewDeployment {
            sealed_keys: self.seal_keys(row.id, &asked.endpoint, &self.new_keys()?)?,
            endpoint: asked.endpoint,
            name: asked.name,
            deployment,
            model_version: model.map(|found| found.id),
            all_traffic: asked.all_traffic,
            first_traffic: asked.first_traffic,
            port: asked.port,
            now: self.now(),
        };
        let Some(deployed) = self.store.deploy(row.id, new).await? else {
            return Err(Error::conflict("The model was deleted meanwhile"));
        };
        self.wake_host(deployed.id).await?;
        Ok(deployed)
    }
}

/// Refuses what the rules that scale the deployment could not scale.
fn check_rules(rules: &Autoscale, deployment: &Deployment) -> Result<()> {
    if !rules.enabled {
        return Ok(());
    }
    check_scalable(rules, deployment).map_err(|error| {
        error.hint(format!(
            "Or scale it by rules no more: az monitor autoscale delete -n {}",
            rules.name
        ))
    })
}

/// Refuses a model whose files cannot be had.
fn check_files(model: &Model) -> Result<()> {
    let name = format!("{}:{}", model.name, model.version);
    if model.archived() {
        return Err(Error::conflict(format!("`{name}` is archived"))
            .hint(format!("aml model restore {name}")));
    }
    if model.files.is_some() {
        return Ok(());
    }
    let error = Error::conflict(format!("The files of `{name}` are not kept here"));
    Err(match &model.location {
        Some(location) => error.hint(format!(
            "Download them from {location} and register them: aml model register -n {} --path FOLDER",
            model.name
        )),
        None => error.hint(format!("See what is known of it: aml model show {name}")),
    })
}

/// Refuses to score natively what is no model, or has a script.
fn check_native(model: Option<&Model>, deployment: &Deployment) -> Result<()> {
    if deployment.container.is_some() {
        let error = "What is scored natively is in no container";
        return Err(Error::invalid(error).at("native"));
    }
    let error = match (model, &deployment.script) {
        (Some(_), None) => return Ok(()),
        (None, _) => "There is no model to score natively",
        (Some(_), Some(_)) => "A scoring script needs Python: it is not scored natively",
    };
    Err(Error::invalid(error).at("native"))
}

/// How many processes a deployment has at most.
pub fn most_instances(deployment: &Deployment) -> u32 {
    let scale = deployment.scale;
    scale.map_or(deployment.instances, |scale| scale.max)
}

/// Refuses numbers of processes that make no sense.
fn check_numbers(deployment: &Deployment) -> Result<()> {
    let most = most_instances(deployment);
    if most == 0 || most > MOST_INSTANCES {
        return Err(Error::invalid(format!(
            "A deployment has 1 to {MOST_INSTANCES} instances, not {most}"
        ))
        .at("instance_count"));
    }
    if let Some(scale) = deployment.scale {
        if scale.min > scale.max {
            return Err(Error::invalid(format!(
                "At least {} instances are more than at most {}",
                scale.min, scale.max
            ))
            .at("scale_settings"));
        }
        if scale.target_percent == 0 || scale.target_percent > 100 {
            return Err(Error::invalid(format!(
                "A target of {} percent is not between 1 and 100",
                scale.target_percent
            ))
            .at("scale_settings.target_utilization_percentage"));
        }
    }
    Ok(())
}

impl Service {
    /// Refuses secrets that are not there or that the caller may not read.
    async fn check_secrets(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        deployment: &Deployment,
    ) -> Result<()> {
        let files = &deployment.secret_files;
        for (variable, name) in deployment.secrets.iter().chain(files) {
            // A file is called as its variable.
            check_variable(variable).map_err(|error| error.at("secrets"))?;
            if RESERVED.contains(&variable.as_str()) {
                let error = format!("The variable `{variable}` is set by the endpoint itself");
                return Err(Error::invalid(error).at("secrets"));
            }
            let other = &deployment.environment_variables;
            let twice = deployment.secrets.contains_key(variable) && files.contains_key(variable);
            if twice || other.contains_key(variable) {
                let error = format!("The variable `{variable}` is given twice");
                return Err(Error::invalid(error).at("secrets"));
            }
            self.allow(caller, row, Action::ReadSecrets).await?;
            self.open_secret(row, name)
                .await
                .map_err(|error| error.at("secrets"))?;
        }
        Ok(())
    }

    /// Refuses what could not be served whatever the machine does.
    async fn check_deployment(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        model: Option<&Model>,
        deployment: &Deployment,
    ) -> Result<()> {
        if let Some(model) = model {
            check_files(model)?;
        }
        self.check_dockerfile(caller, row, deployment).await?;
        if let Some(program) = &deployment.program {
            return check_program(deployment, program);
        }
        if deployment.native {
            check_native(model, deployment)?;
            let can = self.hosts.get().is_none_or(|hosts| hosts.native);
            return if can { Ok(()) } else { Err(without_native()) };
        }
        // What a file says has its line by the key it is written under.
        let (at_script, at_code) = if deployment.definition.is_empty() {
            ("script", "code")
        } else {
            (SCRIPT, CODE)
        };
        let Some(script) = &deployment.script else {
            return match model {
                Some(model) if model.kind == ModelType::Mlflow => Ok(()),
                Some(model) => Err(Error::invalid(format!(
                    "`{}:{}` is of type {}, which needs a scoring script",
                    model.name, model.version, model.kind
                ))
                .at(at_script)
                .hint("Write one with init() and run(data), and add --script score.py")
                .hint("Or start a program that answers by itself: --command \"python server.py\"")),
                None => Err(
                    Error::invalid("Without a model there must be a scoring script")
                        .at("model")
                        .hint("Name a model, or a scoring script that brings its own"),
                ),
            };
        };
        let Some(hash) = deployment.code else {
            return Err(Error::invalid("A scoring script needs the code it is in").at(at_code));
        };
        let found = self.check_script(caller, row, hash, script).await;
        found.map_err(|error| error.at(at_script))
    }

    /// Refuses a script that is not in its code.
    pub(super) async fn check_script(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        code: Hash,
        script: &str,
    ) -> Result<()> {
        let tree = GetTree {
            workspace: row.workspace.name.clone(),
            hash: code,
        };
        let tree = tree.perform(self, caller).await?;
        let mut paths = tree.entries.iter().map(|entry| entry.path.as_str());
        // As a path is read: `./score.py` is `score.py`.
        let parts = || {
            let parts = script.split('/');
            parts.filter(|part| !matches!(*part, "" | "."))
        };
        if !script.starts_with('/') && paths.any(|path| path.split('/').eq(parts())) {
            return Ok(());
        }
        let paths = tree.entries.iter().map(|entry| entry.path.as_str());
        let nearest = names::nearest(script, paths);
        Err(Error::unknown("script", script, " in the code", nearest))
    }

    /// Refuses a port that another endpoint has.
    pub(super) async fn check_port(&self, row: &WorkspaceRow, name: &str, port: u16) -> Result<()> {
        let all = self.store.list_endpoints(None).await?;
        let other = all.iter().find(|other| {
            other.port == Some(port)
                && !(other.workspace == row.id && other.name.eq_ignore_ascii_case(name))
        });
        match other {
            None => Ok(()),
            Some(other) => Err(Error::conflict(format!(
                "Port {port} belongs to the endpoint `{}` of workspace `{}`",
                other.name, other.workspace_name
            ))
            .at("port")
            .hint("Choose another port, or leave it out and one is chosen")),
        }
    }

    /// The environment to serve in when none is named: that of the run which made the model.
    async fn inherit_environment(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        model: &Model,
        deployment: &mut Deployment,
    ) {
        if deployment.environment.is_some() || deployment.script.is_none() {
            return;
        }
        let run = model.lineage.run.as_deref();
        deployment.environment = self.environment_of_run(caller, row, run).await;
    }

    /// What the run that made a model ran in, if it can be had elsewhere.
    pub(super) async fn environment_of_run(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        run: Option<&str>,
    ) -> Option<Environment> {
        let get_run = GetRun {
            workspace: row.workspace.name.clone(),
            run: run?.to_owned(),
        };
        // The run may have been deleted since; then one of its own has to do.
        let run = get_run.perform(self, caller).await.ok()?;
        let environment = run.job?.environment;
        matches!(environment, Environment::Python { .. }).then_some(environment)
    }
}
