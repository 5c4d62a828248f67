//! Runs: how they are made, changed, listed, compared and removed.

use std::collections::BTreeMap;

use super::{Action, Caller, Perform, Service, experiments, filter, metrics};
use crate::{
    api::{
        Done, Error, Page, Result, names,
        runs::{
            BestRun, CancelRun, CreateRun, DeleteRun, GetRun, Job, ListRuns, Run, RunStatus,
            SubmitRun, UpdateRun,
        },
    },
    store::{
        Cancel, Created, ExperimentRef, NewRun, PARENT_TAG, RunChange, RunCursor, RunFilter,
        RunRow, WorkspaceRow,
    },
};

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
            return Ok(Error::unknown("run", name, &place, None)
                .hint(format!("The newest run displayed by that name is `{run}`")));
        }
        let nearest = names::nearest(name, all.iter().map(|(name, _)| name.as_str()));
        let error = Error::unknown("run", name, &place, nearest);
        Ok(match nearest {
            Some(_) => error,
            None => error.hint("See which there are: aml run list"),
        })
    }
}

impl Perform for SubmitRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        if matches!(caller, Caller::Run { .. }) {
            return Err(Error::denied("A run's token may not submit other runs")
                .hint("Make child runs with MLflow, or submit with a user's token"));
        }
        names::RUN.check(&self.name)?;
        names::EXPERIMENT.check(&self.experiment)?;
        metrics::check_tags(&self.tags)?;
        check_job(&self.job)?;
        for name in self.job.secrets.values() {
            service.open_secret(&row, name).await?;
        }
        let new = NewRun {
            workspace: row.id,
            display_name: self.display_name.unwrap_or_else(|| self.name.clone()),
            tags: with_source_tags(self.tags, caller, &self.job),
            name: self.name,
            experiment: ExperimentRef::Name(self.experiment.clone()),
            status: RunStatus::Queued,
            user: caller.name().to_owned(),
            job: Some(self.job.clone()),
            created_at: service.now(),
            started_at: None,
        };
        match service.store.create_run(new).await? {
            Created::New(run) => {
                service.ring();
                Ok(run.run)
            }
            Created::Taken(run)
                if run.run.job.as_ref() == Some(&self.job)
                    && run.run.experiment.eq_ignore_ascii_case(&self.experiment) =>
            {
                Ok(run.run)
            }
            other => refuse(other, &self.experiment),
        }
    }
}

/// Why a run could not be made.
fn refuse(created: Created, experiment: &str) -> Result<Run> {
    match created {
        Created::New(run) => Ok(run.run),
        Created::Taken(run) => Err(Error::conflict(format!(
            "There is a run `{}` already",
            run.run.name
        ))
        .at("name")
        .hint("Choose another name, or leave it out and one is made")),
        Created::NoExperiment => Err(Error::not_found(format!(
            "No experiment with the id `{experiment}`"
        ))
        .at("experiment_id")),
        Created::ExperimentDeleted => Err(Error::conflict(format!(
            "The experiment `{experiment}` is deleted"
        ))
        .at("experiment")
        .hint("Choose another name for the experiment")),
        Created::NoSnapshot => Err(Error::invalid(
            "The job's snapshot is not stored in the workspace",
        )
        .at("job.snapshot")),
    }
}

fn check_job(job: &Job) -> Result<()> {
    if job
        .command
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        return Err(Error::invalid("The job has no command")
            .at("job.command")
            .hint("Give it after `--`: aml run submit --experiment iris -- python train.py"));
    }
    if job.timeout_seconds == Some(0) {
        return Err(
            Error::invalid("A timeout of 0 seconds ends the run at once").at("job.timeout"),
        );
    }
    let variables = job.environment_variables.keys().chain(job.secrets.keys());
    for variable in variables {
        let good = !variable.is_empty()
            && !variable.starts_with(|c: char| c.is_ascii_digit())
            && variable
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !good {
            return Err(Error::invalid(format!(
                "`{variable}` cannot be the name of an environment variable"
            ))
            .at("job.environment_variables")
            .hint("Such names have letters, digits and `_`, and begin with no digit"));
        }
    }
    let nul = |text: &String| text.contains('\0');
    if job.command.iter().any(nul) || job.environment_variables.values().any(nul) {
        return Err(Error::invalid("A command cannot contain a NUL character").at("job.command"));
    }
    metrics::check_params(&job.params)
}

