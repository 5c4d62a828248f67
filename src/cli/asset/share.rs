//! `aml data share`, and so on.

use clap::Args;

use super::{Shown, TargetArgs};
use crate::context::Context;
use api::assets::{AssetKind, ShareAsset};

/// Copy a version of an asset with its files to a registry
#[derive(Debug, Args)]
pub struct ShareArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Registry to copy to; named by --registry-name alone, it is that one
    #[arg(
        long,
        value_name = "REGISTRY",
        required_unless_present = "registry_name"
    )]
    to: Option<String>,
    /// Name there [default: the same]
    #[arg(long, value_name = "NAME")]
    share_with_name: Option<String>,
    /// Version there [default: the same]
    #[arg(long, value_name = "VERSION")]
    share_with_version: Option<String>,
}

pub async fn share(ctx: &Context, kind: AssetKind, mut args: ShareArgs) -> anyhow::Result<()> {
    let registry = args.to.take();
    let registry = registry.or_else(|| args.target.place.registry_name.take());
    let found = args.target.get(ctx, kind).await?;
    let request = ShareAsset {
        workspace: args.target.workspace(ctx).await?,
        kind,
        name: found.name,
        version: found.version,
        registry: registry.unwrap_or_default(),
        share_with_name: args.share_with_name,
        share_with_version: args.share_with_version,
    };
    ctx.ui
        .show(&Shown(ctx.client().await?.call(&request).await?))
}
