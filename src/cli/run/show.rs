//! `aml run show`

use clap::Args;

use super::RunArg;
use crate::cli::context::Context;

/// Show everything known of a run
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    run: RunArg,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    ctx.ui.show(&super::get(ctx, &args.run.name).await?)
}
