//! `az ml model package`: an environment that brings a model, its script and its packages along, so that
//! a deployment need name nothing else.

use serde_json::{Map, Value, json};

use super::{asset, model};
use crate::{
    az::{Az, given::Given, ids, place::Place},
    deployment::described::bring,
    document::Draft,
};
use api::{
    Error, Result,
    assets::{Asset, AssetKind, AssetRef, CreateAsset, GetAsset},
    environments::{PACKED, Packed},
    registries,
};
use spec::overrides::Values;

const KIND: AssetKind = AssetKind::Environment;
/// What a model in MLflow format is served in, whose packages it names itself.
const IMAGE: &str = "mcr.microsoft.com/azureml/curated/mlflow-py312-inference:latest";

pub async fn package(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    draft.edit(&given.edits()?, Values::Strings)?;
    let mut fields = draft.check("model-package")?;
    check_kept(&fields)?;
    let place = az.place(given).await?;
    let found = model::get(az, given, &place).await?;
    let here = az.this_workspace().await?;
    let workspace = here.name.clone();
    let (name, version) = target(&fields)?;
    let server = fields.get("inferencing_server").and_then(Value::as_object);
    let code = server.and_then(|server| server.get("code_configuration"));
    let mut brought = Map::new();
    brought.insert("code_configuration".to_owned(), json!(code));
    bring(&az.ctx, &workspace, &mut brought).await?;
    let base = base(az, &workspace, &fields).await?;
    let packed = Packed {
        model: match registries::named_in(&place.name()) {
            None => format!("azureml:{}:{}", found.name, found.version_called()),
            Some(registry) => format!(
                "azureml://registries/{registry}/models/{}/versions/{}",
                found.name,
                found.version_called()
            ),
        },
        code_configuration: brought
            .shift_remove("code_configuration")
            .filter(|code| !code.is_null()),
        environment_variables: crate::asset::texts(&fields, "environment_variables"),
        own_environment: base.is_some(),
    };
    let packed = serde_json::to_value(&packed).map_err(|e| Error::internal(e.to_string()))?;
    let (mut spec, files) = base.map_or_else(
        || (ids::fields(json!({"image": IMAGE})), None),
        |base| (base.spec, base.files.map(|files| files.hash)),
    );
    spec.insert(PACKED.to_owned(), packed);
    let request = CreateAsset {
        workspace,
        kind: KIND,
        name: Some(name),
        version,
        spec,
        description: None,
        tags: crate::asset::texts(&fields, "tags"),
        properties: [].into(),
        files,
        labels: Vec::new(),
    };
    let made = az.call(&request).await?;
    let here = Place::Workspace(Box::new(here));
    let mut shown = ids::fields(asset::shown(&here, &made));
    for key in ["inferencing_server", "model_configuration"] {
        if let Some(value) = fields.shift_remove(key) {
            shown.insert(key.to_owned(), value);
        }
    }
    shown.sort_keys();
    Ok(Value::Object(shown))
}

/// Refuses what a deployment in the environment would not heed.
fn check_kept(fields: &Map<String, Value>) -> Result<()> {
    let fields = Value::Object(fields.clone());
    let is_said = |place: &str| match fields.pointer(place) {
        None | Some(Value::Null) => false,
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Object(map)) => !map.is_empty(),
        Some(_) => true,
    };
    let dropped = [
        "/inputs",
        "/model_configuration/mount_path",
        "/inferencing_server/inference_configuration",
    ];
    let mut all = dropped.into_iter();
    let mut place = all.find(|place| is_said(place));
    let kind = fields.pointer("/inferencing_server/type");
    if kind
        .and_then(Value::as_str)
        .is_some_and(|kind| kind != "azureml_online")
    {
        place = Some("/inferencing_server/type");
    }
    match place {
        None => Ok(()),
        Some(place) => {
            let place = place.trim_start_matches('/').replace('/', ".");
            Err(Error::unsupported(format!("`{place}` is not packed here"))
                .at(place)
                .hint("Leave it out, and say it in the deployment"))
        }
    }
}

/// The environment that is made, and its version if one is asked for.
fn target(fields: &Map<String, Value>) -> Result<(String, Option<String>)> {
    let said = fields.get("target_environment");
    let name = said.and_then(|said| said.as_str().or_else(|| said.get("name")?.as_str()));
    let name = name.ok_or_else(|| {
        Error::invalid("Nothing says what the environment is called")
            .at("target_environment")
            .hint("Name it in the file: target_environment: NAME")
    })?;
    let name = name.strip_prefix("azureml:").unwrap_or(name);
    if let Some(version) = said.and_then(|said| said.get("version")) {
        let version = version
            .as_str()
            .map_or_else(|| version.to_string(), str::to_owned);
        return Ok((name.to_owned(), Some(version)));
    }
    Ok(match name.split_once(':') {
        Some((name, version)) => (name.to_owned(), Some(version.to_owned())),
        None => (name.to_owned(), None),
    })
}

/// The environment that it is made from, if one is named.
async fn base(az: &Az, workspace: &str, fields: &Map<String, Value>) -> Result<Option<Asset>> {
    let source = fields.get("base_environment_source");
    let Some(id) = source.and_then(|source| source.get("resource_id")?.as_str()) else {
        return Ok(None);
    };
    let target = "base_environment_source.resource_id";
    let asset = AssetRef::parse(id).map_err(|error| error.at(target))?;
    let get = GetAsset::of(&asset, KIND, workspace);
    let elsewhere = !get.workspace.eq_ignore_ascii_case(workspace);
    let found = az.call(&get).await.map_err(|error| error.at(target))?;
    if elsewhere && found.files.is_some() {
        let error =
            Error::unsupported("An environment with files of its own must be of the workspace");
        return Err(error.at(target).hint(format!(
            "Create it here: az ml environment create -n {}",
            found.name
        )));
    }
    Ok(Some(found))
}
