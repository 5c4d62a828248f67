//! Lays a generation out on disk and plans its scoring process.
//!
//! ```text
//! g3-1f0c9a2e/serve.py                       starts the server
//!             code/score.py                  the working directory
//!             azureml-models/iris/1/model/…  what AZUREML_MODEL_DIR holds, as in Azure
//!             s0:5001                        where its first process listens
//! ```

use std::{
    fs, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{Settings, leftovers::LAID_OUT, process::Plan, requirements};
use crate::executor::environment::{self, Place};
use api::{
    Error, Result,
    files::{GetTree, check_path},
    work::DeploymentOrders,
};
use client::Client;

const SERVE: &str = include_str!("serve.py");
const MLFLOW_SCORE: &str = include_str!("mlflow_score.py");
/// The server puts the port behind the socket's name.
const PORT: u16 = 5001;
/// The longest path a socket may have.
const SOCKET_PATH: usize = 96;

/// A deployment with the names around it.
pub struct Named<'a> {
    pub workspace: &'a str,
    pub endpoint: &'a str,
    pub orders: &'a DeploymentOrders,
}

/// The folders that a generation was laid out in, which go when it does.
#[derive(Debug, Default)]
pub struct Folders(Vec<PathBuf>);

impl Folders {
    /// Removes them, and returns when that is done.
    pub async fn remove(&self) {
        let folders = self.0.clone();
        let _ = tokio::task::spawn_blocking(move || remove(&folders)).await;
    }
}

impl Drop for Folders {
    fn drop(&mut self) {
        let mut folders = std::mem::take(&mut self.0);
        folders.retain(|folder| folder.exists());
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if !folders.is_empty() => {
                runtime.spawn_blocking(move || remove(&folders));
            }
            _ => remove(&folders),
        }
    }
}

fn remove(folders: &[PathBuf]) {
    for folder in folders {
        let _ = fs::remove_dir_all(folder);
    }
}

/// A generation's files.
pub struct Laid {
    root: PathBuf,
    folders: Folders,
    code: PathBuf,
    script: PathBuf,
    /// `AZUREML_MODEL_DIR`.
    models: PathBuf,
    /// The model itself.
    model: PathBuf,
}

/// Lays out what the orders name, in a new folder.
pub async fn lay_out(client: &Client, served: &Named<'_>, folder: &Path) -> Result<Laid> {
    let random = uuid::Uuid::new_v4().simple().to_string();
    let generation = served.orders.generation;
    let root = folder.join(format!("{LAID_OUT}{generation}-{}", &random[..8]));
    // Owns it from here on, whatever fails or is given up.
    let folders = Folders(vec![root.clone()]);
    let code = root.join("code");
    let deployment = &served.orders.deployment;
    let mut models = root.join("azureml-models");
    if let Some(version) = &deployment.model {
        models = models
            .join(&version.model)
            .join(version.version.to_string());
    }
    for folder in [&code, &models] {
        fs::create_dir_all(folder).map_err(|e| failed(folder, &e))?;
    }
    let model = lay_out_model(client, served, &models).await?;
    if let Some(hash) = deployment.code {
        client
            .download_tree(served.workspace, hash, &code, None)
            .await?;
    }
    let script = match &deployment.script {
        Some(script) => code.join(script),
        None => {
            let script = root.join("mlflow_score.py");
            write(&script, MLFLOW_SCORE)?;
            script
        }
    };
    write(&root.join("serve.py"), SERVE)?;
    Ok(Laid {
        root,
        folders,
        code,
        script,
        models,
        model,
    })
}