/// Adds the tags by which MLflow's clients and pages know who made a run, from what.
fn with_source_tags(
    mut tags: BTreeMap<String, String>,
    caller: &Caller,
    job: &Job,
) -> BTreeMap<String, String> {
    let mut add = |key: &str, value: &str| {
        tags.entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    };
    add("mlflow.user", caller.name());
    add("mlflow.source.type", "JOB");
    add("mlflow.source.name", &job.command.join(" "));
    if let Some(git) = &job.git {
        add("mlflow.source.git.commit", &git.commit);
        if let Some(branch) = &git.branch {
            add("mlflow.source.git.branch", branch);
        }
        if let Some(remote) = &git.remote {
            add("mlflow.source.git.repoURL", remote);
        }
    }
    tags
}

impl Perform for CreateRun {
    async fn perform(mut self, service: &Service, caller: &Caller) -> Result<Run> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        names::RUN.check(&self.name)?;
        metrics::check_tags(&self.tags)?;
        if let Caller::Run { run: own, .. } = caller {
            match self.tags.get(PARENT_TAG) {
                Some(parent) => {
                    let parent = service.find_run(&row, parent).await?;
                    service.allow_run_tree(caller, parent).await?;
                }
                // What a script starts without saying where belongs to the script's run.
                None => {
                    let own = service.store.run_name(*own).await?.unwrap_or_default();
                    self.tags.insert(PARENT_TAG.to_owned(), own);
                }
            }
        }
        let now = service.now();
        let started_at = match self.status {
            RunStatus::NotStarted => self.started_at,
            _ => self.started_at.or(Some(now)),
        };
        let new = NewRun {
            workspace: row.id,
            name: self.name,
            experiment: ExperimentRef::Id(experiments::parse_id(&self.experiment_id)?),
            display_name: self.display_name,
            status: self.status,
            user: self.user,
            job: None,
            tags: self.tags,
            created_at: now,
            started_at,
        };
        refuse(service.store.create_run(new).await?, &self.experiment_id)
    }
}

impl Perform for UpdateRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let (row, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
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
        let orders = filter::run_orders(&self.order_by)?;
        let newest_first = orders.is_empty();
        let limit = self.limit.unwrap_or(PAGE).clamp(1, LARGEST_PAGE);
        let from = match &self.page {
            Some(page) => parse_cursor(page, newest_first)?,
            None => RunCursor::Skip(0),
        };
        let filter = RunFilter {
            workspace: row.id,
            experiments,
            status: self.status,
            tags: self.tags,
            condition: filter::run_condition(self.filter.as_deref().unwrap_or_default())?,
            orders,
            view: self.view,
            from,
            // One more than asked for, to know whether there is more.
            limit: limit + 1,
        };
        let mut rows = service.store.list_runs(filter).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let last = rows.last().filter(|_| more);
        let next = |row: &RunRow| match from {
            RunCursor::Skip(skip) if !newest_first => (skip + limit).to_string(),
            _ => format!("{}.{}", row.run.created_at.0, row.id),
        };
        Ok(Page {
            next: last.map(next),
            items: rows.into_iter().map(|row| row.run).collect(),
        })
    }
}

/// The newest runs are read on after the last one seen, other orders by counting.
fn parse_cursor(text: &str, newest_first: bool) -> Result<RunCursor> {
    let cursor = if newest_first {
        text.split_once('.')
            .and_then(|(at, id)| Some(RunCursor::After(at.parse().ok()?, id.parse().ok()?)))
    } else {
        text.parse().ok().map(RunCursor::Skip)
    };
    cursor.ok_or_else(|| bad_page(text))
}

pub(super) fn bad_page(text: &str) -> Error {
    Error::invalid(format!("`{text}` is not the `next` of an earlier answer")).at("page")
}

impl Perform for GetRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let (_, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::Read)
            .await?;
        Ok(found.run)
    }
}

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

impl Perform for DeleteRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let (row, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::WriteRuns)
            .await?;
        if !found.run.status.ended() {
            return Err(not_ended(&found.run));
        }
        service.store.delete_run(found.id).await?;
        service.store.remove_log(row.id, found.id)?;
        Ok(Done {})
    }
}

impl Perform for BestRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let experiment = service.find_experiment(&row, &self.experiment).await?;
        let id = experiments::parse_id(&experiment.id)?;
        if let Some(best) = service
            .store
            .best_run(id, self.metric.clone(), self.goal)
            .await?
        {
            return Ok(best.run);
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
