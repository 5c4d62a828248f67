//! `aml model register`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::{args::parse_pairs, context::Context};
use api::{
    Error,
    models::{ModelSource, ModelType, RegisterModel, Which},
    names,
};
use spec::reference::unreadable;

/// Register a model, or its next version
///
/// The files come from what a run has put out, or from a folder or file of this machine.
#[derive(Debug, Args)]
pub struct RegisterArgs {
    /// Name of the model; it is made if it is new
    #[arg(id = "model_name", short = 'n', long = "name", value_name = "NAME")]
    name: String,
    /// Run that made the model
    #[arg(long, value_name = "RUN")]
    from_run: Option<String>,
    /// File or folder: among what the run has put out, else of this machine
    #[arg(short, long, value_name = "PATH")]
    path: String,
    /// How the model is packed [default: mlflow when there is a file `MLmodel`, else custom]
    #[arg(short, long = "type", value_enum)]
    kind: Option<TypeArg>,
    /// Description
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    description: String,
    /// Tag, as KEY=VALUE; may be repeated
    #[arg(long = "tag", alias = "tags", value_name = "KEY=VALUE", num_args = 1..)]
    tags: Vec<String>,
    /// Property, as KEY=VALUE, which stays as it is; may be repeated
    #[arg(long = "property", value_name = "KEY=VALUE", num_args = 1..)]
    properties: Vec<String>,
    /// Version: a number, or a name [default: the next number]
    #[arg(
        id = "new_version",
        short = 'v',
        long = "version",
        value_name = "VERSION"
    )]
    version: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TypeArg {
    #[value(alias = "custom_model")]
    Custom,
    #[value(alias = "mlflow_model")]
    Mlflow,
    #[value(alias = "triton_model")]
    Triton,
}

pub async fn register(ctx: &Context, args: RegisterArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    names::MODEL.check(&args.name)?;
    let tags = parse_pairs("--tag", &args.tags)?;
    let version = args.version.as_deref().map(Which::version);
    let (version, version_name) = version.map_or((None, None), Which::apart);
    let source = match args.from_run {
        Some(run) => ModelSource::Run {
            run,
            path: args.path,
        },
        None => local(ctx, &workspace, &args.path).await?,
    };
    let request = RegisterModel {
        workspace,
        name: args.name,
        source,
        kind: args.kind.map(|kind| match kind {
            TypeArg::Custom => ModelType::Custom,
            TypeArg::Mlflow => ModelType::Mlflow,
            TypeArg::Triton => ModelType::Triton,
        }),
        description: args.description,
        tags,
        properties: parse_pairs("--property", &args.properties)?,
        version,
        version_name,
        ..RegisterModel::default()
    };
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

async fn local(ctx: &Context, workspace: &str, path: &str) -> Result<ModelSource, Error> {
    let joined = ctx.path(path);
    // Its own name, also for `.` and links: endpoints lay the model out under it.
    let real: PathBuf = joined.canonicalize().map_err(|e| {
        let error = unreadable("file or folder", path, &joined, &e).at("--path");
        if error.hints.is_empty() {
            return error.hint("For what a run has put out, add --from-run RUN");
        }
        error
    })?;
    let uploaded = ctx.upload_model(workspace, &real).await?;
    Ok(ModelSource::Tree {
        hash: uploaded.tree.hash,
        path: real.to_string_lossy().into_owned(),
    })
}
