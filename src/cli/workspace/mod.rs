//! `aml workspace`

mod create;
mod delete;
mod keys;
mod list;
mod share;
mod show;
mod update;
mod upgrade;
mod use_;

use clap::Subcommand;

use super::context::Context;

/// Create and manage workspaces
#[derive(Debug, Subcommand)]
pub enum WorkspaceCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Update(update::UpdateArgs),
    Upgrade(upgrade::UpgradeArgs),
    Delete(delete::DeleteArgs),
    Use(use_::UseArgs),
    Keys(keys::KeysArgs),
    #[command(subcommand)]
    Share(share::ShareCommand),
}

pub async fn run(ctx: &Context, command: WorkspaceCommand) -> anyhow::Result<()> {
    match command {
        WorkspaceCommand::Create(args) => create::create(ctx, args).await,
        WorkspaceCommand::List(args) => list::list(ctx, args).await,
        WorkspaceCommand::Show(args) => show::show(ctx, args).await,
        WorkspaceCommand::Update(args) => update::update(ctx, args).await,
        WorkspaceCommand::Upgrade(args) => upgrade::upgrade(ctx, args).await,
        WorkspaceCommand::Delete(args) => delete::delete(ctx, args).await,
        WorkspaceCommand::Use(args) => use_::use_(ctx, args).await,
        WorkspaceCommand::Keys(args) => keys::keys(ctx, args).await,
        WorkspaceCommand::Share(command) => share::run(ctx, command).await,
    }
}

/// The workspace a command is about: `-n`, else the one worked in.
#[derive(Debug, clap::Args)]
struct NameArg {
    /// Workspace to act on [default: the one worked in]
    #[arg(short, long, value_name = "NAME")]
    name: Option<String>,
}

impl NameArg {
    async fn resolve(self, ctx: &Context) -> anyhow::Result<String> {
        match self.name {
            Some(name) => Ok(name),
            None => Ok(ctx.workspace().await?),
        }
    }
}
