//! Registered models: names with versions. Prompts are registered models with a tag.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    call::{Call, Place},
    error::{ErrorCode, Failure},
    experiments::not_found,
    fields::missing,
    limits,
    model_versions::{self, ModelVersion},
    wire::{self, Answer, Pair, answer, done, pairs},
};
use api::{
    Code, Error,
    models::{DeleteModel, Stage},
    registered_models::{
        CreateRegisteredModel, GetRegisteredModel, RegisteredModel as OurRegisteredModel,
        SearchRegisteredModels, UpdateRegisteredModel, is_prompt,
    },
};

#[derive(Serialize)]
struct OneModel {
    registered_model: RegisteredModel,
}

#[derive(Serialize)]
struct RegisteredModel {
    name: String,
    creation_timestamp: i64,
    last_updated_timestamp: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    latest_versions: Vec<ModelVersion>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<Pair>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    aliases: Vec<Alias>,
}

#[derive(Serialize)]
struct Alias {
    alias: String,
    version: String,
}

impl From<OurRegisteredModel> for RegisteredModel {
    fn from(model: OurRegisteredModel) -> Self {
        let alias = |(alias, version): (String, u64)| Alias {
            alias,
            version: version.to_string(),
        };
        Self {
            name: model.name,
            creation_timestamp: model.created_at.0,
            last_updated_timestamp: model.updated_at.0,
            description: model.description,
            latest_versions: model.latest.into_iter().map(Into::into).collect(),
            tags: pairs(model.tags),
            aliases: model.aliases.into_iter().map(alias).collect(),
        }
    }
}

fn one(model: OurRegisteredModel) -> Answer {
    answer(&OneModel {
        registered_model: model.into(),
    })
}

/// The name that a call is about.
pub fn name(call: &Call) -> Result<String, Failure> {
    let name = call.fields.required("name")?;
    limits::check_model_name(&name)?;
    Ok(name)
}

/// Reads a registered model.
pub async fn find(place: &Place, name: &str) -> Result<OurRegisteredModel, Failure> {
    let get = GetRegisteredModel {
        workspace: place.workspace.clone(),
        name: name.to_owned(),
    };
    place
        .perform(get)
        .await
        .map_err(|error| model_error(name, error))
}

/// MLflow's sentence for a registered model that is missing; other errors stay.
fn model_error(name: &str, error: Error) -> Failure {
    not_found(
        error,
        format!("Registered Model with name={name} not found"),
    )
}

/// The tags that a call gives a new model or version.
pub fn tags(call: &Call) -> Result<BTreeMap<String, String>, Failure> {
    let pairs = call.fields.pairs("tags")?;
    for (key, value) in &pairs {
        limits::check_registry_tag(key, value)?;
    }
    Ok(pairs.into_iter().collect())
}

pub async fn create(call: Call) -> Answer {
    let create = CreateRegisteredModel {
        workspace: call.workspace.clone(),
        name: name(&call)?,
        description: call.fields.text("description")?.unwrap_or_default(),
        tags: tags(&call)?,
    };
    let (name, prompt) = (create.name.clone(), is_prompt(&create.tags));
    match call.perform(create).await {
        Ok(model) => one(model),
        Err(error) if error.code == Code::Conflict => {
            let other = find(&call, &name).await?;
            Err(taken(&name, is_prompt(&other.tags), prompt))
        }
        Err(error) => Err(error.into()),
    }
}

fn taken(name: &str, old_is_prompt: bool, new_is_prompt: bool) -> Failure {
    let kind = |prompt| if prompt { "Prompt" } else { "Registered Model" };
    let (old, new) = (kind(old_is_prompt), kind(new_is_prompt));
    let message = if old == new {
        format!("{new} (name={name}) already exists.")
    } else {
        format!(
            "Tried to create a {} with name '{name}', but the name is already taken by a {}. MLflow does \
             not allow creating a model and a prompt with the same name.",
            new.to_lowercase(),
            old.to_lowercase()
        )
    };
    Failure::new(ErrorCode::AlreadyExists, message)
}

