//! `aml webhook update`

use clap::{Args, ValueEnum};

use super::SecretArgs;
use crate::context::Context;
use api::webhooks::{Event, UpdateWebhook, WebhookStatus};

/// Change what is given of a webhook and leave the rest
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Webhook, by its name or id
    webhook: String,
    /// New name
    #[arg(long, value_name = "NAME")]
    rename: Option<String>,
    /// New address
    #[arg(long)]
    url: Option<String>,
    /// Events to tell of, instead of those so far
    #[arg(long = "event", alias = "events", value_name = "EVENT", num_args = 1..)]
    events: Vec<Event>,
    #[command(flatten)]
    secret: SecretArgs,
    /// End signing
    #[arg(long, conflicts_with_all = ["signed", "secret_file"])]
    unsigned: bool,
    /// New description
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether it is told anything; what happens while it is not is not made up for
    #[arg(long, value_enum)]
    status: Option<StatusArg>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusArg {
    Active,
    Disabled,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let secret = match args.secret.read()? {
        None if args.unsigned => Some(String::new()),
        secret => secret,
    };
    let request = UpdateWebhook {
        workspace: ctx.workspace().await?,
        webhook: args.webhook,
        name: args.rename,
        url: args.url,
        events: (!args.events.is_empty()).then_some(args.events),
        description: args.description,
        secret,
        status: args.status.map(|status| match status {
            StatusArg::Active => WebhookStatus::Active,
            StatusArg::Disabled => WebhookStatus::Disabled,
        }),
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
