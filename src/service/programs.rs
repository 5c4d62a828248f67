//! Programs that answer by themselves: what a described deployment starts, and at which paths it is
//! asked.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Action, Caller, Service, deploy::most_instances};
use api::{
    Code, Error, Result,
    assets::{Asset, AssetKind, AssetRef, GetAsset},
    deployments::{Deployment, ImageBase, Program, Routes},
    files::{CreateTree, GetTree, Hash, check_path},
    models::{Model, ModelType},
    names::nearest,
};
use spec::{
    dockerfile::{
        LARGEST,
        start::{Start, start},
    },
    kinds::{
        environment::{EnvironmentSource, InferenceConfig},
        serving::DeploymentBase,
    },
    shape::Described as _,
};
use store::WorkspaceRow;

use super::Perform as _;

/// The property of a deployment that says what is started.
pub const COMMAND: &str = "aml.command";
/// Names the port to a program that lets itself be told.
const PORT: &str = "PORT";
const DOCKERFILE: &str = "Dockerfile";
/// How the names of Azure ML's own images begin.
const AZURES: &str = "mcr.microsoft.com/azureml/";

/// Names a script that is not of Python to the program that reads it.
const ENTRY_SCRIPT: &str = "AZUREML_ENTRY_SCRIPT";

fn is_python(script: &str) -> bool {
    let end = std::path::Path::new(script).extension();
    end.is_some_and(|end| end.eq_ignore_ascii_case("py"))
}

fn no_python(script: &str) -> Error {
    Error::invalid(format!(
        "The scoring script `{script}` is none of Python, and nothing says what reads it"
    ))
    .at("code_configuration.scoring_script")
    .hint("Say what is started: --set properties='{\"aml.command\": \"Rscript server.R\"}'")
}

/// An environment as it was written.
struct Written {
    workspace: String,
    spec: Map<String, Value>,
    files: Option<Hash>,
    /// What its image was built from, where that is known.
    built: Option<Asset>,
}

impl Written {
    /// The Dockerfile, with the tree around it.
    fn dockerfile(&self) -> Option<(Hash, &str)> {
        let (spec, files) = match &self.built {
            Some(asset) => (&asset.spec, asset.files.as_ref().map(|files| files.hash)),
            None => (&self.spec, self.files),
        };
        dockerfile_of(spec, files)
    }
}

/// The Dockerfile that an environment names, with the tree around it.
pub(super) fn dockerfile_of(
    environment: &Map<String, Value>,
    files: Option<Hash>,
) -> Option<(Hash, &str)> {
    let build = environment.get("build").filter(|build| !build.is_null())?;
    let file = build.get("dockerfile_path").and_then(Value::as_str);
    let file = file.unwrap_or(DOCKERFILE);
    Some((
        files?,
        file.trim_start_matches("./").trim_start_matches('/'),
    ))
}

impl Service {
    /// Adds what a described deployment starts when it has no scoring script and the model is not served
    /// without one, and what an image of it is made from.
    pub(super) async fn add_program(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        written: &DeploymentBase,
        model: Option<&Model>,
        deployment: &mut Deployment,
    ) -> Result<()> {
        let environment = match &written.environment {
            Some(source) => self.written_environment(caller, row, source).await?,
            None => None,
        };
        if let Some(environment) = &environment {
            deployment.image = self.image_base(caller, row, environment).await?;
        }
        let said = written.properties.get(COMMAND).map(|line| line.0.clone());
        let config = environment
            .as_ref()
            .and_then(|e| e.spec.get("inference_config"));
        let config = config.filter(|config| !config.is_null());
        // What serves scripts takes those of Python; another one is for the program to read.
        let strange = deployment.script.take_if(|script| !is_python(script));
        if deployment.script.is_some() {
            return Ok(());
        }
        if said.is_none() && config.is_none() {
            return strange.map_or(Ok(()), |script| Err(no_python(&script)));
        }
        if let Some(script) = strange {
            let all = &mut deployment.environment_variables;
            all.entry(ENTRY_SCRIPT.to_owned()).or_insert(script);
        }
        let line = match (said, &deployment.image) {
            (Some(line), _) => Some(Line::said(line)),
            (None, Some(ImageBase::Build { folder, dockerfile })) => {
                let place = (row, *folder);
                let built = self.built_start(caller, place, dockerfile).await?;
                let is_mlflow = model.is_some_and(|model| model.kind == ModelType::Mlflow);
                if built.is_none() && is_mlflow {
                    return Ok(());
                }
                built
            }
            (None, Some(ImageBase::Named(_))) if deployment.container.is_some() => {
                Some(Line::said(String::new()))
            }
            (None, _) => None,
        };
        let (program, variables) = program(line, config, written)?;
        deployment.program = Some(program);
        for (name, value) in variables {
            let all = &mut deployment.environment_variables;
            all.entry(name).or_insert(value);
        }
        Ok(())
    }

