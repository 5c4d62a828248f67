//! Pipelines: jobs whose steps are runs that depend on each other.
//!
//! A pipeline is compiled once, when it is created, with all that is wrong in one answer ([`compile`]).
//! What it comes to is its [`graph`], kept with its run, which is a driven one: its [`course`] says
//! which steps begin when others have ended, and [`child`] makes their runs.

mod child;
mod compile;
mod components;
mod course;
mod given;
mod graph;
mod plan;
mod ports;
mod reuse;
mod step;
mod steps;

pub use child::name_of;
pub use course::Pipeline;
pub use ports::Asked;

use serde_json::{Map, Value};

use super::{
    Action, Caller, Perform, Service,
    jobs::tags_of,
    run_create::{refuse, source_tags},
};
use api::{
    Error, Result,
    datastores::GetDatastore,
    jobs::CreateJob,
    names,
    runs::{Run, RunStatus},
};
use spec::{kinds::pipeline::PipelineJob, shape::Described as _};
use store::{Created, ExperimentRef, NewRun};

impl Service {
    /// Creates a pipeline and begins with its first steps.
    pub(super) async fn create_pipeline(&self, caller: &Caller, request: CreateJob) -> Result<Run> {
        let row = self
            .enter(caller, &request.workspace, Action::WriteRuns)
            .await?;
        if matches!(caller, Caller::Run { .. }) {
            return Err(Error::denied("A run's token may not submit other runs"));
        }
        let written = read(&request.definition)?;
        let experiment = written.base.experiment_name.clone();
        let experiment = experiment.unwrap_or_else(|| request.experiment.clone());
        names::RUN.check(&request.name)?;
        names::EXPERIMENT.check(&experiment)?;
        let tags = tags_of(&written.base);
        super::metrics::check_tags(&tags)?;
        let compiled = compile::compile(self, caller, &request).await?;
        let (mut job, driven) = child::pipeline_run(
            compiled.graph,
            request.definition,
            compiled.outputs,
            &request.name,
        )?;
        job.git = request.git;
        let display_name = written.base.display_name.clone();
        let new = NewRun {
            workspace: row.id,
            display_name: display_name.unwrap_or_else(|| request.name.clone()),
            tags: source_tags(tags, caller.name(), &job),
            name: request.name,
            experiment: ExperimentRef::Name(experiment.clone()),
            status: RunStatus::Queued,
            user: caller.name().to_owned(),
            job: Some(job.clone()),
            created_at: self.now(),
            started_at: None,
            driver: None,
            driven: Some(driven),
            reuse_key: None,
            reuses: None,
        };
        match self.store.create_run(new).await? {
            Created::New(run) => {
                self.advance_due().await;
                let now = self.store.run(row.id, &run.run.name).await?;
                Ok(now.map_or(run.run, |now| now.run))
            }
            // Asked twice, as when the first answer was lost.
            Created::Taken(run)
                if !run.run.status.ended() && run.run.job.as_ref() == Some(&job) =>
            {
                Ok(run.run)
            }
            other => refuse(other, &experiment),
        }
    }

    /// The datastore that a workspace's outputs go to, or the one of that name.
    async fn datastore_named(
        &self,
        caller: &Caller,
        workspace: &str,
        name: Option<String>,
    ) -> Result<String> {
        let get = GetDatastore {
            workspace: workspace.to_owned(),
            name,
            secrets: false,
        };
        Ok(get.perform(self, caller).await?.name)
    }
}

fn read(definition: &Map<String, Value>) -> Result<PipelineJob> {
    PipelineJob::read(Some(&Value::Object(definition.clone())))
        .map_err(|mismatch| Error::invalid(format!("The pipeline is not understood: {mismatch}")))
}
