//! What endpoint hosts ask and say.

use std::collections::BTreeMap;

use super::{Caller, Perform, Service, autoscale::check_scalable};
use api::{
    Done, Error, Result,
    work::{DeploymentOrders, GetHostOrders, HostOrders, ReportDeployment, ReportHost, Secrets},
};
use async_trait::async_trait;
use store::{DeploymentReport, DeploymentRow};

#[async_trait]
impl Perform for GetHostOrders {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Option<HostOrders>> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let Some(row) = service.store.endpoint_by_id(self.endpoint).await? else {
            return Ok(None);
        };
        let keys = service.open_keys(&row)?;
        let all = service.store.list_endpoints(None).await?;
        let others = all.iter().filter(|other| other.id != row.id);
        let others = others.filter_map(|other| other.port).collect();
        let mut deployments = Vec::new();
        for deployment in row.deployments {
            let workspace = &row.workspace_name;
            deployments.push(service.orders(workspace, deployment).await?);
        }
        Ok(Some(HostOrders {
            workspace: row.workspace_name,
            name: row.name,
            running: row.desired,
            number: row.orders,
            deployments,
            traffic: row.traffic,
            mirror_traffic: row.mirror_traffic,
            auth_mode: row.auth_mode,
            keys,
            port: row.port,
            pinned_port: row.pinned_port,
            others,
        }))
    }
}

impl Service {
    async fn orders(&self, workspace: &str, row: DeploymentRow) -> Result<DeploymentOrders> {
        let mut missing = Vec::new();
        let secrets = self
            .opened(workspace, &row.deployment.secrets, &mut missing)
            .await?;
        let files = &row.deployment.secret_files;
        let secret_files = self.opened(workspace, files, &mut missing).await?;
        let rules = row.autoscale.as_ref().filter(|scale| scale.enabled);
        let autoscaled = rules.is_some_and(|rules| check_scalable(rules, &row.deployment).is_ok());
        Ok(DeploymentOrders {
            secrets,
            secret_files,
            missing_secrets: missing,
            id: row.id,
            name: row.name,
            generation: row.generation,
            deployment: row.deployment,
            autoscaled,
            model: row.model_tree,
            model_workspace: row.model_workspace,
            model_path: row.model_lineage.and_then(|lineage| lineage.path),
        })
    }

    /// The values of secrets; with what is no more among those that are missing.
    async fn opened(
        &self,
        workspace: &str,
        named: &BTreeMap<String, String>,
        missing: &mut Vec<String>,
    ) -> Result<Secrets> {
        let mut opened = BTreeMap::new();
        if named.is_empty() {
            return Ok(Secrets::default());
        }
        let Some(row) = self.store.workspace(workspace).await? else {
            return Ok(Secrets::default());
        };
        for (variable, name) in named {
            match self.open_secret(&row, name).await {
                Ok(value) => {
                    opened.insert(variable.clone(), value);
                }
                // The other deployments are served all the same.
                Err(_) => missing.push(name.clone()),
            }
        }
        Ok(Secrets(opened))
    }
}

#[async_trait]
impl Perform for ReportHost {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let seen = service
            .store
            .host_seen(self.endpoint, self.seen, self.port, self.message);
        known(seen.await?)
    }
}

#[async_trait]
impl Perform for ReportDeployment {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let report = DeploymentReport {
            deployment: self.deployment,
            generation: self.generation,
            state: self.state,
            message: self.message,
            unfit: self.unfit,
            answering: self.answering,
            now: service.now(),
        };
        known(service.store.report_deployment(report).await?)
    }
}

fn known(known: bool) -> Result<Done> {
    if known {
        Ok(Done {})
    } else {
        Err(Error::not_found("The endpoint or deployment was deleted"))
    }
}
