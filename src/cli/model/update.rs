//! `aml model update`

use clap::Args;

use super::resolve;
use crate::{
    api::models::{ModelRef, UpdateModel},
    cli::{args::parse_pairs, context::Context},
};

/// Change what is given of a model version and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Model to change: NAME:VERSION, or NAME for the newest version
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// New description
    #[arg(long)]
    description: Option<String>,
    /// Tag to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let found = resolve(client, &workspace, &args.model).await?;
    let request = UpdateModel {
        workspace,
        name: found.name,
        version: found.version,
        description: args.description,
        tags: parse_pairs("--tag", &args.tags)?,
        archived: None,
    };
    ctx.ui.show(&client.call(&request).await?)
}
