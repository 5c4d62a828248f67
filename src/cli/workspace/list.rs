//! `aml workspace list`

use clap::Args;

use crate::{api::workspaces::ListWorkspaces, cli::context::Context};

/// List the workspaces you may read
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let workspaces = ctx.client().await?.call(&ListWorkspaces {}).await?;
    ctx.ui.show(&workspaces)
}
