//! `aml workspace update`

use clap::Args;

use super::NameArg;
use crate::{args::parse_pairs, context::Context};
use api::{
    Error, Result,
    workspaces::{GetWorkspace, UpdateWorkspace, Workspace},
};

/// Change what is given of a workspace and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    name: NameArg,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// New name to show
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Tag to set, as KEY=VALUE; KEY= removes one
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Existing container registry to use from now on
    #[arg(long, value_name = "NAME OR ID")]
    container_registry: Option<String>,
    /// Existing application insights to use from now on
    #[arg(long, value_name = "NAME OR ID")]
    application_insights: Option<String>,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let workspace = args.name.name_or_default(ctx).await?;
    if let Some(group) = &ctx.resource_group {
        let get = GetWorkspace {
            workspace: workspace.clone(),
        };
        check_group(&ctx.client().await?.call(&get).await?, group)?;
    }
    let request = UpdateWorkspace {
        workspace,
        description: args.description,
        display_name: args.display_name,
        subscription: ctx.subscription.clone(),
        tags: parse_pairs("--tag", &args.tags)?,
        container_registry: args.container_registry,
        application_insights: args.application_insights,
        spec: serde_json::Map::new(),
    };
    let workspace = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&workspace)
}

/// Scripts written for Azure name the group everywhere; another one would be a move.
fn check_group(found: &Workspace, group: &str) -> Result<()> {
    if found.resource_group.eq_ignore_ascii_case(group) {
        return Ok(());
    }
    let (name, own) = (&found.name, &found.resource_group);
    Err(Error::invalid(format!(
        "A workspace cannot be moved to another resource group: `{name}` is in `{own}`"
    ))
    .at("--resource-group"))
}
