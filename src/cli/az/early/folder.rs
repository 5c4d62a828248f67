//! `az ml folder`: a folder that knows its workspace.

use serde_json::{Value, json};

use super::{COMMON, CONFIGURATION, METADATA, answer, folder, write};
use crate::az::{
    Az,
    given::Given,
    grammar::{Group, flag, verb},
};

pub const GROUP: Group = Group {
    path: "ml folder",
    about: "Folders that know their workspace",
    verbs: &[verb!(
        "attach",
        "Let the commands that are called in a folder work in a workspace",
        [
            COMMON,
            METADATA,
            &[flag("experiment-name", "Experiment of its runs").short('e')]
        ],
        attach
    )],
};

pub const CONDA: &str = "conda_dependencies.yml";
pub const PACKAGES: &str =
    "name: project_environment\ndependencies:\n  - python\n  - pip:\n    - mlflow-skinny<3\n";
const RUN: &str = "script: train.py
arguments: []
target: local
framework: Python
environment:
  environmentVariables: {}
  python:
    userManagedDependencies: false
    condaDependenciesFile: .azureml/conda_dependencies.yml
";

/// Writes the files of a configuration. Those that are there stay, but for the workspace.
async fn attach(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let project = folder(az, given);
    let here = project.join(CONFIGURATION);
    let mut config = json!({
        "subscription_id": workspace.subscription,
        "resource_group": workspace.resource_group,
        "workspace_name": workspace.name,
    });
    if let Some(experiment) = given.text("experiment-name") {
        config["experiment_name"] = json!(experiment);
    }
    let config = serde_json::to_string_pretty(&config)?;
    write(&here.join("config.json"), &config)?;
    for (name, text) in [(CONDA, PACKAGES), ("local.runconfig", RUN)] {
        let path = here.join(name);
        if !path.exists() {
            write(&path, text)?;
        }
    }
    let shown = json!({
        "Experiment name": given.text("experiment-name"),
        "Project path": project.canonicalize().unwrap_or(project),
        "Resource group": workspace.resource_group,
        "Subscription id": workspace.subscription,
        "Workspace name": workspace.name,
    });
    answer(az, given, shown)
}
