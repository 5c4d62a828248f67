//! `aml endpoint stop`

use clap::Args;

use crate::context::Context;
use api::endpoints::StopEndpoint;

/// Stop an endpoint; requests in flight are answered first
///
/// It keeps its keys, its address and what is deployed, and stays stopped until it is started.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Endpoint to stop
    name: String,
}

pub async fn stop(ctx: &Context, args: StopArgs) -> anyhow::Result<()> {
    let request = StopEndpoint {
        workspace: ctx.workspace().await?,
        name: args.name,
    };
    let endpoint = ctx.client().await?.call(&request).await?;
    ctx.ui
        .done(&format!("Stopped {}.", endpoint.name), &endpoint)
}