async fn change(
    call: &Call,
    change: impl FnOnce(&mut UpdateRegisteredModel) -> Result<(), Failure>,
) -> Result<OurRegisteredModel, Failure> {
    let mut update = UpdateRegisteredModel {
        workspace: call.workspace.clone(),
        name: name(call)?,
        ..UpdateRegisteredModel::default()
    };
    change(&mut update)?;
    let (name, new_name) = (update.name.clone(), update.new_name.clone());
    call.perform(update).await.map_err(|error| match new_name {
        Some(new) if error.code == Code::Conflict => Failure::new(
            ErrorCode::AlreadyExists,
            format!("Registered Model (name={new}) already exists."),
        ),
        _ => model_error(&name, error),
    })
}

pub async fn rename(call: Call) -> Answer {
    let model = change(&call, |update| {
        let new = call.fields.required("new_name")?;
        limits::check_model_name(&new).map_err(|failure| match new.trim() {
            "" => missing("new_name"),
            _ => failure,
        })?;
        update.new_name = Some(new);
        Ok(())
    })
    .await?;
    one(model)
}

pub async fn update(call: Call) -> Answer {
    let model = change(&call, |update| {
        update.description = Some(call.fields.text("description")?.unwrap_or_default());
        Ok(())
    })
    .await?;
    one(model)
}

/// The tag that a call sets on a registered model or a version.
pub fn tag_to_set(call: &Call) -> Result<(String, String), Failure> {
    let key = call.fields.required("key")?;
    let value = call.fields.text("value")?.unwrap_or_default();
    limits::check_registry_tag(&key, &value)?;
    Ok((key, value))
}

/// The key of the tag that a call removes from one.
pub fn tag_to_remove(call: &Call) -> Result<String, Failure> {
    let key = call.fields.required("key")?;
    limits::check_key("key", &key)?;
    Ok(key)
}

pub async fn set_tag(call: Call) -> Answer {
    change(&call, |update| {
        let (key, value) = tag_to_set(&call)?;
        update.set_tags.insert(key, value);
        Ok(())
    })
    .await?;
    done()
}

pub async fn delete_tag(call: Call) -> Answer {
    change(&call, |update| {
        update.remove_tags.push(tag_to_remove(&call)?);
        Ok(())
    })
    .await?;
    done()
}

pub async fn delete(call: Call) -> Answer {
    let name = name(&call)?;
    let delete = DeleteModel {
        workspace: call.workspace.clone(),
        name: name.clone(),
        version: None,
        forget_numbers: true,
    };
    call.perform(delete)
        .await
        .map_err(|error| model_error(&name, error))?;
    done()
}

pub async fn get(call: Call) -> Answer {
    one(find(&call, &name(&call)?).await?)
}

pub async fn search(call: Call) -> Answer {
    let fields = &call.fields;
    let search = SearchRegisteredModels {
        workspace: call.workspace.clone(),
        filter: fields.some_text("filter")?,
        order_by: fields.texts("order_by")?,
        limit: Some(fields.max_results(100, limits::REGISTERED_MODELS)?),
        page: fields.some_text("page_token")?,
    };
    let page = call.perform(search).await?;
    let models: Vec<RegisteredModel> = page.items.into_iter().map(Into::into).collect();
    wire::page("registered_models", &models, page.next)
}

/// The newest version in each stage that is asked for, or in each stage.
pub async fn latest(call: Call) -> Answer {
    let name = name(&call)?;
    let wanted = call.fields.texts("stages")?;
    let mut stages = Vec::new();
    for stage in &wanted {
        stages.push(model_versions::stage(stage)?);
    }
    if stages.is_empty() {
        stages = Stage::ALL.to_vec();
    }
    let model = find(&call, &name).await?;
    let mut versions = model.latest;
    versions.retain(|version| stages.contains(&version.stage));
    let versions: Vec<ModelVersion> = versions.into_iter().map(Into::into).collect();
    wire::page("model_versions", &versions, None)
}
