//! Registered models and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Done, Error, Page, Result, Time, files::TreeInfo, names, operation};

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

/// How far a version has come on its way to its users. An archived one is hidden from lists, is
/// not the newest, and is not deployed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Stage {
    #[default]
    None,
    Staging,
    Production,
    Archived,
}

impl Stage {
    pub const ALL: [Stage; 4] = [
        Stage::None,
        Stage::Staging,
        Stage::Production,
        Stage::Archived,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Stage::None => "None",
            Stage::Staging => "Staging",
            Stage::Production => "Production",
            Stage::Archived => "Archived",
        }
    }

    /// The stage of that name, in any case.
    pub fn called(name: &str) -> Option<Self> {
        let called = |stage: &Stage| stage.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(called)
    }
}

/// One version of a registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    pub name: String,
    /// Counts up from 1; a deleted number is not used again.
    pub version: u64,
    /// What whoever registered it called the version, where that is no number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_name: Option<String>,
    #[serde(rename = "type")]
    pub kind: ModelType,
    pub description: String,
    pub tags: BTreeMap<String, String>,
    /// Facts that stay as they are.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// How programs may load it, in the words of Azure's YAML.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub flavors: Map<String, Value>,
    pub stage: Stage,
    /// What it may be called instead of its number.
    pub aliases: Vec<String>,
    /// Absent when its files are kept elsewhere, or when it has none, as a prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<TreeInfo>,
    /// What whoever registered it called the place of its files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The URI of its files when they are kept elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// Where it came from.
    pub lineage: Lineage,
    pub created_by: String,
    pub created_at: Time,
    pub updated_at: Time,
}

impl Model {
    pub fn archived(&self) -> bool {
        self.stage == Stage::Archived
    }

    /// The version by its name, else by its number.
    pub fn version_called(&self) -> String {
        let name = self.version_name.clone();
        name.unwrap_or_else(|| self.version.to_string())
    }
}

/// What made a model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Path among the run's artifacts, or the local path it was uploaded from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The logged model whose files these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logged_model: Option<String>,
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
    /// A page about the run, on a server that is not this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_link: Option<String>,
}

/// Where the files of a new version are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum ModelSource {
    /// An artifact or folder of artifacts of a run.
    Run { run: String, path: String },
    /// A logged model, or a file or folder of it.
    LoggedModel {
        id: String,
        #[serde(default)]
        path: String,
    },
    /// Another version, of this or another model.
    Version { name: String, version: u64 },
    /// A tree stored before, and where it was uploaded from.
    Tree {
        hash: super::files::Hash,
        path: String,
    },
    /// Files that are kept elsewhere; only the URI is kept.
    Elsewhere { uri: String },
    /// No files: a prompt is a text in a tag.
    #[default]
    Nothing,
}

/// Registers the next version of a model; the first makes the model.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
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
    /// What the caller calls the place of the files.
    #[serde(default)]
    pub uri: Option<String>,
    /// What made the files, where `source` does not tell.
    #[serde(default)]
    pub run: Option<String>,
    #[serde(default)]
    pub logged_model: Option<String>,
    #[serde(default)]
    pub run_link: Option<String>,
    /// Refuse to make the model.
    #[serde(default)]
    pub existing: bool,
    /// Register also when there are no files at `source` yet. They are taken when they are first
    /// asked for.
    #[serde(default)]
    pub files_later: bool,
    /// The number of the version instead of the next one. One that is there with the same files is
    /// answered; with others it is a conflict.
    #[serde(default)]
    pub version: Option<u64>,
    /// What the version is called beside its number, when that is no number. As with `version`, one
    /// that is there is answered or a conflict.
    #[serde(default)]
    pub version_name: Option<String>,
    #[serde(default)]
    pub properties: BTreeMap<String, String>,
    /// Those that the file `MLmodel` names when empty.
    #[serde(default)]
    pub flavors: Map<String, Value>,
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
    /// Prompts, which are left out otherwise.
    #[serde(default)]
    pub prompts: bool,
}
operation!(ListModels => Vec<Model>, "models.list");

/// One version: that of a number, a name of its own or an alias, else the newest that is not archived.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct GetModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub version: Option<u64>,
    #[serde(default)]
    pub version_name: Option<String>,
    #[serde(default)]
    pub alias: Option<String>,
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
    #[serde(default)]
    pub set_tags: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_tags: Vec<String>,
    /// Properties to add; one that is there stays as it is.
    #[serde(default)]
    pub add_properties: BTreeMap<String, String>,
    /// All of them, in place of those that are known; the files stay as they are.
    #[serde(default)]
    pub flavors: Option<Map<String, Value>>,
    #[serde(default)]
    pub stage: Option<Stage>,
    /// Archives the other versions that are in the new stage.
    #[serde(default)]
    pub archive_others: bool,
}
operation!(UpdateModel => Model, "models.update");

