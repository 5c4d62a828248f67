//! `aml endpoint show`

use clap::Args;

use crate::context::Context;
use api::{
    deployments::Deployed,
    endpoints::{EndpointState, GetEndpoint},
};

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
        let failed = |one: &&Deployed| one.state == EndpointState::Failed;
        let log = match found.deployments.as_slice() {
            [] | [_] => name.clone(),
            all => match all.iter().find(failed) {
                Some(one) => format!("{name} --deployment {}", one.name),
                None => name.clone(),
            },
        };
        ctx.ui
            .hint(&format!("See its log: aml endpoint logs {log}"));
    }
    Ok(())
}
