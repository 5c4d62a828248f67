//! `aml connection show`

use clap::Args;

use crate::context::Context;
use api::connections::GetConnection;

/// Show a connection
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Connection to show
    #[arg(short, long)]
    name: String,
    /// Show its secrets too
    #[arg(long)]
    secrets: bool,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetConnection {
        workspace: ctx.workspace().await?,
        name: args.name,
        secrets: args.secrets,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
