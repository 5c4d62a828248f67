//! `aml registry`

mod create;
mod delete;
mod list;
mod show;
mod update;

use clap::Subcommand;

use super::context::Context;

/// Share assets between workspaces
#[derive(Debug, Subcommand)]
pub enum RegistryCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: RegistryCommand) -> anyhow::Result<()> {
    match command {
        RegistryCommand::Create(args) => create::create(ctx, args).await,
        RegistryCommand::List(args) => list::list(ctx, args).await,
        RegistryCommand::Show(args) => show::show(ctx, args).await,
        RegistryCommand::Update(args) => update::update(ctx, args).await,
        RegistryCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}
