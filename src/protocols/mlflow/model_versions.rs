//! Versions of registered models, their stages and aliases.

use serde::Serialize;

use super::{
    call::{Call, Place},
    error::Failure,
    experiments::not_found,
    limits,
    registered_models::{self, find as find_registered, name, tags},
    sources,
    wire::{self, Answer, Pair, answer, done, pairs},
};
use api::{
    Error,
    models::{DeleteModel, GetModel, Model, RegisterModel, SearchModels, Stage, UpdateModel},
    registered_models::{DeleteModelAlias, SetModelAlias},
};

#[derive(Serialize)]
struct OneVersion {
    model_version: ModelVersion,
}

#[derive(Serialize)]
pub struct ModelVersion {
    name: String,
    version: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    user_id: String,
    current_stage: &'static str,
    description: String,
    source: String,
    run_id: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
    run_link: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_id: Option<String>,
}

impl From<Model> for ModelVersion {
    fn from(model: Model) -> Self {
        Self {
            source: sources::called(&model),
            name: model.name,
            version: model.version.to_string(),
            creation_timestamp: model.created_at.0,
            last_updated_timestamp: model.updated_at.0,
            user_id: model.created_by,
            current_stage: model.stage.name(),
            description: model.description,
            run_id: model.lineage.run.unwrap_or_default(),
            status: "READY",
            tags: pairs(model.tags),
            run_link: model.lineage.run_link.unwrap_or_default(),
            aliases: model.aliases,
            model_id: model.lineage.logged_model,
        }
    }
}

fn one(model: Model) -> Answer {
    answer(&OneVersion {
        model_version: model.into(),
    })
}

/// The stage of that name, in any case.
pub fn stage(name: &str) -> Result<Stage, Failure> {
    Stage::called(name).ok_or_else(|| {
        let all: Vec<&str> = Stage::ALL.into_iter().map(Stage::name).collect();
        Failure::invalid(format!(
            "Invalid Model Version stage: {name}. Value must be one of {}.",
            all.join(", ")
        ))
    })
}

/// The version that a call is about.
pub fn version(call: &Call) -> Result<(String, u64), Failure> {
    let name = name(call)?;
    let text = call.fields.required("version")?;
    match text.trim().parse::<i64>() {
        Ok(version) => Ok((name, version.try_into().unwrap_or_default())),
        Err(_) => Err(Failure::invalid(format!(
            "Parameter 'version' must be an integer, got '{text}'."
        ))),
    }
}

/// MLflow's sentence for a version that is missing; other errors stay.
fn version_error(name: &str, version: u64, error: Error) -> Failure {
    not_found(
        error,
        format!("Model Version (name={name}, version={version}) not found"),
    )
}

/// Reads a version.
pub async fn find(place: &Place, name: &str, version: u64) -> Result<Model, Failure> {
    let get = GetModel {
        workspace: place.workspace.clone(),
        name: name.to_owned(),
        version: Some(version),
        ..GetModel::default()
    };
    place
        .perform(get)
        .await
        .map_err(|error| version_error(name, version, error))
}

/// The version that `models:/name@alias` means.
pub async fn find_by_alias(place: &Place, name: &str, alias: &str) -> Result<Model, Failure> {
    let model = find_registered(place, name).await?;
    if alias.eq_ignore_ascii_case("latest") {
        let latest = model.latest.into_iter().max_by_key(|found| found.version);
        return latest.ok_or_else(|| {
            Failure::missing(format!("Latest version not found for model {name}."))
        });
    }
    let called = |(known, _): &(&String, &u64)| known.to_lowercase() == alias.to_lowercase();
    match model.aliases.iter().find(called) {
        Some((_, version)) => find(place, name, *version).await,
        None => Err(Failure::invalid(format!(
            "Registered model alias {alias} not found."
        ))),
    }
}

pub async fn create(call: Call) -> Answer {
    let name = name(&call)?;
    let source = call.fields.required("source")?;
    let tags = tags(&call)?;
    let origin = sources::resolve(&call, source, &tags).await?;
    registered_models::find(&call, &name).await?;
    let register = RegisterModel {
        workspace: call.workspace.clone(),
        name,
        source: origin.source,
        description: call.fields.text("description")?.unwrap_or_default(),
        tags,
        uri: Some(origin.uri),
        run: origin.run,
        logged_model: origin.logged_model,
        run_link: call.fields.some_text("run_link")?,
        existing: true,
        files_later: true,
        ..RegisterModel::default()
    };
    one(call.perform(register).await?)
}

