//! `aml schedule run-due`

use clap::Args;

use crate::{context::Context, views::time};
use api::schedules::RunDueSchedules;

/// Create the jobs of all schedules that are due, in all workspaces
///
/// For a timer, where no server runs. Of several times that were missed the latest is caught up, once,
/// also when a server or another call does the same.
#[derive(Debug, Args)]
pub struct RunDueArgs {}

pub async fn run_due(ctx: &Context, _args: RunDueArgs) -> anyhow::Result<()> {
    let due = ctx.client().await?.call(&RunDueSchedules {}).await?;
    if due.fired.is_empty() {
        ctx.ui.status("No schedule is due.");
    }
    if let Some(next) = due.next_at {
        ctx.ui.status(&format!("The next is due {}.", time(next)));
    }
    ctx.ui.show(&due)
}
