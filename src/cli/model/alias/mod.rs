//! `aml model alias`

mod delete;
mod set;

use clap::Subcommand;

use crate::context::Context;

/// Give versions of a model names, such as `champion`
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    Set(set::SetArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: AliasCommand) -> anyhow::Result<()> {
    match command {
        AliasCommand::Set(args) => set::set(ctx, args).await,
        AliasCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}
