//! `aml endpoint delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::endpoints::{DeleteEndpoint, GetEndpoint};

/// Stop an endpoint and delete it with its keys and its log
///
/// The model stays.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Endpoint to delete
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let request = GetEndpoint {
        workspace: workspace.clone(),
        name: args.name,
    };
    let found = client.call(&request).await?;
    let question = format!("Delete the endpoint `{}`?", found.name);
    ctx.ui.confirm(args.yes, &question)?;
    let name = found.name.clone();
    client.call(&DeleteEndpoint { workspace, name }).await?;
    ctx.ui.done(
        &format!("Deleted the endpoint {}.", found.name),
        &Named::new(found.name.as_str()),
    )
}
