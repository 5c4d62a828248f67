//! Finds what a plan asks for: a root field is the REST call that it is named after, whose answer is
//! cut to the fields that were asked for.

use std::collections::{BTreeMap, BTreeSet};

use http_body_util::BodyExt;
use serde_json::{Map, Value, json};

use crate::mlflow::{
    artifacts,
    call::{Call, Place},
    error::{ErrorCode, Failure},
    experiments,
    fields::{Fields, snake_case},
    histories,
    model_versions::{self, ModelVersion},
    runs,
    wire::Answer,
};
use api::models::SearchModels;
use graphql::{Plan, Planned, SCHEMA, Type};

/// How many runs' model versions are looked for at once.
const RUNS_AT_ONCE: usize = 200;

/// The most text of an answer: what is stored once may be asked for many times.
const TEXT: usize = 64 << 20;
/// Quotes, a colon and a comma around the name of a field.
const AROUND: usize = 4;

/// What is left of the text that an answer may have.
struct Budget {
    left: usize,
}

impl Budget {
    fn spend(&mut self, bytes: usize) -> Result<(), Failure> {
        let left = self.left.checked_sub(bytes);
        self.left = left.unwrap_or(0);
        left.map(drop).ok_or_else(|| {
            Failure::invalid(format!(
                "The answer would have more than {} MiB of text. Ask for fewer fields or with fewer \
                 aliases, or for less at once with maxResults",
                TEXT >> 20
            ))
        })
    }
}

/// The data of the answer, and the messages of what failed, whose fields are null.
pub async fn execute(place: &Place, plan: &Plan) -> (Map<String, Value>, Vec<String>) {
    let mut data = Map::new();
    let mut errors = Vec::new();
    let mut budget = Budget { left: TEXT };
    for field in &plan.fields {
        let value = match &field.of {
            None => plan.root.into(),
            Some(of) => {
                let found = root(place, field).await;
                let shown =
                    found.and_then(|found| project(Some(&found), of, &field.selected, &mut budget));
                shown.unwrap_or_else(|failure| {
                    errors.push(failure.message);
                    Value::Null
                })
            }
        };
        data.insert(field.key.clone(), value);
    }
    (data, errors)
}

async fn root(place: &Place, field: &Planned) -> Result<Value, Failure> {
    if let "test" | "testMutation" = field.name.as_str() {
        let output = field.arguments.get("inputString").cloned();
        return Ok(json!({"output": output.unwrap_or_default()}));
    }
    let input = match field.arguments.get("input") {
        Some(Value::Object(input)) => input.clone(),
        _ => Map::new(),
    };
    let call = Call {
        place: place.clone(),
        fields: Fields::new(input)?,
    };
    let mut found = read(match field.name.as_str() {
        "mlflowGetExperiment" => experiments::get(call).await,
        "mlflowGetRun" => runs::get(call).await,
        "mlflowSearchRuns" => runs::search(call).await,
        "mlflowListArtifacts" => artifacts::list_run(call).await,
        "mlflowGetMetricHistoryBulkInterval" => histories::interval(call).await,
        "mlflowSearchModelVersions" => model_versions::search(call).await,
        "mlflowSearchDatasets" => histories::search_datasets(call).await,
        other => Err(unknown(other)),
    })
    .await?;
    complete_runs(place, &mut found, &field.selected).await?;
    Ok(found)
}

fn unknown(field: &str) -> Failure {
    Failure::new(ErrorCode::Internal, format!("Nothing answers {field}"))
}

/// The message of a call's answer.
async fn read(answer: Answer) -> Result<Value, Failure> {
    let unreadable =
        |e: &dyn std::fmt::Display| Failure::new(ErrorCode::Internal, format!("No answer: {e}"));
    let body = answer?.into_body().collect().await;
    let body = body.map_err(|e| unreadable(&e))?.to_bytes();
    serde_json::from_slice(&body).map_err(|e| unreadable(&e))
}

/// Adds to the runs of an answer what only GraphQL has there.
async fn complete_runs(
    place: &Place,
    found: &mut Value,
    selected: &[Planned],
) -> Result<(), Failure> {
    let of_runs = selected
        .iter()
        .filter(|field| ["run", "runs"].contains(&field.name.as_str()))
        .flat_map(|field| &field.selected);
    let asked = |name: &str| of_runs.clone().any(|field| field.name == name);
    let (with_experiment, with_versions) = (asked("experiment"), asked("modelVersions"));
    if !with_experiment && !with_versions {
        return Ok(());
    }
    let mut runs: Vec<&mut Value> = match found.as_object_mut() {
        None => Vec::new(),
        Some(found) => found
            .iter_mut()
            .filter(|(key, _)| ["run", "runs"].contains(&key.as_str()))
            .flat_map(|(_, value)| match value {
                Value::Array(runs) => runs.as_mut_slice(),
                run => std::slice::from_mut(run),
            })
            .collect(),
    };
    let text = |run: &Value, name: &str| run["info"][name].as_str().unwrap_or_default().to_owned();
    if with_experiment {
        let wanted: Vec<String> = of_runs
            .filter(|field| field.name == "experiment")
            .flat_map(|field| &field.selected)
            .map(|field| snake_case(&field.name))
            .collect();
        let mut budget = Budget { left: TEXT };
        let mut known: BTreeMap<String, (Value, usize)> = BTreeMap::new();
        for run in &mut runs {
            let id = text(run, "experiment_id");
            if !known.contains_key(&id) {
                let mut fields = Fields::default();
                fields.set("experiment_id", &id);
                let place = place.clone();
                let mut found = read(experiments::get(Call { place, fields }).await).await?;
                let mut experiment = found["experiment"].take();
                if let Some(fields) = experiment.as_object_mut() {
                    fields.retain(|name, _| wanted.contains(name));
                }
                let size = experiment.to_string().len();
                known.insert(id.clone(), (experiment, size));
            }
            let (experiment, size) = &known[&id];
            budget.spend(*size)?;
            run["experiment"] = experiment.clone();
        }
    }
    if with_versions {
        let ids: BTreeSet<String> = runs.iter().map(|run| text(run, "run_id")).collect();
        let mut versions = versions_of(place, &ids.into_iter().collect::<Vec<_>>()).await?;
        for run in &mut runs {
            let of_run = versions.remove(&text(run, "run_id")).unwrap_or_default();
            run["model_versions"] = of_run.into();
        }
    }
    Ok(())
}

