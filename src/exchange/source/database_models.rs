//! The logged models of MLflow's databases of 3.x.

use rusqlite::params;

use super::database::{Database, text};
use crate::record::{Experiment, Model, Pairs, value};
use api::{
    Result, Time,
    logged_models::{LoggedModelStatus, ModelMetric},
    metrics::MetricPoint,
};

pub fn models(database: &Database, experiment: &Experiment) -> Result<Vec<Model>> {
    if !database.has("logged_models.model_id") {
        return Ok(Vec::new());
    }
    let mut models = database.all(
        "SELECT model_id, name, model_type, status, source_run_id, lifecycle_stage, \
         creation_timestamp_ms, last_updated_timestamp_ms, artifact_location FROM logged_models \
         WHERE experiment_id = ?1 ORDER BY creation_timestamp_ms, model_id",
        params![experiment.id],
        |row| {
            Ok(Model {
                id: text(row, 0)?,
                name: text(row, 1)?,
                kind: text(row, 2)?,
                status: status(row.get(3)?),
                run: Some(text(row, 4)?).filter(|run| !run.is_empty()),
                params: Pairs::new(),
                tags: Pairs::new(),
                metrics: Vec::new(),
                deleted: text(row, 5)? == "deleted",
                created_at: Time(row.get(6)?),
                updated_at: Time(row.get(7)?),
                artifact_uri: text(row, 8)?,
            })
        },
    )?;
    for model in &mut models {
        let params = "SELECT param_key, param_value FROM logged_model_params WHERE model_id = ?1";
        model.params = database.pairs(params, &model.id)?;
        let tags = "SELECT tag_key, tag_value FROM logged_model_tags WHERE model_id = ?1";
        model.tags = database.pairs(tags, &model.id)?;
        model.metrics = metrics(database, &model.id)?;
    }
    Ok(models)
}

fn status(number: i64) -> LoggedModelStatus {
    match number {
        2 => LoggedModelStatus::Ready,
        3 => LoggedModelStatus::Failed,
        _ => LoggedModelStatus::Pending,
    }
}

fn metrics(database: &Database, model: &str) -> Result<Vec<(String, ModelMetric)>> {
    database.all(
        "SELECT run_id, metric_name, metric_value, metric_timestamp_ms, metric_step, dataset_name, \
         dataset_digest FROM logged_model_metrics WHERE model_id = ?1 ORDER BY rowid",
        params![model],
        |row| {
            let number: Option<f64> = row.get(2)?;
            let metric = ModelMetric {
                model: model.to_owned(),
                point: MetricPoint {
                    key: text(row, 1)?,
                    value: value(number.unwrap_or_default(), number.is_none()),
                    timestamp: row.get(3)?,
                    step: row.get(4)?,
                },
                dataset_name: row.get(5)?,
                dataset_digest: row.get(6)?,
            };
            Ok((text(row, 0)?, metric))
        },
    )
}
