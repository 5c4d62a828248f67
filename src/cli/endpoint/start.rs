//! `aml endpoint start`

use clap::Args;

use super::wait;
use crate::context::Context;
use api::endpoints::{GetEndpoint, StartEndpoint};

/// Start an endpoint again with what was deployed last
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Endpoint to start
    name: String,
    /// Port of this machine to answer on [default: the one it had]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Do not wait until it answers
    #[arg(long)]
    no_wait: bool,
}

pub async fn start(ctx: &Context, args: StartArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let get = GetEndpoint {
        workspace: workspace.clone(),
        name: args.name.clone(),
    };
    let before = client.call(&get).await?.scoring_uri;
    let request = StartEndpoint {
        workspace: workspace.clone(),
        name: args.name,
        port: args.port,
    };
    let mut endpoint = client.call(&request).await?;
    if !args.no_wait {
        endpoint = wait(ctx, &workspace, endpoint, None).await?;
    }
    let now = &endpoint.scoring_uri;
    if args.port.is_none() && !before.is_empty() && before != *now {
        ctx.ui.warn(&format!(
            "Another program has taken the port of {before}; {} answers at {now} now.",
            endpoint.name
        ));
    }
    ctx.ui.show(&endpoint)
}
