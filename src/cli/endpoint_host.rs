//! `aml endpoint-host` and `aml endpoint-watch`: the processes of an endpoint, started by `aml` itself.

use std::path::PathBuf;

use clap::Args;

use super::{context::Context, error::Exit};
use crate::{
    config,
    wiring::{Apart, Wiring},
};

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
    /// A variable whose value is kept out of the log; may be repeated
    #[arg(long, value_name = "VARIABLE")]
    secret: Vec<String>,
    /// A file whose text is kept out of the log; may be repeated
    #[arg(long, value_name = "FILE")]
    secret_file: Vec<PathBuf>,
    /// The process
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

pub async fn host(ctx: &Context, args: HostArgs) -> anyhow::Result<()> {
    let variables = ctx.config.passed_on.clone();
    let home = &ctx.config.home;
    Ok(ctx.wiring.host_endpoint(home, args.id, variables).await?)
}

/// Has no context: it must work whatever becomes of the configuration.
pub fn watch(args: WatchArgs, wiring: &dyn Wiring) -> anyhow::Result<()> {
    let apart = args.apart.map(|state| Apart {
        state,
        own: args.own,
        readable: args.readable,
    });
    let variables = args.secret.iter().filter_map(|name| config::variable(name));
    let files = args.secret_file.iter();
    let files = files.filter_map(|file| std::fs::read_to_string(file).ok());
    let secrets: Vec<String> = variables.chain(files).collect();
    let code = wiring.watch_endpoint(&args.command, &args.log, apart, &secrets)?;
    Err(Exit(code).into())
}
