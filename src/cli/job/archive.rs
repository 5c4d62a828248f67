//! `aml job archive` and `aml job restore`

use clap::Args;

use super::{JobArg, as_job, done};
use crate::context::Context;
use api::runs::UpdateRun;

/// Hide a job that has ended from lists
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(flatten)]
    job: JobArg,
}

/// Bring an archived job back
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    job: JobArg,
}

pub async fn archive(ctx: &Context, args: ArchiveArgs) -> anyhow::Result<()> {
    set(ctx, &args.job, true).await
}

pub async fn restore(ctx: &Context, args: RestoreArgs) -> anyhow::Result<()> {
    set(ctx, &args.job, false).await
}

/// Hides a job or brings it back.
pub async fn set(ctx: &Context, job: &JobArg, archived: bool) -> anyhow::Result<()> {
    let request = UpdateRun {
        workspace: ctx.workspace().await?,
        run: job.name().to_owned(),
        deleted: Some(archived),
        ..UpdateRun::default()
    };
    let run = ctx.client().await?.call(&request).await;
    let run = run.map_err(|error| as_job(&request.workspace, error))?;
    let verb = if archived { "Archived" } else { "Restored" };
    done(ctx, &format!("{verb} the job {}.", run.name), &run).await
}
