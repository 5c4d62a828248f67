//! Pipelines: jobs whose steps are runs that depend on each other.
//!
//! A pipeline is compiled once, when it is created, with all that is wrong in one answer ([`compile`]).
//! What it comes to is its [`graph`], kept with its run, which is a driven one: its [`course`] says
//! which steps begin when others have ended, and [`child`] makes their runs.

mod body;
mod bound;
mod child;
mod command;
mod compile;
mod components;
mod control;
mod course;
mod given;
mod graph;
mod items;
mod parallel;
mod plan;
mod ports;
mod reuse;
mod rounds;
mod spark;
mod step;
mod steps;
mod transfer;
mod values;

pub use child::name_of;
pub use course::Pipeline;
pub use ports::Asked;
pub use reuse::is_of_one_run;

use serde_json::{Map, Value};

use super::{Caller, Perform, Service, driven::Course, run_create::Heading};
use api::{Error, Result, datastores::GetDatastore, jobs::CreateJob, runs::Run};
use spec::{kinds::pipeline::PipelineJob, shape::Described as _};

impl Service {
    /// Creates a pipeline and begins with its first steps.
    pub(super) async fn create_pipeline(&self, caller: &Caller, request: CreateJob) -> Result<Run> {
        let row = self.may_submit(caller, &request.workspace).await?;
        let written = read(&request.definition)?;
        let heading = Heading::read(row.id, &request, &written.base)?;
        let compiled =
            compile::compile(self, caller, &request, request.definition.clone(), true).await?;
        let (job, driven) = child::pipeline_run(
            &compiled.graph,
            request.definition,
            compiled.outputs,
            &request.name,
        )?;
        let course = Course::Pipeline(Box::new(Pipeline::new(compiled.graph)));
        self.create_driven(caller, heading, job, driven, Some(course))
            .await
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

/// What a pipeline says beside its steps, which are read one by one when it is compiled.
fn read(definition: &Map<String, Value>) -> Result<PipelineJob> {
    let own = definition
        .iter()
        .filter(|(key, _)| *key != "jobs" && *key != "component");
    let own = own.map(|(key, value)| (key.clone(), value.clone()));
    PipelineJob::read(Some(&Value::Object(own.collect())))
        .map_err(|mismatch| Error::invalid(format!("The pipeline is not understood: {mismatch}")))
}