/// A folder keeps its own name below `AZUREML_MODEL_DIR`, a single file too, as in Azure.
async fn lay_out_model(client: &Client, served: &Named<'_>, models: &Path) -> Result<PathBuf> {
    let orders = served.orders;
    let Some(files) = orders.model else {
        return Ok(models.to_owned());
    };
    let workspace = orders.model_workspace.as_deref();
    let workspace = workspace.unwrap_or(served.workspace);
    let name = orders
        .model_path
        .as_deref()
        .and_then(|path| path.trim_end_matches('/').rsplit('/').next())
        .filter(|name| check_path(name).is_ok());
    let tree = GetTree {
        workspace: workspace.to_owned(),
        hash: files,
    };
    let tree = client.call(&tree).await?;
    let single = tree.entries.len() == 1 && name == Some(tree.entries[0].path.as_str());
    let target = match name {
        Some(name) if !single => models.join(name),
        _ => models.to_owned(),
    };
    client
        .download_tree(workspace, files, &target, None)
        .await?;
    Ok(target)
}

impl Laid {
    /// Makes the environment ready and plans the process. `say` gets lines for people.
    pub async fn plan(
        mut self,
        served: &Named<'_>,
        settings: &Settings,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Plan> {
        let orders = served.orders;
        let deployment = &orders.deployment;
        let asked = deployment.environment.as_ref();
        let wanted = match deployment.script {
            Some(_) => requirements::for_script(asked),
            None => requirements::for_mlflow(asked, &self.model, &orders.name),
        };
        let place = Place {
            home: &settings.home,
            variables: &settings.variables,
            log: &settings.log_of(orders.id),
            progress: say,
            own: None,
        };
        let ready = environment::prepare(&wanted, place).await?;
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let socket = self.socket()?;
        let mut variables = ready.variables;
        if let Some(environment) = variables
            .get("VIRTUAL_ENV")
            .and_then(|path| path.rsplit('/').next())
        {
            // Is kept while the endpoint is stopped, too.
            write(&settings.environment_of(orders.id), environment)?;
        }
        variables.extend(deployment.environment_variables.clone());
        let own = [
            ("AZUREML_MODEL_DIR", text(&self.models)),
            ("AZUREML_ENTRY_SCRIPT", text(&self.script)),
            ("AML_APP_ROOT", text(&self.code)),
            ("SERVICE_NAME", served.endpoint.to_owned()),
            ("WORKSPACE_NAME", served.workspace.to_owned()),
            ("SERVICE_VERSION", orders.generation.to_string()),
            ("AZUREML_DEPLOYMENT_NAME", orders.name.clone()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let command = [
            "python".to_owned(),
            text(&self.root.join("serve.py")),
            // Where each process listens comes in its place.
            String::new(),
            "--entry_script".to_owned(),
            text(&self.script),
            "--model_dir".to_owned(),
            text(&self.models),
            "--port".to_owned(),
            PORT.to_string(),
        ];
        Ok(Plan {
            command: command.to_vec(),
            folder: self.code,
            variables,
            sockets: socket,
            port: PORT,
            folders: self.folders,
            held: ready.held,
        })
    }

    /// What the paths of the sockets begin with: below the generation's folder, or in a private one
    /// where that is too deep for a socket.
    fn socket(&mut self) -> Result<PathBuf> {
        let near = self.root.join("s");
        if near.as_os_str().len() <= SOCKET_PATH {
            return Ok(near);
        }
        let folder = socket_folder(&self.root.file_name().unwrap_or_default().to_string_lossy());
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| failed(&folder, &e))?;
        let sockets = folder.join("s");
        self.folders.0.push(folder);
        Ok(sockets)
    }
}

/// Where the sockets of a generation are whose folder, of this name, is too deep for them.
pub fn socket_folder(generation: &str) -> PathBuf {
    Path::new("/tmp").join(format!("aml-{generation}"))
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("Cannot write `{}`: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_given_up_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let (root, sockets) = (folder.path().join("g1-a"), folder.path().join("s"));
        for folder in [&root, &sockets] {
            fs::create_dir_all(folder.join("inside")).unwrap();
        }
        drop(Folders(vec![root.clone(), sockets.clone()]));
        let gone = async {
            while root.exists() || sockets.exists() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        };
        let most = std::time::Duration::from_secs(10);
        tokio::time::timeout(most, gone).await.unwrap();
    }
}
