//! `aml run cancel`

use clap::Args;

use super::RunArg;
use crate::context::Context;
use api::runs::CancelRun;

/// Stop a run with all its processes
#[derive(Debug, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    run: RunArg,
}

pub async fn cancel(ctx: &Context, args: CancelArgs) -> anyhow::Result<()> {
    let request = CancelRun {
        workspace: ctx.workspace().await?,
        run: args.run.name,
    };
    let run = ctx.client().await?.call(&request).await?;
    let said = format!("The run {} is {}.", run.name, run.status);
    ctx.ui.done(&said, &run)?;
    if run.job.is_none() {
        ctx.ui.hint(
            "The run is marked only: the program that logs to it goes on where it was started.",
        );
    }
    Ok(())
}
