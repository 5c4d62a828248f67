//! `aml job stream`

use clap::Args;

use super::{
    JobArg,
    create::say_of_compute,
    entity::{Entity, kind, shown_page},
    steps, workspace,
};
use crate::{
    context::Context,
    error::{Exit, RUN_CANCELED, RUN_FAILED},
    run::{failed, follow},
};
use api::runs::{Run, RunStatus};

/// Print a job's log until the job has ended
///
/// Of a pipeline the logs of all steps are printed, of a sweep those of all trials, each line with the
/// step or the number of the trial. The exit code tells how the job ended.
#[derive(Debug, Args)]
pub struct StreamArgs {
    #[command(flatten)]
    pub job: JobArg,
}

pub async fn stream(ctx: &Context, args: StreamArgs) -> anyhow::Result<()> {
    let run = args.job.get(ctx).await?;
    to_the_end(ctx, &run).await
}

/// Follows a job to its end, and shows what has become of it where that was not the answer yet.
pub async fn to_the_end_and_show(ctx: &Context, run: &Run) -> anyhow::Result<()> {
    to_the_end(ctx, run).await?;
    if ctx.ui.answers_alone() {
        return Ok(());
    }
    let run = JobArg::named(&run.name).get(ctx).await?;
    ctx.ui.show(&Entity::new(&run, &workspace(ctx).await?))
}

/// Prints the log of a job, with what Azure ML prints around it; of a pipeline or
/// sweep those of its steps or trials. Where a format was named, the job is the answer.
pub async fn to_the_end(ctx: &Context, run: &Run) -> anyhow::Result<()> {
    let name = &run.name;
    let workspace = workspace(ctx).await?;
    let page = shown_page(&workspace, name).map(|page| format!("Web View: {page}\n"));
    let head = format!("RunId: {name}\n{}", page.unwrap_or_default());
    let file = "Streaming user_logs/std_log.txt";
    let line = "=".repeat(file.len());
    let begin = format!("{head}\n{file}\n{line}\n\n");
    ctx.ui.print_followed(begin.as_bytes())?;
    say_of_compute(ctx, &workspace.name, run).await;
    let ended = match kind(run) {
        Some(what @ ("pipeline" | "sweep" | "automl")) => {
            steps::to_the_end(ctx, &workspace.name, name, what).await?
        }
        _ => follow::to_the_end(ctx, &workspace.name, name).await?,
    };
    let end = format!("\nExecution Summary\n=================\n{head}\n");
    ctx.ui.print_followed(end.as_bytes())?;
    ctx.ui.show_if_asked(&Entity::new(&ended, &workspace))?;
    let reason = ended.reason.clone().unwrap_or_default();
    match ended.status {
        RunStatus::Completed => Ok(()),
        RunStatus::Canceled => {
            ctx.ui.status(&format!("The job was cancelled: {reason}"));
            Err(Exit(RUN_CANCELED).into())
        }
        _ => {
            ctx.ui.status(&format!("The job failed: {reason}"));
            if failed::of_others(&ended).is_some() {
                failed::hint(ctx, &workspace.name, &ended).await;
            }
            Err(Exit(RUN_FAILED).into())
        }
    }
}
