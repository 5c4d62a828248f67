//! `aml run delete`

use clap::Args;

use super::RunArg;
use crate::{context::Context, views::Named};
use api::runs::DeleteRun;

/// Delete a run that has ended, with its artifacts and log
///
/// Models that were registered from it stay.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    #[command(flatten)]
    run: RunArg,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let run = super::get(ctx, &args.run.name).await?;
    let question = format!(
        "Delete the run `{}` with its metrics, artifacts and log?",
        run.name
    );
    ctx.ui.confirm(args.yes, &question)?;
    let request = DeleteRun {
        workspace: ctx.workspace().await?,
        run: run.name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the run {}.", run.name),
        &Named::new(run.name.as_str()),
    )
}
