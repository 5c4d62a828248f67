//! `aml webhook delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::webhooks::DeleteWebhook;

/// Delete a webhook with what was on its way to it
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Webhook, by its name or id
    webhook: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    ctx.ui
        .confirm(args.yes, &format!("Delete the webhook {}?", args.webhook))?;
    let request = DeleteWebhook {
        workspace: ctx.workspace().await?,
        webhook: args.webhook,
    };
    ctx.client().await?.call(&request).await?;
    let said = format!("Deleted the webhook {}.", request.webhook);
    ctx.ui.done(&said, &Named::new(request.webhook))
}
