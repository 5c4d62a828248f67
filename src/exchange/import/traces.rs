//! Traces, once the runs that they belong to are here: their records with their spans, a batch at a time.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};

use super::{Import, State, is_trouble_of_one};
use crate::{
    record::{Experiment, Owner, Trace},
    tally::Count,
};
use api::{
    Error, Result,
    experiments::Experiment as Ours,
    files::TreeEntry,
    imports::{FindImported, ImportTraces, Imported, ImportedTrace},
    traces::Span,
};
use client::collect;

/// Traces looked at together, and how much of spans is sent at once, about.
const BATCH: usize = 50;
const BYTES: usize = 16 << 20;
/// Requests at once.
const REQUESTS: usize = 8;

impl Import<'_> {
    pub(super) async fn bring_traces(
        &self,
        experiment: &Experiment,
        ours: &Ours,
        state: &mut State,
    ) -> Result<()> {
        let mut page = None;
        loop {
            let found = self.source.traces(experiment, page).await?;
            state.tally.traces.found += found.items.len() as u64;
            for batch in found.items.chunks(BATCH) {
                self.bring_trace_batch(ours, batch, state).await?;
                (self.progress)(batch.len() as u64);
            }
            page = found.next;
            if page.is_none() {
                return Ok(());
            }
        }
    }

    async fn bring_trace_batch(
        &self,
        ours: &Ours,
        traces: &[Trace],
        state: &mut State,
    ) -> Result<()> {
        let find = FindImported {
            workspace: self.workspace.to_owned(),
            origins: traces
                .iter()
                .map(|trace| trace.record.origin.clone())
                .collect(),
        };
        let known = self.client.call(&find).await?;
        let wanted = self.wanted_traces(traces, &known, &mut state.tally.traces);
        let spans = stream::iter(&wanted).map(|trace| self.source.spans(trace));
        let spans: Vec<Result<Option<Vec<Span>>>> = spans.buffered(REQUESTS).collect().await;
        let mut held = Vec::new();
        let mut size = 0;
        for (trace, spans) in wanted.into_iter().zip(spans) {
            let spans = match spans {
                Err(error) if is_trouble_of_one(&error) => {
                    state.fail_trace(&trace.record.origin, &error);
                    continue;
                }
                spans => spans?,
            };
            let (record, bytes) = self.complete(trace, spans, state).await?;
            size += bytes;
            held.push(record);
            if size >= BYTES {
                self.send_traces(ours, std::mem::take(&mut held), &known, state)
                    .await?;
                size = 0;
            }
        }
        self.send_traces(ours, held, &known, state).await
    }

    /// Leaves out what is here already, and what was deleted here.
    fn wanted_traces<'t>(
        &self,
        traces: &'t [Trace],
        known: &BTreeMap<String, Imported>,
        count: &mut Count,
    ) -> Vec<&'t Trace> {
        let wanted = |trace: &&Trace| match known.get(&trace.record.origin) {
            Some(Imported { run: None, .. }) if !self.again => {
                count.left_out += 1;
                false
            }
            Some(known) if known.stamp == trace.stamp() && known.stamp.is_some() && !self.again => {
                count.unchanged += 1;
                false
            }
            _ => true,
        };
        traces.iter().filter(wanted).collect()
    }

    /// The record with its spans and the files that these name; and about how large it is.
    async fn complete(
        &self,
        trace: &Trace,
        spans: Option<Vec<Span>>,
        state: &mut State,
    ) -> Result<(ImportedTrace, usize)> {
        let mut record = trace.record.clone();
        record.stamp = trace.stamp().filter(|_| spans.is_some());
        if spans.is_none() {
            state.tally.without_files += 1;
        }
        record.spans = spans.unwrap_or_default();
        let text = serde_json::to_string(&record.spans).unwrap_or_default();
        if text.contains(Trace::ATTACHMENT) {
            record.artifacts = self.attachments(trace, state).await?;
        }
        Ok((record, text.len()))
    }

    async fn attachments(&self, trace: &Trace, state: &mut State) -> Result<Vec<TreeEntry>> {
        let owner = Owner::Trace(trace);
        let Some(gathered) = self.gather(&[owner], state).await?.pop() else {
            return Ok(Vec::new());
        };
        let mut entries = gathered.entries;
        for file in &gathered.later {
            let content = collect(self.source.read(owner, file).await?).await?;
            let content = [(file.path.clone(), content)];
            let stored = self.client.store_contents(self.workspace, &[], &content);
            entries.extend(stored.await?);
        }
        Ok(entries)
    }

    async fn send_traces(
        &self,
        ours: &Ours,
        traces: Vec<ImportedTrace>,
        known: &BTreeMap<String, Imported>,
        state: &mut State,
    ) -> Result<()> {
        if traces.is_empty() {
            return Ok(());
        }
        let import = |traces: Vec<ImportedTrace>| ImportTraces {
            workspace: self.workspace.to_owned(),
            experiment_id: ours.id.clone(),
            traces,
        };
        let all = import(traces.clone());
        let sent = self.client.call(&all).await;
        let together = match sent {
            Ok(_) => true,
            // One of them is the trouble; the others shall not suffer from it.
            Err(error) if is_trouble_of_one(&error) => false,
            Err(error) => return Err(error),
        };
        for trace in traces {
            let origin = trace.origin.clone();
            if !together {
                let one = import(vec![trace]);
                match self.client.call(&one).await {
                    Ok(_) => {}
                    Err(error) if is_trouble_of_one(&error) => {
                        state.fail_trace(&origin, &error);
                        continue;
                    }
                    Err(error) => return Err(error),
                }
            }
            if known.contains_key(&origin) {
                state.tally.traces.updated += 1;
            } else {
                state.tally.traces.new += 1;
            }
        }
        Ok(())
    }

    /// Counts what is not brought over.
    pub(super) async fn leave_out_traces(
        &self,
        experiment: &Experiment,
        state: &mut State,
    ) -> Result<()> {
        let mut page = None;
        loop {
            let found = self.source.traces(experiment, page).await?;
            let count = found.items.len() as u64;
            state.tally.traces.found += count;
            state.tally.traces.left_out += count;
            (self.progress)(count);
            page = found.next;
            if page.is_none() {
                return Ok(());
            }
        }
    }
}

impl State {
    fn fail_trace(&mut self, id: &str, error: &Error) {
        self.tally.traces.failed += 1;
        self.remark(format!("The trace `{id}`: {error}"));
    }
}
