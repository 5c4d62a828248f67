//! Trying out prompts on the pages: what was tried is a run. The gateway to language models that
//! the pages would ask is none of AMLite's: there are no models behind it.

use std::{collections::BTreeMap, convert::Infallible};

use axum::http::Method;
use serde_json::json;
use uuid::Uuid;

use super::{
    call::Call,
    error::Failure,
    experiments,
    fields::Fields,
    links, names,
    wire::{Answer, answer},
};
use api::{
    Time,
    metrics::LogBatch,
    runs::{CreateRun, RunStatus, UpdateRun},
};

const TABLE: &str = "eval_results_table.json";

/// Keeps one trial: its params, and a table with its input and output.
pub async fn create_run(call: Call) -> Answer {
    let trial = Trial::read(&call.fields)?;
    let experiment = experiments::find(&call, &trial.experiment).await?;
    let fields = &call.fields;
    let create = CreateRun {
        workspace: call.workspace.clone(),
        name: Uuid::new_v4().simple().to_string(),
        experiment_id: experiment.id,
        display_name: fields.some_text("run_name")?.unwrap_or_else(names::made_up),
        user: fields
            .some_text("user_id")?
            .unwrap_or_else(|| "unknown".to_owned()),
        status: RunStatus::Running,
        started_at: fields.integer("start_time")?.map(Time),
        tags: fields.pairs("tags")?.into_iter().collect(),
    };
    let run = call.perform(create).await?.name;
    call.perform(LogBatch {
        workspace: call.workspace.clone(),
        run: run.clone(),
        params: trial.params,
        tags: BTreeMap::from([
            (
                "mlflow.loggedArtifacts".to_owned(),
                format!(r#"[{{"path": "{TABLE}", "type": "table"}}]"#),
            ),
            (
                "mlflow.runSourceType".to_owned(),
                "PROMPT_ENGINEERING".to_owned(),
            ),
        ]),
        ..LogBatch::default()
    })
    .await?;
    let table = futures_util::stream::iter([Ok::<_, Infallible>(trial.table.into())]);
    call.service
        .write_artifact(&call.caller, &call.workspace, &run, TABLE, table)
        .await?;
    let end = UpdateRun {
        workspace: call.workspace.clone(),
        run,
        status: Some(RunStatus::Completed),
        ..UpdateRun::default()
    };
    let run = call.perform(end).await?;
    let run = links::with_links(&call, vec![run]).await?.pop();
    answer(&json!({"run": run}))
}

/// What was tried.
struct Trial {
    experiment: String,
    params: BTreeMap<String, String>,
    table: String,
}

impl Trial {
    fn read(fields: &Fields) -> Result<Self, Failure> {
        let absent = |name: &str| {
            Failure::invalid(format!("CreatePromptlabRun request must specify {name}."))
        };
        let needed = |name: &str| fields.some_text(name)?.ok_or_else(|| absent(name));
        let experiment = needed("experiment_id")?;
        let template = needed("prompt_template")?;
        let inputs = fields.pairs("prompt_parameters")?;
        if inputs.is_empty() {
            return Err(absent("prompt_parameters"));
        }
        let route = needed("model_route")?;
        let input = needed("model_input")?;
        needed("mlflow_version")?;
        let mut params: BTreeMap<String, String> =
            fields.pairs("model_parameters")?.into_iter().collect();
        params.insert("model_route".to_owned(), route);
        params.insert("prompt_template".to_owned(), template);
        let output = fields.text("model_output")?;
        let mut columns: Vec<(String, Option<String>)> = inputs
            .into_iter()
            .map(|(key, value)| (key, Some(value)))
            .collect();
        columns.push(("prompt".to_owned(), Some(input)));
        columns.push(("output".to_owned(), output));
        let measured = fields.pairs("model_output_parameters")?.into_iter();
        columns.extend(measured.map(|(key, value)| (key, Some(value))));
        let (columns, row): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
        Ok(Self {
            experiment,
            params,
            table: json!({"columns": columns, "data": [row]}).to_string(),
        })
    }
}

/// The list of a gateway's endpoints, of which there are none.
pub async fn gateway(method: Method, call: Call) -> Answer {
    let path = call.fields.some_text("gateway_path")?;
    let path = path.ok_or_else(|| {
        Failure::invalid("Deployments proxy request must specify a gateway_path.")
    })?;
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (&method, parts.as_slice()) {
        (&Method::GET, ["api", "2.0", "endpoints"]) => answer(&json!({"endpoints": []})),
        (&Method::POST, ["gateway", name, "invocations"]) => Err(Failure::missing(format!(
            "There is no gateway endpoint `{name}`: this server has no gateway"
        ))),
        _ => Err(Failure::invalid(format!(
            "Invalid gateway_path: {path} for method: {method}"
        ))),
    }
}
