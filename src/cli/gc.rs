//! `aml gc`

use clap::Args;

use super::{args::parse_span, context::Context, views::size};
use api::files::CollectGarbage;

/// Free the space of what nothing uses any more
///
/// Frees snapshots and files that no run, model or endpoint uses, what broken uploads left behind, and
/// logs of deleted runs, in all workspaces. Frees also environments of the machine that no endpoint
/// has and no run has used for a month, images of deployments that are no more, and images of runs
/// that nothing has used for a month.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Say what would be freed and free nothing
    #[arg(long)]
    dry_run: bool,
    /// Leave what was stored or asked for in the last so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    grace_seconds: u64,
    /// Free environments that nothing has used for so long, such as 7d; 0 frees all that are not in use
    /// [default: 30d]
    #[arg(long, value_name = "TIME", value_parser = parse_span)]
    environments_unused: Option<u64>,
}

pub async fn gc(ctx: &Context, args: GcArgs) -> anyhow::Result<()> {
    let collect = CollectGarbage {
        dry_run: args.dry_run,
        grace_seconds: args.grace_seconds,
        environments_unused_seconds: args.environments_unused,
    };
    let bar = ctx.ui.spinner("Looking for what nothing uses");
    let collected = ctx.client().await?.call(&collect).await;
    bar.finish_and_clear();
    let collected = collected?;
    if collected.recent > 0 {
        ctx.ui.hint(&format!(
            "{} that nothing uses are younger than {} s and stay; free them too: aml gc --grace-seconds 0",
            size(collected.recent),
            args.grace_seconds
        ));
    }
    ctx.ui.show(&collected)
}
