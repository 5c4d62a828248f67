//! A deployment that a file describes: what it names on this machine brought to the workspace, and the
//! deployment made or changed.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{
    context::Context,
    document::Draft,
    endpoint,
    job::local::{code_asset, environment_asset, local_text},
    model,
};
use api::{
    Error, Result,
    deployments::{Deployed, PutDeployment},
    endpoints::{GetEndpoint, LOCAL},
    models::{ModelSource, ModelType, RegisterModel, Which},
};

/// Begins the names of models that a deployment brings along without a name.
const ANONYMOUS: &str = "anonymous-";

/// What becomes of a described deployment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Only change one that is there.
    pub existing: bool,
    pub all_traffic: bool,
    pub no_wait: bool,
    /// Behind an endpoint of `az --local`.
    pub local: bool,
}

/// Makes or changes the deployment that the checked fields describe, and waits until it answers.
pub async fn put(
    ctx: &Context,
    workspace: &str,
    mut fields: Map<String, Value>,
    wanted: Wanted,
) -> anyhow::Result<Deployed> {
    let text = |key: &str| {
        let text = fields.get(key).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let (name, mut address) = (text("name"), text("endpoint_name"));
    if wanted.local {
        address.insert_str(0, LOCAL);
    }
    let get = GetEndpoint {
        workspace: workspace.to_owned(),
        name: address.clone(),
    };
    let client = ctx.client().await?;
    // Before anything is uploaded for an endpoint that is not there.
    client.call(&get).await?;
    bring(ctx, workspace, &mut fields).await?;
    let request = PutDeployment {
        workspace: workspace.to_owned(),
        endpoint: address,
        name: name.clone(),
        definition: fields,
        existing: wanted.existing,
        all_traffic: wanted.all_traffic,
        search_path: ctx.profile().is_none().then(|| ctx.config.path.clone()),
    };
    let put = client.call(&request).await?;
    if wanted.no_wait {
        return Ok(put);
    }
    let found = client.call(&get).await?;
    let found = endpoint::wait(ctx, workspace, found, Some(&name)).await?;
    let mut all = found.deployments.into_iter();
    Ok(all.find(|one| one.name == put.name).unwrap_or(put))
}

/// What an update is of: the file and flags, with what they do not say as it is.
pub fn over(draft: &mut Draft, before: &Map<String, Value>) {
    for (key, value) in before {
        if !draft.has(key) {
            draft.put(key, value.clone(), "what is deployed");
        }
    }
}

/// Uploads what a deployment names on this machine, and puts in its place what names it there.
pub async fn bring(ctx: &Context, workspace: &str, fields: &mut Map<String, Value>) -> Result<()> {
    if let Some(Value::Object(code)) = fields.get_mut("code_configuration")
        && let Some(folder) = code.get("code").and_then(local_text)
    {
        let reference = code_asset(ctx, workspace, Path::new(folder)).await;
        let reference = reference.map_err(|error| error.at("code_configuration.code"))?;
        code.insert("code".to_owned(), Value::from(reference));
    }
    if let Some(Value::Object(inline)) = fields.get("model") {
        let reference = model_version(ctx, workspace, inline).await;
        let reference = reference.map_err(|error| error.at("model"))?;
        fields.insert("model".to_owned(), Value::from(reference));
    }
    if let Some(Value::Object(inline)) = fields.get("environment") {
        let reference = environment_asset(ctx, workspace, inline.clone()).await?;
        fields.insert("environment".to_owned(), Value::from(reference));
    }
    Ok(())
}

/// Registers a model that is written in the deployment, and answers its reference. Without a name it
/// is named by its files, so that the same is registered once.
pub async fn model_version(
    ctx: &Context,
    workspace: &str,
    inline: &Map<String, Value>,
) -> Result<String> {
    let text = |key: &str| inline.get(key).and_then(Value::as_str);
    let path = text("path").ok_or_else(|| Error::invalid("The model has no `path`"))?;
    let source = model::source(ctx, workspace, workspace, path).await?;
    let (name, version) = match (text("name"), &source) {
        (Some(name), _) => (name.to_owned(), text("version").map(str::to_owned)),
        (None, ModelSource::Tree { hash, .. }) => {
            let name = format!("{ANONYMOUS}{}", &hash.hex()[..32]);
            (name, Some("1".to_owned()))
        }
        (None, _) => {
            return Err(
                Error::invalid("A model that is not on this machine needs a name")
                    .hint("Register it first: aml model register"),
            );
        }
    };
    let kind = match text("type") {
        Some("mlflow_model") => Some(ModelType::Mlflow),
        Some("triton_model") => Some(ModelType::Triton),
        _ => None,
    };
    let version = version.map(|version| Which::version(&version));
    let (version, version_name) = version.map_or((None, None), Which::apart);
    let request = RegisterModel {
        workspace: workspace.to_owned(),
        name,
        source,
        kind,
        description: text("description").unwrap_or_default().to_owned(),
        tags: crate::asset::texts(inline, "tags"),
        properties: crate::asset::texts(inline, "properties"),
        version,
        version_name,
        ..RegisterModel::default()
    };
    let made = ctx.client().await?.call(&request).await?;
    Ok(format!("azureml:{}:{}", made.name, made.version_called()))
}

/// What a file of a deployment would say, also of one that was made from flags.
pub fn written(endpoint: &str, deployed: &Deployed) -> Map<String, Value> {
    let deployment = &deployed.deployment;
    let mut fields = deployment.definition.clone();
    fields.insert("name".to_owned(), json!(deployed.name));
    fields.insert("endpoint_name".to_owned(), json!(endpoint));
    if let Some(model) = &deployment.model {
        fields
            .entry("model")
            .or_insert_with(|| json!(format!("azureml:{model}")));
    }
    if let Some(script) = &deployment.script {
        fields
            .entry("code_configuration")
            .or_insert_with(|| json!({"code": null, "scoring_script": script}));
    }
    if !deployment.environment_variables.is_empty() {
        fields
            .entry("environment_variables")
            .or_insert_with(|| json!(deployment.environment_variables));
    }
    fields
        .entry("instance_count")
        .or_insert_with(|| json!(deployment.instances));
    fields
}
