//! `aml job cancel`

use clap::Args;

use super::{JobArg, as_job, done};
use crate::context::Context;
use api::runs::CancelRun;

/// Stop a job with all its processes
#[derive(Debug, Args)]
pub struct CancelArgs {
    #[command(flatten)]
    pub job: JobArg,
}

pub async fn cancel(ctx: &Context, args: CancelArgs) -> anyhow::Result<()> {
    let request = CancelRun {
        workspace: ctx.workspace().await?,
        run: args.job.name().to_owned(),
    };
    let run = ctx.client().await?.call(&request).await;
    let run = run.map_err(|error| as_job(&request.workspace, error))?;
    let said = format!("The job {} is {}.", run.name, run.status);
    done(ctx, &said, &run).await
}
