//! `aml monitor show`

use clap::Args;

use crate::context::Context;
use api::{Error, monitors::ListMonitorReports};

/// Show what a monitor has found last
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Monitor to show
    monitor: String,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let request = ListMonitorReports {
        workspace: ctx.workspace().await?,
        monitor: Some(args.monitor),
        limit: Some(1),
    };
    let mut found = ctx.client().await?.call(&request).await?.into_iter();
    let last = found
        .next()
        .ok_or_else(|| Error::not_found("The monitor has made no report"))?;
    ctx.ui.show(&last)
}
