//! `aml user`

mod create;
mod delete;
mod list;
mod rotate_token;

use clap::Subcommand;

use super::context::Context;

/// Manage who may log in to the server
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    RotateToken(rotate_token::RotateTokenArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Create(args) => create::create(ctx, args).await,
        UserCommand::List(args) => list::list(ctx, args).await,
        UserCommand::RotateToken(args) => rotate_token::rotate_token(ctx, args).await,
        UserCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}
