//! `aml webhook list`

use clap::Args;

use crate::context::Context;
use api::webhooks::{ListWebhooks, Webhook};

/// List the webhooks of the workspace, newest first
#[derive(Debug, Args)]
pub struct ListArgs {}

pub async fn list(ctx: &Context, _args: ListArgs) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    let mut request = ListWebhooks {
        workspace: ctx.workspace().await?,
        ..ListWebhooks::default()
    };
    let mut all: Vec<Webhook> = Vec::new();
    loop {
        let page = client.call(&request).await?;
        all.extend(page.items);
        request.page = page.next;
        if request.page.is_none() {
            return ctx.ui.show(&all);
        }
    }
}
