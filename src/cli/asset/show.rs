//! `aml data show`, and so on.

use clap::Args;

use super::{Shown, TargetArgs};
use crate::context::Context;
use api::assets::AssetKind;

/// Show a version of an asset
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    target: TargetArgs,
}

pub async fn show(ctx: &Context, kind: AssetKind, args: ShowArgs) -> anyhow::Result<()> {
    ctx.ui.show(&Shown(args.target.get(ctx, kind).await?))
}
