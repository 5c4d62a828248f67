//! Registered models and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Error, Result, Time, files::TreeInfo, names, operation};

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

/// A model as people write it: `iris:3`, `iris@latest` or `iris`, which is the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    pub name: String,
    /// The newest when absent.
    pub version: Option<u64>,
}

impl ModelRef {
    /// Reads a reference; `azureml:` may stand before it, as in Azure's files.
    pub fn parse(text: &str) -> Result<Self> {
        let bare = text.strip_prefix("azureml:").unwrap_or(text);
        let invalid = |message: String| {
            Err(Error::invalid(message)
                .at("model")
                .hint("Write NAME:VERSION, or NAME@latest for the newest version"))
        };
        let (name, version) = if let Some((name, label)) = bare.split_once('@') {
            if label != "latest" {
                return invalid(format!("`{text}` has the label `{label}`, not `latest`"));
            }
            (name, None)
        } else if let Some((name, version)) = bare.split_once(':') {
            match version.parse::<u64>() {
                Ok(version) if version > 0 => (name, Some(version)),
                _ => {
                    return invalid(format!(
                        "`{text}` has the version `{version}`, which is no number from 1"
                    ));
                }
            }
        } else {
            (bare, None)
        };
        names::MODEL.check(name)?;
        Ok(Self {
            name: name.to_owned(),
            version,
        })
    }
}

impl std::str::FromStr for ModelRef {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::ModelRef;

    #[test]
    fn a_reference_is_a_name_with_a_version_or_the_newest() {
        let parse = |text: &str| match ModelRef::parse(text) {
            Ok(model) => format!("{} {:?}", model.name, model.version),
            Err(error) => error.message,
        };
        assert_eq!(parse("iris:3"), "iris Some(3)");
        assert_eq!(parse("azureml:iris:3"), "iris Some(3)");
        assert_eq!(parse("iris@latest"), "iris None");
        assert_eq!(parse("iris"), "iris None");
        assert_eq!(
            parse("iris:v1"),
            "`iris:v1` has the version `v1`, which is no number from 1"
        );
        assert_eq!(
            parse("iris@best"),
            "`iris@best` has the label `best`, not `latest`"
        );
        assert!(parse("iris:0").contains("no number from 1"));
        assert!(parse(":1").contains("cannot be empty"));
    }
}
