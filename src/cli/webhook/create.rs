//! `aml webhook create`

use clap::Args;

use super::SecretArgs;
use crate::context::Context;
use api::webhooks::{CreateWebhook, Event, WebhookStatus};

/// Make a webhook: an address that is told of events by POST
///
/// Deliveries are made by `aml serve` or a worker, again and again for a day until the receiver
/// answers with a status of 2xx. The address must be public and speak HTTPS unless whoever runs the
/// server allows others.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the webhook
    name: String,
    /// Address to tell
    #[arg(long)]
    url: String,
    /// Event to tell of, such as `model_version.created`; may be repeated
    #[arg(long = "event", alias = "events", value_name = "EVENT", num_args = 1.., required = true)]
    events: Vec<Event>,
    #[command(flatten)]
    secret: SecretArgs,
    /// Description
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let request = CreateWebhook {
        workspace: ctx.workspace().await?,
        name: args.name,
        url: args.url,
        events: args.events,
        description: args.description,
        secret: args.secret.read()?,
        status: WebhookStatus::Active,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
