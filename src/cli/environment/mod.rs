//! `aml environment`

mod create;

use clap::Subcommand;

use super::{
    asset::{self, AssetCommand},
    context::Context,
};
use api::assets::AssetKind;

/// Keep versions of environments: what a job finds installed
#[derive(Debug, Subcommand)]
pub enum EnvironmentCommand {
    Create(create::CreateArgs),
    #[command(flatten)]
    Common(AssetCommand),
}

pub async fn run(ctx: &Context, command: EnvironmentCommand) -> anyhow::Result<()> {
    match command {
        EnvironmentCommand::Create(args) => create::create(ctx, args).await,
        EnvironmentCommand::Common(command) => {
            asset::run(ctx, AssetKind::Environment, command).await
        }
    }
}
