//! Where it is written why a run has failed: in its own log, or, where it consists of other runs, in
//! those of the ones that failed.

use crate::{context::Context, job::entity::kind};
use api::{
    Result, Time,
    pipelines::{ListSteps, PipelineStep},
    runs::{Run, RunStatus},
};

/// Types of jobs that consist of other runs, and write nothing themselves.
pub const OF_OTHERS: [&str; 5] = ["pipeline", "sweep", "automl", "do_while", "parallel_for"];

/// The type of a run that consists of others.
pub fn of_others(run: &Run) -> Option<&str> {
    kind(run).filter(|kind| OF_OTHERS.contains(kind))
}

/// A step or trial that failed.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// With the names of the steps it is in: `outer.step`.
    path: String,
    run: String,
    reason: Option<String>,
}

impl Failed {
    pub fn said(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| format!(": {reason}"));
        format!("{} failed{}", self.path, reason.unwrap_or_default())
    }

    /// How its log is printed.
    pub fn hint(&self) -> String {
        let Self { path, run, .. } = self;
        format!("See what {path} wrote: aml run logs {run}")
    }
}

/// What failed of a run that consists of others, the first one first.
pub async fn steps(ctx: &Context, workspace: &str, run: &str) -> Result<Vec<Failed>> {
    let list = ListSteps {
        workspace: workspace.to_owned(),
        run: run.to_owned(),
    };
    let steps = ctx.client().await?.call(&list).await?;
    Ok(in_order(&steps))
}

/// Hints at the log that tells why a run has failed. Where nobody can be asked there is no hint.
pub async fn hint(ctx: &Context, workspace: &str, run: &Run) {
    if of_others(run).is_some() {
        let failed = steps(ctx, workspace, &run.name).await.unwrap_or_default();
        if let Some(first) = failed.first() {
            ctx.ui.hint(&first.hint());
        }
    } else if run.job.is_some() {
        ctx.ui
            .hint(&format!("See what it wrote: aml run logs {}", run.name));
    }
}

fn in_order(steps: &[PipelineStep]) -> Vec<Failed> {
    let mut found = Vec::new();
    collect(steps, "", &mut found);
    found.sort_by_key(|(ended, _)| *ended);
    found.into_iter().map(|(_, failed)| failed).collect()
}

fn collect(steps: &[PipelineStep], at: &str, found: &mut Vec<(Option<Time>, Failed)>) {
    for step in steps {
        let path = format!("{at}{}", step.name);
        if OF_OTHERS.contains(&step.kind.as_str()) {
            collect(&step.steps, &format!("{path}."), found);
        } else if let (Some(run), Some(RunStatus::Failed)) = (&step.run, step.status) {
            let (run, reason) = (run.clone(), step.reason.clone());
            found.push((step.ended_at, Failed { path, run, reason }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, kind: &str, status: RunStatus, steps: Vec<PipelineStep>) -> PipelineStep {
        PipelineStep {
            name: name.to_owned(),
            kind: kind.to_owned(),
            after: Vec::new(),
            run: Some(format!("p-{name}")),
            status: Some(status),
            reason: None,
            skipped: false,
            reuses: None,
            started_at: None,
            ended_at: None,
            steps,
        }
    }

    #[test]
    fn what_failed_within_a_step_is_found_where_it_was_written() {
        let ended = |mut step: PipelineStep, at: i64| {
            step.ended_at = Some(Time(at));
            step
        };
        let inner = vec![
            step("fine", "command", RunStatus::Completed, Vec::new()),
            ended(step("first", "command", RunStatus::Failed, Vec::new()), 1),
        ];
        let steps = [
            ended(step("later", "command", RunStatus::Failed, Vec::new()), 2),
            step("outer", "pipeline", RunStatus::Failed, inner),
            step("stopped", "command", RunStatus::Canceled, Vec::new()),
        ];
        let found = in_order(&steps);
        let hints: Vec<String> = found.iter().map(Failed::hint).collect();
        assert_eq!(
            hints,
            [
                "See what outer.first wrote: aml run logs p-first",
                "See what later wrote: aml run logs p-later"
            ]
        );
    }
}
