//! What the workspace finds wrong with the file of a pipeline in which something is wrong already, so
//! that all of it is said at once.

use std::path::Path;

use serde_json::{Map, Value};

use super::{create, local, workspace};
use crate::{context::Context, run::naming};
use api::{Code, Error, jobs::CreateJob, pipelines::PlanPipeline};
use spec::{
    graph::of_step,
    issue::{Issue, Report},
};

/// Keys of a step that name what only the workspace knows, whatever else is wrong with the step.
const NAMED: [&str; 4] = ["component", "trial", "environment", "code"];

/// Asks the workspace about what is right of the file, and adds what it finds to the report. Nothing is
/// sent but the description.
pub async fn find(ctx: &Context, file: &Path, set: &[String], report: &mut Report) {
    let Some(Value::Object(definition)) = report.partial.take() else {
        return;
    };
    if definition.get("type").is_none_or(|kind| kind != "pipeline") {
        return;
    }
    let Some(found) = asked(ctx, definition).await else {
        return;
    };
    let Ok(document) = create::opened(ctx, file, set) else {
        return;
    };
    let said: Vec<String> = report.errors().map(|issue| issue.message.clone()).collect();
    for error in std::iter::once(&found).chain(&found.others) {
        let Some(target) = &error.target else {
            continue;
        };
        if said.contains(&error.message) || follows(error, target, &said, &found) {
            continue;
        }
        if let Some(span) = document.span(target) {
            let issue = Issue::error(span, error.message.clone());
            report.issues.push(issue.maybe(error.hints.first()));
        }
    }
    report.issues.sort_by_key(|issue| issue.span);
}

/// The error with what the workspace finds.
pub async fn with(
    ctx: &Context,
    file: &Path,
    set: &[String],
    mut report: Report,
    mut error: Error,
) -> Error {
    report.issues.clear();
    find(ctx, file, set, &mut report).await;
    let found = report.issues.into_iter().map(|issue| {
        let found = Error::invalid(issue.message).at(report.sources.place(issue.span));
        match issue.hint {
            Some(hint) => found.hint(hint),
            None => found,
        }
    });
    let known = error.message.clone();
    error
        .others
        .extend(found.filter(|found| found.message != known));
    error
}

async fn asked(ctx: &Context, mut definition: Map<String, Value>) -> Option<Error> {
    let workspace = workspace(ctx).await.ok()?.name;
    local::leave_out(&mut definition);
    let name = naming::new_name();
    definition.insert("name".to_owned(), Value::from(name.clone()));
    let job = CreateJob {
        workspace,
        name,
        experiment: create::EXPERIMENT.to_owned(),
        definition,
        git: None,
        search_path: None,
    };
    let client = ctx.client().await.ok()?;
    client.call(&PlanPipeline { job }).await.err()
}

/// Whether what is wrong there may follow from what was said of the same step. What both see, its
/// wiring, follows from nothing.
fn follows(error: &Error, target: &str, said: &[String], found: &Error) -> bool {
    let Some((step, key)) = target
        .strip_prefix("jobs.")
        .map(|rest| rest.split_once('.').unwrap_or((rest, "")))
    else {
        return false;
    };
    let prefix = of_step(step);
    let seen_there = |message: &String| {
        let mut all = std::iter::once(found).chain(&found.others);
        all.any(|error| error.message == *message)
    };
    let unknown = error.code == Code::NotFound && NAMED.contains(&key);
    let follows = |said: &String| said.starts_with(&prefix) && !seen_there(said);
    !unknown && key != "compute" && said.iter().any(follows)
}
