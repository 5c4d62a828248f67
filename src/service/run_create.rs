//! Making runs: jobs that are submitted, runs that clients log to by themselves.

use std::collections::BTreeMap;

use super::{
    Action, Caller, Perform, Service, driven::Course, experiments, jobs::tags_of, metrics,
};
use api::{
    Error, Result,
    jobs::CreateJob,
    names,
    runs::{CreateRun, Git, Job, Run, RunStatus, SubmitRun},
};
use async_trait::async_trait;
use spec::kinds::job::JobBase;
use store::{Created, ExperimentRef, NewDriven, NewRun, PARENT_TAG, RunRow, WorkspaceRow};

#[async_trait]
impl Perform for SubmitRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Run> {
        let row = service.may_submit(caller, &self.workspace).await?;
        names::RUN.check(&self.name)?;
        names::EXPERIMENT.check(&self.experiment)?;
        metrics::check_tags(&self.tags)?;
        check_job(&self.job)?;
        if let Some(described) = &self.job.described {
            service
                .check_described(caller, &self.workspace, described)
                .await?;
        }
        for name in self.job.secrets.values() {
            service.open_secret(&row, name).await?;
        }
        let new = NewRun {
            workspace: row.id,
            display_name: self.display_name.unwrap_or_else(|| self.name.clone()),
            tags: source_tags(self.tags, caller.name(), &self.job),
            job: Some(self.job),
            name: self.name,
            experiment: ExperimentRef::Name(self.experiment.clone()),
            status: RunStatus::Queued,
            user: caller.name().to_owned(),
            created_at: service.now(),
            started_at: None,
            driver: None,
            driven: None,
            reuse_key: None,
            reuses: None,
        };
        match service.store.create_run(new).await? {
            Created::New(run) => {
                service.ring();
                Ok(run.run)
            }
            // Asked twice, as when the first answer was lost. One that ended is not run again by that.
            Created::Taken(run, job)
                if !run.run.status.ended()
                    && run.run.job.as_ref() == job.as_deref()
                    && run.run.experiment.eq_ignore_ascii_case(&self.experiment) =>
            {
                Ok(run.run)
            }
            other => refuse(other, &self.experiment),
        }
    }
}

/// What a job that becomes a driven run says of itself, found right.
pub(super) struct Heading {
    workspace: i64,
    name: String,
    experiment: String,
    display_name: Option<String>,
    tags: BTreeMap<String, String>,
    git: Option<Git>,
}

impl Heading {
    pub(super) fn read(workspace: i64, request: &CreateJob, base: &JobBase) -> Result<Self> {
        let experiment = base.experiment_name.clone();
        let experiment = experiment.unwrap_or_else(|| request.experiment.clone());
        names::RUN.check(&request.name)?;
        names::EXPERIMENT.check(&experiment)?;
        let tags = tags_of(base);
        metrics::check_tags(&tags)?;
        Ok(Self {
            workspace,
            name: request.name.clone(),
            experiment,
            display_name: base.display_name.clone(),
            tags,
            git: request.git.clone(),
        })
    }
}

impl Service {
    /// The workspace, when the caller may submit runs to it.
    pub(super) async fn may_submit(
        &self,
        caller: &Caller,
        workspace: &str,
    ) -> Result<WorkspaceRow> {
        let row = self.enter(caller, workspace, Action::WriteRuns).await?;
        if matches!(caller, Caller::Run { .. }) {
            return Err(Error::denied("A run's token may not submit other runs")
                .hint("Make child runs with MLflow, or submit with a user's token"));
        }
        Ok(row)
    }

