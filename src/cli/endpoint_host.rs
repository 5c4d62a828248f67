//! `aml endpoint-host` and `aml endpoint-watch`: the processes of an endpoint, started by `aml` itself.

use clap::Args;

use super::{context::Context, error::Exit};
use crate::wiring;

/// Serve an endpoint of the state directory until it is stopped
#[derive(Debug, Args)]
pub struct HostArgs {
    /// Number of the endpoint in the store
    id: i64,
}

/// Run a scoring process and end it when stdin closes
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The process
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub async fn host(ctx: &Context, args: HostArgs) -> anyhow::Result<()> {
    let variables = ctx.config.passed_on.clone();
    Ok(wiring::host_endpoint(&ctx.config.home, args.id, variables).await?)
}

/// Has no context: it must work whatever becomes of the configuration.
pub fn watch(args: &WatchArgs) -> anyhow::Result<()> {
    Err(Exit(wiring::watch_endpoint(&args.command)?).into())
}
