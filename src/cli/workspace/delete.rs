//! `aml workspace delete`

use clap::Args;

use crate::{context::Context, views::Named};
use api::{Result, workspaces::DeleteWorkspace};

/// Delete a workspace and everything it owns
///
/// Its endpoints are stopped and its unfinished runs cancelled. Resources that existed before the
/// workspace are left alone.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// Workspace to delete
    #[arg(short, long)]
    name: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn delete(ctx: &Context, args: DeleteArgs) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    let found = super::find(ctx, args.name).await?;
    let question = format!(
        "Delete the workspace `{}` with its runs, models, endpoints and secrets?",
        found.name
    );
    ctx.ui.confirm(args.yes, &question)?;
    client
        .call(&DeleteWorkspace {
            if_empty: false,
            workspace: found.name.clone(),
        })
        .await?;
    let said = format!("Deleted the workspace {}.", found.name);
    ctx.ui.done(&said, &Named::new(found.name.as_str()))?;
    forget_default(ctx, &found.name)?;
    Ok(())
}

/// A workspace that is gone is not the one to work in any more.
fn forget_default(ctx: &Context, name: &str) -> Result<()> {
    if !ctx.is_default(name) {
        return Ok(());
    }
    ctx.choose_workspace(None)?;
    ctx.ui
        .status("It was the one to work in; choose another: aml workspace use NAME");
    Ok(())
}
