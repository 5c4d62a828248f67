//! `aml run diff`

use std::{collections::BTreeMap, fmt::Write};

use clap::Args;
use serde::Serialize;

use super::compare::{self, Change, CodeDiff};
use crate::{
    context::Context,
    views::{Show, View, command, git, number},
};
use api::{
    metrics::Value,
    runs::{Git, Run},
};

/// Compare two runs: tags, params, metrics, command, environment and code
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// One run
    #[arg(value_name = "A")]
    a: String,
    /// The other run
    #[arg(value_name = "B")]
    b: String,
}

pub async fn diff(ctx: &Context, args: DiffArgs) -> anyhow::Result<()> {
    let a = super::get(ctx, &args.a).await?;
    let b = super::get(ctx, &args.b).await?;
    let workspace = ctx.workspace().await?;
    let code = compare::code(ctx.client().await?, &workspace, &a, &b).await?;
    ctx.ui.show(&RunDiff::new(&a, &b, code))
}

/// What differs between two runs; what is equal is left out.
#[derive(Debug, Serialize)]
struct RunDiff {
    a: String,
    b: String,
    status: Option<Change<String>>,
    tags: BTreeMap<String, Change<String>>,
    params: BTreeMap<String, Change<String>>,
    metrics: BTreeMap<String, Change<Value>>,
    command: Option<Change<String>>,
    environment: Option<Change<String>>,
    variables: BTreeMap<String, Change<String>>,
    git: Option<Change<String>>,
    code: CodeDiff,
}

impl RunDiff {
    fn new(a: &Run, b: &Run, code: CodeDiff) -> Self {
        let facts = |facts: Option<&Git>| facts.map(git);
        let (job_a, job_b) = (a.job.as_ref(), b.job.as_ref());
        let variables = |run: &Run| {
            let job = run.job.clone().unwrap_or_default();
            let secrets = job.secrets.into_iter();
            let secrets = secrets.map(|(name, secret)| (name, format!("secret {secret}")));
            job.environment_variables
                .into_iter()
                .chain(secrets)
                .collect()
        };
        let metrics = |run: &Run| {
            let last = run.metrics.iter();
            last.map(|(key, metric)| (key.clone(), metric.last))
                .collect()
        };
        Self {
            a: a.name.clone(),
            b: b.name.clone(),
            status: Change::of(Some(a.status.to_string()), Some(b.status.to_string())),
            tags: compare::maps(&own_tags(a), &own_tags(b)),
            params: compare::maps(&a.params, &b.params),
            metrics: compare::maps(&metrics(a), &metrics(b)),
            command: Change::of(job_a.map(command), job_b.map(command)),
            environment: Change::of(
                job_a.map(|job| compare::environment(&job.environment)),
                job_b.map(|job| compare::environment(&job.environment)),
            ),
            variables: compare::maps(&variables(a), &variables(b)),
            git: Change::of(
                facts(job_a.and_then(|job| job.git.as_ref())),
                facts(job_b.and_then(|job| job.git.as_ref())),
            ),
            code,
        }
    }
}

/// Without those that say what the run itself says.
fn own_tags(run: &Run) -> BTreeMap<String, String> {
    let own = run
        .tags
        .iter()
        .filter(|(key, _)| !key.starts_with("mlflow.") && !key.starts_with("aml."));
    own.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

impl Show for RunDiff {
    fn view(&self) -> View {
        let mut text = String::new();
        let mut section = |title: &str, body: String| {
            if !body.is_empty() {
                let body = body.trim_end().replace('\n', "\n  ");
                let _ = writeln!(text, "{title}\n  {body}");
            }
        };
        let one = |change: &Option<Change<String>>| {
            let change = change.as_ref();
            change
                .map(|change| change.text(String::clone))
                .unwrap_or_default()
        };
        section("Status", one(&self.status));
        section("Tags", compare::table(&self.tags, String::clone));
        section("Params", compare::table(&self.params, String::clone));
        section(
            "Metrics",
            compare::table(&self.metrics, |value| number(*value)),
        );
        section("Command", one(&self.command));
        section("Environment", one(&self.environment));
        section("Variables", compare::table(&self.variables, String::clone));
        section("Git", one(&self.git));
        section("Code", self.code.text());
        if text.is_empty() {
            return View::Text("The runs do not differ\n".to_owned());
        }
        View::Text(format!("{} → {}\n{text}", self.a, self.b))
    }
}
