//! What endpoint hosts ask and say.

use super::{Caller, Perform, Service};
use api::{
    Done, Error, Result,
    work::{GetHostOrders, HostOrders, ReportEndpoint},
};
use async_trait::async_trait;
use store::EndpointReport;

#[async_trait]
impl Perform for GetHostOrders {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Option<HostOrders>> {
        service.allow_admin(caller)?;
        let Some(row) = service.store.endpoint_by_id(self.endpoint).await? else {
            return Ok(None);
        };
        let keys = service.open_keys(&row)?;
        Ok(Some(HostOrders {
            workspace: row.workspace_name,
            name: row.name,
            running: row.desired,
            generation: row.generation,
            deployment: row.deployment,
            model: row.model_tree,
            model_kind: row.model_kind,
            model_path: row.model_lineage.path,
            keys,
            port: row.port,
        }))
    }
}

#[async_trait]
impl Perform for ReportEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller)?;
        let report = EndpointReport {
            generation: self.generation,
            state: self.state,
            message: self.message,
            port: self.port,
            unfit: self.unfit,
            answering: self.answering,
            now: service.now(),
        };
        if service.store.report_endpoint(self.endpoint, report).await? {
            Ok(Done {})
        } else {
            Err(Error::not_found("The endpoint was deleted"))
        }
    }
}
