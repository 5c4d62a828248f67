//! `aml schedule trigger`

use clap::Args;

use crate::{context::Context, run::naming};
use api::schedules::TriggerSchedule;

/// Create the job of a schedule now
#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// Schedule whose job is created
    #[arg(short, long)]
    name: String,
}

pub async fn trigger(ctx: &Context, args: TriggerArgs) -> anyhow::Result<()> {
    let request = TriggerSchedule {
        workspace: ctx.workspace().await?,
        name: args.name,
        job: naming::new_name(),
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
