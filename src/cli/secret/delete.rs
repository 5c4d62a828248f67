//! `aml secret delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::secrets::DeleteSecret;

/// Delete a secret
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the secret
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let question = format!("Delete the secret `{}` of `{workspace}`?", args.name);
    ctx.ui.confirm(args.yes, &question)?;
    let request = DeleteSecret {
        workspace,
        name: args.name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the secret {}.", args.name),
        &Named::new(args.name.as_str()),
    )
}
