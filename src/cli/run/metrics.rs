//! `aml run metrics`

use clap::Args;

use super::RunArg;
use crate::context::Context;
use api::{Error, Result, metrics::GetMetricHistory, names, runs::ListRuns};
use spec::words::quoted;

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
        let (having, more) = below(ctx, &run.name, &key).await?;
        return Err(match below_has(&having, more, &key) {
            Some(hint) => error.hint(hint),
            None => error,
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

/// Where a metric is, of runs that have it; `more` says that not all were looked at.
fn below_has(having: &[String], more: bool, metric: &str) -> Option<String> {
    let (first, others) = having.split_first()?;
    let others = match others.len() {
        0 => String::new(),
        _ if more => " and others".to_owned(),
        1 => " and one other".to_owned(),
        n => format!(" and {n} others"),
    };
    let command = format!("aml run metrics {} {}", quoted(first), quoted(metric));
    Some(format!(
        "A run below it has it, `{first}`{others}: {command}"
    ))
}

/// The runs below one that have a metric, as MLflow makes them for each training call of a script; and
/// whether there are runs that were not looked at.
async fn below(ctx: &Context, run: &str, metric: &str) -> Result<(Vec<String>, bool)> {
    let list = ListRuns {
        workspace: ctx.workspace().await?,
        filter: Some(format!("parent = '{run}'")),
        limit: Some(100),
        ..ListRuns::default()
    };
    let page = ctx.client().await?.call(&list).await?;
    let having = page
        .items
        .into_iter()
        .filter(|run| run.metrics.contains_key(metric));
    Ok((having.map(|run| run.name).collect(), page.next.is_some()))
}

#[cfg(test)]
mod tests {
    use super::below_has;

    #[test]
    fn what_runs_below_have_is_counted_when_all_were_looked_at() {
        let runs = ["a", "b", "c"].map(str::to_owned);
        for (having, more, metric, said) in [
            (&runs[..1], true, "m", "`a`: aml run metrics a m"),
            (
                &runs[..2],
                false,
                "m",
                "`a` and one other: aml run metrics a m",
            ),
            (&runs, false, "m", "`a` and 2 others: aml run metrics a m"),
            (
                &runs,
                true,
                "val loss",
                "`a` and others: aml run metrics a 'val loss'",
            ),
        ] {
            let found = below_has(having, more, metric).unwrap_or_default();
            assert_eq!(found, format!("A run below it has it, {said}"));
        }
        assert_eq!(below_has(&[], true, "m"), None);
    }
}
