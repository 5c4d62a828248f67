//! `aml data`

mod create;

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
    #[command(flatten)]
    Common(AssetCommand),
}

pub async fn run(ctx: &Context, command: DataCommand) -> anyhow::Result<()> {
    match command {
        DataCommand::Create(args) => create::create(ctx, args).await,
        DataCommand::Common(command) => asset::run(ctx, AssetKind::Data, command).await,
    }
}