    /// What an image of the environment is made from; none where that is one of Python, because the
    /// packages are known.
    async fn image_base(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        environment: &Written,
    ) -> Result<Option<ImageBase>> {
        let given = |key: &str| environment.spec.get(key).filter(|value| !value.is_null());
        if given("conda_file").is_some() {
            return Ok(None);
        }
        let Some((folder, dockerfile)) = environment.dockerfile() else {
            // Those of Azure ML come with packages that are known, or are for a conda file.
            let image = given("image").and_then(Value::as_str);
            let other = image.filter(|image| !image.starts_with(AZURES));
            return Ok(other.map(|image| ImageBase::Named(image.to_owned())));
        };
        let workspace = &row.workspace.name;
        if !environment.workspace.eq_ignore_ascii_case(workspace) {
            self.enter(caller, workspace, Action::Deploy).await?;
            let get = GetTree {
                workspace: environment.workspace.clone(),
                hash: folder,
            };
            let copy = CreateTree {
                workspace: workspace.clone(),
                tree: get.perform(self, caller).await?,
            };
            copy.perform(self, caller).await?;
        }
        Ok(Some(ImageBase::Build {
            folder,
            dockerfile: dockerfile.to_owned(),
        }))
    }

    async fn written_environment(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        source: &EnvironmentSource,
    ) -> Result<Option<Written>> {
        let here = &row.workspace.name;
        let (workspace, spec, files) = match source {
            EnvironmentSource::Name(name) => {
                let workspace = AssetRef::parse(name)?.holder.workspace(here);
                match self.environment_asset(caller, row, name).await? {
                    Some(found) => (workspace, found.spec, found.files.map(|files| files.hash)),
                    None => return Ok(None),
                }
            }
            EnvironmentSource::Inline(_) => match source.write() {
                Some(Value::Object(spec)) => (here.clone(), spec, None),
                _ => return Ok(None),
            },
        };
        let image = spec.get("image").and_then(Value::as_str);
        let built = match image {
            Some(image) => self.built(caller, &workspace, image).await?,
            None => None,
        };
        Ok(Some(Written {
            workspace,
            spec,
            files,
            built,
        }))
    }

