//! `aml batch show`

use clap::Args;

use crate::context::Context;
use api::batch::GetBatchDeployment;

/// Show a batch endpoint, or one of its deployments
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Batch endpoint to show
    name: String,
    /// Deployment of it to show instead
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let Some(name) = args.deployment else {
        return ctx.ui.show(&super::get(ctx, &workspace, &args.name).await?);
    };
    let request = GetBatchDeployment {
        workspace,
        endpoint: args.name,
        name,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
