//! `aml datastore rm`

use clap::Args;

use crate::{context::Context, transfer::Stored};
use api::datastores::RemoveStoredFiles;

/// Remove a file, or all files below a folder, from a datastore
#[derive(Debug, Args)]
pub struct RmArgs {
    /// Datastore
    #[arg(value_name = "DATASTORE")]
    datastore: String,
    /// File or folder in it
    #[arg(value_name = "PATH")]
    path: String,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub async fn rm(ctx: &Context, args: RmArgs) -> anyhow::Result<()> {
    let RmArgs {
        datastore, path, ..
    } = args;
    let question = format!("Remove {path} from the datastore {datastore}?");
    ctx.ui.confirm(args.yes, &question)?;
    let request = RemoveStoredFiles {
        workspace: ctx.workspace().await?,
        datastore: datastore.clone(),
        path: path.clone(),
    };
    ctx.client().await?.call(&request).await?;
    let sentence = format!("Removed {path} from the datastore {datastore}.");
    let removed = Stored {
        datastore,
        path,
        files: None,
        bytes: None,
    };
    ctx.ui.done(&sentence, &removed)
}
