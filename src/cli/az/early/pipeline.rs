//! `az ml run submit-pipeline`: a pipeline as it was written in 2020, as a pipeline job of today.

use serde_json::{Map, Value, json};

use super::{answer, run, write_private};
use crate::{
    az::{Az, given::Given, ids},
    document::Draft,
    job::create,
    pipeline::convert,
};
use api::{Error, Result};

pub async fn submit(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let Some(file) = given.text("pipeline-yaml") else {
        return Err(match given.text("pipeline-id") {
            Some(id) => Error::unsupported(format!(
                "No pipeline `{id}` was published: here a pipeline is its file"
            ))
            .hint("Name the file: az ml run submit-pipeline -y FILE"),
            None => crate::az::given::missing(&["pipeline-yaml/-y"]),
        }
        .into());
    };
    let (converted, folder) = convert::converted(&az.ctx.folder, file)?;
    for note in &converted.notes {
        az.note(given, note);
    }
    let mut fields = ids::fields(converted.pipeline);
    let inputs = fields.entry("inputs").or_insert_with(|| json!({}));
    if let Value::Object(inputs) = inputs {
        for (name, value) in given.pairs("parameters") {
            put(inputs, "--parameters", &name, Value::from(value))?;
        }
        for (name, place) in given.pairs("datapaths") {
            let (datastore, path) = place.split_once('/').unwrap_or((place.as_str(), ""));
            let path = format!("azureml://datastores/{datastore}/paths/{path}");
            put(
                inputs,
                "--datapaths",
                &name,
                json!({"type": "uri_folder", "path": path}),
            )?;
        }
    }
    if let Some(experiment) = run::experiment(az, given) {
        fields.insert("experiment_name".to_owned(), json!(experiment));
    }
    let settings = fields.entry("settings").or_insert_with(|| json!({}));
    if settings.get("default_compute").is_none() {
        settings["default_compute"] = json!("azureml:serverless");
    }
    let definition = Draft::of(&fields, &folder).check("job")?;
    let made = create::submit(&az.ctx, &az.here().await?, definition).await?;
    let submitted = answer(az, given, run::shown(&made))?;
    if let Some(file) = given.text("output_file") {
        let text = serde_json::to_string_pretty(&submitted)?;
        write_private(&az.ctx.folder.join(file), &text)
            .map_err(|error| error.at("--output_file"))?;
    }
    Ok(submitted)
}

/// Gives one of the pipeline's inputs another value.
fn put(inputs: &mut Map<String, Value>, flag: &str, name: &str, value: Value) -> Result<()> {
    let plain = |name: &str| name.replace(['_', '-'], "").to_ascii_lowercase();
    let own = inputs.keys().find(|own| plain(own) == plain(name));
    let Some(own) = own.cloned() else {
        let nearest = api::names::nearest(name, inputs.keys().map(String::as_str));
        return Err(Error::unknown("parameter", name, " of the pipeline", nearest).at(flag));
    };
    inputs.insert(own, value);
    Ok(())
}
