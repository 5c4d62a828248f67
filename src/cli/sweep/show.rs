//! `aml sweep show`

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::plot::plot;
use crate::{
    context::Context,
    job::{JobArg, entity::BEST_TAG},
    views::{Show, View, number, record, render},
};
use api::{
    Error, Result, metrics,
    runs::{ListRuns, Run, RunStatus, View as Deleted},
};
use spec::kinds::automl::logged;

/// Trials of a sweep, at most.
const MOST: usize = 10_000;
/// The tag of a trial that holds what it tries.
const VALUES_TAG: &str = "hyperparameters";
/// The tag of a trial that holds its number.
const NUMBER_TAG: &str = "aml.trial";

/// Show the trials of a sweep, best first, and plot their metric
#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    sweep: JobArg,
}

/// A sweep with its trials.
#[derive(Debug, Serialize)]
struct Sweep {
    name: String,
    status: RunStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    primary_metric: String,
    goal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    best: Option<String>,
    /// Best first, then those without the metric.
    trials: Vec<Trial>,
    #[serde(skip)]
    width: usize,
}

#[derive(Debug, Clone, Serialize)]
struct Trial {
    number: u64,
    name: String,
    status: RunStatus,
    /// The best value of the primary metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    metric: Option<metrics::Value>,
    values: Map<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub async fn show(ctx: &Context, args: ShowArgs) -> anyhow::Result<()> {
    let run = args.sweep.get(ctx).await?;
    let mut sweep = Sweep::of(&run)?;
    let parent = run.name.replace('\'', "''");
    let request = ListRuns {
        workspace: ctx.workspace().await?,
        filter: Some(format!("tags.`mlflow.parentRunId` = '{parent}'")),
        view: Deleted::All,
        ..ListRuns::default()
    };
    let page = ctx.client().await?.runs(request, MOST).await?;
    let is_maximized = sweep.goal.eq_ignore_ascii_case("maximize");
    let trials = page.items.iter().filter_map(|run| {
        let number = run.tags.get(NUMBER_TAG)?.parse().ok()?;
        Some(Trial::of(run, number, &sweep.primary_metric, is_maximized))
    });
    let mut trials: Vec<Trial> = trials.collect();
    trials.sort_by(|a, b| {
        let loss = |trial: &Trial| {
            trial.metric.map_or(
                f64::INFINITY,
                |value| {
                    if is_maximized { -value.0 } else { value.0 }
                },
            )
        };
        loss(a).total_cmp(&loss(b)).then(a.number.cmp(&b.number))
    });
    sweep.trials = trials;
    sweep.width = ctx.ui.width();
    ctx.ui.show(&sweep)
}

impl Sweep {
    fn of(run: &Run) -> Result<Self> {
        let described = run.job.as_ref().and_then(|job| job.described.as_ref());
        let definition = described.map(|described| &described.definition);
        let objective = definition.and_then(|definition| definition.get("objective"));
        let text = |key: &str| objective?.get(key)?.as_str().map(str::to_owned);
        let automl = definition.and_then(|definition| definition.get("primary_metric")?.as_str());
        let objective = automl.map(logged);
        let objective = objective.map(|(metric, goal)| (metric.to_owned(), goal.to_owned()));
        let written = || text("primary_metric").zip(text("goal"));
        let Some((primary_metric, goal)) = objective.or_else(written) else {
            return Err(Error::invalid(format!("`{}` is no sweep", run.name))
                .hint(format!("See what it is: aml job show {}", run.name)));
        };
        Ok(Self {
            name: run.name.clone(),
            status: run.status,
            reason: run.reason.clone(),
            primary_metric,
            goal,
            best: run.tags.get(BEST_TAG).cloned(),
            trials: Vec::new(),
            width: 0,
        })
    }
}

impl Trial {
    fn of(run: &Run, number: u64, metric: &str, is_maximized: bool) -> Self {
        let values = run.tags.get(VALUES_TAG);
        let values = values.and_then(|values| serde_json::from_str(values).ok());
        let summary = run.metrics.get(metric);
        Self {
            number,
            name: run.name.clone(),
            status: run.status,
            metric: summary.and_then(|summary| {
                if is_maximized {
                    summary.max
                } else {
                    summary.min
                }
            }),
            values: values.unwrap_or_default(),
            reason: run.reason.clone(),
        }
    }
}

impl Show for Sweep {
    fn view(&self) -> View {
        let head = record([
            ("Sweep", self.name.clone()),
            ("Status", self.status.to_string()),
            ("Reason", self.reason.clone().unwrap_or_default()),
            ("Goal", format!("{} {}", self.goal, self.primary_metric)),
            ("Best", self.best.clone().unwrap_or_default()),
        ]);
        let mut text = render(head, None);
        if self.trials.is_empty() {
            return View::Text(text);
        }
        text.push('\n');
        let names: Vec<&String> = self.trials[0].values.keys().collect();
        let head = ["trial", "status", self.primary_metric.as_str()];
        let head = head.into_iter().map(str::to_owned);
        let rows = self.trials.iter().map(|trial| {
            let own = [
                trial.name.clone(),
                trial.status.to_string(),
                trial.metric.map(number).unwrap_or_default(),
            ];
            let values = names.iter().map(|name| match &trial.values[name.as_str()] {
                Value::String(text) => text.clone(),
                Value::Number(value) if value.is_f64() => {
                    number(metrics::Value(value.as_f64().unwrap_or_default()))
                }
                other => other.to_string(),
            });
            own.into_iter().chain(values).collect()
        });
        let table = View::List {
            columns: head
                .chain(names.iter().map(|name| (*name).clone()))
                .collect(),
            rows: rows.collect(),
        };
        text += &render(table, None);
        let mut points: Vec<(u64, f64)> = self
            .trials
            .iter()
            .filter_map(|trial| Some((trial.number, trial.metric?.0)))
            .filter(|(_, value)| value.is_finite())
            .collect();
        points.sort_by_key(|(number, _)| *number);
        if points.len() > 1 {
            text.push('\n');
            let is_maximized = self.goal.eq_ignore_ascii_case("maximize");
            text += &plot(&self.primary_metric, &points, is_maximized, self.width);
        }
        View::Text(text)
    }
}
