//! `aml registry create`

use clap::Args;
use serde_json::Map;

use crate::{args::parse_pairs, context::Context};
use api::registries::CreateRegistry;

/// Create a registry, which every user of the server may read
///
/// Assets get there with `--registry-name` when they are created, or by `aml data share` and the
/// like. Files name them as `azureml://registries/REGISTRY/KIND/NAME/versions/VERSION`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name, unique without regard to case
    #[arg(short, long)]
    name: String,
    /// Name to show [default: the name]
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Description
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Location; recorded only
    #[arg(short, long)]
    location: Option<String>,
    /// Tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let request = CreateRegistry {
        name: args.name,
        description: args.description,
        display_name: args.display_name,
        location: args.location,
        tags: parse_pairs("--tag", &args.tags)?,
        spec: Map::new(),
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
