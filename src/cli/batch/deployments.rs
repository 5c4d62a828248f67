//! `aml batch deployments`

use clap::Args;

use crate::context::Context;
use api::batch::ListBatchDeployments;

/// List the deployments of a batch endpoint
#[derive(Debug, Args)]
pub struct DeploymentsArgs {
    /// Batch endpoint whose deployments to list
    name: String,
}

pub async fn deployments(ctx: &Context, args: DeploymentsArgs) -> anyhow::Result<()> {
    let request = ListBatchDeployments {
        workspace: ctx.workspace().await?,
        endpoint: args.name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
