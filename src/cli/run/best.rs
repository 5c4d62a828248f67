//! `aml run best`

use clap::{Args, ValueEnum};

use crate::cli::context::Context;
use api::runs::{BestRun, Goal};

/// Find the completed run whose last value of a metric is best
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
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}
