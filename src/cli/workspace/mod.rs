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

pub use share::parse_role;

use super::context::Context;
use api::{
    Error, Result,
    workspaces::{GetWorkspace, Workspace},
};

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
        let name = self.name_or_default(ctx).await?;
        if ctx.subscription.is_none() && ctx.resource_group.is_none() {
            return Ok(name);
        }
        Ok(find(ctx, name).await?.name)
    }

    async fn name_or_default(self, ctx: &Context) -> Result<String> {
        match self.name {
            Some(name) => Ok(name),
            None => ctx.workspace().await,
        }
    }
}

/// The workspace of a name, which must be in the subscription and resource group that were named.
async fn find(ctx: &Context, workspace: String) -> Result<Workspace> {
    let client = ctx.client().await?;
    let found = client.call(&GetWorkspace { workspace }).await?;
    let group = ctx.resource_group.as_deref();
    must_be_in(&found, ctx.subscription.as_deref(), group)?;
    Ok(found)
}

/// That a workspace is in the subscription and resource group that were named.
pub fn must_be_in(
    found: &Workspace,
    subscription: Option<&str>,
    group: Option<&str>,
) -> Result<()> {
    let places = [
        ("subscription", subscription, &found.subscription),
        ("resource group", group, &found.resource_group),
    ];
    for (what, wanted, own) in places {
        if let Some(wanted) = wanted
            && !wanted.eq_ignore_ascii_case(own)
        {
            let name = &found.name;
            let error = format!("No workspace `{name}` in the {what} `{wanted}`");
            return Err(Error::not_found(error).hint(format!("It is in `{own}`")));
        }
    }
    Ok(())
}
