//! The history of one metric in several runs, as charts show it.

use super::{Action, Caller, Perform, Service};
use api::{
    Error, Result,
    metrics::{GetMetricHistories, RunPoint, SampleMetricHistories},
};
use async_trait::async_trait;

#[async_trait]
impl Perform for GetMetricHistories {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<RunPoint>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service
            .store
            .metric_histories(row.id, self.runs, self.key, self.limit)
            .await
    }
}

#[async_trait]
impl Perform for SampleMetricHistories {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<RunPoint>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        if self.samples == 0 {
            return Err(Error::invalid("A sample has at least one step").at("samples"));
        }
        let range = self.steps.unwrap_or((i64::MIN, i64::MAX));
        if range.0 > range.1 {
            return Err(Error::invalid(format!(
                "The last step {} is before the first one {}",
                range.1, range.0
            ))
            .at("steps"));
        }
        service
            .store
            .sampled_histories(
                row.id,
                self.runs,
                self.key,
                range,
                (self.samples, self.limit),
            )
            .await
    }
}
