//! `aml run best`

use clap::{Args, ValueEnum};

use crate::context::Context;
use api::runs::{BestRun, Goal};

/// Find the completed run whose last value of a metric is best
///
/// Of several with the same value it is the one that was recorded first; how many there are is said,
/// and is the field `equally_good`. Runs that have not completed and values that are NaN do not count.
#[derive(Debug, Args)]
pub struct BestArgs {
    /// Experiment to look in
    #[arg(short, long, value_name = "NAME")]
    experiment: String,
    /// Metric to compare by
    #[arg(short, long, value_name = "KEY")]
    metric: String,
    /// Whether small or large values are good
    #[arg(long, value_enum)]
    goal: GoalArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GoalArg {
    Minimize,
    Maximize,
}

pub async fn best(ctx: &Context, args: BestArgs) -> anyhow::Result<()> {
    let request = BestRun {
        workspace: ctx.workspace().await?,
        experiment: args.experiment,
        metric: args.metric,
        goal: match args.goal {
            GoalArg::Minimize => Goal::Minimize,
            GoalArg::Maximize => Goal::Maximize,
        },
    };
    let best = ctx.client().await?.call(&request).await?;
    ctx.ui.show(&best)?;
    if best.equally_good > 1 {
        let BestRun {
            experiment, metric, ..
        } = &request;
        ctx.ui.status(&format!(
            "{} runs share the best {metric}; {} is the one that was recorded first.",
            best.equally_good, best.run.name
        ));
        let order = match request.goal {
            Goal::Minimize => "ASC",
            Goal::Maximize => "DESC",
        };
        ctx.ui.hint(&format!(
            "See them: aml run list --experiment {experiment} --order-by 'metrics.{metric} {order}'"
        ));
    }
    Ok(())
}
