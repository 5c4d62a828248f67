//! `aml compute show`

use clap::Args;

use crate::context::Context;
use api::computes::GetCompute;

/// Show a compute
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Compute to show
    #[arg(short, long)]
    name: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetCompute {
        workspace: ctx.workspace().await?,
        name: args.name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
