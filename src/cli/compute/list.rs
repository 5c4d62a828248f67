//! `aml compute list`

use clap::Args;

use crate::context::Context;
use api::computes::ListComputes;

/// List the computes of the workspace
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List those of one type alone
    #[arg(short = 't', long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = ListComputes {
        workspace: ctx.workspace().await?,
        kind: args.kind,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
