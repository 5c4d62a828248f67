//! What a deployment is served with where it says less: the environment, and the script of models in
//! MLflow format.

use std::path::Path;

use super::{conda, mlflow};
use api::{Result, deployments::Deployment, environments::Environment};

/// Scores with a model in MLflow format that has no script.
pub const MLFLOW_SCORE: &str = include_str!("mlflow_score.py");

/// The official server for Azure ML's scoring scripts.
const SERVER: &str = "azureml-inference-server-http";
/// Comes with every environment of conda, and older packages of models need of it what newer ones lack.
const SETUPTOOLS: &str = "setuptools<81";

/// The environment that a deployment called `name` is served in; `model` is the folder of its model.
pub fn environment(deployment: &Deployment, model: &Path, name: &str) -> Result<Environment> {
    let asked = deployment.environment.as_ref();
    match (&deployment.program, &deployment.script) {
        (Some(_), _) => Ok(for_program(asked)),
        (None, Some(_)) => Ok(for_script(asked)),
        (None, None) => for_mlflow(asked, model, name),
    }
}

/// The environment asked for, with the scoring server in it; without one, an environment of its own.
/// Who asks for what the machine has gets that as it is.
fn for_script(asked: Option<&Environment>) -> Environment {
    match asked {
        None => Environment::Python {
            version: None,
            requirements: vec![SERVER.to_owned()],
            notes: Vec::new(),
            name: SERVER.to_owned(),
            path: None,
            conda: None,
            image: None,
        },
        Some(asked) => adding(asked, &[SERVER]),
    }
}

/// The environment of a program that answers by itself: the one asked for, else the machine's own.
fn for_program(asked: Option<&Environment>) -> Environment {
    asked.cloned().unwrap_or_default()
}

/// The environment for a model in MLflow format that has no script: the one asked for, else the one
/// the model describes. `model` is the folder that holds `MLmodel`.
fn for_mlflow(asked: Option<&Environment>, model: &Path, model_name: &str) -> Result<Environment> {
    let needed = ["mlflow", "pandas", SERVER, SETUPTOOLS];
    if let Some(asked) = asked {
        return Ok(adding(asked, &needed));
    }
    let text = |name: &str| std::fs::read_to_string(model.join(name)).unwrap_or_default();
    let described = mlflow::described(&text("conda.yaml"), &text("requirements.txt"));
    // Other lists that it names lie beside it.
    let beside = model.join("conda.yaml");
    let found = conda::parse(&described.to_string(), "conda.yaml", &beside);
    let found = found.map_err(|error| {
        error
            .at("model")
            .hint("Name an environment with what the model needs, which then counts")
    });
    Ok(match adding(&found?, &needed) {
        Environment::Python {
            version,
            requirements,
            notes,
            path,
            conda,
            image,
            ..
        } => Environment::Python {
            version: python_version(model).or(version),
            requirements,
            notes,
            name: model_name.to_owned(),
            path,
            conda,
            image,
        },
        other => other,
    })
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
        let name = package.split('<').next().unwrap_or(package);
        if !requirements.iter().any(|line| names(line, name)) {
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
    use super::{SERVER, SETUPTOOLS, for_mlflow, for_script, with};
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
    fn a_model_is_served_in_what_its_conda_file_says() {
        let model = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(model.path().join(name), text).unwrap();
        write("requirements.txt", "mlflow\nscikit-learn==1.2.2\n");
        let of = || match for_mlflow(None, model.path(), "m").unwrap() {
            Environment::Python {
                version,
                requirements,
                name,
                ..
            } => (version, requirements, name),
            other => panic!("{other:?}"),
        };
        let (version, requirements, _) = of();
        assert_eq!(version, None);
        assert!(requirements.contains(&"scikit-learn==1.2.2".to_owned()));
        write(
            "conda.yaml",
            "dependencies:\n- python=3.12\n- pip:\n  - mlflow\n  - scikit-learn==1.7.0\n",
        );
        let (version, requirements, name) = of();
        assert_eq!((version.as_deref(), name.as_str()), (Some("3.12"), "m"));
        let needed = [
            "mlflow",
            "scikit-learn==1.7.0",
            "pandas",
            SERVER,
            SETUPTOOLS,
        ];
        assert_eq!(requirements, needed);
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
