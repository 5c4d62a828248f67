//! `aml deployment show`

use clap::Args;

use super::TargetArgs;
use crate::context::Context;

/// Show a deployment: its state, what it serves, its load
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    ctx.ui.show(&args.target.get(ctx).await?)
}
