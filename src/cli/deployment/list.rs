//! `aml deployment list`

use clap::Args;

use crate::context::Context;
use api::endpoints::GetEndpoint;

/// List the deployments of an endpoint
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Endpoint they are behind
    #[arg(value_name = "ENDPOINT")]
    endpoint: String,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = GetEndpoint {
        workspace: ctx.workspace().await?,
        name: args.endpoint,
    };
    let found = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&found.deployments)
}