    /// Creates a driven run and begins with what is ready of it.
    pub(super) async fn create_driven(
        &self,
        caller: &Caller,
        heading: Heading,
        mut job: Job,
        driven: NewDriven,
        course: Option<Course>,
    ) -> Result<Run> {
        job.git = heading.git;
        let new = NewRun {
            workspace: heading.workspace,
            display_name: heading.display_name.unwrap_or_else(|| heading.name.clone()),
            tags: source_tags(heading.tags, caller.name(), &job),
            name: heading.name,
            experiment: ExperimentRef::Name(heading.experiment.clone()),
            status: RunStatus::Queued,
            user: caller.name().to_owned(),
            job: Some(job),
            created_at: self.now(),
            started_at: None,
            driver: None,
            driven: Some(driven),
            reuse_key: None,
            reuses: None,
        };
        match self.store.create_run(new).await? {
            Created::New(mut run) => {
                // Of a pipeline it is long, and no step changes it.
                let same = course.is_some();
                if let Some(course) = course {
                    self.begin_course(&mut run, course);
                }
                self.advance_due().await;
                if same {
                    let now = self.store.run_without_job(run.id).await?;
                    return Ok(match now {
                        Some(RunRow { run: now, .. }) => Run {
                            job: run.run.job,
                            ..now
                        },
                        None => run.run,
                    });
                }
                let now = self.store.run(heading.workspace, &run.run.name).await?;
                Ok(now.map_or(run.run, |now| now.run))
            }
            // Asked twice, as when the first answer was lost.
            Created::Taken(run, job)
                if !run.run.status.ended() && run.run.job.as_ref() == job.as_deref() =>
            {
                Ok(run.run)
            }
            other => refuse(other, &heading.experiment),
        }
    }
}

/// Why a run could not be made.
pub(super) fn refuse(created: Created, experiment: &str) -> Result<Run> {
    match created {
        Created::New(run) => Ok(run.run),
        Created::Taken(run, _) => Err(Error::conflict(format!(
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

pub(super) fn check_job(job: &Job) -> Result<()> {
    if job
        .command
        .first()
        .is_none_or(|program| program.trim().is_empty())
    {
        let error = Error::invalid("The job has no command").at("job.command");
        return Err(match job.described {
            Some(_) => error.hint("Write it in the file: command: python train.py"),
            None => error
                .hint("Give it after `--`: aml run submit --experiment iris -- python train.py"),
        });
    }
    if job.timeout_seconds == Some(0) {
        return Err(
            Error::invalid("A timeout of 0 seconds ends the run at once").at("job.timeout"),
        );
    }
    let variables = job.environment_variables.keys().chain(job.secrets.keys());
    for variable in variables {
        check_variable(variable).map_err(|error| error.at("job.environment_variables"))?;
    }
    let nul = |text: &String| text.contains('\0');
    if job.command.iter().any(nul) || job.environment_variables.values().any(nul) {
        return Err(Error::invalid("A command cannot contain a NUL character").at("job.command"));
    }
    metrics::check_params(&job.params)
}

/// Refuses what cannot be the name of an environment variable.
pub(super) fn check_variable(variable: &str) -> Result<()> {
    let good = !variable.is_empty()
        && !variable.starts_with(|c: char| c.is_ascii_digit())
        && variable
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_');
    if good {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{variable}` cannot be the name of an environment variable"
    ))
    .hint("Such names have letters, digits and `_`, and begin with no digit"))
}

/// Adds the tags by which MLflow's clients and pages know who made a run, from what.
pub(super) fn source_tags(
    mut tags: BTreeMap<String, String>,
    user: &str,
    job: &Job,
) -> BTreeMap<String, String> {
    let mut add = |key: &str, value: &str| {
        tags.entry(key.to_owned())
            .or_insert_with(|| value.to_owned());
    };
    add("mlflow.user", user);
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

#[async_trait]
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
            // Who calls is known where there are users; elsewhere the client says it.
            user: match caller {
                Caller::User { name, .. } => name.clone(),
                Caller::Owner | Caller::Run { .. } => self.user,
            },
            job: None,
            tags: self.tags,
            created_at: now,
            started_at,
            driver: None,
            driven: None,
            reuse_key: None,
            reuses: None,
        };
        refuse(service.store.create_run(new).await?, &self.experiment_id)
    }
}
