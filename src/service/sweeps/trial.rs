//! One trial of a sweep, as a run.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::plan::Plan;
use crate::{
    job_places::place_of_output,
    pipelines::name_of,
    run_create::source_tags,
    sampling::{Space, text},
};
use api::{
    Error, Result, Time,
    jobs::{JobInput, JobOutput},
    runs::{Job, RunStatus},
};
use spec::expression::{Expression, Template};
use store::{ExperimentRef, NAME_TAG, NewRun, PARENT_TAG, RunRow};

/// The tag that holds what a trial tries, as JSON; Azure's clients read it.
pub const VALUES_TAG: &str = "hyperparameters";

/// The tag that holds its number.
const NUMBER_TAG: &str = "aml.trial";

/// The run of a trial.
pub fn of(
    plan: &Plan,
    space: &Space,
    sweep: &RunRow,
    (number, values): (u64, &[Value]),
    now: Time,
) -> Result<NewRun> {
    let name = name_of(&sweep.run.name, &number.to_string());
    let dimensions = space.dimensions.iter();
    let values: Map<String, Value> = dimensions
        .map(|dimension| dimension.name.clone())
        .zip(values.iter().cloned())
        .collect();
    let job = job(plan, &values, &name)?;
    let mut tags = plan.tags.clone();
    tags.insert(PARENT_TAG.to_owned(), sweep.run.name.clone());
    tags.insert(VALUES_TAG.to_owned(), Value::Object(values).to_string());
    tags.insert(NUMBER_TAG.to_owned(), number.to_string());
    tags.insert(NAME_TAG.to_owned(), name.clone());
    Ok(NewRun {
        workspace: sweep.workspace_id,
        experiment: ExperimentRef::Id(sweep.run.experiment_id.parse().unwrap_or_default()),
        display_name: name.clone(),
        status: RunStatus::Queued,
        user: sweep.run.user.clone(),
        tags: source_tags(tags, &sweep.run.user, &job),
        job: Some(job),
        created_at: now,
        started_at: None,
        driver: Some((sweep.id, i64::try_from(number).unwrap_or(i64::MAX))),
        driven: None,
        reuse_key: None,
        reuses: None,
        name,
    })
}

fn job(plan: &Plan, values: &Map<String, Value>, name: &str) -> Result<Job> {
    let mut job = plan.job.clone();
    for part in &mut job.command {
        *part = put_in(part, values);
    }
    for value in job.environment_variables.values_mut() {
        *value = put_in(value, values);
    }
    job.params = values
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect::<BTreeMap<_, _>>();
    let Some(described) = &mut job.described else {
        return Err(Error::internal("A trial is not described"));
    };
    if plan.as_inputs {
        let tried = values.iter().map(|(name, value)| {
            let value = text(value);
            (name.clone(), JobInput::Value { value, made: false })
        });
        described.inputs.extend(tried);
    }
    for (output, written) in &mut described.outputs {
        written.path = place(written, output, name, &plan.datastore)?;
    }
    let definition = &mut described.definition;
    if !described.outputs.is_empty() {
        definition.insert("outputs".to_owned(), json!(described.outputs));
    }
    for key in ["command", "environment_variables"] {
        match definition.get_mut(key) {
            Some(Value::String(command)) => *command = put_in(command, values),
            Some(Value::Object(variables)) => {
                for variable in variables.values_mut() {
                    if let Value::String(value) = variable {
                        *value = put_in(value, values);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(job)
}

/// Where an output of a trial is kept.
pub fn place(output: &JobOutput, name: &str, trial: &str, datastore: &str) -> Result<String> {
    if output.path.is_empty() {
        return Ok(place_of_output(datastore, trial, name));
    }
    Template::parse(&output.path).fill(&mut |expression| match expression {
        Expression::Name => Ok(Some(trial.to_owned())),
        Expression::Other(word) if word == "default_datastore" => Ok(Some(datastore.to_owned())),
        other => Err(Error::invalid(format!(
            "`{other}` means nothing in the path of an output"
        ))),
    })
}

/// The text with the values that are tried; all other expressions stay as they are.
fn put_in(text_with: &str, values: &Map<String, Value>) -> String {
    let mut filled = String::new();
    let mut rest = text_with;
    while let Some(at) = rest.find("${{") {
        let Some(length) = rest[at..].find("}}") else {
            break;
        };
        let (before, expression) = rest.split_at(at);
        let (expression, after) = expression.split_at(length + 2);
        filled += before;
        match Expression::parse(&expression[3..length]) {
            Expression::SearchSpace(name) if values.contains_key(&name) => {
                filled += &text(&values[&name]);
            }
            _ => filled += expression,
        }
        rest = after;
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::put_in;

    #[test]
    fn only_what_is_tried_is_put_in() {
        let values = Map::from_iter([("lr".to_owned(), json!(1e-5)), ("n".to_owned(), json!(3))]);
        let text = "x ${{search_space.lr}} ${{ search_space.n }} $[[--a ${{inputs.a}}]] ${{search_space.b}} ${{";
        let filled = "x 1e-05 3 $[[--a ${{inputs.a}}]] ${{search_space.b}} ${{";
        assert_eq!(put_in(text, &values), filled);
    }
}
