//! `aml run logs`

use clap::Args;

use super::{RunArg, follow};
use crate::context::Context;

/// Print what a run has written, stdout and stderr in order
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
        return follow::follow(ctx, &workspace, &args.run.name).await;
    }
    let client = ctx.client().await?;
    let log = client.read_log(&workspace, &args.run.name, 0).await?;
    if log.is_empty() && super::get(ctx, &args.run.name).await?.job.is_none() {
        ctx.ui
            .hint("A client logs to this run; what its program prints is where it was started.");
    }
    ctx.ui.show_text(&log)
}
