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

/// A generation's files.
pub struct Laid {
    root: PathBuf,
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
        self,
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
            root: self.root,
            held: ready.held,
        })
    }

    /// What the paths of the sockets begin with: below the generation's folder, or in a private one
    /// where that is too deep for a socket.
    fn socket(&self) -> Result<PathBuf> {
        let near = self.root.join("s");
        if near.as_os_str().len() <= SOCKET_PATH {
            return Ok(near);
        }
        let name = self.root.file_name().unwrap_or_default();
        let folder = Path::new("/tmp").join(format!("aml-{}", name.to_string_lossy()));
        fs::DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|e| failed(&folder, &e))?;
        Ok(folder.join("s"))
    }
}

/// Removes what a generation was laid out in.
pub fn remove(plan: &Plan) {
    let _ = fs::remove_dir_all(&plan.root);
    if let Some(folder) = plan
        .sockets
        .parent()
        .filter(|folder| !folder.starts_with(&plan.root))
    {
        let _ = fs::remove_dir_all(folder);
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|e| failed(path, &e))
}

fn failed(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("Cannot write `{}`: {error}", path.display()))
}
