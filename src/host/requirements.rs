//! Which environment a deployment is served in.

use std::path::Path;

use api::environments::Environment;

/// The official server for Azure ML's scoring scripts.
const SERVER: &str = "azureml-inference-server-http";

/// The environment asked for, with the scoring server in it; without one, an environment of its own.
/// Who asks for what the machine has gets that as it is.
pub fn for_script(asked: Option<&Environment>) -> Environment {
    match asked {
        None => own(SERVER, None, Vec::new(), &[SERVER]),
        Some(asked) => adding(asked, &[SERVER]),
    }
}

/// The environment for a model in MLflow format that has no script: the one asked for, else the one
/// the model describes. `model` is the folder that holds `MLmodel`.
pub fn for_mlflow(asked: Option<&Environment>, model: &Path, model_name: &str) -> Environment {
    let needed = ["mlflow", "pandas", SERVER];
    if let Some(asked) = asked {
        return adding(asked, &needed);
    }
    let text = std::fs::read_to_string(model.join("requirements.txt")).unwrap_or_default();
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned);
    own(model_name, python_version(model), lines.collect(), &needed)
}

fn own(
    name: &str,
    version: Option<String>,
    requirements: Vec<String>,
    needed: &[&str],
) -> Environment {
    Environment::Python {
        version,
        requirements: with(requirements, needed),
        notes: Vec::new(),
        name: name.to_owned(),
        path: None,
    }
}

fn adding(asked: &Environment, needed: &[&str]) -> Environment {
    let mut environment = asked.clone();
    match &mut environment {
        Environment::Python { requirements, .. } => {
            *requirements = with(std::mem::take(requirements), needed);
        }
        Environment::Host | Environment::HostPath { .. } => {}
    }
    environment
}

/// `requirements` with those of `needed` that they do not name.
fn with(mut requirements: Vec<String>, needed: &[&str]) -> Vec<String> {
    for package in needed {
        if !requirements.iter().any(|line| names(line, package)) {
            requirements.push((*package).to_owned());
        }
    }
    requirements
}

/// Whether a requirement line is about `package`; spellings are compared as pip does.
fn names(line: &str, package: &str) -> bool {
    let end = line
        .find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
        .unwrap_or(line.len());
    line[..end].to_lowercase().replace(['_', '.'], "-") == package
}

/// The Python that a model in MLflow format was logged with, as `3.11`.
fn python_version(model: &Path) -> Option<String> {
    let text = std::fs::read_to_string(model.join("python_env.yaml")).ok()?;
    let version = text
        .lines()
        .find_map(|line| line.strip_prefix("python:"))?
        .trim()
        .trim_matches(['"', '\'']);
    let mut parts = version.split('.');
    Some(format!("{}.{}", parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use super::{for_script, with};
    use api::environments::Environment;

    #[test]
    fn the_server_is_added_unless_named() {
        let check = |lines: &[&str], expected: &[&str]| {
            let lines = lines.iter().map(|line| (*line).to_owned()).collect();
            assert_eq!(with(lines, &["azureml-inference-server-http"]), expected);
        };
        check(&[], &["azureml-inference-server-http"]);
        check(&["numpy"], &["numpy", "azureml-inference-server-http"]);
        check(
            &["AzureML_Inference.Server-http[x]~=1.4"],
            &["AzureML_Inference.Server-http[x]~=1.4"],
        );
        check(
            &["azureml-inference-server-http-extra"],
            &[
                "azureml-inference-server-http-extra",
                "azureml-inference-server-http",
            ],
        );
    }

    #[test]
    fn without_an_environment_there_is_one_of_its_own_and_the_machine_must_be_asked_for() {
        let Environment::Python { requirements, .. } = for_script(None) else {
            panic!("not a Python environment");
        };
        assert_eq!(requirements, ["azureml-inference-server-http"]);
        let path = "/usr/bin".to_owned();
        for machine in [Environment::Host, Environment::HostPath { path }] {
            assert_eq!(for_script(Some(&machine)), machine);
        }
    }
}
