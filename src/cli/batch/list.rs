//! `aml batch list`

use clap::Args;

use crate::context::Context;
use api::batch::ListBatchEndpoints;

/// List the batch endpoints of the workspace
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let request = ListBatchEndpoints { workspace };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
