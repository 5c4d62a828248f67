//! `aml import`

mod mlflow;

use clap::Subcommand;

use super::context::Context;

/// Bring over what was recorded elsewhere
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    Mlflow(mlflow::MlflowArgs),
}

pub async fn run(ctx: &Context, command: ImportCommand) -> anyhow::Result<()> {
    match command {
        ImportCommand::Mlflow(args) => mlflow::mlflow(ctx, args).await,
    }
}
