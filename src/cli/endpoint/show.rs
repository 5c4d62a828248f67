//! `aml endpoint show`

use clap::Args;

use crate::context::Context;
use api::endpoints::{EndpointState, GetEndpoint};

/// Show an endpoint: its state, what it serves, what was asked of it
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Endpoint to show
    name: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = GetEndpoint {
        workspace: ctx.workspace().await?,
        name: args.name,
    };
    let found = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&found)?;
    if found.state == EndpointState::Failed {
        let name = &found.name;
        ctx.ui
            .hint(&format!("Start it again: aml endpoint start {name}"));
        ctx.ui
            .hint(&format!("See its log: aml endpoint logs {name}"));
    }
    Ok(())
}
