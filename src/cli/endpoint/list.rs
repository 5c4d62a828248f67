//! `aml endpoint list`

use clap::Args;

use crate::context::Context;
use api::endpoints::ListEndpoints;

/// List the endpoints of the workspace
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let request = ListEndpoints { workspace };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
