//! `aml supervise`: what a worker starts for each run; not for people.

use std::path::PathBuf;

use clap::Args;

use super::context::Context;

/// Start the command described on stdin and write down how it ends
#[derive(Debug, Args)]
pub struct SuperviseArgs {
    /// The state directory whose worker in the background gets a successor when it is killed
    state: Option<PathBuf>,
}

pub async fn supervise(ctx: &Context, args: SuperviseArgs) -> anyhow::Result<()> {
    ctx.wiring.supervise(args.state).await?;
    Ok(())
}
