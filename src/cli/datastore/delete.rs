//! `aml datastore delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::datastores::DeleteDatastore;

/// Forget a datastore; its files stay where they are
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Datastore to forget
    #[arg(short, long)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let name = args.name;
    ctx.ui
        .confirm(args.yes, &format!("Forget the datastore {name}?"))?;
    let request = DeleteDatastore {
        workspace: ctx.workspace().await?,
        name: name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the datastore {name}."),
        &Named::new(name.as_str()),
    )
}
