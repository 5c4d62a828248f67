//! Traces with their spans and assessments, one by one.

use super::{Export, Files, add, copy};
use crate::{
    record::{Experiment, Owner, Trace},
    tally::Tally,
    target::Database,
};
use api::{Result, imports::Outcome};

impl Export<'_> {
    pub(super) async fn write_traces(
        &mut self,
        experiment: &Experiment,
        tally: &mut Tally,
    ) -> Result<()> {
        let takes = self.target.takes_traces()?;
        let mut page = None;
        loop {
            let found = self.source.traces(experiment, page).await?;
            let count = found.items.len() as u64;
            tally.traces.found += count;
            for trace in &found.items {
                let outcome = if takes {
                    self.write_trace(experiment, trace, tally).await?
                } else {
                    Outcome::LeftOut
                };
                add(&mut tally.traces, outcome);
            }
            (self.progress)(count);
            page = found.next;
            if page.is_none() {
                break;
            }
        }
        if !takes && tally.traces.left_out > 0 && tally.remarks.is_empty() {
            tally.remarks.push(
                "Traces are left out: the database has the format of MLflow before 3.3".to_owned(),
            );
        }
        Ok(())
    }

    async fn write_trace(
        &mut self,
        experiment: &Experiment,
        trace: &Trace,
        tally: &mut Tally,
    ) -> Result<Outcome> {
        let stamp = trace.stamp();
        let known = self.target.trace_stamp(&trace.record.origin)?;
        if !self.again && stamp.is_some() && known == stamp {
            return Ok(Outcome::Unchanged);
        }
        let spans = self.source.spans(trace).await?.unwrap_or_default();
        let text = serde_json::to_string(&spans).unwrap_or_default();
        if text.contains(Trace::ATTACHMENT) {
            let id = self.target.experiment_id(&experiment.id)?;
            let folder = self.target.trace_folder(id, &trace.record.origin);
            let owner = Owner::Trace(trace);
            copy(
                self.source,
                self.target,
                owner,
                (&folder, Files::All),
                tally,
            )
            .await?;
        }
        let write = async |target: &mut Database| target.trace(&experiment.id, trace, &spans);
        self.target.at_once(write).await
    }
}
