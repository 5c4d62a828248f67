//! Monitors: keeping what they find, and telling of alerts.

use async_trait::async_trait;
use serde_json::json;

use super::{Action, Caller, Perform, Service};
use api::{
    Error, Result,
    monitors::{ListMonitorReports, MonitorReport, RecordDrift, needs_enterprise},
    names,
    webhooks::Event,
    workspaces::Edition,
};
use store::Occurred;

#[async_trait]
impl Perform for RecordDrift {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<MonitorReport> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        if row.workspace.edition < Edition::Enterprise {
            return Err(needs_enterprise(&row.workspace.name));
        }
        names::SCHEDULE
            .check(&self.monitor)
            .map_err(|error| error.at("monitor"))?;
        if let Some(run) = &self.run {
            service.find_run(&row, run).await?;
        }
        let made = MonitorReport {
            monitor: self.monitor,
            run: self.run,
            created_at: service.now(),
            report: self.report,
        };
        let occurred = (made.report.drifted && !self.quiet).then(|| Occurred {
            event: Event::MonitorAlerted,
            data: json!({
                "name": made.monitor,
                "run": made.run,
                "data": made.report.data,
                "reference": made.report.reference,
                "alerts": made.report.alerts,
            }),
        });
        let told = occurred.is_some();
        let occurred = occurred.into_iter().collect();
        service
            .store
            .add_monitor_report(row.id, made.clone(), occurred)
            .await?;
        if told {
            service.wake_courier().await?;
        }
        Ok(made)
    }
}

#[async_trait]
impl Perform for ListMonitorReports {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<MonitorReport>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service
            .store
            .monitor_reports(row.id, self.monitor.clone(), self.limit)
            .await?;
        let Some(name) = self.monitor.filter(|_| found.is_empty()) else {
            return Ok(found);
        };
        let all = service.store.monitor_reports(row.id, None, None).await?;
        let nearest = names::nearest(&name, all.iter().map(|one| one.monitor.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        Err(Error::unknown("monitor", &name, &place, nearest)
            .or_hint("See which there are: aml monitor list"))
    }
}
