//! Registered models and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Time, files::TreeInfo, operation};

/// How a model is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelType {
    Custom,
    Mlflow,
    Triton,
}

impl std::fmt::Display for ModelType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ModelType::Custom => "custom",
            ModelType::Mlflow => "mlflow",
            ModelType::Triton => "triton",
        })
    }
}

/// One version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    /// Counts up from 1; a deleted number is not used again.
    pub version: u64,
    #[serde(rename = "type")]
    pub kind: ModelType,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    pub files: TreeInfo,
    /// Where it came from.
    pub lineage: Lineage,
    pub archived: bool,
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

/// What made a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Path among the run's artifacts, or the local path it was uploaded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Hash of the code the run was started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// Name of the run's environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
}

/// Where the files of a new version are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ModelSource {
    /// An artifact or folder of artifacts of a run.
    Run { run: String, path: String },
    /// A tree stored before, and where it was uploaded from.
    Tree {
        hash: super::files::Hash,
        path: String,
    },
}

/// Registers the next version of a model; the first makes the model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegisterModel {
    pub workspace: String,
    pub name: String,
    pub source: ModelSource,
    /// Found out from the files when absent: `mlflow` with an `MLmodel` file, else `custom`.
    #[serde(default, rename = "type")]
    pub kind: Option<ModelType>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}
operation!(RegisterModel => Model, "models.register");

/// The newest version of each model, or all versions of one; newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ListModels {
    pub workspace: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub include_archived: bool,
}
operation!(ListModels => Vec<Model>, "models.list");

/// One version; the newest that is not archived when `version` is absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub version: Option<u64>,
}
operation!(GetModel => Model, "models.get");

/// Changes what is given of one version and leaves the rest.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct UpdateModel {
    pub workspace: String,
    pub name: String,
    pub version: u64,
    #[serde(default)]
    pub description: Option<String>,
    /// Tags to set; an empty value removes the tag.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub archived: Option<bool>,
}
operation!(UpdateModel => Model, "models.update");

/// Deletes one version, or all when `version` is absent. Refused while one of them is deployed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub version: Option<u64>,
}
operation!(DeleteModel => Done, "models.delete");
