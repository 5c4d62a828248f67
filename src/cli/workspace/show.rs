//! `aml workspace show`

use clap::Args;

use super::NameArg;
use crate::{api::workspaces::GetWorkspace, cli::context::Context};

/// Show a workspace and its associated resources
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    name: NameArg,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let workspace = args.name.resolve(ctx).await?;
    let workspace = ctx
        .client()
        .await?
        .call(&GetWorkspace { workspace })
        .await?;
    ctx.ui.show(&workspace)
}
