//! `aml workspace update`

use clap::Args;

use super::NameArg;
use crate::{
    api::workspaces::UpdateWorkspace,
    cli::{args::parse_pairs, context::Context},
};

/// Change what is given of a workspace and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    name: NameArg,
    /// New description
    #[arg(long)]
    description: Option<String>,
    /// New name to show
    #[arg(long)]
    display_name: Option<String>,
    /// Tags to set, as KEY=VALUE; KEY= removes one
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Existing container registry to use from now on
    #[arg(long, value_name = "NAME OR ID")]
    container_registry: Option<String>,
    /// Existing application insights to use from now on
    #[arg(long, value_name = "NAME OR ID")]
    application_insights: Option<String>,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let request = UpdateWorkspace {
        workspace: args.name.resolve(ctx).await?,
        description: args.description,
        display_name: args.display_name,
        subscription: ctx.subscription.clone(),
        tags: parse_pairs("--tags", &args.tags)?,
        container_registry: args.container_registry,
        application_insights: args.application_insights,
    };
    let workspace = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&workspace)
}
