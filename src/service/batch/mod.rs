//! Batch endpoints: what they run, and which runs by itself.

mod invoke;
mod settings;

use async_trait::async_trait;
use serde_json::Value;

use super::{Action, Caller, Perform, Service, deploy::SCRIPT};
use api::{
    Done, Error, Result,
    assets::AssetRef,
    batch::{
        BatchDeployment, BatchEndpoint, DeleteBatchDeployment, DeleteBatchEndpoint,
        GetBatchDeployment, GetBatchEndpoint, ListBatchDeployments, ListBatchEndpoints,
        PutBatchDeployment, PutBatchEndpoint, scoring_uri,
    },
    models::Model,
    names,
};
use spec::{
    kinds::{
        batch,
        serving::{DeploymentBase, ModelSource},
    },
    shape::Described as _,
};
use store::{BatchEndpointChange, BatchEndpointRow, WorkspaceRow};

impl Service {
    async fn find_batch_endpoint(
        &self,
        row: &WorkspaceRow,
        name: &str,
    ) -> Result<BatchEndpointRow> {
        if let Some(found) = self.store.batch_endpoint(row.id, name).await? {
            return Ok(found);
        }
        let all = self.store.list_batch_endpoints(row.id).await?;
        let nearest = names::nearest(name, all.iter().map(|row| row.endpoint.name.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        Err(Error::unknown("batch endpoint", name, &place, nearest)
            .or_hint("See which there are: aml batch list"))
    }

    async fn find_batch_deployment(
        &self,
        endpoint: &BatchEndpointRow,
        name: &str,
    ) -> Result<BatchDeployment> {
        let all = self.store.batch_deployments(endpoint.id).await?;
        let known: Vec<String> = all.iter().map(|one| one.name.clone()).collect();
        let found = all
            .into_iter()
            .find(|one| one.name.eq_ignore_ascii_case(name));
        found.ok_or_else(|| {
            let nearest = names::nearest(name, known.iter().map(String::as_str));
            let place = format!(" of batch endpoint `{}`", endpoint.endpoint.name);
            Error::unknown("deployment", name, &place, nearest).or_hint(format!(
                "See which there are: aml batch deployments {}",
                endpoint.endpoint.name
            ))
        })
    }

    /// Refuses new code, a script and an environment that are not there: else every job would fail.
    async fn check_batch(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        base: &DeploymentBase,
        is_new: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let workspace = &row.workspace.name;
        if is_new("code_configuration")
            && let Some(written) = &base.code_configuration
            && let (Some(code), Some(script)) = (&written.code, &written.scoring_script)
        {
            let code = self.code_of(caller, workspace, code).await?;
            let found = self.check_script(caller, row, code, script).await;
            found.map_err(|error| error.at(SCRIPT))?;
        }
        if is_new("environment")
            && let Some(environment) = &base.environment
        {
            let found = self.resolve_environment(caller, workspace, environment);
            found.await?;
        }
        Ok(())
    }

    fn show_batch(&self, workspace: &WorkspaceRow, row: BatchEndpointRow) -> BatchEndpoint {
        let mut shown = row.endpoint;
        let url = self.base_url();
        if !url.is_empty() {
            shown.scoring_uri = scoring_uri(url, &workspace.workspace.name, &shown.name);
        }
        shown
    }
}

#[async_trait]
impl Perform for PutBatchEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<BatchEndpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        names::ENDPOINT.check(&self.name)?;
        if self.existing {
            service.find_batch_endpoint(&row, &self.name).await?;
        }
        if let Some(name) = &self.default_deployment {
            let found = service.find_batch_endpoint(&row, &self.name).await?;
            let there = service.find_batch_deployment(&found, name).await;
            there.map_err(|error| error.at("defaults.deployment_name"))?;
        }
        let change = BatchEndpointChange {
            name: self.name,
            description: self.description,
            tags: self.tags,
            properties: self.properties,
            default_deployment: self.default_deployment,
            now: service.now(),
        };
        let put = service.store.put_batch_endpoint(row.id, change).await?;
        let put = put.ok_or_else(|| Error::conflict("The endpoint was deleted meanwhile"))?;
        Ok(service.show_batch(&row, put))
    }
}

