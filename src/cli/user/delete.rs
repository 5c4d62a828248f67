//! `aml user delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::access::DeleteUser;

/// Delete a user with its roles; its token stops working at once
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Name of the user
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let question = format!("Delete the user `{}`?", args.name);
    ctx.ui.confirm(args.yes, &question)?;
    let request = DeleteUser {
        user: args.name.clone(),
    };
    ctx.client().await?.call(&request).await?;
    ctx.ui.done(
        &format!("Deleted the user {}.", args.name),
        &Named::new(args.name.as_str()),
    )
}
