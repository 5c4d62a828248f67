//! `aml schedule show`

use clap::Args;

use crate::context::Context;
use api::schedules::GetSchedule;

/// Show a schedule, when it is due next and what it did last
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Schedule to show
    #[arg(short, long)]
    name: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetSchedule {
        workspace: ctx.workspace().await?,
        name: args.name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
