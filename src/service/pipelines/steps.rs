//! How the steps of a pipeline stand.

use async_trait::async_trait;

use super::course::Pipeline;
use crate::{Action, Caller, Perform, Service, driven::PIPELINE};
use api::{
    Result,
    pipelines::{ListSteps, PipelineStep},
};

#[async_trait]
impl Perform for ListSteps {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<PipelineStep>> {
        let (_, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::Read)
            .await?;
        Box::pin(steps_of(service, found.id)).await
    }
}

async fn steps_of(service: &Service, run: i64) -> Result<Vec<PipelineStep>> {
    let Some(driven) = service.store.driven(run).await? else {
        return Ok(Vec::new());
    };
    if driven.kind != PIPELINE {
        return Ok(Vec::new());
    }
    let ended = driven.head.status.ended();
    let mut pipeline = Pipeline::read(&driven.plan, &driven.state)?;
    pipeline.note(&driven.children);
    let mut steps = Vec::with_capacity(pipeline.graph.steps.len());
    for (at, step) in pipeline.graph.steps.iter().enumerate() {
        let names = step.after.iter();
        let names = names.map(|before| pipeline.graph.steps[*before].name.clone());
        let child = pipeline.run_of(at);
        let inner = match child {
            Some(child) if step.kind() == "pipeline" => {
                Box::pin(steps_of(service, child.id)).await?
            }
            _ => Vec::new(),
        };
        steps.push(PipelineStep {
            name: step.name.clone(),
            kind: step.kind().to_owned(),
            after: names.collect(),
            run: child.map(|child| child.name.clone()),
            status: child.map(|child| child.status),
            skipped: child.is_none() && (ended || pipeline.is_skipped(at)),
            reuses: child.and_then(|child| child.reuses.clone()),
            started_at: child.and_then(|child| child.started_at),
            ended_at: child.and_then(|child| child.ended_at),
            steps: inner,
        });
    }
    Ok(steps)
}
