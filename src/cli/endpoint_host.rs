//! `aml endpoint-host` and `aml endpoint-watch`: the processes of an endpoint, started by `aml` itself.

use std::path::PathBuf;

use clap::Args;

use super::{context::Context, error::Exit};
use crate::wiring::{self, Apart};

/// Serve an endpoint of the state directory until it is stopped
#[derive(Debug, Args)]
pub struct HostArgs {
    /// Number of the endpoint in the store
    id: i64,
}

/// Run a scoring process and end it when stdin closes
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// What it writes goes here
    #[arg(long, value_name = "FILE")]
    log: PathBuf,
    /// State directory that it is kept out of
    #[arg(long, value_name = "FOLDER")]
    apart: Option<PathBuf>,
    /// What is its own in there; may be repeated
    #[arg(long, value_name = "PATH")]
    own: Vec<PathBuf>,
    /// What it may read in there; may be repeated
    #[arg(long, value_name = "PATH")]
    readable: Vec<PathBuf>,
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
    let apart = args.apart.as_ref().map(|state| Apart {
        state: state.clone(),
        own: args.own.clone(),
        readable: args.readable.clone(),
    });
    Err(Exit(wiring::watch_endpoint(
        &args.command,
        &args.log,
        apart.as_ref(),
    )?)
    .into())
}
