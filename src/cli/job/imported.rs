//! Imports of data: what describes one becomes a pipeline of one step, whose output is registered.

use serde_json::{Map, Value, json};

use crate::{context::Context, document::Draft};
use api::{
    Error, Result,
    runs::{ListRuns, Run},
};

/// The property that says which data a job imports.
const ASSET: &str = "azureml.materializationAssetName";
/// How the experiment of an import begins; the data's name follows.
const EXPERIMENT: &str = "data_import_";
/// A place that Azure keeps itself: the job's own is it here.
const MANAGED: &str = "azureml://datastores/workspacemanageddatastore";
/// Imports that are asked for at once.
const PAGE: u32 = 1000;

/// The checked job of a checked import.
pub fn job_of(ctx: &Context, import: &Map<String, Value>) -> Result<Map<String, Value>> {
    let text = |key: &str| import.get(key).and_then(Value::as_str);
    let name = text("name").unwrap_or_default();
    let title = format!("{EXPERIMENT}{name}");
    let source = import.get("source").cloned().unwrap_or_default();
    // As there, whatever the file says.
    let kind = match source.get("type").and_then(Value::as_str) {
        Some("database") => "mltable",
        _ => "uri_folder",
    };
    let path = text("path").unwrap_or_default();
    let mut output = json!({"type": kind, "name": name});
    if path.trim_end_matches('/') != MANAGED {
        output["path"] = json!(place_of(path)?);
    }
    if let Some(version) = text("version") {
        output["version"] = json!(version);
    }
    let mut properties = Map::new();
    properties.insert(ASSET.to_owned(), json!(name));
    let job = json!({
        "type": "pipeline",
        "display_name": title,
        "experiment_name": title,
        "description": text("description").unwrap_or(&title),
        "tags": import.get("tags").cloned().unwrap_or_else(|| json!({})),
        "properties": properties,
        "settings": {"default_compute": "azureml:serverless"},
        "jobs": {"import": {
            "type": "data_transfer",
            "task": "import_data",
            "source": source,
            "outputs": {"data": output},
        }},
    });
    let job = job.as_object().cloned().unwrap_or_default();
    Draft::of(&job, &ctx.folder).check("job")
}

/// Each import has a folder of its own, so that one version of the data is not written over by the next.
fn place_of(path: &str) -> Result<String> {
    if !path.starts_with("azureml:") {
        return Err(
            Error::invalid(format!("`{path}` is no place of a datastore"))
                .at("path")
                .hint("Name one: path: azureml://datastores/workspaceblobstore/paths/imports"),
        );
    }
    if path.contains("${{name}}") {
        return Ok(path.to_owned());
    }
    let path = path.trim_end_matches('/');
    let below = if path.contains("/paths/") {
        ""
    } else {
        "/paths"
    };
    Ok(format!("{path}{below}/${{{{name}}}}"))
}

/// The jobs that have imported data, or that of one name, newest first.
pub async fn jobs(ctx: &Context, name: Option<&str>, mut request: ListRuns) -> Result<Vec<Run>> {
    request.filter = Some("tags.`mlflow.parentRunId` IS NULL".to_owned());
    request.limit = Some(PAGE);
    request.experiment = name.map(|name| format!("{EXPERIMENT}{name}"));
    let client = ctx.client().await?;
    let mut found = Vec::new();
    loop {
        let page = match client.call(&request).await {
            // Nothing of that name was ever imported.
            Err(error) if error.is_unknown("experiment") => return Ok(found),
            page => page?,
        };
        let imports = page.items.into_iter().filter(|run| imports(run, name));
        found.extend(imports);
        request.page = page.next;
        if request.page.is_none() {
            return Ok(found);
        }
    }
}

fn imports(run: &Run, name: Option<&str>) -> bool {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let properties = described.and_then(|described| described.definition.get("properties"));
    let asset = properties.and_then(|properties| properties.get(ASSET)?.as_str());
    asset.is_some_and(|asset| name.is_none_or(|name| name == asset))
}

#[cfg(test)]
mod tests {
    use super::place_of;

    #[test]
    fn each_import_has_a_place_of_its_own() {
        let at = |path: &str| place_of(path).unwrap();
        let store = "azureml://datastores/d";
        assert_eq!(at(store), format!("{store}/paths/${{{{name}}}}"));
        let below = format!("{store}/paths/a/");
        assert_eq!(at(&below), format!("{below}${{{{name}}}}"));
        let own = format!("{store}/paths/${{{{name}}}}/b");
        assert_eq!(at(&own), own);
        assert!(place_of("/tmp/here").is_err());
    }
}
