//! `aml compute start`, `stop` and `restart`

use clap::Args;

use crate::context::Context;
use api::computes::{Switch, SwitchCompute};

/// Start a compute instance
#[derive(Debug, Args)]
pub struct StartArgs {
    /// Compute instance to start
    #[arg(short, long)]
    name: String,
}

/// Stop a compute instance
///
/// What runs on it goes on; what is queued for it waits until it is started.
#[derive(Debug, Args)]
pub struct StopArgs {
    /// Compute instance to stop
    #[arg(short, long)]
    name: String,
}

/// Start a compute instance again
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Compute instance to start again
    #[arg(short, long)]
    name: String,
}

pub async fn start(ctx: &Context, args: StartArgs) -> anyhow::Result<()> {
    switch(ctx, args.name, Switch::Start).await
}

pub async fn stop(ctx: &Context, args: StopArgs) -> anyhow::Result<()> {
    switch(ctx, args.name, Switch::Stop).await
}

pub async fn restart(ctx: &Context, args: RestartArgs) -> anyhow::Result<()> {
    switch(ctx, args.name, Switch::Restart).await
}

async fn switch(ctx: &Context, name: String, to: Switch) -> anyhow::Result<()> {
    let request = SwitchCompute {
        workspace: ctx.workspace().await?,
        name,
        to,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
