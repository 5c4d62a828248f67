//! `aml webhook show`

use clap::Args;

use crate::context::Context;
use api::webhooks::{GetWebhook, ListDeliveries};

/// Show a webhook, or what it was told
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Webhook, by its name or id
    webhook: String,
    /// Show its last deliveries instead, newest first
    #[arg(long)]
    deliveries: bool,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let webhook = args.webhook;
    if args.deliveries {
        let request = ListDeliveries { workspace, webhook };
        return ctx.ui.show(&client.call(&request).await?);
    }
    let request = GetWebhook { workspace, webhook };
    ctx.ui.show(&client.call(&request).await?)
}
