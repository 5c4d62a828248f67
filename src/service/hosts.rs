//! What endpoint hosts ask and say.

use super::{Caller, Perform, Service};
use api::{
    Done, Error, Result,
    work::{DeploymentOrders, GetHostOrders, HostOrders, ReportDeployment, ReportHost},
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
        Ok(Some(HostOrders {
            workspace: row.workspace_name,
            name: row.name,
            running: row.desired,
            number: row.orders,
            deployments: row.deployments.into_iter().map(orders).collect(),
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

fn orders(row: DeploymentRow) -> DeploymentOrders {
    DeploymentOrders {
        id: row.id,
        name: row.name,
        generation: row.generation,
        deployment: row.deployment,
        model: row.model_tree,
        model_workspace: row.model_workspace,
        model_path: row.model_lineage.and_then(|lineage| lineage.path),
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
