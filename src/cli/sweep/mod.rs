//! `aml sweep`

mod plot;
mod show;

use clap::Subcommand;

use super::context::Context;

/// Look at sweeps: jobs that try one command with many values
///
/// A sweep is created by `aml job create`; its trials are runs of their own.
#[derive(Debug, Subcommand)]
pub enum SweepCommand {
    Show(show::ShowArgs),
}

pub async fn run(ctx: &Context, command: SweepCommand) -> anyhow::Result<()> {
    match command {
        SweepCommand::Show(args) => show::show(ctx, args).await,
    }
}
