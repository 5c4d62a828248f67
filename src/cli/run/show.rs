//! `aml run show`

use clap::Args;

use super::{RunArg, failed};
use crate::context::Context;
use api::runs::RunStatus;

/// Show everything known of a run
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    run: RunArg,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let run = super::get(ctx, &args.run.name).await?;
    ctx.ui.show(&run)?;
    if run.status == RunStatus::Failed {
        failed::hint(ctx, &ctx.workspace().await?, &run).await;
    }
    Ok(())
}
