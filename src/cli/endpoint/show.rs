//! `aml endpoint show`

use clap::Args;

use super::log_of;
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
        let mut all = found.deployments.iter();
        let failed = all.find(|one| one.state == EndpointState::Failed);
        let log = failed.map_or_else(|| name.clone(), |one| log_of(&found, one));
        ctx.ui
            .hint(&format!("See its log: aml endpoint logs {log}"));
    }
    Ok(())
}
