//! `aml connection list`

use clap::Args;

use crate::context::Context;
use api::connections::ListConnections;

/// List the connections of the workspace, without their secrets
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List those of one type alone
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = ListConnections {
        workspace: ctx.workspace().await?,
        kind: args.kind,
        secrets: false,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
