//! `aml data archive` and `aml data restore`, and so on.

use clap::Args;

use super::{TargetArgs, shown};
use crate::{context::Context, views::Named};
use api::assets::{ArchiveAsset, AssetKind, AssetRef, RestoreAsset};

/// Hide an asset, or one version of it, from lists and from being the latest
///
/// It can still be used by its version. `restore` brings it back.
#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// Bring an archived asset, or one version of it, back
#[derive(Debug, Args)]
pub struct RestoreArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub async fn archive(ctx: &Context, kind: AssetKind, args: ArchiveArgs) -> anyhow::Result<()> {
    let asset = args.target.asset()?;
    let request = ArchiveAsset {
        workspace: args.target.workspace(ctx).await?,
        kind,
        name: asset.name.clone(),
        version: asset.pick.version(),
        label: asset.pick.label(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui
        .done(&format!("Archived {}.", shown(&asset)), &named(&asset))
}

pub async fn restore(ctx: &Context, kind: AssetKind, args: RestoreArgs) -> anyhow::Result<()> {
    let asset = args.target.asset()?;
    let request = RestoreAsset {
        workspace: args.target.workspace(ctx).await?,
        kind,
        name: asset.name.clone(),
        version: asset.pick.version(),
        label: asset.pick.label(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui
        .done(&format!("Restored {}.", shown(&asset)), &named(&asset))
}

fn named(asset: &AssetRef) -> Named {
    Named {
        version: asset.pick.version(),
        ..Named::new(asset.name.as_str())
    }
}
