//! `aml endpoint start`

use clap::Args;

use super::wait;
use crate::cli::context::Context;
use api::endpoints::StartEndpoint;

/// Start an endpoint again with what was deployed last
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Endpoint to start
    name: String,
    /// Do not wait until it answers
    #[arg(long)]
    no_wait: bool,
}

pub async fn start(ctx: &Context, args: StartArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let request = StartEndpoint {
        workspace: workspace.clone(),
        name: args.name,
    };
    let mut endpoint = ctx.client().await?.call(&request).await?;
    if !args.no_wait {
        endpoint = wait(ctx, &workspace, endpoint, None).await?;
    }
    ctx.ui.show(&endpoint)
}
