//! `aml monitor list`

use clap::Args;

use crate::context::Context;
use api::monitors::ListMonitorReports;

/// List monitors with what each has found last
#[derive(Debug, Args)]
pub struct ListArgs {
    /// All kept reports of this one instead
    monitor: Option<String>,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let request = ListMonitorReports {
        workspace: ctx.workspace().await?,
        monitor: args.monitor,
        limit: None,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
