//! `aml registry update`

use clap::Args;
use serde_json::Map;

use crate::{args::parse_pairs, context::Context};
use api::registries::UpdateRegistry;

/// Change what is given of a registry and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Registry to change
    #[arg(short, long)]
    name: String,
    /// New name to show
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Tag to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let request = UpdateRegistry {
        registry: args.name,
        description: args.description,
        display_name: args.display_name,
        tags: parse_pairs("--tag", &args.tags)?,
        spec: Map::new(),
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
