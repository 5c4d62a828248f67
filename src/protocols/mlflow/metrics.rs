//! What is logged to runs: metrics, params and tags; and the history of metrics.

use std::collections::BTreeMap;

use super::{
    call::{Call, Place, Posted},
    error::Failure,
    fields::{Fields, invalid_because, missing},
    limits, quick,
    runs::{self, run_error},
    wire::{self, Answer, Pair, done},
};
use api::{
    Code,
    logged_models::ModelMetric,
    metrics::{GetMetricHistory, LogBatch, MetricPoint, Value},
};

async fn log(place: &Place, batch: LogBatch) -> Answer {
    let run = batch.run.clone();
    place.perform(batch).await.map_err(|error| {
        let changes_param =
            error.code == Code::Invalid && error.target.as_deref() == Some("params");
        if changes_param {
            return Failure::invalid(format!(
                "Changing param values is not allowed. {} (run ID='{run}').",
                error.message
            ));
        }
        run_error(&run, error)
    })?;
    done()
}

fn batch(call: &Call, run: String) -> LogBatch {
    LogBatch {
        workspace: call.workspace.clone(),
        run,
        ..LogBatch::default()
    }
}

pub async fn log_metric(call: Call) -> Answer {
    let mut batch = batch(&call, call.fields.run_id()?);
    let key = call.fields.required("key")?;
    add_metric(&mut batch, &call.fields, key, "")?;
    log(&call, batch).await
}

/// Adds a metric to a batch; `path` is where its fields are in the request.
fn add_metric(
    batch: &mut LogBatch,
    fields: &Fields,
    key: String,
    path: &str,
) -> Result<(), Failure> {
    let at = |name: &str| format!("{path}{name}");
    limits::check_key(&at("name"), &key)?;
    limits::check_length("Metric name", limits::KEY, &key)?;
    let value = fields
        .number("value")?
        .ok_or_else(|| missing(&at("value")))?;
    let timestamp = fields.integer("timestamp")?;
    let timestamp = timestamp.ok_or_else(|| missing(&at("timestamp")))?;
    if timestamp < 0 {
        return Err(invalid_because(
            &at("timestamp"),
            &timestamp.into(),
            &format!(
                "metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) "
            ),
        ));
    }
    let point = MetricPoint {
        key,
        value: Value(value),
        step: fields.integer("step")?.unwrap_or_default(),
        timestamp: Some(timestamp),
    };
    if let Some(model) = fields.some_text("model_id")? {
        batch.model_metrics.push(ModelMetric {
            model,
            point: point.clone(),
            dataset_name: fields.some_text("dataset_name")?,
            dataset_digest: fields.some_text("dataset_digest")?,
        });
    }
    batch.metrics.push(point);
    Ok(())
}

pub async fn log_param(call: Call) -> Answer {
    let mut batch = batch(&call, call.fields.run_id()?);
    let key = call.fields.required("key")?;
    let value = call.fields.text("value")?.unwrap_or_default();
    add_param(&mut batch, key, value, "key")?;
    log(&call, batch).await
}

fn add_param(batch: &mut LogBatch, key: String, value: String, path: &str) -> Result<(), Failure> {
    limits::check_key(path, &key)?;
    limits::check_length("Param key", limits::KEY, &key)?;
    batch.params.insert(key, value);
    Ok(())
}

pub async fn set_tag(call: Call) -> Answer {
    let mut batch = batch(&call, call.fields.run_id()?);
    let key = call.fields.required("key")?;
    let value = call.fields.text("value")?.unwrap_or_default();
    add_tag(&mut batch, key, value, "key")?;
    log(&call, batch).await
}

fn add_tag(batch: &mut LogBatch, key: String, value: String, path: &str) -> Result<(), Failure> {
    limits::check_key(path, &key)?;
    limits::check_length(path, limits::KEY, &key)?;
    batch.tags.insert(key, value);
    Ok(())
}

/// Sets a tag whose key is known to be good.
pub async fn keep_tag(call: &Call, run: String, tag: Pair) -> Answer {
    let mut batch = batch(call, run);
    batch.tags.insert(tag.key, tag.value);
    log(call, batch).await
}

pub async fn delete_tag(call: Call) -> Answer {
    let mut batch = batch(&call, call.fields.run_id()?);
    let key = call.fields.required("key")?;
    let run = runs::find(&call, &batch.run).await?;
    if !run.deleted && !run.tags.contains_key(&key) {
        return Err(Failure::missing(format!(
            "No tag with name: {key} in run with id {}",
            batch.run
        )));
    }
    batch.remove_tags.push(key);
    log(&call, batch).await
}

pub async fn log_batch(posted: Posted) -> Answer {
    match quick::batch(&posted.body, &posted.place.workspace) {
        Some(batch) => log(&posted.place, batch).await,
        None => {
            let call = posted.read()?;
            log(&call, read_batch(&call)?).await
        }
    }
}

fn read_batch(call: &Call) -> Result<LogBatch, Failure> {
    let fields = &call.fields;
    let mut batch = batch(call, fields.run_id()?);
    let metrics = fields.objects("metrics")?;
    let params = fields.pairs("params")?;
    let tags = fields.pairs("tags")?;
    limits::check_batch("metrics", limits::METRICS_PER_BATCH, metrics.len())?;
    limits::check_batch("params", limits::PARAMS_PER_BATCH, params.len())?;
    limits::check_batch("tags", limits::PARAMS_PER_BATCH, tags.len())?;
    let all = metrics.len() + params.len() + tags.len();
    limits::check_batch("metrics, params, and tags", limits::ENTITIES_PER_BATCH, all)?;
    check_unique(&params)?;
    for (index, metric) in metrics.iter().enumerate() {
        let path = format!("metrics[{index}].");
        let key = metric.some_text("key")?;
        let key = key.ok_or_else(|| missing(&format!("{path}key")))?;
        add_metric(&mut batch, metric, key, &path)?;
    }
    for (index, (key, value)) in params.into_iter().enumerate() {
        add_param(&mut batch, key, value, &format!("params[{index}].key"))?;
    }
    for (index, (key, value)) in tags.into_iter().enumerate() {
        add_tag(&mut batch, key, value, &format!("tags[{index}].key"))?;
    }
    Ok(batch)
}

fn check_unique(params: &[(String, String)]) -> Result<(), Failure> {
    let mut seen = BTreeMap::new();
    for (key, _) in params {
        *seen.entry(key.as_str()).or_insert(0) += 1;
    }
    let twice: Vec<&str> = seen
        .into_iter()
        .filter(|(_, count)| *count > 1)
        .map(|(key, _)| key)
        .collect();
    if twice.is_empty() {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "Duplicate parameter keys have been submitted: ['{}']. Please ensure the request contains only \
         one param value per param key.",
        twice.join("', '")
    )))
}

pub async fn history(call: Call) -> Answer {
    let fields = &call.fields;
    let run = fields.run_id()?;
    let limit = match fields.integer("max_results")? {
        None => None,
        Some(_) => Some(fields.max_results(1, i64::from(u32::MAX))?),
    };
    let get = GetMetricHistory {
        workspace: call.workspace.clone(),
        run: run.clone(),
        key: fields.required("metric_key")?,
        limit,
        page: fields.some_text("page_token")?,
    };
    let page = call
        .perform(get)
        .await
        .map_err(|error| run_error(&run, error))?;
    let metrics: Vec<wire::Metric> = page.items.into_iter().map(Into::into).collect();
    wire::page("metrics", &metrics, page.next)
}
