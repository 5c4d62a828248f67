//! `aml data share`, and so on.

use clap::Args;

use super::{Shown, TargetArgs};
use crate::cli::context::Context;
use api::assets::{AssetKind, ShareAsset};

/// Copy a version of an asset with its files to a registry
#[derive(Debug, Args)]
pub struct ShareArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Registry to copy to
    #[arg(long, value_name = "REGISTRY")]
    to: String,
    /// Name there [default: the same]
    #[arg(long, value_name = "NAME")]
    share_with_name: Option<String>,
    /// Version there [default: the same]
    #[arg(long, value_name = "VERSION")]
    share_with_version: Option<String>,
}

pub async fn share(ctx: &Context, kind: AssetKind, args: ShareArgs) -> anyhow::Result<()> {
    let found = args.target.get(ctx, kind).await?;
    let request = ShareAsset {
        workspace: args.target.workspace(ctx).await?,
        kind,
        name: found.name,
        version: found.version,
        registry: args.to,
        share_with_name: args.share_with_name,
        share_with_version: args.share_with_version,
    };
    ctx.ui
        .show(&Shown(ctx.client().await?.call(&request).await?))
}
