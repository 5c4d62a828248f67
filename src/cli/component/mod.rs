//! `aml component`

mod create;
mod test;

use clap::Subcommand;

use super::{
    asset::{self, AssetCommand},
    context::Context,
};
use api::assets::AssetKind;

/// Keep versions of components: commands with inputs and outputs, to be used in pipelines
#[derive(Debug, Subcommand)]
pub enum ComponentCommand {
    Create(create::CreateArgs),
    Test(test::TestArgs),
    #[command(flatten)]
    Common(AssetCommand),
}

pub async fn run(ctx: &Context, command: ComponentCommand) -> anyhow::Result<()> {
    match command {
        ComponentCommand::Create(args) => create::create(ctx, args).await,
        ComponentCommand::Test(args) => test::test(ctx, args).await,
        ComponentCommand::Common(command) => asset::run(ctx, AssetKind::Component, command).await,
    }
}
