//! What a run or deployment needs around its code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The software a process runs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Environment {
    /// What the machine has. `path` is the `PATH` to look commands up in, when it was captured
    /// from the shell that submitted on the same machine.
    #[default]
    Host,
    /// The machine's own, with the `PATH` of the shell that submitted here.
    HostPath { path: String },
    /// A virtual environment made from pip requirements and kept by content.
    Python {
        /// `3.11` or the like; any when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<String>,
        /// Lines as in `requirements.txt`.
        requirements: Vec<String>,
        /// What could not be reproduced, said once on the run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
        /// The name it was asked for by, such as `sklearn-1.5` or `requirements.txt`.
        name: String,
        /// The `PATH` to look for Python in, as with [`Environment::HostPath`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        path: Option<String>,
        /// What it asks of conda, where a conda file describes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        conda: Option<Box<Conda>>,
    },
}

/// What a conda file asks for, beside its `pip:` list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conda {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<String>,
    /// As conda writes them: `numpy=1.23`, `conda-forge::openjdk`.
    pub packages: Vec<String>,
    /// The requirements of the environment that stand for packages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stand_ins: Vec<String>,
    /// Names of packages for which none stands: libraries, programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// When micromamba, mamba or conda makes environments that a conda file describes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UseOfConda {
    /// When there is one, and `PyPI` has not all that is asked for.
    #[default]
    Auto,
    Always,
    Never,
}

/// How a machine makes environments.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSettings {
    #[serde(default, skip_serializing_if = "is_default")]
    pub conda: UseOfConda,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl EnvironmentSettings {
    pub fn is_default(&self) -> bool {
        is_default(self)
    }
}

/// Environments of a machine that were removed, or could be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FreedEnvironments {
    pub environments: u64,
    /// Bytes of disk freed.
    pub bytes: u64,
}

/// The key of an environment that packs a model, with a [`Packed`].
pub const PACKED: &str = "packed";

/// What a deployment in an environment is of, where the deployment does not say it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Packed {
    /// Reference of a version of a model.
    pub model: String,
    /// In the words of Azure's YAML, with the reference of its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code_configuration: Option<Value>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment_variables: BTreeMap<String, String>,
    /// Whether the environment names packages; else those that the model describes count.
    pub own_environment: bool,
}

impl Environment {
    /// What people call it.
    pub fn name(&self) -> &str {
        match self {
            Environment::Host | Environment::HostPath { .. } => "host",
            Environment::Python { name, .. } => name,
        }
    }

    /// The `PATH` it was captured with, if it was.
    pub fn path(&self) -> Option<&str> {
        match self {
            Environment::Host => None,
            Environment::HostPath { path } => Some(path),
            Environment::Python { path, .. } => path.as_deref(),
        }
    }

    /// The same on the machine where it was asked for: programs and Python are looked for in `search`.
    #[must_use]
    pub fn found_in(self, search: &str) -> Self {
        let search = search.to_owned();
        match self {
            Environment::Host | Environment::HostPath { .. } => {
                Environment::HostPath { path: search }
            }
            Environment::Python {
                version,
                requirements,
                notes,
                name,
                path: _,
                conda,
            } => Environment::Python {
                version,
                requirements,
                notes,
                name,
                path: Some(search),
                conda,
            },
        }
    }
}
