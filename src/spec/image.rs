//! What the image of a deployment is built from, beside the folders `code` and `model`.

use std::{fmt::Write as _, fs, path::Path};

use serde_json::Value;

use super::scoring::MLFLOW_SCORE;
use api::{
    Error, Result,
    deployments::{Deployment, ImageBase, Routes},
    environments::Environment,
    files::check_path,
};

/// Where Azure's containers have the code and the models.
const ROOT: &str = "/var/azureml-app";
const MODELS: &str = "/var/azureml-app/azureml-models";
/// The Python of an environment that asks for none.
pub(super) const PYTHON: &str = "3.11";
/// Where the scoring server listens.
const SCORING_PORT: u16 = 5001;

/// Where a deployment listens in its container.
pub fn port(deployment: &Deployment) -> u16 {
    let program = deployment.program.as_ref();
    program
        .and_then(|program| program.port)
        .unwrap_or(SCORING_PORT)
}

/// The paths at which a deployment is asked.
pub fn routes(deployment: &Deployment) -> Routes {
    let program = deployment.program.as_ref();
    program
        .map(|program| program.routes.clone())
        .unwrap_or_default()
}

/// A deployment whose image is described, with the environment that it is served in.
pub struct Described<'a> {
    pub name: &'a str,
    pub generation: u64,
    pub deployment: &'a Deployment,
    pub environment: &'a Environment,
}

/// The folder with the folders `code` and `model`, in the one that the image is built from: where the
/// environment brings files of its own these lie around it.
pub fn place(deployment: &Deployment) -> &'static str {
    match deployment.image {
        Some(ImageBase::Build { .. }) => "aml",
        _ => "",
    }
}

/// Writes a Dockerfile and what it copies beside the folders `code` and `model`, and the files that the
/// environment brings. What the deployment sets of variables is given to the container when it starts.
pub fn write(folder: &Path, described: &Described<'_>) -> Result<()> {
    let deployment = described.deployment;
    let place = place(deployment);
    let (version, packages) = packages(described.environment, deployment);
    let begin = match &deployment.image {
        None => format!(
            "FROM docker.io/library/python:{version}-slim\n\
             RUN useradd --create-home --uid 1000 scoring\n"
        ),
        Some(ImageBase::Named(image)) => format!("FROM {image}\n"),
        Some(ImageBase::Build { dockerfile, .. }) => {
            check_path(dockerfile)?;
            read(&folder.join(dockerfile))? + "\n"
        }
    };
    let ignored = folder.join(".dockerignore");
    let mut ignore = match deployment.image {
        Some(ImageBase::Build { .. }) if ignored.exists() => read(&ignored)? + "\n",
        _ => String::new(),
    };
    ignore += match place {
        "" => "Dockerfile\n",
        _ => "Dockerfile\n!aml\n",
    };
    let ours = folder.join(place);
    save(&ignored, &ignore)?;
    save(&ours.join("requirements.txt"), &packages)?;
    if deployment.program.is_none() && deployment.script.is_none() {
        save(&ours.join("mlflow_score.py"), MLFLOW_SCORE)?;
    }
    save(&folder.join("Dockerfile"), &dockerfile(described, &begin))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .map_err(|e| Error::unavailable(format!("Cannot read `{}`: {e}", path.display())))
}

pub(super) fn save(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)
        .map_err(|e| Error::unavailable(format!("Cannot write `{}`: {e}", path.display())))
}

/// The version of Python and the packages of an image.
fn packages(environment: &Environment, deployment: &Deployment) -> (String, String) {
    match environment {
        Environment::Python {
            version,
            requirements,
            ..
        } => {
            let version = version.clone().unwrap_or_else(|| PYTHON.to_owned());
            (version, requirements.join("\n") + "\n")
        }
        Environment::Host | Environment::HostPath { .. } => {
            let server = "azureml-inference-server-http\n".to_owned();
            let lines = match deployment.program {
                Some(_) => String::new(),
                None => server,
            };
            (PYTHON.to_owned(), lines)
        }
    }
}

fn dockerfile(described: &Described<'_>, begin: &str) -> String {
    let deployment = described.deployment;
    let from = match place(deployment) {
        "" => String::new(),
        place => format!("{place}/"),
    };
    let models = models(deployment);
    let mut text = begin.to_owned();
    let is_program = deployment.program.is_some();
    if deployment.image.is_some() && !is_program {
        // As whoever may install.
        text += "USER 0\n";
    }
    if deployment.image.is_none() || !is_program {
        let _ = write!(
            text,
            "COPY {from}requirements.txt /tmp/requirements.txt\n\
             RUN pip install --no-cache-dir -r /tmp/requirements.txt\n"
        );
    }
    let _ = write!(
        text,
        "COPY {from}code {ROOT}/code\nCOPY {from}model {models}\n"
    );
    let port = port(deployment);
    let mut variables = vec![
        ("AZUREML_MODEL_DIR", models.clone()),
        ("AML_APP_ROOT", format!("{ROOT}/code")),
        ("AZUREML_DEPLOYMENT_NAME", described.name.to_owned()),
        ("SERVICE_VERSION", described.generation.to_string()),
        ("PYTHONUNBUFFERED", "1".to_owned()),
        ("PORT", port.to_string()),
    ];
    let command = match (&deployment.program, &deployment.script) {
        // What the image itself starts.
        (Some(program), _) if program.folder.is_some() || program.command.is_empty() => Vec::new(),
        (Some(program), _) => ["/bin/sh", "-c", &program.command]
            .map(str::to_owned)
            .to_vec(),
        (None, script) => {
            let entry = match script {
                Some(script) => format!("{ROOT}/code/{script}"),
                None => {
                    let _ = writeln!(text, "COPY {from}mlflow_score.py {ROOT}/mlflow_score.py");
                    format!("{ROOT}/mlflow_score.py")
                }
            };
            variables.push(("AZUREML_ENTRY_SCRIPT", entry.clone()));
            let port = port.to_string();
            [
                "azmlinfsrv",
                "--entry_script",
                &entry,
                "--model_dir",
                &models,
                "--port",
                &port,
            ]
            .map(str::to_owned)
            .to_vec()
        }
    };
    if !is_program {
        variables.push(("HOME", "/tmp".to_owned()));
    }
    for (name, value) in variables {
        let _ = writeln!(text, "ENV {name}={}", quoted(&value));
    }
    let _ = writeln!(text, "EXPOSE {port}");
    if runs_as_a_user(deployment) {
        text += "USER 1000\n";
    }
    if !command.is_empty() {
        let words = serde_json::to_string(&command).unwrap_or_default();
        let _ = write!(text, "WORKDIR {ROOT}/code\nENTRYPOINT []\nCMD {words}\n");
    }
    text
}

/// Where the image has the model.
fn models(deployment: &Deployment) -> String {
    let mount = deployment.definition.get("model_mount_path");
    let root = mount.and_then(Value::as_str).unwrap_or(MODELS);
    deployment.model.as_ref().map_or_else(
        || root.to_owned(),
        |model| format!("{root}/{}/{}", model.model, model.version),
    )
}

/// Whether its processes are no root's: else it is as the image says that the program is in.
pub fn runs_as_a_user(deployment: &Deployment) -> bool {
    deployment.image.is_none() || deployment.program.is_none()
}

/// A value as Dockerfiles have it, with nothing in it that they would replace.
fn quoted(value: &str) -> String {
    let escaped = value
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('$', "\\$")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}
