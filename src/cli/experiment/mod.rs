//! `aml experiment`

mod list;
mod show;

use clap::Subcommand;

use super::context::Context;

/// Look at experiments, the named groups of runs
#[derive(Debug, Subcommand)]
pub enum ExperimentCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
}

pub async fn run(ctx: &Context, command: ExperimentCommand) -> anyhow::Result<()> {
    match command {
        ExperimentCommand::List(args) => list::list(ctx, args).await,
        ExperimentCommand::Show(args) => show::show(ctx, args).await,
    }
}
