//! `aml workspace share`

use clap::{Args, Subcommand};

use super::NameArg;
use crate::{context::Context, views::Named};
use api::{
    Error,
    access::{AssignRole, ListRoles, RemoveRole, Role},
    names,
};

/// Let other users work in a workspace
#[derive(Debug, Subcommand)]
pub enum ShareCommand {
    Add(AddArgs),
    List(ListArgs),
    Remove(RemoveArgs),
}

/// Give a user a role in the workspace; it replaces the one they had
#[derive(Debug, Args)]
pub struct AddArgs {
    #[command(flatten)]
    name: NameArg,
    /// User to share with
    #[arg(short, long)]
    user: String,
    /// Owner, Contributor, Reader or "AzureML Data Scientist", also as `data-scientist`
    #[arg(short, long)]
    role: String,
}

/// List who has which role in the workspace
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    name: NameArg,
}

/// Take a user's role in the workspace away
#[derive(Debug, Args)]
pub struct RemoveArgs {
    #[command(flatten)]
    name: NameArg,
    /// User to remove
    #[arg(short, long)]
    user: String,
}

pub async fn run(ctx: &Context, command: ShareCommand) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    match command {
        ShareCommand::Add(args) => {
            let role = parse_role(&args.role)?;
            let workspace = args.name.resolve(ctx).await?;
            let assignment = client
                .call(&AssignRole {
                    workspace,
                    user: args.user,
                    role,
                })
                .await?;
            ctx.ui.show(&assignment)
        }
        ShareCommand::List(args) => {
            let workspace = args.name.resolve(ctx).await?;
            ctx.ui.show(&client.call(&ListRoles { workspace }).await?)
        }
        ShareCommand::Remove(args) => {
            let workspace = args.name.resolve(ctx).await?;
            client
                .call(&RemoveRole {
                    workspace,
                    user: args.user.clone(),
                })
                .await?;
            let said = format!("`{}` has no role any more.", args.user);
            ctx.ui.done(&said, &Named::new(args.user))
        }
    }
}

/// Role names in any case; `data-scientist` is short for "AzureML Data Scientist".
pub fn parse_role(text: &str) -> Result<Role, Error> {
    let wanted = text.to_lowercase().replace(['-', '_'], " ");
    let matches = |role: &&Role| {
        let name = role.name().to_lowercase();
        name == wanted
            || name
                .strip_prefix("azureml ")
                .is_some_and(|short| short == wanted)
    };
    Role::ALL.iter().find(matches).copied().ok_or_else(|| {
        let nearest = names::nearest(text, Role::ALL.iter().map(|role| role.name()));
        Error::unknown("role", text, "", nearest)
            .at("--role")
            .or_hint("Roles: owner, contributor, reader, data-scientist")
    })
}
