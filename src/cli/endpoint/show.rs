//! `aml endpoint show`

use clap::Args;

use crate::cli::context::Context;
use api::endpoints::GetEndpoint;

/// Show an endpoint: its state, what it serves, what was asked of it
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Endpoint to show
    name: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetEndpoint {
        workspace: ctx.workspace().await?,
        name: args.name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
