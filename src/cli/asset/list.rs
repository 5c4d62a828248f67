//! `aml data list`, and so on.

use clap::Args;

use super::{PlaceArgs, Shown};
use crate::context::Context;
use api::assets::{Archived, AssetKind, ListAssets};

/// List the latest version of each asset, or all versions of one
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Asset to list the versions of
    #[arg(short, long)]
    name: Option<String>,
    /// List archived ones too
    #[arg(long)]
    include_archived: bool,
    /// List archived ones alone
    #[arg(long, conflicts_with = "include_archived")]
    archived_only: bool,
    /// At most so many
    #[arg(short = 'r', long, value_name = "N")]
    max_results: Option<u32>,
    #[command(flatten)]
    place: PlaceArgs,
}

pub async fn list(ctx: &Context, kind: AssetKind, args: ListArgs) -> anyhow::Result<()> {
    let request = ListAssets {
        workspace: args.place.workspace(ctx).await?,
        kind,
        name: args.name,
        archived: match (args.include_archived, args.archived_only) {
            (_, true) => Archived::Only,
            (true, _) => Archived::Include,
            _ => Archived::Exclude,
        },
        limit: args.max_results,
    };
    let assets = ctx.client().await?.call(&request).await?;
    let shown: Vec<Shown> = assets.into_iter().map(Shown).collect();
    ctx.ui.show(&shown)
}
