//! What runs read and made besides their files: datasets and logged models.

use std::collections::BTreeMap;

use super::{
    call::{Call, Place},
    error::Failure,
    fields::{Fields, missing},
    limits,
    runs::run_error,
    wire::{self, Answer, Pair, done, pairs},
};
use api::{
    logged_models::{DatasetUse, GetRunLinks, LinkRun, ModelOutput, RunLinks},
    runs::Run as OurRun,
};

/// Completes runs with their inputs and outputs.
pub async fn with_links(place: &Place, runs: Vec<OurRun>) -> Result<Vec<wire::Run>, Failure> {
    let get = GetRunLinks {
        workspace: place.workspace.clone(),
        runs: runs.iter().map(|run| run.name.clone()).collect(),
    };
    let mut links = place.perform(get).await?;
    let complete = |run: OurRun| {
        let links = links.remove(&run.name).unwrap_or_default();
        let info = wire::RunInfo::from(&run);
        wire::Run {
            info,
            data: run.into(),
            inputs: wire::RunInputs {
                dataset_inputs: links.datasets.into_iter().map(dataset).collect(),
                model_inputs: links
                    .model_inputs
                    .into_iter()
                    .map(|model_id| wire::ModelInput { model_id })
                    .collect(),
            },
            outputs: wire::RunOutputs {
                model_outputs: links
                    .model_outputs
                    .into_iter()
                    .map(|output| wire::ModelOutput {
                        model_id: output.model,
                        step: output.step,
                    })
                    .collect(),
            },
        }
    };
    Ok(runs.into_iter().map(complete).collect())
}

fn dataset(dataset: DatasetUse) -> wire::DatasetInput {
    wire::DatasetInput {
        tags: pairs(dataset.tags),
        dataset: wire::Dataset {
            name: dataset.name,
            digest: dataset.digest,
            source_type: dataset.source_type,
            source: dataset.source,
            schema: dataset.schema,
            profile: dataset.profile,
        },
    }
}

async fn link(call: &Call, links: RunLinks) -> Answer {
    let run = call.fields.run_id()?;
    let link = LinkRun {
        workspace: call.workspace.clone(),
        run: run.clone(),
        links,
    };
    call.perform(link)
        .await
        .map_err(|error| run_error(&run, error))?;
    done()
}

pub async fn log_inputs(call: Call) -> Answer {
    let datasets = call.fields.objects("datasets")?;
    limits::check_batch("datasets", limits::DATASETS_PER_CALL, datasets.len())?;
    let mut links = RunLinks::default();
    for (index, input) in datasets.iter().enumerate() {
        links.datasets.push(read_dataset(index, input)?);
    }
    for model in call.fields.objects("models")? {
        links.model_inputs.push(model.required("model_id")?);
    }
    link(&call, links).await
}

fn read_dataset(index: usize, input: &Fields) -> Result<DatasetUse, Failure> {
    let path = format!("datasets[{index}].dataset");
    let Some(fields) = input.object("dataset")? else {
        return Err(missing(&path));
    };
    let text = |name: &str, limit: usize| -> Result<Option<String>, Failure> {
        let text = fields.some_text(name)?;
        if let Some(text) = &text {
            limits::check_length(&format!("{path}.{name}"), limit, text)?;
        }
        Ok(text)
    };
    let needed = |name: &str, limit: usize| -> Result<String, Failure> {
        text(name, limit)?.ok_or_else(|| missing(&format!("{path}.{name}")))
    };
    let mut tags: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in input.pairs("tags")? {
        limits::check_length(&format!("datasets[{index}].tags.key"), 255, &key)?;
        limits::check_length(&format!("datasets[{index}].tags.value"), 500, &value)?;
        tags.insert(key, value);
    }
    Ok(DatasetUse {
        name: needed("name", 500)?,
        digest: needed("digest", 36)?,
        source_type: needed("source_type", 500)?,
        source: needed("source", (64 << 10) - 1)?,
        schema: text("schema", (1 << 20) - 1)?,
        profile: text("profile", (16 << 20) - 1)?,
        tags,
    })
}

pub async fn log_outputs(call: Call) -> Answer {
    let models = call.fields.objects("models")?;
    if models.is_empty() {
        return Err(missing("models"));
    }
    let mut links = RunLinks::default();
    for output in models {
        links.model_outputs.push(ModelOutput {
            model: output.required("model_id")?,
            step: output.integer("step")?.unwrap_or_default(),
        });
    }
    link(&call, links).await
}

/// What older clients say of a model they have logged is kept in a tag.
pub async fn log_model(call: Call) -> Answer {
    const HISTORY: &str = "mlflow.log-model.history";
    const NEEDED: [&str; 4] = ["artifact_path", "flavors", "run_id", "utc_time_created"];
    let run = call.fields.run_id()?;
    let text = call.fields.required("model_json")?;
    let model: serde_json::Value = serde_json::from_str(&text).map_err(|_| {
        Failure::invalid(format!(
            "Malformed model info. \n {text} \n is not a valid JSON."
        ))
    })?;
    let absent: Vec<&str> = NEEDED
        .into_iter()
        .filter(|field| model.get(field).is_none())
        .collect();
    if !absent.is_empty() {
        return Err(Failure::invalid(format!(
            "Model json is missing mandatory fields: {{'{}'}}",
            absent.join("', '")
        )));
    }
    let found = super::runs::find(&call, &run).await?;
    let mut history: Vec<serde_json::Value> = found
        .tags
        .get(HISTORY)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_default();
    history.push(model);
    let history = Pair {
        key: HISTORY.to_owned(),
        value: serde_json::Value::from(history).to_string(),
    };
    super::metrics::keep_tag(&call, run, history).await
}
