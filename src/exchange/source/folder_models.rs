//! What runs of an `mlruns` folder read and made: datasets, and the logged models of 3.x.

use std::path::Path;

use serde::Deserialize;

use super::{
    folder::{META, folders_with_meta, name_of, pairs, parse_point, read, read_yaml},
    place::files_in,
};
use crate::record::{Model, Pairs};
use api::{
    Result, Time,
    logged_models::{DatasetUse, LoggedModelStatus, ModelMetric, ModelOutput, RunLinks},
};

#[derive(Deserialize)]
struct InputMeta {
    #[serde(default)]
    source_type: String,
    #[serde(default)]
    source_id: String,
    #[serde(default)]
    destination_id: String,
    #[serde(default)]
    tags: Option<Pairs>,
    #[serde(default)]
    step: Option<i64>,
}

#[derive(Deserialize)]
struct DatasetMeta {
    name: String,
    digest: String,
    #[serde(default)]
    source_type: String,
    #[serde(default)]
    source: String,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    profile: Option<String>,
}

#[derive(Deserialize)]
struct ModelMeta {
    name: String,
    #[serde(default)]
    model_type: Option<String>,
    #[serde(default)]
    source_run_id: Option<String>,
    #[serde(default)]
    status: Option<i64>,
    #[serde(default)]
    lifecycle_stage: Option<String>,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(default)]
    artifact_location: String,
}

/// The links of the run in `folder`.
pub fn links(experiment: &Path, folder: &Path) -> Result<RunLinks> {
    let mut links = RunLinks::default();
    for input in folders_with_meta(&folder.join("inputs"))? {
        let meta: InputMeta = read_yaml(&input.join(META))?;
        let ids = [&meta.source_id, &meta.destination_id];
        if let Some(model) = ids.into_iter().find(|id| id.starts_with("m-")) {
            links.model_inputs.push(model.clone());
        } else if meta.source_type == "DATASET" {
            let file = experiment.join("datasets").join(&meta.source_id).join(META);
            links.datasets.push(dataset(&file, meta.tags)?);
        }
    }
    for output in folders_with_meta(&folder.join("outputs"))? {
        let meta: InputMeta = read_yaml(&output.join(META))?;
        links.model_outputs.push(ModelOutput {
            model: name_of(&output),
            step: meta.step.unwrap_or_default(),
        });
    }
    Ok(links)
}

fn dataset(file: &Path, tags: Option<Pairs>) -> Result<DatasetUse> {
    let meta: DatasetMeta = read_yaml(file)?;
    Ok(DatasetUse {
        name: meta.name,
        digest: meta.digest,
        source_type: meta.source_type,
        source: meta.source,
        schema: meta.schema,
        profile: meta.profile,
        tags: tags.unwrap_or_default(),
    })
}

pub fn models(experiment: &Path) -> Result<Vec<Model>> {
    let folders = folders_with_meta(&experiment.join("models"))?;
    folders.iter().map(|folder| read_model(folder)).collect()
}

fn read_model(folder: &Path) -> Result<Model> {
    let meta: ModelMeta = read_yaml(&folder.join(META))?;
    let id = name_of(folder);
    let own = folder.join("artifacts");
    Ok(Model {
        name: meta.name,
        kind: meta.model_type.unwrap_or_default(),
        status: match meta.status {
            Some(2) => LoggedModelStatus::Ready,
            Some(3) => LoggedModelStatus::Failed,
            _ => LoggedModelStatus::Pending,
        },
        run: meta.source_run_id.filter(|run| !run.is_empty()),
        params: pairs(&folder.join("params"))?,
        tags: pairs(&folder.join("tags"))?,
        metrics: metrics(&folder.join("metrics"), &id)?,
        deleted: meta.lifecycle_stage.as_deref() == Some("deleted"),
        created_at: Time(meta.creation_timestamp),
        updated_at: Time(meta.last_updated_timestamp),
        artifact_uri: if own.is_dir() {
            own.display().to_string()
        } else {
            meta.artifact_location
        },
        id,
    })
}

/// Lines of time, value, step and run, and of the dataset if there was one.
fn metrics(folder: &Path, model: &str) -> Result<Vec<(String, ModelMetric)>> {
    let mut metrics = Vec::new();
    for file in files_in(folder)? {
        for line in read(&folder.join(&file.path))?.lines() {
            let parts: Vec<&str> = line.split_whitespace().collect();
            let (Some(point), Some(run)) = (parse_point(line, &file.path), parts.get(3)) else {
                continue;
            };
            let metric = ModelMetric {
                model: model.to_owned(),
                point,
                dataset_name: parts.get(4).map(|name| (*name).to_owned()),
                dataset_digest: parts.get(5).map(|digest| (*digest).to_owned()),
            };
            metrics.push(((*run).to_owned(), metric));
        }
    }
    Ok(metrics)
}
