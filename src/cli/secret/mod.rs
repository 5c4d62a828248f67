//! `aml secret`

mod delete;
mod get;
mod list;
mod set;

use clap::Subcommand;

use super::{
    context::Context,
    views::{Show, View, list as columns, record, time},
};
use api::secrets::{Secret, SecretValue};

/// Keep secrets in the workspace's key vault, for runs that name them
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    Set(set::SetArgs),
    #[command(visible_alias = "show")]
    Get(get::GetArgs),
    List(list::ListArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: SecretCommand) -> anyhow::Result<()> {
    match command {
        SecretCommand::Set(args) => set::set(ctx, args).await,
        SecretCommand::Get(args) => get::get(ctx, args).await,
        SecretCommand::List(args) => list::list(ctx, args).await,
        SecretCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

impl Show for Secret {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Secret> {
    fn view(&self) -> View {
        columns(
            ["name", "created", "updated"],
            self.iter()
                .map(|s| [s.name.clone(), time(s.created_at), time(s.updated_at)]),
        )
    }
}

impl Show for SecretValue {
    fn view(&self) -> View {
        View::Text(format!("{}\n", self.value))
    }
}
