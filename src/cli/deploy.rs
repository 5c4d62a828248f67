//! `aml deploy`

mod code;
mod program;

use std::path::PathBuf;

use clap::Args;

use super::{
    args::{CodeLimit, parse_pairs},
    context::Context,
    endpoint, model, software,
};
use api::{
    Code, Result,
    deployments::{Container, Deploy, Deployment, ModelVersion},
    models::{Model, ModelRef},
    names,
    runs::GetRun,
};

/// Deploy a model version as an HTTP endpoint and wait until it answers
///
/// The scoring script has `init()` and `run(data)`, as in Azure ML; the model's files are below the
/// folder that `AZUREML_MODEL_DIR` names. A model in MLflow format needs no script. With `--command` a
/// program in any language answers instead, on the port that the variable `PORT` names. Deploying again
/// under the same name replaces what is served and keeps the keys and the address; the old deployment
/// answers until the new one does.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Model to deploy: NAME:VERSION, NAME@ALIAS, or NAME for the newest version
    #[arg(value_name = "MODEL", required_unless_present = "command")]
    model: Option<ModelRef>,
    #[command(flatten)]
    version: model::VersionArg,
    /// Name of the endpoint
    #[arg(id = "endpoint", short = 'n', long = "name", value_name = "NAME")]
    name: String,
    /// Scoring script; relative to the code folder when one is given
    #[arg(short, long, value_name = "FILE", group = "answers")]
    script: Option<PathBuf>,
    /// Folder with the script and what it imports [default: the script alone]
    #[arg(short, long, value_name = "FOLDER", requires = "answers")]
    code: Option<PathBuf>,
    #[command(flatten)]
    limit: CodeLimit,
    #[command(flatten)]
    program: program::ProgramArgs,
    /// Serve in containers of podman or docker, from an image that is built for it
    #[arg(long)]
    container: bool,
    /// Registry to push the image to [default: the workspace's own, a folder of the state directory]
    #[arg(long, value_name = "ADDRESS", requires = "container")]
    registry: Option<String>,
    /// Score in the host itself, without Python: models in ONNX, and trees of `LightGBM` and `XGBoost`
    #[arg(long, conflicts_with = "answers")]
    native: bool,
    /// Software to serve in: a requirements or conda file, a curated name, or `host`
    /// [default: that of the run which made the model, or the one an MLflow model describes]
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// Environment variable to set; may be repeated
    #[arg(long = "env-var", value_name = "NAME=VALUE")]
    env_vars: Vec<String>,
    /// Secret of the key vault that a variable has; may be repeated
    #[arg(long = "secret", value_name = "VARIABLE=SECRET")]
    secrets: Vec<String>,
    /// Secret in a file that a variable names; may be repeated
    #[arg(long = "secret-file", value_name = "VARIABLE=SECRET")]
    secret_files: Vec<String>,
    /// Name of the deployment behind the endpoint [default: its only one, or `default`]
    #[arg(long, value_name = "NAME")]
    deployment: Option<String>,
    /// Give it all requests of the endpoint once it answers
    #[arg(long)]
    all_traffic: bool,
    /// Number of processes that answer
    #[arg(long, value_name = "N", default_value_t = 1)]
    instances: u32,
    /// Port of this machine to answer on [default: one is chosen and kept]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Do not wait until it answers
    #[arg(long)]
    no_wait: bool,
}

pub async fn deploy(ctx: &Context, args: DeployArgs) -> anyhow::Result<()> {
    let model = args.model.map(|model| args.version.of(model)).transpose()?;
    let workspace = ctx.workspace().await?;
    names::ENDPOINT.check(&args.name)?;
    let client = ctx.client().await?;
    let environment_variables = parse_pairs("--env-var", &args.env_vars)?;
    let code = args.code.as_ref().map(|code| ctx.path(code));
    let load = |text: &String| software::load(ctx, text, code.as_deref());
    let host = args.program.is_given().then(|| "host".to_owned());
    let environment = args.env.as_ref().or(host.as_ref()).map(load).transpose()?;
    let script = match &args.script {
        Some(script) => Some(code::find_script(&ctx.folder, code.as_deref(), script)?),
        None => None,
    };
    let found = match &model {
        Some(model) => Some(model::resolve(client, &workspace, model).await?),
        None => None,
    };
    if let Some(found) = &found
        && environment.is_none()
        && script.is_some()
    {
        warn_without_run(ctx, &workspace, found).await?;
    }
    let code = code.as_deref().map(|code| (code, args.limit.limit()));
    let (code, script) = match (script, code) {
        (Some(script), code) => {
            let (hash, script) = code::upload(ctx, &workspace, code, &script).await?;
            (Some(hash), Some(script))
        }
        (None, Some((code, limit))) => {
            let uploaded = ctx.upload_folder(&workspace, code, limit).await?;
            (Some(uploaded.tree.hash), None)
        }
        (None, None) => (None, None),
    };
    let request = Deploy {
        workspace: workspace.clone(),
        name: args.name,
        deployment_name: args.deployment.clone(),
        all_traffic: args.all_traffic,
        port: args.port,
        deployment: Deployment {
            model: found.map(|found| ModelVersion {
                model: found.name,
                version: found.version,
            }),
            code,
            script,
            environment,
            program: args.program.program(),
            container: args.container.then_some(Container {
                registry: args.registry,
            }),
            native: args.native,
            environment_variables,
            secrets: parse_pairs("--secret", &args.secrets)?,
            secret_files: parse_pairs("--secret-file", &args.secret_files)?,
            instances: args.instances,
            ..Deployment::default()
        },
    };
    let mut endpoint = client.call(&request).await?;
    if !args.no_wait {
        let one = args.deployment.as_deref();
        endpoint = endpoint::wait(ctx, &workspace, endpoint, one).await?;
        ctx.ui
            .status(&format!("Answering at {}", endpoint.scoring_uri));
    }
    ctx.ui.show(&endpoint)
}

/// Warns when the script would be served in the environment of the run that made the model, and the run
/// is gone.
async fn warn_without_run(ctx: &Context, workspace: &str, model: &Model) -> Result<()> {
    let (Some(run), Some(environment)) = (&model.lineage.run, &model.lineage.environment) else {
        return Ok(());
    };
    if environment == "host" {
        return Ok(());
    }
    let get = GetRun {
        workspace: workspace.to_owned(),
        run: run.clone(),
    };
    match ctx.client().await?.call(&get).await {
        Err(e) if e.code == Code::NotFound => ctx.ui.warn(&format!(
            "The run `{run}` that made the model is gone, and with it the environment `{environment}`; the \
             script is served with the scoring server alone. Give it one: --env FILE"
        )),
        _ => {}
    }
    Ok(())
}
