//! Environments, registered or written where they are used.

use serde_json::{Map as Object, Value};

use crate::{
    declare::{choice, record, union, words},
    described::{Map, Scalar, Version},
    reference::{BuildPath, EnvironmentName},
    shape::{Described, Fault, Mismatch, Shape, Wrong},
};

record! {
    /// What an environment is made of: an image, a conda file, a Dockerfile.
    EnvironmentParts = "environment" (read_only: &["creation_context", "latest_version", "intellectual_property", "properties", "resourceGroup"], rule: Some(made_of_something)) {
        description: Option<String>,
        tags: Map<Scalar>,
        /// The next one when absent.
        version: Option<Version>,
        /// A container image, such as `mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04`.
        image: Option<String>,
        /// A conda file: its path, or what it would hold.
        conda_file: Option<CondaFile>,
        /// A Dockerfile with its folder.
        build: Option<Build>,
        os_type: OsType = "linux",
        /// How a container of it answers requests.
        inference_config: Option<InferenceConfig>,
        /// The datastore that local files are uploaded to.
        datastore: Option<String>,
        id: Option<String>,
        auto_delete_setting: Option<AutoDelete>,
    }

    /// A registered environment.
    Environment = "environment" {
        ..parts: EnvironmentParts,
        /// The name that jobs use: `azureml:NAME:VERSION`.
        name: String,
    }

    /// An environment written where it is used.
    InlineEnvironment = "environment" {
        ..parts: EnvironmentParts,
        /// Register it under this name.
        name: Option<String>,
    }

    /// What an image is built from.
    Build = "build context" {
        /// The folder of the Dockerfile.
        path: Option<BuildPath>,
        /// The Dockerfile, from the folder.
        dockerfile_path: String = "Dockerfile",
    }

    /// How a container answers requests.
    InferenceConfig = "inference config" {
        liveness_route: Route,
        readiness_route: Route,
        scoring_route: Route,
    }

    Route = "route" {
        port: i64,
        path: String,
    }

    /// When it is deleted by itself.
    AutoDelete = "auto delete setting" {
        condition: Option<AutoDeleteCondition>,
        /// Such as `30d`.
        value: Option<String>,
    }
}

union! {
    /// A registered environment by name, or one written here.
    EnvironmentSource = "an environment (`azureml:NAME:VERSION`, or a mapping)" {
        Name(EnvironmentName),
        Inline(Box<InlineEnvironment>),
    }
}

choice! {
    OsType = "an operating system" {
        Linux = "linux",
        Windows = "windows",
    }
}

words! {
    AutoDeleteCondition = "a condition" ["created_greater_than", "last_accessed_greater_than"]
}

/// What a conda file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct CondaFile(pub Value);

impl Described for CondaFile {
    const SHAPE: Shape = Shape::Union(&crate::shape::Union {
        what: "a conda file (its path, or a mapping)",
        doc: "",
        members: &[
            Shape::Include(&Shape::Map(&Shape::Any)),
            Shape::Map(&Shape::Any),
        ],
        default_type: None,
        called: None,
    });

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        let found = value.filter(|value| value.is_object() || value.is_string());
        let found = found.ok_or_else(|| Mismatch::wanted("a conda file", value))?;
        Ok(Self(found.clone()))
    }

    fn write(&self) -> Option<Value> {
        Some(self.0.clone())
    }
}

fn made_of_something(environment: &Object<String, Value>) -> Vec<Wrong> {
    let has = |key| environment.contains_key(key);
    let mut wrong = Vec::new();
    if has("build") && has("image") {
        let fault = Fault::new("An environment has an `image` or a `build`, not both");
        wrong.push(Wrong::at(["build"], fault));
    }
    if has("build") && has("conda_file") {
        let fault = Fault::new("An environment with a `build` has no `conda_file`");
        let fault = fault.hint("Install the packages in the Dockerfile");
        wrong.push(Wrong::at(["conda_file"], fault));
    }
    wrong
}
