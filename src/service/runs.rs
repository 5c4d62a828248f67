//! Runs: how they are made, changed, listed, compared and removed.

use std::collections::BTreeMap;

use super::{Action, Caller, Perform, Service, experiments, filter};
use api::{
    Done, Error, Page, Result, names,
    runs::{Best, BestRun, CancelRun, DeleteRun, GetRun, ListRuns, Run, UpdateRun},
};
use async_trait::async_trait;
use store::{Cancel, Mark, RunChange, RunFilter, RunRow, WorkspaceRow};

/// Runs in an answer when the request does not say, and at most.
const PAGE: u32 = 50;
const LARGEST_PAGE: u32 = 50_000;

impl Service {
    /// Finds a workspace and one of its runs, and checks that the caller may do this to it. A run's
    /// token may read in its workspace and change its own run and that run's children.
    pub async fn enter_run(
        &self,
        caller: &Caller,
        workspace: &str,
        run: &str,
        action: Action,
    ) -> Result<(WorkspaceRow, RunRow)> {
        let row = self.enter(caller, workspace, action).await?;
        let Some(found) = self.store.run(row.id, run).await? else {
            return Err(self.unknown_run(&row, run).await?);
        };
        if action != Action::Read {
            self.allow_run_tree(caller, found.id).await?;
        }
        Ok((row, found))
    }

    /// The number of a run.
    pub async fn find_run(&self, row: &WorkspaceRow, name: &str) -> Result<i64> {
        match self.store.run_id(row.id, name).await? {
            Some(id) => Ok(id),
            None => Err(self.unknown_run(row, name).await?),
        }
    }

    /// Refuses a run's token that is used for a run that is neither its own nor started by it.
    pub async fn allow_run_tree(&self, caller: &Caller, run: i64) -> Result<()> {
        match caller {
            Caller::Run { run: own, .. }
                if *own != run && self.store.run_descends(run, *own).await? =>
            {
                Ok(())
            }
            _ => self.allow_run(caller, run),
        }
    }

    pub(super) async fn unknown_run(&self, row: &WorkspaceRow, name: &str) -> Result<Error> {
        let all = self.store.newest_run_names(row.id).await?;
        let place = format!(" in `{}`", row.workspace.name);
        if let Some((run, _)) = all.iter().find(|(_, display)| display == name) {
            let mut error = Error::unknown("run", name, &place, Some(run));
            error.hints = vec![format!("The newest run displayed by that name is `{run}`")];
            return Ok(error);
        }
        let nearest = names::nearest(name, all.iter().map(|(name, _)| name.as_str()));
        Ok(Error::unknown("run", name, &place, nearest)
            .or_hint("See which there are: aml run list"))
    }
}

#[async_trait]
impl Perform for UpdateRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let (row, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        if let Some(experiment) = &self.experiment {
            names::EXPERIMENT.check(experiment)?;
        }
        let restored = self.deleted == Some(false);
        if found.run.deleted && self.deleted.is_none() {
            return Err(Error::conflict(format!(
                "Run `{}` is deleted",
                found.run.name
            )));
        }
        let a_worker_decides = found.run.job.is_some();
        if a_worker_decides && !found.run.status.ended() && self.deleted == Some(true) {
            return Err(not_ended(&found.run));
        }
        let change = RunChange {
            display_name: self.display_name,
            status: self.status.filter(|_| !a_worker_decides && !restored),
            ended_at: self.ended_at.filter(|_| !a_worker_decides),
            deleted: self.deleted,
            experiment: self.experiment,
        };
        match service
            .store
            .update_run(found.id, change, service.now())
            .await?
        {
            Some(run) => Ok(run.run),
            None => Err(service.unknown_run(&row, &self.run).await?),
        }
    }
}

fn not_ended(run: &Run) -> Error {
    Error::conflict(format!(
        "Run `{}` has not ended; its status is {}",
        run.name, run.status
    ))
    .hint(format!("Cancel it first: aml run cancel {}", run.name))
}