    /// An environment of the workspace or a registry; none for those that come with the program.
    pub(super) async fn environment_asset(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        name: &str,
    ) -> Result<Option<Asset>> {
        let asset = AssetRef::parse(name)?;
        let get = GetAsset::of(&asset, AssetKind::Environment, &row.workspace.name);
        match get.perform(self, caller).await {
            Ok(found) => Ok(Some(found)),
            // One that comes with the program, or none: that is said elsewhere.
            Err(error) if error.code == Code::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Refuses a Dockerfile of elsewhere, and one that is not there where the image is to be built.
    pub(super) async fn check_dockerfile(
        &self,
        caller: &Caller,
        row: &WorkspaceRow,
        deployment: &Deployment,
    ) -> Result<()> {
        let target = "environment.build.dockerfile_path";
        let Some(ImageBase::Build { folder, dockerfile }) = &deployment.image else {
            return Ok(());
        };
        check_path(dockerfile).map_err(|error| error.at(target))?;
        if deployment.container.is_none() {
            return Ok(());
        }
        let tree = GetTree {
            workspace: row.workspace.name.clone(),
            hash: *folder,
        };
        let tree = tree.perform(self, caller).await?;
        let paths = || tree.entries.iter().map(|entry| entry.path.as_str());
        if paths().any(|path| path == dockerfile) {
            return Ok(());
        }
        let nearest = nearest(dockerfile, paths());
        Err(Error::unknown("Dockerfile", dockerfile, " in its folder", nearest).at(target))
    }

    /// What a Dockerfile starts, in a tree of the workspace.
    async fn built_start(
        &self,
        caller: &Caller,
        (row, folder): (&WorkspaceRow, Hash),
        dockerfile: &str,
    ) -> Result<Option<Line>> {
        let tree = GetTree {
            workspace: row.workspace.name.clone(),
            hash: folder,
        };
        let tree = tree.perform(self, caller).await?;
        let found = tree.entries.iter().find(|entry| entry.path == dockerfile);
        let blob = match found.filter(|entry| entry.size <= LARGEST && !entry.symlink) {
            Some(entry) => self.store.open_blob(entry.hash).await?,
            None => None,
        };
        let Some(bytes) = blob.map(|blob| blob.read()).transpose()? else {
            return Ok(None);
        };
        let files: Vec<String> = tree.entries.into_iter().map(|entry| entry.path).collect();
        let text = String::from_utf8_lossy(&bytes);
        let start = start(&text, &BTreeMap::new(), &files);
        let folder = Some(folder);
        Ok(start.map(|start| Line { start, folder }))
    }
}

/// The program that a line starts, asked as the environment says; with the variables of its image.
fn program(
    line: Option<Line>,
    config: Option<&Value>,
    written: &DeploymentBase,
) -> Result<(Program, BTreeMap<String, String>)> {
    let Some(Line { start, folder }) = line else {
        return Err(Error::invalid(
            "The environment says how it is asked, but what its image starts is not known here",
        )
        .at("environment")
        .hint(format!(
            "Say what is started: --set properties='{{\"{COMMAND}\": \"python server.py\"}}'"
        ))
        .hint("Or make the environment of a `build` whose Dockerfile has a CMD")
        .hint(
            "Or run the image itself, by podman or docker: --set properties='{\"aml.container\": true}'",
        ));
    };
    let config = config.map(|config| InferenceConfig::read(Some(config)));
    let config = config.transpose().map_err(|mismatch| {
        Error::invalid(format!(
            "The inference_config is not understood: {mismatch}"
        ))
    })?;
    let is_more = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names_port = ["$PORT", "${PORT"].iter().any(|name| {
        let mut after = start.line.split(name).skip(1);
        after.any(|rest| !rest.starts_with(is_more))
    });
    let told = names_port
        || start.variables.contains_key(PORT)
        || written.environment_variables.get(PORT).is_some();
    let port = config.as_ref().filter(|_| !told);
    let port = port.map(|config| {
        let port = config.scoring_route.port;
        u16::try_from(port)
            .ok()
            .filter(|port| *port > 0)
            .ok_or_else(|| {
                Error::invalid(format!("{port} is not a port"))
                    .at("environment.inference_config.scoring_route.port")
            })
    });
    let program = Program {
        command: start.line,
        folder,
        port: port.transpose()?,
        routes: config.map_or_else(Routes::default, |config| Routes {
            liveness: config.liveness_route.path,
            readiness: config.readiness_route.path,
            scoring: config.scoring_route.path,
        }),
    };
    Ok((program, start.variables))
}

/// What is started, and the files in whose folder.
struct Line {
    start: Start,
    folder: Option<Hash>,
}

impl Line {
    fn said(line: String) -> Self {
        Self {
            start: Start {
                line,
                ..Start::default()
            },
            folder: None,
        }
    }
}

/// Refuses a program that could not be asked, or is one of two ways to answer.
pub(super) fn check_program(deployment: &Deployment, program: &Program) -> Result<()> {
    if deployment.script.is_some() || deployment.native {
        return Err(
            Error::invalid("A deployment is answered by a command, by a scoring script or natively, not by two of them")
                .at("command"),
        );
    }
    let has_own = deployment.container.is_some() && deployment.image.is_some();
    if program.command.trim().is_empty() && !has_own {
        return Err(Error::invalid("There is nothing to start").at("command"));
    }
    let routes = &program.routes;
    for (path, target) in [
        (&routes.liveness, "liveness_route"),
        (&routes.readiness, "readiness_route"),
        (&routes.scoring, "scoring_route"),
    ] {
        // They stand in files of nginx, too.
        let strange = |c: char| !c.is_ascii_graphic() || ";{}\"'$?#`\\".contains(c);
        if !path.starts_with('/') || path.contains(strange) {
            return Err(Error::invalid(format!(
                "`{path}` is no path of an address: it begins with / and has only letters, digits and -_.:/"
            ))
            .at(target));
        }
    }
    check_one_port(most_instances(deployment), deployment)
}

/// Refuses several processes of a program that listens on one port.
pub(super) fn check_one_port(most: u32, deployment: &Deployment) -> Result<()> {
    let port = deployment.program.as_ref().and_then(|program| program.port);
    let port = port.filter(|_| deployment.container.is_none());
    match port {
        Some(port) if most > 1 => Err(Error::invalid(format!(
            "{most} processes cannot listen on port {port}, where the program listens in any case"
        ))
        .at("instance_count")
        .hint("Let it listen on the port that the variable `PORT` names")),
        _ => Ok(()),
    }
}
