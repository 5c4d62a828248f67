//! `aml run list`

use clap::{Args, builder::PossibleValuesParser};

use crate::{args::parse_pairs, context::Context, views::RunTable};
use api::{
    names,
    runs::{ListRuns, Run, RunStatus},
};

/// Runs shown when no number is named.
const DEFAULT_LIMIT: u32 = 50;

/// List runs, newest first, with the metrics and params that tell them apart
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only the runs of this experiment
    #[arg(short, long, value_name = "NAME")]
    experiment: Option<String>,
    /// Only the runs with this status
    #[arg(long,
          value_parser = PossibleValuesParser::new(RunStatus::ALL.map(RunStatus::name)))]
    status: Option<String>,
    /// Only the runs with this tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// Only the runs that fulfil a condition, such as "metrics.loss < 0.5 AND params.lr = '0.1'"; it
    /// takes OR, NOT and parentheses, `min.loss` and `max.loss` for the best of all values, and
    /// `parent = 'NAME'` for the runs below one
    #[arg(long, value_name = "CONDITION")]
    filter: Option<String>,
    /// Order by a field, such as "metrics.loss DESC"; may be repeated [default: newest first]
    #[arg(long, value_name = "FIELD")]
    order_by: Vec<String>,
    /// At most so many runs
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = DEFAULT_LIMIT,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    limit: u32,
}

pub async fn list(ctx: &Context, args: ListArgs) -> anyhow::Result<()> {
    let named = |status: &RunStatus| {
        let wanted = args.status.as_deref().unwrap_or_default();
        status.name().eq_ignore_ascii_case(wanted)
    };
    let ordered = args.order_by.clone();
    let request = ListRuns {
        workspace: ctx.workspace().await?,
        experiment: args.experiment.clone(),
        status: RunStatus::ALL.into_iter().find(named),
        tags: parse_pairs("--tag", &args.tags)?,
        filter: args.filter,
        order_by: args.order_by,
        ..ListRuns::default()
    };
    let client = ctx.client().await?;
    let page = client.runs(request, args.limit as usize).await?;
    let shown = page.items.len();
    // What has the first comes first; of the others only all runs tell.
    let told = if page.next.is_none() {
        ordered.len()
    } else {
        1
    };
    for order in ordered.iter().take(told) {
        warn_of_metric(ctx, order, &page.items);
    }
    ctx.ui.show(&RunTable {
        runs: page.items,
        width: ctx.ui.width(),
        now: ctx.wiring.now(),
    })?;
    if page.next.is_some() && args.limit == DEFAULT_LIMIT {
        ctx.ui.hint(&format!(
            "There are more runs than these {shown}; show more with --limit {}",
            shown * 10
        ));
    }
    Ok(())
}

/// Warns of an order by a metric that none of the runs has.
fn warn_of_metric(ctx: &Context, order: &str, runs: &[Run]) {
    let Some(metric) = ordering_metric(order) else {
        return;
    };
    let known = || runs.iter().flat_map(|run| run.metrics.keys());
    if runs.is_empty() || known().any(|known| known == metric) {
        return;
    }
    ctx.ui.warn(&format!(
        "None of the runs has a metric `{metric}`, which orders nothing"
    ));
    if let Some(nearest) = names::nearest(metric, known().map(String::as_str)) {
        ctx.ui.hint(&format!("Did you mean `{nearest}`?"));
    }
}

/// The metric in `metrics.loss DESC`, however it is quoted.
fn ordering_metric(order: &str) -> Option<&str> {
    let (_, metric) = order
        .trim()
        .split_once("metrics.")
        .filter(|(before, _)| before.is_empty())?;
    let quote = metric
        .chars()
        .next()
        .filter(|first| matches!(first, '"' | '`'));
    match quote {
        Some(quote) => metric[1..].split(quote).next(),
        None => metric.split_whitespace().next(),
    }
}