/// Versions of models, changed last first unless another order is asked for. Those of prompts are
/// found only by a filter that names the tag `mlflow.prompt.is_prompt`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct SearchModels {
    pub workspace: String,
    /// Such as `name = 'iris' AND tags.owner = 'ann'`.
    #[serde(default)]
    pub filter: Option<String>,
    /// Keys such as `version_number DESC`.
    #[serde(default)]
    pub order_by: Vec<String>,
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(SearchModels => Page<Model>, "models.search");

/// Deletes one version, or the model with all of them when `version` is absent. Refused while one
/// of them is deployed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeleteModel {
    pub workspace: String,
    pub name: String,
    #[serde(default)]
    pub version: Option<u64>,
    /// Let a model that is made under the name later count from 1 again, as MLflow does.
    #[serde(default)]
    pub forget_numbers: bool,
}
operation!(DeleteModel => Done, "models.delete");

/// A version of a model as people write it: `iris:3`, `iris@champion`, or `iris` and `iris@latest`
/// for the newest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelRef {
    pub name: String,
    pub which: Which,
}

/// Which version of a model is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    Newest,
    Version(u64),
    /// A version that has a name of its own.
    Named(String),
    Alias(String),
}

impl Which {
    /// The version of a number, or of a name: `01` is a name.
    pub fn version(text: &str) -> Self {
        match number(text) {
            Some(number) => Which::Version(number),
            None => Which::Named(text.to_owned()),
        }
    }

    /// The number and the name that a version is asked for by.
    pub fn apart(self) -> (Option<u64>, Option<String>) {
        match self {
            Which::Version(number) => (Some(number), None),
            Which::Named(name) => (None, Some(name)),
            Which::Newest | Which::Alias(_) => (None, None),
        }
    }
}

/// A number as versions are counted by.
fn number(text: &str) -> Option<u64> {
    let canonical = !text.starts_with(['0', '+']);
    text.parse().ok().filter(|_| canonical)
}

/// Checks the name of a version.
pub fn check_version_name(name: &str) -> Result<()> {
    if name.parse::<u64>().is_ok_and(|_| number(name).is_some()) {
        return Err(Error::invalid(format!("The version `{name}` is a number")).at("version"));
    }
    if name == "0" {
        return Err(Error::invalid("Versions of models are counted from 1")
            .at("version")
            .hint("Leave the version out for the next one"));
    }
    names::VERSION
        .check(name)
        .map_err(|error| error.at("version"))
}

/// The alias that every model has: its newest version.
pub const LATEST: &str = "latest";

impl ModelRef {
    /// Reads a reference; `azureml:` may stand before it, as in Azure's files.
    pub fn parse(text: &str) -> Result<Self> {
        let bare = text.strip_prefix("azureml:").unwrap_or(text);
        let invalid = |message: String| {
            Error::invalid(message)
                .at("model")
                .hint("Write NAME:VERSION, NAME@ALIAS, or NAME for the newest version")
        };
        let (name, which) = if let Some((name, version)) = bare.split_once(':') {
            match Which::version(version) {
                Which::Named(version) if version.is_empty() || version == "0" => {
                    return Err(invalid(format!("`{text}` has no version")));
                }
                which => (name, which),
            }
        } else if let Some((name, alias)) = bare.rsplit_once('@') {
            if alias.eq_ignore_ascii_case(LATEST) {
                (name, Which::Newest)
            } else {
                names::check_alias(alias).map_err(|error| invalid(error.message))?;
                (name, Which::Alias(alias.to_owned()))
            }
        } else {
            (bare, Which::Newest)
        };
        names::MODEL.check(name)?;
        Ok(Self {
            name: name.to_owned(),
            which,
        })
    }
}

impl std::fmt::Display for ModelRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = &self.name;
        match &self.which {
            Which::Newest => f.write_str(name),
            Which::Version(version) => write!(f, "{name}:{version}"),
            Which::Named(version) => write!(f, "{name}:{version}"),
            Which::Alias(alias) => write!(f, "{name}@{alias}"),
        }
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
    fn a_reference_is_a_name_with_a_version_or_an_alias() {
        let parse = |text: &str| match ModelRef::parse(text) {
            Ok(model) => format!("{} {:?}", model.name, model.which),
            Err(error) => error.message,
        };
        assert_eq!(parse("iris:3"), "iris Version(3)");
        assert_eq!(parse("azureml:iris:3"), "iris Version(3)");
        assert_eq!(parse("iris@Latest"), "iris Newest");
        assert_eq!(parse("iris"), "iris Newest");
        assert_eq!(parse("iris@champion"), "iris Alias(\"champion\")");
        assert_eq!(parse("a@b@champion"), "a@b Alias(\"champion\")");
        assert_eq!(parse("the iris:1"), "the iris Version(1)");
        assert_eq!(parse("iris:v1"), "iris Named(\"v1\")");
        assert_eq!(parse("iris:01"), "iris Named(\"01\")");
        assert_eq!(
            parse("iris@v1"),
            "The alias `v1` could be taken for a version"
        );
        assert_eq!(parse("iris:0"), "`iris:0` has no version");
        assert!(parse(":1").contains("cannot be empty"));
    }
}
