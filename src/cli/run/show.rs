//! `aml run show`

use clap::Args;

use super::RunArg;
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
    if run.status == RunStatus::Failed && run.job.is_some() {
        ctx.ui
            .hint(&format!("See what it wrote: aml run logs {}", run.name));
    }
    Ok(())
}
