//! `aml connection delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::connections::DeleteConnection;

/// Forget a connection with its secrets
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Connection to forget
    #[arg(short, long)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let name = args.name;
    ctx.ui
        .confirm(args.yes, &format!("Delete the connection {name}?"))?;
    let request = DeleteConnection {
        workspace: ctx.workspace().await?,
        name: name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the connection {name}."),
        &Named::new(name.as_str()),
    )
}
