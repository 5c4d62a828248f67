//! `aml datastore download`

use clap::Args;

use super::InStoreArgs;
use crate::{
    context::Context,
    transfer::{Destination, Downloaded},
};

/// Download files of a datastore into a folder
#[derive(Debug, Args)]
pub struct DownloadArgs {
    #[command(flatten)]
    place: InStoreArgs,
    #[command(flatten)]
    destination: Destination,
}

pub async fn download(ctx: &Context, args: DownloadArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let (datastore, path) = (args.place.datastore, args.place.path);
    let folder = args.destination.folder(&datastore)?;
    let into = ctx.path(&folder);
    let files = ctx
        .client()
        .await?
        .download_from_datastore(&workspace, &datastore, &path, &into, Some(&ctx.ui.report()))
        .await?;
    ctx.ui.downloaded(&Downloaded {
        folder,
        files: files.len(),
        bytes: files.iter().map(|file| file.size).sum(),
    })
}
