//! Registered models: the names under which versions of models are kept, and their aliases.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Page, Time, models::Model, operation};

/// The tag of a registered model that makes it a prompt: its versions have a text and no files.
pub const PROMPT_TAG: &str = "mlflow.prompt.is_prompt";

/// Whether tags are those of a prompt or of a version of one.
pub fn is_prompt(tags: &BTreeMap<String, String>) -> bool {
    tags.get(PROMPT_TAG)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
}

/// A name with versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredModel {
    pub name: String,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// The versions that may be called by a name.
    pub aliases: BTreeMap<String, u64>,
    /// The newest version in each stage.
    pub latest: Vec<Model>,
    pub created_at: Time,
    pub updated_at: Time,
}

/// Makes a registered model without versions. One of that name is a conflict.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct CreateRegisteredModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(CreateRegisteredModel => RegisteredModel, "registered_models.create");

/// One registered model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetRegisteredModel {
    pub workspace: String,
    pub name: String,
}
operation!(GetRegisteredModel => RegisteredModel, "registered_models.get");

/// Changes what is given of a registered model and leaves the rest. A new name that is taken is a
/// conflict.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateRegisteredModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub new_name: Option<String>,
    #[serde(default)]
    pub description: Option<String>,
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_tags: Vec<String>,
}
operation!(UpdateRegisteredModel => RegisteredModel, "registered_models.update");

/// Registered models by name, unless another order is asked for. Prompts are found only by a filter
/// that names the tag `mlflow.prompt.is_prompt`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchRegisteredModels {
    pub workspace: String,
    /// Such as `name LIKE 'iris%' AND tags.owner = 'ann'`.
    #[serde(default)]
    pub filter: Option<String>,
    /// Keys such as `last_updated_timestamp DESC`.
    #[serde(default)]
    pub order_by: Vec<String>,
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(SearchRegisteredModels => Page<RegisteredModel>, "registered_models.search");

/// Gives a version an alias, which is taken from the version that had it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetModelAlias {
    pub workspace: String,
    pub name: String,
    pub version: u64,
    pub alias: String,
}
operation!(SetModelAlias => Done, "models.set_alias");

/// Takes an alias away. One that is not there is no error.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteModelAlias {
    pub workspace: String,
    pub name: String,
    pub alias: String,
}
operation!(DeleteModelAlias => Done, "models.delete_alias");
