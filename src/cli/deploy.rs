//! `aml deploy`

mod code;

use std::path::PathBuf;

use clap::Args;

use super::{
    args::{CodeLimit, parse_pairs},
    context::Context,
    endpoint, model, software,
};
use api::{
    deployments::{Deploy, Deployment, ModelVersion},
    models::ModelRef,
    names,
};

/// Deploy a model version as an HTTP endpoint and wait until it answers
///
/// The scoring script has `init()` and `run(data)`, as in Azure ML; the model's files are below the
/// folder that `AZUREML_MODEL_DIR` names. A model in MLflow format needs no script. Deploying again
/// under the same name replaces what is served and keeps the keys and the address; the old deployment
/// answers until the new one does.
#[derive(Debug, Args)]
pub struct DeployArgs {
    /// Model to deploy: NAME:VERSION, NAME@ALIAS, or NAME for the newest version
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    #[command(flatten)]
    version: model::VersionArg,
    /// Name of the endpoint
    #[arg(id = "endpoint", short = 'n', long = "name", value_name = "NAME")]
    name: String,
    /// Scoring script; relative to the code folder when one is given
    #[arg(short, long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// Folder with the script and what it imports [default: the script alone]
    #[arg(short, long, value_name = "FOLDER", requires = "script")]
    code: Option<PathBuf>,
    #[command(flatten)]
    limit: CodeLimit,
    /// Software to serve in: a requirements or conda file, a curated name, or `host`
    /// [default: that of the run which made the model, or the one an MLflow model describes]
    #[arg(long, value_name = "ENVIRONMENT")]
    env: Option<String>,
    /// Environment variable to set; may be repeated
    #[arg(long = "env-var", value_name = "NAME=VALUE")]
    env_vars: Vec<String>,
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
    let model = args.version.of(args.model)?;
    let workspace = ctx.workspace().await?;
    names::ENDPOINT.check(&args.name)?;
    let client = ctx.client().await?;
    let environment_variables = parse_pairs("--env-var", &args.env_vars)?;
    let code = args.code.as_ref().map(|code| ctx.path(code));
    let load = |text: &String| software::load(ctx, text, code.as_deref());
    let environment = args.env.as_ref().map(load).transpose()?;
    let script = match &args.script {
        Some(script) => Some(code::find_script(&ctx.folder, code.as_deref(), script)?),
        None => None,
    };
    let found = model::resolve(client, &workspace, &model).await?;
    let (code, script) = match script {
        Some(script) => {
            let code = code.as_deref().map(|code| (code, args.limit.limit()));
            let (hash, script) = code::upload(ctx, &workspace, code, &script).await?;
            (Some(hash), Some(script))
        }
        None => (None, None),
    };
    let request = Deploy {
        workspace: workspace.clone(),
        name: args.name,
        deployment_name: args.deployment.clone(),
        all_traffic: args.all_traffic,
        port: args.port,
        deployment: Deployment {
            model: Some(ModelVersion {
                model: found.name,
                version: found.version,
            }),
            code,
            script,
            environment,
            environment_variables,
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
