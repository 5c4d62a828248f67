//! Deploying: what may be served, in which environment, on which port.

use super::{Action, Caller, Perform, Service};
use api::{
    Error, Result,
    endpoints::{Deploy, Deployment, Endpoint, EndpointKeys},
    environments::Environment,
    files::GetTree,
    models::{Model, ModelType, Which},
    names,
    runs::GetRun,
};
use async_trait::async_trait;
use store::{NewDeployment, WorkspaceRow};

#[async_trait]
impl Perform for Deploy {
    async fn perform(mut self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        names::ENDPOINT.check(&self.name)?;
        let deployment = &mut self.deployment;
        let found = service
            .find_model(&row, &deployment.model, Which::Version(deployment.version))
            .await?;
        service
            .check_deployment(caller, &row, &found.model, deployment)
            .await?;
        if let Some(port) = deployment.port {
            service.check_port(&row, &self.name, port).await?;
        }
        service
            .inherit_environment(caller, &row, &found.model, deployment)
            .await;
        deployment.model.clone_from(&found.model.name);
        let keys = EndpointKeys {
            primary: service.vault.new_token("amlkey")?,
            secondary: service.vault.new_token("amlkey")?,
        };
        let new = NewDeployment {
            sealed_keys: service.seal_keys(row.id, &self.name, &keys)?,
            name: self.name,
            deployment: self.deployment,
            model_version: found.id,
            now: service.now(),
        };
        let Some(deployed) = service.store.deploy(row.id, new).await? else {
            return Err(Error::conflict("The model was deleted meanwhile"));
        };
        service.wake_host(deployed.id).await?;
        Ok(service.show_endpoint(deployed))
    }
}

impl Service {
    /// Refuses what could not be served whatever the machine does.
    async fn check_deployment(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        model: &Model,
        deployment: &Deployment,
    ) -> Result<()> {
        let name = format!("{}:{}", model.name, model.version);
        if model.archived() {
            return Err(Error::conflict(format!("`{name}` is archived"))
                .hint(format!("aml model restore {name}")));
        }
        if model.files.is_none() {
            let error = Error::conflict(format!("The files of `{name}` are not kept here"));
            return Err(match &model.location {
                Some(location) => error.hint(format!(
                    "Download them from {location} and register them: aml model register -n {} --path FOLDER",
                    model.name
                )),
                None => error.hint(format!("See what is known of it: aml model show {name}")),
            });
        }
        let Some(script) = &deployment.script else {
            return match model.kind {
                ModelType::Mlflow => Ok(()),
                kind => Err(Error::invalid(format!(
                    "`{name}` is of type {kind}, which needs a scoring script"
                ))
                .at("script")
                .hint("Write one with init() and run(data), and add --script score.py")),
            };
        };
        let Some(hash) = deployment.code else {
            return Err(Error::invalid("A scoring script needs the code it is in").at("code"));
        };
        let tree = GetTree {
            workspace: row.workspace.name.clone(),
            hash,
        };
        let tree = tree.perform(self, caller).await?;
        let mut paths = tree.entries.iter().map(|entry| entry.path.as_str());
        if paths.any(|path| path == script) {
            return Ok(());
        }
        let paths = tree.entries.iter().map(|entry| entry.path.as_str());
        let nearest = names::nearest(script, paths);
        Err(Error::unknown("script", script, " in the code", nearest).at("script"))
    }

    /// Refuses a port that another endpoint has.
    async fn check_port(&self, row: &WorkspaceRow, name: &str, port: u16) -> Result<()> {
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
        let Some(run) = model.lineage.run.clone() else {
            return;
        };
        let get_run = GetRun {
            workspace: row.workspace.name.clone(),
            run,
        };
        // The run may have been deleted since; then one of its own has to do.
        if let Ok(run) = get_run.perform(self, caller).await
            && let Some(job) = run.job
            && matches!(job.environment, Environment::Python { .. })
        {
            deployment.environment = Some(job.environment);
        }
    }
}
