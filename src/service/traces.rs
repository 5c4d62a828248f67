//! Traces: kept, changed, found, removed, and what they belong to.

use std::collections::BTreeMap;

use super::{Action, Caller, Perform, Service, experiments, filter, runs::bad_page};
use api::{
    Done, Error, Page, Result,
    traces::{
        Assessment, DeleteTraces, GetTraces, LinkPrompts, LinkTraces, SearchTraces, StartTrace,
        Trace, UpdateTrace, WholeTrace,
    },
};
use async_trait::async_trait;
use store::{
    NewTrace, TraceChange, TraceCursor, TraceFilter, TraceRow, TraceSelection, WorkspaceRow,
};

const LONGEST_ID: usize = 200;
const LONGEST_KEY: usize = 250;
const LARGEST_PAGE: u32 = 50_000;

impl Service {
    /// Finds a workspace and one of its traces, and checks that the caller may do this to it. A run's
    /// token may change what its own process has made, and its child runs'.
    pub(super) async fn enter_trace(
        &self,
        caller: &Caller,
        workspace: &str,
        id: &str,
        action: Action,
    ) -> Result<(WorkspaceRow, TraceRow)> {
        let row = self.enter(caller, workspace, action).await?;
        let Some(found) = self.store.trace(row.id, id).await? else {
            return Err(no_such_trace(&row, id));
        };
        if action != Action::Read {
            self.allow_maker(caller, found.run).await?;
        }
        Ok((row, found))
    }

    /// Refuses a run's token that is used for a trace which another process has made.
    pub(super) async fn allow_maker(&self, caller: &Caller, maker: Option<i64>) -> Result<()> {
        match (caller, maker) {
            (Caller::Run { .. }, Some(run)) => self.allow_run_tree(caller, run).await,
            (Caller::Run { .. }, None) => Err(Error::denied(
                "A run's token may only be used for its own run",
            )),
            (Caller::Owner | Caller::User { .. }, _) => Ok(()),
        }
    }
}

/// The run whose process makes what the caller makes.
pub(super) fn maker(caller: &Caller) -> Option<i64> {
    match caller {
        Caller::Run { run, .. } => Some(*run),
        Caller::Owner | Caller::User { .. } => None,
    }
}

pub(super) fn no_such_trace(row: &WorkspaceRow, id: &str) -> Error {
    Error::unknown("trace", id, &format!(" in `{}`", row.workspace.name), None)
}

