//! Lays a generation out on disk and plans its scoring process.
//!
//! ```text
//! g3-1f0c9a2e/serve.py                       starts the server
//!             code/score.py                  the working directory
//!             azureml-models/iris/1/model/…  what AZUREML_MODEL_DIR holds, as in Azure
//!             s0:5001                        where its first process listens
//!             program/                       the working directory of a program with files of its own
//! ```

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt, symlink},
    path::{Path, PathBuf},
};

use super::{
    Settings,
    apart::Apart,
    container,
    leftovers::LAID_OUT,
    native::Scorer,
    process::{Listens, Plan, Secrets, tell},
};
use api::{
    Error, Result,
    deployments::{ImageBase, Program},
    work::DeploymentOrders,
};
use client::Client;
use executor::environment::{self, Place};
use spec::{
    image,
    scoring::{self, MLFLOW_SCORE},
};

const SERVE: &str = include_str!("serve.py");
/// The server puts the port behind the socket's name.
const PORT: u16 = 5001;
/// The folder that an image is built from.
const IMAGE: &str = "image";
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
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// Goes with the others.
    pub fn also(&mut self, folder: PathBuf) {
        self.0.push(folder);
    }

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
    files: Vec<PathBuf>,
    code: PathBuf,
    /// Absent for a program.
    script: Option<PathBuf>,
    /// The working directory.
    folder: PathBuf,
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
    if deployment.container.is_some()
        && let Some(ImageBase::Build { folder, .. }) = &deployment.image
    {
        let context = root.join(IMAGE);
        fs::create_dir_all(&context).map_err(|e| failed(&context, &e))?;
        client
            .download_tree(served.workspace, *folder, &context, None)
            .await?;
    }
    let mut own = code.clone();
    let script = match (&deployment.program, &deployment.script) {
        (Some(program), _) => {
            if let Some(hash) = program.folder
                && deployment.container.is_none()
            {
                own = root.join("program");
                client
                    .download_tree(served.workspace, hash, &own, None)
                    .await?;
            }
            None
        }
        (None, Some(script)) => Some(code.join(script)),
        (None, None) if deployment.native => None,
        (None, None) => {
            let script = root.join("mlflow_score.py");
            write(&script, MLFLOW_SCORE)?;
            Some(script)
        }
    };
    // Its presence also says that something is laid out.
    let serve = root.join("serve.py");
    write(&serve, SERVE)?;
    // In the other folders programs work, and may remove what is theirs.
    let mut files = vec![serve];
    files.extend(script.clone());
    note_files(&models, &mut files).map_err(|e| failed(&models, &e))?;
    Ok(Laid {
        root,
        folders,
        files,
        code,
        script,
        folder: own,
        models,
        model,
    })
}

fn note_files(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            note_files(&entry.path(), files)?;
        } else {
            files.push(entry.path());
        }
    }
    Ok(())
}

async fn lay_out_model(client: &Client, served: &Named<'_>, models: &Path) -> Result<PathBuf> {
    let orders = served.orders;
    let Some(files) = orders.model else {
        return Ok(models.to_owned());
    };
    let workspace = orders.model_workspace.as_deref();
    let workspace = workspace.unwrap_or(served.workspace);
    let from = orders.model_path.as_deref();
    client.lay_out_model(workspace, files, from, models).await
}

impl Laid {
    /// Loads the model, after which its files are not needed any more.
    pub async fn scorer(self) -> Result<Scorer> {
        let models = self.models.clone();
        let loaded = tokio::task::spawn_blocking(move || Scorer::load(&models)).await;
        self.folders.remove().await;
        loaded.unwrap_or_else(|e| Err(Error::invalid(format!("The model cannot be loaded: {e}"))))
    }

