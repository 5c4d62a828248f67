//! `aml export`

mod mlflow;

use clap::Subcommand;

use super::context::Context;

/// Write what is recorded here for others
#[derive(Debug, Subcommand)]
pub enum ExportCommand {
    Mlflow(mlflow::MlflowArgs),
}

pub async fn run(ctx: &Context, command: ExportCommand) -> anyhow::Result<()> {
    match command {
        ExportCommand::Mlflow(args) => mlflow::mlflow(ctx, args).await,
    }
}
