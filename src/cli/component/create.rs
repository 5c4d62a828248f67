//! `aml component create`

use clap::Args;

use crate::{
    asset::{self, NewArgs},
    context::Context,
};
use api::assets::AssetKind;

/// Create a version of a component from a YAML file
///
/// Its code is uploaded; environments and components that are written in it are created with it.
#[derive(Debug, Args)]
pub struct CreateArgs {
    #[command(flatten)]
    new: NewArgs,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    asset::create_from_file(ctx, AssetKind::Component, args.new, Vec::new()).await
}
