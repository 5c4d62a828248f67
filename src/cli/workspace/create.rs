//! `aml workspace create`

use clap::Args;

use crate::{
    args::{EditionArg, parse_pairs},
    context::Context,
};
use api::workspaces::{CreateWorkspace, ExistingResources};

/// Create a workspace with its associated resources
///
/// Storage, key vault and application insights are made with it, the container registry when it is
/// first needed. Existing ones can be named instead.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the workspace; its case is kept but does not count
    #[arg(short, long)]
    name: String,
    /// What the workspace may use; it can be upgraded later, never downgraded
    #[arg(long, value_enum, default_value = "basic")]
    edition: EditionArg,
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        help = "Description"
    )]
    description: String,
    /// Name to show instead of the name
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Location to record
    #[arg(short, long)]
    location: Option<String>,
    /// Tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Existing storage account to use
    #[arg(long, value_name = "NAME OR ID")]
    storage_account: Option<String>,
    /// Existing key vault to use
    #[arg(long, value_name = "NAME OR ID")]
    key_vault: Option<String>,
    /// Existing application insights to use
    #[arg(long, value_name = "NAME OR ID")]
    application_insights: Option<String>,
    /// Existing container registry to use
    #[arg(long, value_name = "NAME OR ID")]
    container_registry: Option<String>,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let request = CreateWorkspace {
        name: args.name,
        edition: args.edition.into(),
        description: args.description,
        display_name: args.display_name,
        location: args.location,
        resource_group: ctx.resource_group.clone(),
        subscription: ctx.subscription.clone(),
        tags: parse_pairs("--tag", &args.tags)?,
        existing: ExistingResources {
            storage_account: args.storage_account,
            key_vault: args.key_vault,
            application_insights: args.application_insights,
            container_registry: args.container_registry,
        },
        spec: serde_json::Map::new(),
    };
    let workspace = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&workspace)
}
