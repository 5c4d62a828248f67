//! `aml experiment list`

use clap::Args;

use crate::context::Context;
use api::experiments::ListExperiments;

/// List the experiments of the workspace, newest first
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Also those that were deleted
    #[arg(long)]
    include_deleted: bool,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = ListExperiments {
        workspace: ctx.workspace().await?,
        include_deleted: args.include_deleted,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