pub async fn get(call: Call) -> Answer {
    let (name, version) = version(&call)?;
    one(find(&call, &name, version).await?)
}

async fn change(
    call: &Call,
    change: impl FnOnce(&mut UpdateModel) -> Result<(), Failure>,
) -> Result<Model, Failure> {
    let (name, version) = version(call)?;
    let mut update = UpdateModel {
        workspace: call.workspace.clone(),
        name: name.clone(),
        version,
        ..UpdateModel::default()
    };
    change(&mut update)?;
    call.perform(update)
        .await
        .map_err(|error| version_error(&name, version, error))
}

pub async fn update(call: Call) -> Answer {
    let model = change(&call, |update| {
        update.description = Some(call.fields.text("description")?.unwrap_or_default());
        Ok(())
    })
    .await?;
    one(model)
}

pub async fn transition(call: Call) -> Answer {
    let model = change(&call, |update| {
        let wanted = call.fields.required("stage")?;
        let to = stage(&wanted)?;
        update.archive_others = call.fields.flag("archive_existing_versions")?;
        if update.archive_others && !matches!(to, Stage::Staging | Stage::Production) {
            return Err(Failure::invalid(format!(
                "Model version transition cannot archive existing model versions because '{wanted}' is not \
                 an Active stage. Valid stages are ['Staging', 'Production']"
            )));
        }
        update.stage = Some(to);
        Ok(())
    })
    .await?;
    one(model)
}

pub async fn set_tag(call: Call) -> Answer {
    change(&call, |update| {
        let (key, value) = registered_models::tag_to_set(&call)?;
        update.set_tags.insert(key, value);
        Ok(())
    })
    .await?;
    done()
}

pub async fn delete_tag(call: Call) -> Answer {
    change(&call, |update| {
        update
            .remove_tags
            .push(registered_models::tag_to_remove(&call)?);
        Ok(())
    })
    .await?;
    done()
}

pub async fn delete(call: Call) -> Answer {
    let (name, version) = version(&call)?;
    let delete = DeleteModel {
        workspace: call.workspace.clone(),
        name: name.clone(),
        version: Some(version),
        forget_numbers: false,
    };
    call.perform(delete)
        .await
        .map_err(|error| version_error(&name, version, error))?;
    done()
}

pub async fn search(call: Call) -> Answer {
    let fields = &call.fields;
    let limit = fields.max_results(limits::MODEL_VERSIONS, limits::MODEL_VERSIONS)?;
    let search = SearchModels {
        workspace: call.workspace.clone(),
        filter: fields.some_text("filter")?,
        order_by: fields.texts("order_by")?,
        limit: Some(limit),
        page: fields.some_text("page_token")?,
    };
    let page = call.perform(search).await?;
    let versions: Vec<ModelVersion> = page.items.into_iter().map(Into::into).collect();
    wire::page("model_versions", &versions, page.next)
}

pub async fn download_uri(call: Call) -> Answer {
    let (name, version) = version(&call)?;
    let model = find(&call, &name, version).await?;
    answer(&serde_json::json!({"artifact_uri": sources::location(&model)}))
}

fn alias(call: &Call) -> Result<String, Failure> {
    let alias = call.fields.required("alias")?;
    limits::check_alias(&alias)?;
    Ok(alias)
}

pub async fn by_alias(call: Call) -> Answer {
    one(find_by_alias(&call, &name(&call)?, &alias(&call)?).await?)
}

pub async fn set_alias(call: Call) -> Answer {
    let alias = alias(&call)?;
    limits::check_alias_is_free(&alias)?;
    let (name, version) = version(&call)?;
    let set = SetModelAlias {
        workspace: call.workspace.clone(),
        name: name.clone(),
        version,
        alias,
    };
    call.perform(set)
        .await
        .map_err(|error| version_error(&name, version, error))?;
    done()
}

pub async fn delete_alias(call: Call) -> Answer {
    let name = name(&call)?;
    let alias = alias(&call)?;
    registered_models::find(&call, &name).await?;
    let delete = DeleteModelAlias {
        workspace: call.workspace.clone(),
        name,
        alias,
    };
    call.perform(delete).await?;
    done()
}
