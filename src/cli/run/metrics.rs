//! `aml run metrics`

use clap::Args;

use super::RunArg;
use crate::context::Context;
use api::{Error, Result, metrics::GetMetricHistory, names, runs::ListRuns};

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
        let error = error.hint(hint);
        return Err(match below(ctx, &run.name, &key).await?[..] {
            [] => error,
            [ref first, ref others @ ..] => {
                let others = match others.len() {
                    0 => String::new(),
                    1 => " and one other".to_owned(),
                    n => format!(" and {n} others"),
                };
                error.hint(format!(
                    "A run below it has it, `{first}`{others}: aml run metrics {first} {key}"
                ))
            }
        }
        .into());
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

/// The runs below one that have a metric, as MLflow makes them for each training call of a script.
async fn below(ctx: &Context, run: &str, metric: &str) -> Result<Vec<String>> {
    let list = ListRuns {
        workspace: ctx.workspace().await?,
        filter: Some(format!("parent = '{run}'")),
        limit: Some(100),
        ..ListRuns::default()
    };
    let runs = ctx.client().await?.call(&list).await?.items;
    let having = runs
        .into_iter()
        .filter(|run| run.metrics.contains_key(metric));
    Ok(having.map(|run| run.name).collect())
}
