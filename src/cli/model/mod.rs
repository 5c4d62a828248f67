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

use clap::Subcommand;

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
        Which::Alias(alias) => get.alias = Some(alias.clone()),
    }
    client.call(&get).await
}

/// The version of a reference that must name one.
fn versioned(model: &ModelRef) -> Result<u64> {
    match model.which {
        Which::Version(version) => Ok(version),
        Which::Newest | Which::Alias(_) => Err(Error::invalid(format!(
            "Which version of `{}`?",
            model.name
        ))
        .at("model")
        .hint(format!("Name it, as in {}:1", model.name))
        .hint(format!("See all: aml model list --name {}", model.name))),
    }
}