    /// Makes the image of the deployment ready and plans containers of it.
    pub async fn containers(
        self,
        served: &Named<'_>,
        settings: &Settings,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Plan> {
        let orders = served.orders;
        let deployment = &orders.deployment;
        let environment = scoring::environment(deployment, &self.model, &orders.name)?;
        let folder = self.root.join(IMAGE);
        let place = folder.join(image::place(deployment));
        fs::create_dir_all(&place).map_err(|e| failed(&place, &e))?;
        for (from, name) in [(&self.code, "code"), (&self.models, "model")] {
            let to = place.join(name);
            fs::rename(from, &to).map_err(|e| failed(&to, &e))?;
        }
        let made = container::made(served, settings, &folder, &environment, say);
        let made = made.await?;
        let mut variables = settings.variables.clone();
        variables.extend(made.long);
        Ok(Plan {
            command: ["/bin/sh", "-c", &made.line].map(str::to_owned).to_vec(),
            folder: self.root,
            variables,
            secrets: Secrets::default(),
            listens: Listens::Port(None),
            routes: image::routes(deployment),
            folders: self.folders,
            files: Vec::new(),
            machine: Some(made.machine),
            unpushed: made.unpushed,
            outdated: Some(made.outdated),
            pushing: made.pushing,
            // A container has what is given to it.
            apart: None,
            held: None,
        })
    }

    /// Makes the environment ready and plans the process. `say` gets lines for people.
    pub async fn plan(
        mut self,
        served: &Named<'_>,
        settings: &Settings,
        say: &(dyn Fn(&str) + Send + Sync),
    ) -> Result<Plan> {
        let orders = served.orders;
        let deployment = &orders.deployment;
        let wanted = scoring::environment(deployment, &self.model, &orders.name)?;
        let place = Place {
            home: &settings.home,
            variables: &settings.variables,
            log: &settings.log_of(orders.id),
            progress: say,
            spares: None,
            settings: &(settings.environments)()?,
        };
        let ready = environment::prepare(&wanted, place).await?;
        for note in &ready.notes {
            tell(&settings.log_of(orders.id), 'W', note);
        }
        let mut variables = ready.variables;
        let environment = environment::folder_in(&variables).map(Path::to_owned);
        if let Some(name) = environment.as_ref().and_then(|path| path.file_name()) {
            // Is kept while the endpoint is stopped, too.
            write(&settings.environment_of(orders.id), &name.to_string_lossy())?;
        }
        let common = variables.get("TMPDIR").map_or("/tmp", String::as_str);
        if settings.home.starts_with(common) {
            // Nothing new can be opened there by who is kept apart from the state directory.
            let temporary = self.root.join("tmp");
            fs::create_dir_all(&temporary).map_err(|e| failed(&temporary, &e))?;
            variables.insert("TMPDIR".to_owned(), text(&temporary));
        }
        let own_home = own_home(&variables, settings)?;
        if let Some(home) = &own_home {
            variables.insert("HOME".to_owned(), text(home));
        }
        variables.extend(self.variables(served));
        let (command, listens) = self.command(deployment.program.as_ref())?;
        Ok(Plan {
            command,
            folder: self.folder,
            variables,
            listens,
            routes: image::routes(deployment),
            folders: self.folders,
            files: self.files,
            apart: Some(Apart {
                state: settings.home.clone(),
                own: own_home.into_iter().collect(),
                readable: environment.into_iter().collect(),
            }),
            held: ready.held,
            ..Plan::default()
        })
    }

    /// What the process is told by its variables: what the deployment says, and where it is.
    fn variables(&self, served: &Named<'_>) -> BTreeMap<String, String> {
        let orders = served.orders;
        let mut variables = orders.deployment.environment_variables.clone();
        let own = [
            ("AZUREML_MODEL_DIR", text(&self.models)),
            ("AML_APP_ROOT", text(&self.code)),
            ("SERVICE_NAME", served.endpoint.to_owned()),
            ("WORKSPACE_NAME", served.workspace.to_owned()),
            ("SERVICE_VERSION", orders.generation.to_string()),
            ("AZUREML_DEPLOYMENT_NAME", orders.name.clone()),
            ("PYTHONUNBUFFERED", "1".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        variables.extend(own.map(|(name, value)| (name.to_owned(), value)));
        if let Some(script) = &self.script {
            variables.insert("AZUREML_ENTRY_SCRIPT".to_owned(), text(script));
        }
        variables
    }

    /// What is started, and where it will listen.
    fn command(&mut self, program: Option<&Program>) -> Result<(Vec<String>, Listens)> {
        if let Some(program) = program {
            let words = ["/bin/sh", "-c", &program.command].map(str::to_owned);
            return Ok((words.to_vec(), Listens::Port(program.port)));
        }
        let script = self.script.as_deref().map(text);
        let command = [
            "python".to_owned(),
            text(&self.root.join("serve.py")),
            // Where each process listens comes in its place.
            String::new(),
            "--entry_script".to_owned(),
            script.unwrap_or_default(),
            "--model_dir".to_owned(),
            text(&self.models),
            "--port".to_owned(),
            PORT.to_string(),
        ];
        let begin = self.socket()?;
        Ok((command.to_vec(), Listens::Sockets { begin, port: PORT }))
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

/// A home folder for what is kept apart from a state directory that lies in the account's own one, where
/// nothing new could be opened; all else that is in there is there by links. It stays over generations.
fn own_home(variables: &BTreeMap<String, String>, settings: &Settings) -> Result<Option<PathBuf>> {
    let whole = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let Some(theirs) = variables.get("HOME").map(|home| whole(Path::new(home))) else {
        return Ok(None);
    };
    let state = whole(&settings.home);
    if !state.starts_with(&theirs) {
        return Ok(None);
    }
    let own = settings.folder.join("home");
    link_all(&theirs, &own, &state).map_err(|e| failed(&own, &e))?;
    Ok(Some(own))
}

/// Makes a folder with links to all that is in another one, but for what `without` is in.
fn link_all(from: &Path, to: &Path, without: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let target = entry.path();
        let link = to.join(entry.file_name());
        if !without.starts_with(&target) {
            match symlink(target, link) {
                // It was laid out before, or another deployment was faster.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                linked => linked?,
            }
        }
    }
    Ok(())
}

/// Where the sockets of a generation are whose folder, of this name, is too deep for them.
pub fn socket_folder(generation: &str) -> PathBuf {
    Path::new("/tmp").join(format!("aml-{generation}"))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
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

    #[test]
    fn an_own_home_has_what_is_in_the_other_one_but_the_state() {
        let folder = tempfile::tempdir().unwrap();
        let (theirs, own) = (folder.path().join("theirs"), folder.path().join("own"));
        for path in [".cache/x", ".local/share/aml", "data"] {
            fs::create_dir_all(theirs.join(path)).unwrap();
        }
        for _ in 0..2 {
            link_all(&theirs, &own, &theirs.join(".local/share/aml")).unwrap();
        }
        fs::write(own.join(".cache/x/y"), "kept").unwrap();
        assert!(theirs.join(".cache/x/y").exists() && own.join("data").is_dir());
        assert!(!own.join(".local").exists());
    }

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
