//! `aml datastore`

mod create;
mod delete;
mod download;
mod list;
mod ls;
pub mod named;
mod rm;
mod show;
mod test;
mod update;
mod upload;

use clap::{Args, Subcommand};

use super::context::Context;

/// Name places of files: containers of a cloud, folders
#[derive(Debug, Subcommand)]
pub enum DatastoreCommand {
    Create(Box<create::CreateArgs>),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Delete(delete::DeleteArgs),
    Test(test::TestArgs),
    Ls(ls::LsArgs),
    Upload(upload::UploadArgs),
    Download(download::DownloadArgs),
    Rm(rm::RmArgs),
}

pub async fn run(ctx: &Context, command: DatastoreCommand) -> anyhow::Result<()> {
    match command {
        DatastoreCommand::Create(args) => create::create(ctx, *args).await,
        DatastoreCommand::List(args) => list::list(ctx, args).await,
        DatastoreCommand::Show(args) => show::show(ctx, args).await,
        DatastoreCommand::Update(args) => update::update(ctx, args).await,
        DatastoreCommand::Delete(args) => delete::delete(ctx, args).await,
        DatastoreCommand::Test(args) => test::test(ctx, args).await,
        DatastoreCommand::Ls(args) => ls::ls(ctx, args).await,
        DatastoreCommand::Upload(args) => upload::upload(ctx, args).await,
        DatastoreCommand::Download(args) => download::download(ctx, args).await,
        DatastoreCommand::Rm(args) => rm::rm(ctx, args).await,
    }
}

/// A datastore and a path in it.
#[derive(Debug, Clone, Args)]
pub struct InStoreArgs {
    /// Datastore
    #[arg(value_name = "DATASTORE")]
    datastore: String,
    /// File or folder in it
    #[arg(value_name = "PATH", default_value = "", hide_default_value = true)]
    path: String,
}
