//! How the steps of a pipeline stand.

use async_trait::async_trait;

use super::{course::Pipeline, graph::Work};
use crate::{
    Action, Caller, Perform, Service,
    driven::{PIPELINE, SWEEP},
};
use api::{
    Result,
    pipelines::{ListSteps, PipelineStep},
    runs::RunStatus,
};
use store::Child;

#[async_trait]
impl Perform for ListSteps {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<PipelineStep>> {
        let (_, found) = service
            .enter_run(caller, &self.workspace, &self.run, Action::Read)
            .await?;
        Box::pin(steps_of(service, found.id)).await
    }
}

/// A trial of a sweep, by its number.
fn trial(child: Child) -> PipelineStep {
    PipelineStep {
        name: child.place.to_string(),
        kind: "command".to_owned(),
        after: Vec::new(),
        run: Some(child.name),
        status: Some(child.status),
        reason: child.reason,
        skipped: false,
        reuses: child.reuses,
        started_at: child.started_at,
        ended_at: child.ended_at,
        steps: Vec::new(),
    }
}

async fn steps_of(service: &Service, run: i64) -> Result<Vec<PipelineStep>> {
    let Some(driven) = service.store.driven(run).await? else {
        return Ok(Vec::new());
    };
    match driven.kind.as_str() {
        PIPELINE => {}
        SWEEP => return Ok(driven.children.into_iter().map(trial).collect()),
        _ => return Ok(Vec::new()),
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
            Some(child) if !matches!(step.work, Work::Command(_)) => {
                Box::pin(steps_of(service, child.id)).await?
            }
            _ => Vec::new(),
        };
        let without_run = match (pipeline.is_chosen(at), pipeline.could_not_begin(at)) {
            (_, true) => Some(RunStatus::Failed),
            (true, _) => Some(RunStatus::Completed),
            (false, false) => None,
        };
        steps.push(PipelineStep {
            name: step.name.clone(),
            kind: step.kind().to_owned(),
            after: names.collect(),
            run: child.map(|child| child.name.clone()),
            status: child.map(|child| child.status).or(without_run),
            reason: child.and_then(|child| child.reason.clone()),
            skipped: child.is_none() && without_run.is_none() && (ended || pipeline.is_skipped(at)),
            reuses: child.and_then(|child| child.reuses.clone()),
            started_at: child.and_then(|child| child.started_at),
            ended_at: child.and_then(|child| child.ended_at),
            steps: inner,
        });
    }
    Ok(steps)
}
