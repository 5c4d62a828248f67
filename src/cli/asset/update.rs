//! `aml data update`, and so on.

use clap::Args;

use super::{Shown, TargetArgs};
use crate::{args::parse_pairs, context::Context};
use api::assets::{AssetKind, UpdateAsset};

/// Change what is given of a version of an asset and leave the rest
///
/// What the version is made of never changes: create the next one instead.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Property to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "property", value_name = "KEY=VALUE", num_args = 1..)]
    properties: Vec<String>,
    /// Label to give to this version, for use as NAME@LABEL
    #[arg(long = "label", value_name = "LABEL", num_args = 1..)]
    labels: Vec<String>,
    /// Label to take from this version
    #[arg(long, value_name = "LABEL", num_args = 1..)]
    unlabel: Vec<String>,
}

pub async fn update(ctx: &Context, kind: AssetKind, args: UpdateArgs) -> anyhow::Result<()> {
    let found = args.target.get(ctx, kind).await?;
    let request = UpdateAsset {
        workspace: args.target.workspace(ctx).await?,
        kind,
        name: found.name,
        version: Some(found.version),
        description: args.description,
        tags: parse_pairs("--tag", &args.tags)?,
        properties: parse_pairs("--property", &args.properties)?,
        labels: args.labels,
        unlabel: args.unlabel,
        settings: serde_json::Map::new(),
    };
    ctx.ui
        .show(&Shown(ctx.client().await?.call(&request).await?))
}
