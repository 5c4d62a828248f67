//! `aml run metrics`

use clap::Args;

use super::RunArg;
use crate::context::Context;
use api::{Error, metrics::GetMetricHistory, names};

/// Show the metrics of a run, or every value of one
#[derive(Debug, Args)]
pub struct MetricsArgs {
    #[command(flatten)]
    run: RunArg,
    /// Metric whose every value to show
    #[arg(value_name = "METRIC")]
    metric: Option<String>,
}

pub async fn metrics(ctx: &Context, args: MetricsArgs) -> anyhow::Result<()> {
    let run = super::get(ctx, &args.run.name).await?;
    let Some(key) = args.metric else {
        return ctx.ui.show(&run.metrics);
    };
    if !run.metrics.contains_key(&key) {
        let known = || run.metrics.keys().map(String::as_str);
        let place = format!(" in the run `{}`", run.name);
        let error = Error::unknown("metric", &key, &place, names::nearest(&key, known()));
        let all = known().collect::<Vec<_>>().join(", ");
        let hint = if all.is_empty() {
            "It has logged no metrics".to_owned()
        } else {
            format!("Its metrics: {all}")
        };
        return Err(error.hint(hint).into());
    }
    let request = GetMetricHistory {
        workspace: ctx.workspace().await?,
        run: run.name,
        key,
        limit: None,
        page: None,
    };
    ctx.ui
        .show(&ctx.client().await?.call(&request).await?.items)
}