/// Accepts an id that can be a part of an address.
pub(super) fn check_id(what: &str, id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
    let fine = !id.is_empty()
        && id.len() <= LONGEST_ID
        && id.chars().all(plain)
        && !id.chars().all(|c| c == '.');
    if fine {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{}` cannot be the id of a {what}: it has letters, digits, `-`, `_`, `.` and `:`, at most \
         {LONGEST_ID} of them",
        id.escape_debug()
    ))
    .at("id"))
}

pub(super) fn check_keys(what: &str, pairs: &BTreeMap<String, String>) -> Result<()> {
    for key in pairs.keys() {
        if key.is_empty() || key.chars().count() > LONGEST_KEY {
            return Err(Error::invalid(format!(
                "The key of a trace's {what} has 1 to {LONGEST_KEY} characters; this one has {}",
                key.chars().count()
            ))
            .at(what));
        }
    }
    Ok(())
}

/// Gives an assessment an id when it has none.
pub(super) fn with_id(mut assessment: Assessment) -> Result<Assessment> {
    if assessment.id.is_empty() {
        assessment.id = format!("a-{}", uuid::Uuid::new_v4().simple());
    }
    check_id("assessment", &assessment.id)?;
    Ok(assessment)
}

#[async_trait]
impl Perform for StartTrace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Trace> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        check_id("trace", &self.id)?;
        check_keys("metadata", &self.metadata)?;
        check_keys("tags", &self.tags)?;
        if let Some(known) = service.store.trace(row.id, &self.id).await? {
            service.allow_maker(caller, known.run).await?;
        }
        let assessments = self.assessments.into_iter().map(with_id);
        let new = NewTrace {
            workspace: row.id,
            experiment: experiments::parse_id(&self.experiment_id)?,
            run: maker(caller),
            name: self.id,
            client_request_id: self.client_request_id,
            request_preview: self.request_preview,
            response_preview: self.response_preview,
            started_at: self.started_at,
            duration_ms: self.duration_ms,
            state: self.state,
            metadata: self.metadata,
            tags: self.tags,
            assessments: assessments.collect::<Result<_>>()?,
        };
        service.store.start_trace(new).await
    }
}

#[async_trait]
impl Perform for UpdateTrace {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Trace> {
        let (row, found) = service
            .enter_trace(caller, &self.workspace, &self.id, Action::WriteRuns)
            .await?;
        check_keys("metadata", &self.set_metadata)?;
        check_keys("tags", &self.set_tags)?;
        let change = TraceChange {
            state: self.state,
            ended_at: self.ended_at,
            set_metadata: self.set_metadata,
            set_tags: self.set_tags,
            remove_tags: self.remove_tags,
        };
        match service.store.update_trace(found.id, change).await? {
            Some(trace) => Ok(trace),
            None => Err(no_such_trace(&row, &self.id)),
        }
    }
}

#[async_trait]
impl Perform for GetTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<WholeTrace>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.store.traces(row.id, self.ids, self.spans).await
    }
}

#[async_trait]
impl Perform for SearchTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<Trace>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let ids = self.experiment_ids.iter();
        let experiments = ids.map(|id| experiments::parse_id(id));
        let orders = filter::trace_orders(&self.order_by)?;
        let newest_first = orders.is_empty();
        let limit = self.limit.clamp(1, LARGEST_PAGE);
        let from = match &self.page {
            Some(page) => parse_cursor(page, newest_first)?,
            None => TraceCursor::Skip(0),
        };
        let filter = TraceFilter {
            workspace: row.id,
            experiments: experiments.collect::<Result<_>>()?,
            condition: filter::trace_condition(self.filter.as_deref().unwrap_or_default())?,
            orders,
            from,
            // One more than asked for, to know whether there is more.
            limit: limit + 1,
        };
        let mut rows = service.store.list_traces(filter).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = |row: &TraceRow| match from {
            TraceCursor::Skip(skip) if !newest_first => skip.saturating_add(limit).to_string(),
            _ => format!("{}.{}", row.trace.started_at.0, row.id),
        };
        Ok(Page {
            next: rows.last().filter(|_| more).map(next),
            items: rows.into_iter().map(|row| row.trace).collect(),
        })
    }
}

/// The newest traces are read on after the last one seen, other orders by counting.
fn parse_cursor(text: &str, newest_first: bool) -> Result<TraceCursor> {
    let cursor = if newest_first {
        text.split_once('.')
            .and_then(|(at, id)| Some(TraceCursor::After(at.parse().ok()?, id.parse().ok()?)))
    } else {
        text.parse().ok().map(TraceCursor::Skip)
    };
    cursor.ok_or_else(|| bad_page(text))
}

#[async_trait]
impl Perform for DeleteTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<u64> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        service.allow_person(caller)?;
        let experiment = experiments::parse_id(&self.experiment_id)?;
        if service
            .store
            .experiment(row.id, experiment)
            .await?
            .is_none()
        {
            return Err(
                Error::not_found(format!("No experiment with the id `{experiment}`"))
                    .at("experiment_id"),
            );
        }
        if self.ids.is_none() && self.until.is_none() {
            return Err(Error::invalid(
                "Which traces are removed is said by their ids, or by the time until which they began",
            )
            .at("ids"));
        }
        let which = TraceSelection {
            names: self.ids,
            until: self.until,
            limit: self.limit,
        };
        service.store.delete_traces(experiment, which).await
    }
}

#[async_trait]
impl Perform for LinkTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (_, run) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        self.ids.iter().try_for_each(|id| check_id("trace", id))?;
        service.store.link_traces(run.id, self.ids).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for LinkPrompts {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (_, trace) = service
            .enter_trace(caller, &self.workspace, &self.id, Action::WriteRuns)
            .await?;
        service.store.link_prompts(trace.id, self.prompts).await?;
        Ok(Done {})
    }
}
