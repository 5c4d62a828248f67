//! What a run or deployment needs around its code.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::deployments::ImageBase;

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
        /// What it is in a container.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<Box<RunImage>>,
    },
}

/// What the image of a run is made from, under the packages of a conda file if there are any.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunImage {
    pub base: ImageBase,
    /// The workspace or registry that has the files of the build.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub workspace: String,
    /// Values for the build.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<String, String>,
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

impl Conda {
    /// What conda is asked for: a Python and pip are there in any case.
    pub fn specs(&self, python: Option<&str>) -> Vec<String> {
        let mut specs = self.packages.clone();
        let python = python.map_or_else(
            || "python".to_owned(),
            |version| format!("python={version}"),
        );
        for (name, spec) in [("python", python), ("pip", "pip".to_owned())] {
            if !self.packages.iter().any(|package| is_named(package, name)) {
                specs.push(spec);
            }
        }
        specs
    }

    /// The requirements of an environment that are no packages of conda's.
    pub fn others(&self, requirements: &[String]) -> Vec<String> {
        let others = requirements.iter();
        let others = others.filter(|line| !self.stand_ins.contains(line));
        others.cloned().collect()
    }
}

/// Whether a package such as `conda-forge::python>=3.9` is this one.
fn is_named(package: &str, name: &str) -> bool {
    let package = package.rsplit_once("::").map_or(package, |(_, rest)| rest);
    let end = package.find(['=', '<', '>', '!', '~', ' ', '[']);
    let found = &package[..end.unwrap_or(package.len())];
    found.eq_ignore_ascii_case(name)
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
    /// Whether jobs whose environment names an image, or a Dockerfile, run in a container when they do
    /// not say.
    #[serde(default, skip_serializing_if = "is_default")]
    pub container: bool,
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
                image,
            } => Environment::Python {
                version,
                requirements,
                notes,
                name,
                path: Some(search),
                conda,
                image,
            },
        }
    }

    /// What it is in a container, where something says so.
    pub fn image(&self) -> Option<&RunImage> {
        match self {
            Environment::Python { image, .. } => image.as_deref(),
            Environment::Host | Environment::HostPath { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_named;

    #[test]
    fn packages_are_told_by_their_names() {
        for package in [
            "python",
            "python=3.9",
            "conda-forge::Python >=3.8",
            "python[build=x]",
        ] {
            assert!(is_named(package, "python"), "{package}");
        }
        assert!(!is_named("python-dateutil", "python") && !is_named("ipython", "python"));
    }
}
