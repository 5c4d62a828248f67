//! `aml webhook test`

use clap::Args;

use crate::context::Context;
use api::{
    Error,
    webhooks::{Event, TestWebhook},
};

/// Send an example of an event to a webhook and show its answer
///
/// It is sent once, signed like a delivery, by the server that holds the workspace.
#[derive(Debug, Args)]
pub struct TestArgs {
    /// Webhook, by its name or id
    webhook: String,
    /// Event to send [default: the first one it is told of]
    #[arg(long)]
    event: Option<Event>,
}

pub async fn test(ctx: &Context, args: TestArgs) -> anyhow::Result<()> {
    let request = TestWebhook {
        workspace: ctx.workspace().await?,
        webhook: args.webhook,
        event: args.event,
    };
    let tested = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&tested)?;
    if tested.accepted {
        return Ok(());
    }
    Err(Error::unavailable(format!("`{}` did not accept the example", request.webhook)).into())
}
