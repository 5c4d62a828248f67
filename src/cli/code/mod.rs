//! `aml code`

mod create;

use clap::Subcommand;

use super::{
    asset::{self, AssetCommand},
    context::Context,
};
use api::assets::AssetKind;

/// Keep versions of code: folders that jobs and components run
#[derive(Debug, Subcommand)]
pub enum CodeCommand {
    Create(create::CreateArgs),
    #[command(flatten)]
    Common(AssetCommand),
}

pub async fn run(ctx: &Context, command: CodeCommand) -> anyhow::Result<()> {
    match command {
        CodeCommand::Create(args) => create::create(ctx, args).await,
        CodeCommand::Common(command) => asset::run(ctx, AssetKind::Code, command).await,
    }
}
