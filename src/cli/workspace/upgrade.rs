//! `aml workspace upgrade`

use clap::Args;

use super::NameArg;
use crate::{args::EditionArg, context::Context};
use api::workspaces::UpgradeWorkspace;

/// Upgrade a workspace to the Enterprise edition
///
/// There is no way back.
#[derive(Debug, Args)]
pub struct UpgradeArgs {
    #[command(flatten)]
    name: NameArg,
    /// Edition to upgrade to
    #[arg(long, value_enum, default_value = "enterprise")]
    edition: EditionArg,
}

pub async fn upgrade(ctx: &Context, args: UpgradeArgs) -> anyhow::Result<()> {
    let request = UpgradeWorkspace {
        workspace: args.name.resolve(ctx).await?,
        edition: args.edition.into(),
    };
    let workspace = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&workspace)
}