#[async_trait]
impl Perform for ListRuns {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<Run>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let mut experiments = match self.experiment_ids.as_slice() {
            [] => None,
            ids => {
                let ids = ids.iter().map(|id| experiments::parse_id(id));
                Some(ids.collect::<Result<Vec<_>>>()?)
            }
        };
        if let Some(name) = &self.experiment {
            let found = service.find_experiment(&row, name).await?;
            experiments
                .get_or_insert_default()
                .push(experiments::parse_id(&found.id)?);
        }
        let limit = self.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let mark = |page: &String| Mark::parse(page).ok_or_else(|| bad_page(page));
        let filter = RunFilter {
            workspace: row.id,
            experiments,
            status: self.status,
            tags: self.tags,
            condition: filter::run_condition(
                self.filter.as_deref().unwrap_or_default(),
                self.any_status,
            )?,
            orders: filter::run_orders(&self.order_by)?,
            view: self.view,
            after: self.page.as_ref().map(mark).transpose()?,
            limit: limit as usize,
        };
        match service.store.list_runs(filter).await? {
            Some(listing) => Ok(Page {
                next: listing.next.map(|mark| mark.to_text()),
                items: listing.rows.into_iter().map(|row| row.run).collect(),
            }),
            None => Err(bad_page(&self.page.unwrap_or_default())),
        }
    }
}

pub(super) fn bad_page(text: &str) -> Error {
    Error::invalid(format!("`{text}` is not the `next` of an earlier answer")).at("page")
}

#[async_trait]
impl Perform for GetRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let (_, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::Read)
            .await?;
        Ok(found.run)
    }
}

#[async_trait]
impl Perform for CancelRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let (row, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        let reason = format!("Canceled by {}", caller.name());
        match service
            .store
            .cancel_run(found.id, reason, service.now())
            .await?
        {
            Cancel::Ended(run) | Cancel::Requested(run) => {
                service.advance_due().await;
                service.ring();
                service.logs.notify_waiters();
                Ok(run.run)
            }
            Cancel::TooLate(run) => Err(Error::conflict(format!(
                "Run `{}` has already ended; its status is {}",
                run.run.name, run.run.status
            ))),
            Cancel::Missing => Err(service.unknown_run(&row, &self.run).await?),
        }
    }
}

#[async_trait]
impl Perform for DeleteRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (row, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        if !found.run.status.ended() {
            return Err(not_ended(&found.run));
        }
        if let Some((kind, driver)) = service.store.open_driver(found.id).await? {
            return Err(Error::conflict(format!(
                "Run `{}` is a part of the {kind} `{driver}`, which has not ended and may need it",
                found.run.name
            ))
            .hint(format!(
                "Wait until it has ended, or cancel it first: aml run cancel {driver}"
            )));
        }
        service.store.delete_run(found.id).await?;
        service.store.remove_log(row.id, found.id)?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for BestRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Best> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let experiment = service.find_experiment(&row, &self.experiment).await?;
        let id = experiments::parse_id(&experiment.id)?;
        if let Some((best, equally_good)) = service
            .store
            .best_run(id, self.metric.clone(), self.goal)
            .await?
        {
            return Ok(Best {
                run: best.run,
                equally_good,
            });
        }
        let (completed, metrics) = service.store.metrics_of_completed(id).await?;
        Err(no_best(&experiment.name, &self.metric, completed, &metrics))
    }
}

/// Says why no run is best, and which metrics could be asked for.
fn no_best(
    experiment: &str,
    metric: &str,
    completed: u64,
    metrics: &BTreeMap<String, u64>,
) -> Error {
    if completed == 0 {
        return Error::not_found(format!(
            "No run of the experiment `{experiment}` has completed yet"
        ))
        .hint(format!(
            "See how they stand: aml run list --experiment {experiment}"
        ));
    }
    if metrics.contains_key(metric) {
        return Error::not_found(format!(
            "The metric `{metric}` is NaN in every completed run of `{experiment}`"
        ));
    }
    let nearest = names::nearest(metric, metrics.keys().map(String::as_str));
    let place = format!(" in a completed run of `{experiment}`");
    let error = Error::unknown("metric", metric, &place, nearest);
    if metrics.is_empty() {
        return error.hint("Its runs have logged no metrics");
    }
    let names: Vec<String> = metrics
        .iter()
        .map(|(name, runs)| format!("{name} ({runs} of {completed} runs)"))
        .collect();
    error.hint(format!("The metrics there are: {}", names.join(", ")))
}
