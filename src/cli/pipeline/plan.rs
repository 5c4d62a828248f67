//! `aml pipeline plan`

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use serde::Serialize;

use crate::{
    context::Context,
    job::create,
    run::compare::{self, Change, CodeDiff},
    views::{Show, View},
};
use api::{
    files::Hash,
    pipelines::{PlanPipeline, PlannedStep, StepChange},
};

/// Say which steps of a pipeline would run, and why
///
/// Nothing is run. A step that has not changed would have the outputs of an earlier run; each other
/// one is compared with its latest run in the experiment: command, code, environment, variables, inputs.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// YAML file of the pipeline
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath, required_unless_present = "file_option")]
    file: Option<PathBuf>,
    /// The same, as an option
    #[arg(id = "file_option", short = 'f', long = "file", value_name = "FILE", conflicts_with = "file", hide_short_help = true, value_hint = clap::ValueHint::FilePath)]
    file_option: Option<PathBuf>,
    /// Value to change first, such as inputs.rate=0.1; several can follow
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
}

/// A step with the lines of code that have changed.
#[derive(Debug, Serialize)]
struct Planned {
    #[serde(flatten)]
    step: PlannedStep,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<CodeDiff>,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Plan(Vec<Planned>);

pub async fn plan(ctx: &Context, args: PlanArgs) -> anyhow::Result<()> {
    let file = args.file.or(args.file_option).unwrap_or_default();
    let (workspace, job) = create::request_of(ctx, &file, &args.set, None).await?;
    let client = ctx.client().await?;
    let request = PlanPipeline { job };
    let planned = client.call(&request).await;
    // It may be long, and this process ends soon: nobody needs it taken apart.
    std::mem::forget(request);
    let planned = planned.map_err(|error| create::located(ctx, &file, &args.set, error))?;
    let mut plan = Vec::with_capacity(planned.len());
    for step in planned {
        let code = step.changes.iter().find(|change| change.what == "code");
        let code = match code {
            Some(change) => {
                let tree = |side: &Option<String>| Hash::parse(side.as_ref()?).ok();
                let (old, new) = (tree(&change.old), tree(&change.new));
                let code = compare::trees(client, &workspace, old, new).await;
                // Files that are gone cannot be compared; that they differ is known all the same.
                code.ok()
            }
            None => None,
        };
        plan.push(Planned { step, code });
    }
    ctx.ui.show(&Plan(plan))
}

impl Show for Plan {
    fn view(&self) -> View {
        let width = self
            .0
            .iter()
            .map(|planned| planned.step.name.chars().count());
        let width = width.max().unwrap_or(0);
        let mut text = String::new();
        for planned in &self.0 {
            let PlannedStep {
                name,
                reuses,
                compared_with,
                because,
                changes,
            } = &planned.step;
            if let Some(run) = reuses {
                let _ = writeln!(text, "= {name:width$}  reused from {run}");
                continue;
            }
            let why = match (because, compared_with) {
                (Some(because), _) => format!(": {because}"),
                (None, Some(run)) => format!(": it differs from {run}"),
                (None, None) => String::new(),
            };
            let _ = writeln!(text, "+ {name:width$}  runs{why}");
            for change in changes {
                text += &indented(&change_text(change, planned.code.as_ref()));
            }
        }
        let run = self
            .0
            .iter()
            .filter(|planned| planned.step.reuses.is_none());
        let run = run.count();
        let reused = self.0.len() - run;
        let _ = writeln!(text, "{run} to run, {reused} reused");
        View::Text(text)
    }
}

fn change_text(change: &StepChange, code: Option<&CodeDiff>) -> String {
    let what = &change.what;
    if what == "code"
        && let Some(code) = code
    {
        return format!("{what}\n{}", code.text());
    }
    let changed = Change::of(change.old.clone(), change.new.clone());
    let text = changed.map_or(String::new(), |change| change.text(String::clone));
    if text.contains('\n') {
        return format!("{what}\n{text}");
    }
    format!("{what}: {text}")
}

fn indented(text: &str) -> String {
    let line = |line: &str| format!("    {line}\n");
    text.lines().map(line).collect()
}
