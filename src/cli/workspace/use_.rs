//! `aml workspace use`

use clap::Args;

use crate::{
    config::{self, FolderFile},
    context::Context,
};
use api::workspaces::GetWorkspace;

/// Choose the workspace to work in when none is named
#[derive(Debug, Args)]
pub struct UseArgs {
    /// Workspace to choose
    #[arg(value_name = "NAME")]
    name: String,
    /// Only in this folder and those below it
    #[arg(long)]
    folder: bool,
}

pub async fn use_(ctx: &Context, args: UseArgs) -> anyhow::Result<()> {
    let found = ctx
        .client()
        .await?
        .call(&GetWorkspace {
            workspace: args.name,
        })
        .await?;
    let name = found.name.clone();
    if args.folder {
        let file = config::save_folder(
            &ctx.folder,
            &FolderFile {
                workspace: Some(name.clone()),
            },
        )?;
        let file = file.display();
        let said = format!("Using the workspace {name} in this folder: {file}");
        return ctx.ui.done(&said, &found);
    }
    ctx.choose_workspace(Some(name.clone()))?;
    ctx.ui.done(&format!("Using the workspace {name}."), &found)
}
