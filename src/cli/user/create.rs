//! `aml user create`

use clap::Args;

use crate::context::Context;
use api::access::CreateUser;

/// Create a user and print a token to log in with
///
/// The token is shown this once. The first user is an admin, and from then on a server lets nobody
/// in without a token.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Name of the user
    name: String,
    /// May do everything in every workspace and manage users
    #[arg(long)]
    admin: bool,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let created = ctx
        .client()
        .await?
        .call(&CreateUser {
            name: args.name,
            admin: args.admin,
        })
        .await?;
    ctx.ui.show(&created)?;
    let name = &created.user.name;
    ctx.ui
        .hint("The token is not shown again; log in with: aml login URL");
    if !created.user.admin {
        ctx.ui.hint(&format!(
            "Give a role: aml workspace share add -n WORKSPACE --user {name} --role \"AzureML Data Scientist\""
        ));
    }
    Ok(())
}
