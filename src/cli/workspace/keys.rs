//! `aml workspace keys`

use clap::Args;

use super::NameArg;
use crate::context::Context;
use api::workspaces::ListWorkspaceKeys;

/// Show the keys of a workspace's associated resources
///
/// Those that existed before the workspace keep their keys to themselves.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(flatten)]
    name: NameArg,
}

pub async fn keys(ctx: &Context, args: KeysArgs) -> anyhow::Result<()> {
    let workspace = args.name.resolve(ctx).await?;
    let keys = ctx
        .client()
        .await?
        .call(&ListWorkspaceKeys { workspace })
        .await?;
    ctx.ui.show(&keys)
}
