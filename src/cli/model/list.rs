//! `aml model list`

use clap::Args;

use crate::context::Context;
use api::models::ListModels;

/// List the newest version of each model, or all versions of one
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Model to list the versions of
    #[arg(short, long)]
    name: Option<String>,
    /// List archived versions too
    #[arg(long)]
    include_archived: bool,
    /// List prompts, which MLflow's clients keep as models
    #[arg(long, conflicts_with = "name")]
    prompts: bool,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = ListModels {
        workspace: ctx.workspace().await?,
        name: args.name,
        include_archived: args.include_archived,
        prompts: args.prompts,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
