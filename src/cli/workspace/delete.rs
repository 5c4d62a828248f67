//! `aml workspace delete`

use clap::Args;

use crate::{
    api::workspaces::{DeleteWorkspace, GetWorkspace},
    cli::context::Context,
};

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
    let found = client
        .call(&GetWorkspace {
            workspace: args.name,
        })
        .await?;
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
    ctx.ui
        .status(&format!("Deleted the workspace {}.", found.name));
    Ok(())
}