#[async_trait]
impl Perform for ListBatchEndpoints {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<BatchEndpoint>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let all = service.store.list_batch_endpoints(row.id).await?;
        let all = all.into_iter();
        Ok(all.map(|one| service.show_batch(&row, one)).collect())
    }
}

#[async_trait]
impl Perform for GetBatchEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<BatchEndpoint> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_batch_endpoint(&row, &self.name).await?;
        Ok(service.show_batch(&row, found))
    }
}

#[async_trait]
impl Perform for DeleteBatchEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.find_batch_endpoint(&row, &self.name).await?;
        service.store.delete_batch_endpoint(found.id).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for PutBatchDeployment {
    async fn perform(mut self, service: &Service, caller: &Caller) -> Result<BatchDeployment> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        names::DEPLOYMENT.check(&self.name)?;
        let endpoint = service.find_batch_endpoint(&row, &self.endpoint).await?;
        let before = if self.existing {
            let found = service.find_batch_deployment(&endpoint, &self.name).await?;
            found.definition
        } else {
            serde_json::Map::new()
        };
        // What an update leaves as it is was looked at before; it may be gone by now.
        let is_new = |key: &str| before.get(key) != self.definition.get(key);
        let written = read(&self.definition)?;
        if let Some(base) = base(&written) {
            let checked = settings::settings(&written).check();
            checked.map_err(|error| match (&written, &error.target) {
                (batch::BatchDeployment::Model(_), Some(key)) => {
                    let key = format!("settings.{key}");
                    error.at(key)
                }
                _ => error,
            })?;
            service.check_batch(caller, &row, base, is_new).await?;
            match &base.model {
                Some(ModelSource::Name(name)) => {
                    let found = service.model_of(caller, &row, name).await;
                    let model = found.map_err(|error| error.at("model"))?.model;
                    // What `@latest` is now is what is scored with, until the deployment is made anew.
                    let reference = pinned(name, &model)?;
                    self.definition
                        .insert("model".to_owned(), Value::from(reference));
                }
                Some(ModelSource::Inline(_)) => {
                    return Err(Error::invalid("The model was not uploaded").at("model"));
                }
                None if base.code_configuration.is_none() => {
                    return Err(
                        Error::invalid("There is neither a model nor a scoring script").at("model"),
                    );
                }
                None => {}
            }
        }
        let put = service.store.put_batch_deployment(
            endpoint.id,
            &self.name,
            self.definition,
            self.set_default,
            service.now(),
        );
        put.await?
            .ok_or_else(|| Error::conflict("The endpoint was deleted meanwhile"))
    }
}

/// The reference of a model that `text` has led to: in the workspace or registry that it names.
fn pinned(text: &str, model: &Model) -> Result<String> {
    let holder = AssetRef::parse(text)?.holder;
    Ok(holder.reference("models", &model.name, model.version))
}

/// The definition as the kind of deployment it is.
fn read(definition: &serde_json::Map<String, Value>) -> Result<batch::BatchDeployment> {
    batch::BatchDeployment::read(Some(&Value::Object(definition.clone())))
        .map_err(|mismatch| Error::invalid(format!("The deployment is not understood: {mismatch}")))
}

/// What a deployment of a model says of it.
fn base(written: &batch::BatchDeployment) -> Option<&DeploymentBase> {
    match written {
        batch::BatchDeployment::Model(model) => Some(&model.base),
        batch::BatchDeployment::Flat(flat) => Some(&flat.base),
        batch::BatchDeployment::Pipeline(_) => None,
    }
}

#[async_trait]
impl Perform for GetBatchDeployment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<BatchDeployment> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let endpoint = service.find_batch_endpoint(&row, &self.endpoint).await?;
        service.find_batch_deployment(&endpoint, &self.name).await
    }
}

#[async_trait]
impl Perform for ListBatchDeployments {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<BatchDeployment>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let endpoint = service.find_batch_endpoint(&row, &self.endpoint).await?;
        service.store.batch_deployments(endpoint.id).await
    }
}

#[async_trait]
impl Perform for DeleteBatchDeployment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let endpoint = service.find_batch_endpoint(&row, &self.endpoint).await?;
        let found = service.find_batch_deployment(&endpoint, &self.name).await?;
        let now = service.now();
        let deleted = service
            .store
            .delete_batch_deployment(endpoint.id, &found.name, now);
        deleted.await?;
        Ok(Done {})
    }
}