/// The model versions that come from some runs, by run.
async fn versions_of(
    place: &Place,
    runs: &[String],
) -> Result<BTreeMap<String, Vec<Value>>, Failure> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for some in runs.chunks(RUNS_AT_ONCE) {
        let list: Vec<String> = some.iter().map(|run| format!("'{run}'")).collect();
        let mut search = SearchModels {
            workspace: place.workspace.clone(),
            filter: Some(format!("run_id IN ({})", list.join(", "))),
            ..SearchModels::default()
        };
        loop {
            let page = place.perform(search.clone()).await?;
            for model in page.items {
                if let Some(run) = model.lineage.run.clone() {
                    let shown = serde_json::to_value(ModelVersion::from(model));
                    found.entry(run).or_default().extend(shown);
                }
            }
            match page.next {
                Some(next) => search.page = Some(next),
                None => break,
            }
        }
    }
    Ok(found)
}

/// What is asked for of a value of a type. What is absent has the value that it has by default in
/// MLflow's messages.
fn project(
    value: Option<&Value>,
    of: &Type,
    selected: &[Planned],
    budget: &mut Budget,
) -> Result<Value, Failure> {
    let name = match of {
        Type::NonNullType(inner) => return project(value, inner, selected, budget),
        Type::ListType(inner) => {
            let items = value
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            let items = items
                .iter()
                .map(|item| project(Some(item), inner, selected, budget));
            return items.collect();
        }
        Type::NamedType(name) => name.as_str(),
    };
    let is_leaf = SCHEMA.object(name).is_none();
    if is_leaf && let Some(value) = value {
        budget.spend(value.as_str().map_or(0, str::len))?;
    }
    Ok(match name {
        // Errors are said beside the data.
        "ApiError" => Value::Null,
        "Boolean" => value.cloned().unwrap_or(Value::Bool(false)),
        "Int" => value.cloned().unwrap_or_else(|| 0.into()),
        "Float" => float(value),
        "LongString" => match value {
            Some(Value::String(text)) => text.clone().into(),
            Some(number) => number.to_string().into(),
            None => "0".into(),
        },
        "String" => value.cloned().unwrap_or_else(|| "".into()),
        name => match (SCHEMA.values(name), value) {
            (Some(_), Some(value)) => value.clone(),
            (Some(known), None) => match known.values.first() {
                Some(first) => first.name.clone().into(),
                None => Value::Null,
            },
            (None, value) => object(value, name, selected, budget)?,
        },
    })
}

fn object(
    value: Option<&Value>,
    name: &str,
    selected: &[Planned],
    budget: &mut Budget,
) -> Result<Value, Failure> {
    let field = |field: &Planned| {
        budget.spend(field.key.len() + AROUND)?;
        let found = match &field.of {
            None => name.into(),
            Some(of) => {
                let found = value.and_then(|value| value.get(snake_case(&field.name)));
                project(found, of, &field.selected, budget)?
            }
        };
        Ok((field.key.clone(), found))
    };
    let fields: Result<Map<_, _>, _> = selected.iter().map(field).collect();
    fields.map(Value::Object)
}

/// GraphQL has no NaN and no infinity: null and the largest numbers stand for them.
fn float(value: Option<&Value>) -> Value {
    match value {
        Some(Value::String(text)) => match text.parse::<f64>() {
            Ok(number) if !number.is_nan() => number.clamp(f64::MIN, f64::MAX).into(),
            _ => Value::Null,
        },
        Some(number) => number.clone(),
        None => 0.0.into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::{Budget, project};
    use graphql::plan;

    #[test]
    fn an_answer_has_a_bound_however_often_its_parts_are_asked_for() {
        let query = "{ test { output a: output b: output } }";
        let field = plan(query, None, &Map::new()).unwrap().fields.remove(0);
        let of = field.of.unwrap();
        let found = json!({"output": "x".repeat(100)});
        let mut budget = Budget { left: 1000 };
        let mut shown = || project(Some(&found), &of, &field.selected, &mut budget);
        for _ in 0..3 {
            let shown = shown().unwrap();
            assert_eq!(shown["b"], found["output"]);
        }
        let failure = shown().unwrap_err();
        assert!(
            failure.message.contains("more than 64 MiB of text"),
            "{}",
            failure.message
        );
    }
}
