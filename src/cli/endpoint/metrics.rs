//! `aml endpoint metrics`

use clap::Args;

use crate::{args::parse_seconds, context::Context};
use api::endpoint_metrics::GetEndpointMetrics;

/// Show what was asked of an endpoint's deployments and what they used, over time
///
/// Requests, answers by status, times until an answer began, the queue, processors and memory. The
/// same is told to Prometheus at `/metrics`, by an endpoint and by `aml serve`.
#[derive(Debug, Args)]
pub struct MetricsArgs {
    /// Endpoint to look at
    name: String,
    /// Deployment to look at [default: all]
    #[arg(short, long, value_name = "NAME")]
    deployment: Option<String>,
    /// How far back, such as 30m, 1h or 7d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_seconds)]
    since: u64,
    /// The most points of each deployment [default: 60]
    #[arg(long, value_name = "N")]
    points: Option<u32>,
}

pub async fn metrics(ctx: &Context, args: MetricsArgs) -> anyhow::Result<()> {
    let request = GetEndpointMetrics {
        workspace: ctx.workspace().await?,
        name: args.name,
        deployment: args.deployment,
        seconds: i64::try_from(args.since).ok(),
        points: args.points,
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
