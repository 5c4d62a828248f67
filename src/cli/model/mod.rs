//! `aml model`

mod alias;
mod archive;
mod delete;
mod download;
mod list;
mod register;
mod restore;
mod show;
mod source;
mod update;

use clap::{Args, Subcommand};

pub use source::source;

use super::context::Context;
use api::{
    Error, Result,
    models::{GetModel, Model, ModelRef, Which},
};
use client::Client;

/// Register and manage models
#[derive(Debug, Subcommand)]
pub enum ModelCommand {
    Register(register::RegisterArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    #[command(subcommand)]
    Alias(alias::AliasCommand),
    Download(download::DownloadArgs),
    Archive(archive::ArchiveArgs),
    Restore(restore::RestoreArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: ModelCommand) -> anyhow::Result<()> {
    match command {
        ModelCommand::Register(args) => register::register(ctx, args).await,
        ModelCommand::List(args) => list::list(ctx, args).await,
        ModelCommand::Show(args) => show::show(ctx, args).await,
        ModelCommand::Update(args) => update::update(ctx, args).await,
        ModelCommand::Alias(command) => alias::run(ctx, command).await,
        ModelCommand::Download(args) => download::download(ctx, args).await,
        ModelCommand::Archive(args) => archive::archive(ctx, args).await,
        ModelCommand::Restore(args) => restore::restore(ctx, args).await,
        ModelCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// The model version that a reference means now.
pub async fn resolve(client: &Client, workspace: &str, model: &ModelRef) -> Result<Model> {
    let mut get = GetModel {
        workspace: workspace.to_owned(),
        name: model.name.clone(),
        ..GetModel::default()
    };
    match &model.which {
        Which::Newest => {}
        Which::Version(version) => get.version = Some(*version),
        Which::Named(version) => get.version_name = Some(version.clone()),
        Which::Alias(alias) => get.alias = Some(alias.clone()),
    }
    client.call(&get).await
}

/// The model version a command is about.
#[derive(Debug, Clone, Args)]
pub struct ModelArg {
    /// Model version: NAME:VERSION, NAME@ALIAS, or, where it is not changed, NAME for the newest version
    #[arg(value_name = "MODEL", required_unless_present = "name")]
    model: Option<ModelRef>,
    /// The same, as an option
    #[arg(short, long, value_name = "MODEL", conflicts_with = "model")]
    name: Option<ModelRef>,
    #[command(flatten)]
    version: VersionArg,
}

impl ModelArg {
    /// The version as one reference, however it was named.
    fn reference(self) -> Result<ModelRef> {
        match self.model.or(self.name) {
            Some(model) => self.version.of(model),
            None => Err(Error::invalid("Which model?").hint("Name it, as in NAME:VERSION")),
        }
    }
}

/// The version, where a model is named alone.
#[derive(Debug, Clone, Args)]
pub struct VersionArg {
    /// Version of the model, where the name is given alone
    #[arg(short, long, value_name = "VERSION")]
    version: Option<String>,
}

impl VersionArg {
    /// The reference with the version in it.
    pub fn of(self, model: ModelRef) -> Result<ModelRef> {
        match (self.version, &model.which) {
            (None, _) => Ok(model),
            (Some(version), Which::Newest) => Ok(ModelRef {
                which: Which::version(&version),
                ..model
            }),
            (Some(_), Which::Version(_) | Which::Named(_) | Which::Alias(_)) => {
                Err(Error::invalid(format!("`{model}` names a version already")).at("--version"))
            }
        }
    }
}

/// The number of the version of a reference that must name one.
async fn versioned(ctx: &Context, model: &ModelRef) -> Result<u64> {
    if let Which::Version(version) = model.which {
        return Ok(version);
    }
    let workspace = ctx.workspace().await?;
    let found = resolve(ctx.client().await?, &workspace, model).await?;
    if model.which != Which::Newest {
        return Ok(found.version);
    }
    Err(
        Error::invalid(format!("Which version of `{}`?", model.name))
            .at("model")
            .hint(format!("Name it, as in {}:{}", found.name, found.version))
            .hint(format!("See all: aml model list --name {}", found.name)),
    )
}
