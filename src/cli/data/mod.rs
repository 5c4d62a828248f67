//! `aml data`

mod beginning;
mod create;
mod here;
mod import;
mod preview;
mod profile;
pub mod table;

use clap::Subcommand;

use super::{
    asset::{self, AssetCommand},
    context::Context,
};
use api::assets::AssetKind;

/// Keep versions of data: files, folders and tables
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    Create(create::CreateArgs),
    Import(import::ImportArgs),
    Preview(preview::PreviewArgs),
    Profile(profile::ProfileArgs),
    #[command(flatten)]
    Common(AssetCommand),
}

pub async fn run(ctx: &Context, command: DataCommand) -> anyhow::Result<()> {
    match command {
        DataCommand::Create(args) => create::create(ctx, args).await,
        DataCommand::Import(args) => Box::pin(import::import(ctx, args)).await,
        DataCommand::Preview(args) => preview::preview(ctx, args).await,
        DataCommand::Profile(args) => profile::profile(ctx, args).await,
        DataCommand::Common(command) => asset::run(ctx, AssetKind::Data, command).await,
    }
}
