//! `aml datastore download`

use clap::Args;

use super::InStoreArgs;
use crate::cli::{context::Context, views::size};

/// Download files of a datastore into a folder
#[derive(Debug, Args)]
pub struct DownloadArgs {
    #[command(flatten)]
    place: InStoreArgs,
    // Takes the place of the global option, whose value must be of the same type.
    /// Folder to write to, made when it is not there
    #[arg(id = "output", short, long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    output: String,
}

pub async fn download(ctx: &Context, args: DownloadArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let folder = ctx.folder.join(&args.output);
    let (datastore, path) = (args.place.datastore, args.place.path);
    let files = ctx
        .client()
        .await?
        .download_from_datastore(
            &workspace,
            &datastore,
            &path,
            &folder,
            Some(&ctx.ui.report()),
        )
        .await?;
    let bytes = files.iter().map(|file| file.size).sum();
    ctx.ui.status(&format!(
        "Downloaded {} files, {}, to {}",
        files.len(),
        size(bytes),
        args.output
    ));
    Ok(())
}
