//! Logged models: what every `log_model` of a 3.x client makes.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::{
    call::Call,
    error::Failure,
    experiments::{self, not_found},
    fields::missing,
    limits, names,
    wire::{self, Answer, Pair, answer, done, pairs},
};
use api::{
    Error,
    logged_models::{
        CreateLoggedModel, DatasetName, GetLoggedModel, LoggedModel, LoggedModelStatus,
        MeasuredMetric, SearchLoggedModels, UpdateLoggedModel,
    },
    metrics::Value,
};

#[derive(Serialize)]
struct OneModel {
    model: Model,
}

#[derive(Serialize)]
struct Model {
    info: ModelInfo,
    data: ModelData,
}

#[derive(Serialize)]
struct ModelInfo {
    model_id: String,
    experiment_id: String,
    name: String,
    creation_timestamp_ms: i64,
    last_updated_timestamp_ms: i64,
    artifact_uri: String,
    status: &'static str,
    model_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    source_run_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
}

#[derive(Serialize)]
struct ModelData {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<ModelMetric>,
}

#[derive(Serialize)]
struct ModelMetric {
    key: String,
    value: Value,
    timestamp: i64,
    step: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset_digest: Option<String>,
    model_id: String,
    run_id: String,
}

impl From<MeasuredMetric> for ModelMetric {
    fn from(MeasuredMetric { run, metric }: MeasuredMetric) -> Self {
        Self {
            key: metric.point.key,
            value: metric.point.value,
            timestamp: metric.point.timestamp.unwrap_or_default(),
            step: metric.point.step,
            dataset_name: metric.dataset_name,
            dataset_digest: metric.dataset_digest,
            model_id: metric.model,
            run_id: run,
        }
    }
}

impl From<LoggedModel> for Model {
    fn from(model: LoggedModel) -> Self {
        Self {
            info: ModelInfo {
                experiment_id: wire::experiment_id(&model.experiment, &model.experiment_id),
                model_id: model.id,
                name: model.name,
                creation_timestamp_ms: model.created_at.0,
                last_updated_timestamp_ms: model.updated_at.0,
                artifact_uri: model.artifact_uri,
                status: model.status.mlflow_name(),
                model_type: model.kind,
                source_run_id: model.run,
                tags: pairs(model.tags),
            },
            data: ModelData {
                params: pairs(model.params),
                metrics: model.metrics.into_iter().map(Into::into).collect(),
            },
        }
    }
}

/// MLflow's sentence for a logged model that is missing; other errors stay.
fn model_error(id: &str, error: Error) -> Failure {
    not_found(error, format!("Logged model with ID '{id}' not found."))
}

fn tags(call: &Call) -> Result<BTreeMap<String, String>, Failure> {
    Ok(call.fields.pairs("tags")?.into_iter().collect())
}

fn params(call: &Call) -> Result<BTreeMap<String, String>, Failure> {
    Ok(call.fields.pairs("params")?.into_iter().collect())
}

pub async fn create(call: Call) -> Answer {
    let fields = &call.fields;
    let experiment = experiments::find(&call, &fields.required("experiment_id")?).await?;
    let create = CreateLoggedModel {
        workspace: call.workspace.clone(),
        id: format!("m-{}", Uuid::new_v4().simple()),
        name: fields.some_text("name")?.unwrap_or_else(names::made_up),
        kind: fields.text("model_type")?.unwrap_or_default(),
        experiment_id: experiment.id,
        run: fields.some_text("source_run_id")?,
        params: params(&call)?,
        tags: tags(&call)?,
    };
    let model = call.perform(create).await?;
    answer(&OneModel {
        model: model.into(),
    })
}

pub async fn get(call: Call) -> Answer {
    let id = call.fields.required("model_id")?;
    let get = GetLoggedModel {
        workspace: call.workspace.clone(),
        id: id.clone(),
        include_deleted: call.fields.flag("allow_deleted")?,
    };
    let model = call
        .perform(get)
        .await
        .map_err(|error| model_error(&id, error))?;
    answer(&OneModel {
        model: model.into(),
    })
}

