//! `aml schedule enable` and `disable`

use clap::Args;

use crate::context::Context;
use api::schedules::UpdateSchedule;

/// Enable a schedule; what was due meanwhile is not caught up
#[derive(Debug, Args)]
pub struct EnableArgs {
    /// Schedule to enable
    #[arg(short, long)]
    name: String,
}

/// Disable a schedule; it can still be triggered
#[derive(Debug, Args)]
pub struct DisableArgs {
    /// Schedule to disable
    #[arg(short, long)]
    name: String,
}

pub async fn enable(ctx: &Context, args: EnableArgs) -> anyhow::Result<()> {
    switch(ctx, args.name, true).await
}

pub async fn disable(ctx: &Context, args: DisableArgs) -> anyhow::Result<()> {
    switch(ctx, args.name, false).await
}

async fn switch(ctx: &Context, name: String, enabled: bool) -> anyhow::Result<()> {
    let request = UpdateSchedule {
        workspace: ctx.workspace().await?,
        name,
        enabled: Some(enabled),
        ..UpdateSchedule::default()
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
