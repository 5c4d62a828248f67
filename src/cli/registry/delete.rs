//! `aml registry delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::registries::DeleteRegistry;

/// Delete a registry with all assets in it
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Registry to delete
    #[arg(short, long)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let name = args.name;
    let question = format!("Delete the registry {name} with all assets in it?");
    ctx.ui.confirm(args.yes, &question)?;
    let request = DeleteRegistry {
        registry: name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the registry {name}."),
        &Named::new(name.as_str()),
    )
}