async fn change(
    call: &Call,
    change: impl FnOnce(&mut UpdateLoggedModel) -> Result<(), Failure>,
) -> Result<LoggedModel, Failure> {
    let id = call.fields.required("model_id")?;
    let mut update = UpdateLoggedModel {
        workspace: call.workspace.clone(),
        id: id.clone(),
        ..UpdateLoggedModel::default()
    };
    change(&mut update)?;
    call.perform(update)
        .await
        .map_err(|error| model_error(&id, error))
}

pub async fn finalize(call: Call) -> Answer {
    let status = match call.fields.integer("status") {
        Ok(number) => number.map(|number| number.to_string()),
        Err(_) => call.fields.text("status")?,
    };
    let status = match status.as_deref() {
        Some("1" | "LOGGED_MODEL_PENDING") => LoggedModelStatus::Pending,
        Some("2" | "LOGGED_MODEL_READY") => LoggedModelStatus::Ready,
        Some("3" | "LOGGED_MODEL_UPLOAD_FAILED") => LoggedModelStatus::Failed,
        Some(other) => {
            return Err(Failure::invalid(format!("Unknown model status: {other}")));
        }
        None => return Err(missing("status")),
    };
    let model = change(&call, |update| {
        update.status = Some(status);
        Ok(())
    })
    .await?;
    answer(&OneModel {
        model: model.into(),
    })
}

pub async fn delete(call: Call) -> Answer {
    change(&call, |update| {
        update.deleted = true;
        Ok(())
    })
    .await?;
    done()
}

pub async fn log_params(call: Call) -> Answer {
    change(&call, |update| {
        update.params = params(&call)?;
        Ok(())
    })
    .await?;
    done()
}

pub async fn set_tags(call: Call) -> Answer {
    change(&call, |update| {
        update.set_tags = tags(&call)?;
        Ok(())
    })
    .await?;
    done()
}

pub async fn delete_tag(call: Call) -> Answer {
    let key = call.fields.required("tag_key")?;
    let id = call.fields.required("model_id")?;
    let get = GetLoggedModel {
        workspace: call.workspace.clone(),
        id: id.clone(),
        include_deleted: false,
    };
    let model = call
        .perform(get)
        .await
        .map_err(|error| model_error(&id, error))?;
    if !model.tags.contains_key(&key) {
        return Err(Failure::missing(format!(
            "No tag with key '{key}' found for model with ID '{id}'."
        )));
    }
    change(&call, |update| {
        update.remove_tags = vec![key];
        Ok(())
    })
    .await?;
    done()
}

pub async fn search(call: Call) -> Answer {
    let fields = &call.fields;
    let wanted = fields.texts("experiment_ids")?;
    if wanted.is_empty() {
        return Err(missing("experiment_ids"));
    }
    let mut datasets = Vec::new();
    for dataset in fields.objects("datasets")? {
        datasets.push(DatasetName {
            name: dataset.required("dataset_name")?,
            digest: dataset.some_text("dataset_digest")?,
        });
    }
    let mut order_datasets = Vec::new();
    let mut order_by = Vec::new();
    for key in fields.objects("order_by")? {
        let field = key.required("field_name")?;
        let ascending = !key.has("ascending") || key.flag("ascending")?;
        let direction = if ascending { "ASC" } else { "DESC" };
        order_by.push(format!("{field} {direction}"));
        if let Some(name) = key.some_text("dataset_name")? {
            let digest = key.some_text("dataset_digest")?;
            order_datasets.push(DatasetName { name, digest });
        }
    }
    let experiment_ids = experiments::ids(&call, &wanted).await?;
    if experiment_ids.is_empty() {
        return done();
    }
    let search = SearchLoggedModels {
        workspace: call.workspace.clone(),
        experiment_ids,
        run: None,
        filter: fields.some_text("filter")?,
        datasets,
        order_datasets,
        order_by,
        limit: Some(fields.max_results(50, limits::SEARCH_RESULTS)?),
        page: fields.some_text("page_token")?,
    };
    let page = call.perform(search).await?;
    let models: Vec<Model> = page.items.into_iter().map(Into::into).collect();
    wire::page("models", &models, page.next)
}
