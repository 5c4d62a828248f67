//! `aml run logs`

use clap::Args;

use super::{RunArg, failed, follow};
use crate::{context::Context, job::steps};

/// Failed steps that are named, at most.
const MOST: usize = 5;

/// Print what a run has written, stdout and stderr in order
///
/// Pipelines and sweeps write nothing themselves: it is said which of their steps failed, and with
/// --follow the logs of all of them are printed, each line with the step.
///
/// With --follow the exit code is that of the run's end: 0 completed, 10 failed, 11 cancelled; where
/// an output format is named, the log is on stderr and the run the answer.
#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    run: RunArg,
    /// Go on until the run has ended
    #[arg(short, long)]
    follow: bool,
}

pub async fn logs(ctx: &Context, args: LogsArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    if args.follow {
        let run = super::get(ctx, &args.run.name).await?;
        let Some(kind) = failed::of_others(&run) else {
            return follow::follow(ctx, &workspace, &args.run.name).await;
        };
        let ended = steps::to_the_end(ctx, &workspace, &run.name, kind).await?;
        return follow::conclude(ctx, &workspace, &ended).await;
    }
    let client = ctx.client().await?;
    let log = client.read_log(&workspace, &args.run.name, 0).await?;
    if log.is_empty() {
        say_where(ctx, &workspace, &args.run.name).await?;
    }
    ctx.ui.show_text(&log)
}

/// Says where the logs are of a run that has none of its own.
async fn say_where(ctx: &Context, workspace: &str, name: &str) -> anyhow::Result<()> {
    let run = super::get(ctx, name).await?;
    if run.job.is_none() {
        ctx.ui
            .hint("A client logs to this run; what its program prints is where it was started.");
    } else if let Some(kind) = failed::of_others(&run) {
        let name = &run.name;
        ctx.ui.status(&format!(
            "{name} is a {kind}, which writes nothing itself: each of its runs has a log."
        ));
        let failed = failed::steps(ctx, workspace, name).await?;
        for one in failed.iter().take(MOST) {
            ctx.ui.status(&one.said());
            ctx.ui.hint(&one.hint());
        }
        if failed.len() > MOST {
            let more = failed.len() - MOST;
            ctx.ui.status(&format!("{more} more failed."));
        }
        ctx.ui
            .hint(&format!("See all they write: aml job stream {name}"));
    }
    Ok(())
}
