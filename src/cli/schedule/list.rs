//! `aml schedule list`

use clap::Args;

use crate::context::Context;
use api::schedules::ListSchedules;

/// List the schedules of the workspace
#[derive(Debug, Args)]
pub struct ListArgs {
    /// List enabled ones alone
    #[arg(long)]
    enabled_only: bool,
    /// List disabled ones alone
    #[arg(long, conflicts_with = "enabled_only")]
    disabled_only: bool,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = ListSchedules {
        workspace: ctx.workspace().await?,
    };
    let mut all = ctx.client().await?.call(&request).await?;
    all.retain(|schedule| match (args.enabled_only, args.disabled_only) {
        (true, _) => schedule.enabled,
        (_, true) => !schedule.enabled,
        _ => true,
    });
    ctx.ui.show(&all)
}
