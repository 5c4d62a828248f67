//! `aml datastore upload`

use clap::Args;

use super::InStoreArgs;
use crate::{context::Context, transfer::Stored, views::size};
use api::Error;

/// Upload a file or folder into a datastore
///
/// Files that are there already are replaced.
#[derive(Debug, Args)]
pub struct UploadArgs {
    /// File or folder of this machine
    #[arg(value_name = "FROM")]
    from: String,
    #[command(flatten)]
    place: InStoreArgs,
}

pub async fn upload(ctx: &Context, args: UploadArgs) -> anyhow::Result<()> {
    let Some(from) = ctx.local_path(&ctx.folder, &args.from, "FROM")? else {
        return Err(Error::invalid(format!("`{}` is no path of this machine", args.from)).into());
    };
    let workspace = ctx.workspace().await?;
    let (datastore, path) = (args.place.datastore, args.place.path);
    let (files, bytes) = ctx
        .client()
        .await?
        .upload_to_datastore(&workspace, &datastore, &from, &path, Some(&ctx.ui.report()))
        .await?;
    let sentence = format!(
        "Uploaded {files} files, {}, to azureml://datastores/{datastore}/paths/{path}",
        size(bytes)
    );
    let uploaded = Stored {
        datastore,
        path,
        files: Some(files),
        bytes: Some(bytes),
    };
    ctx.ui.done(&sentence, &uploaded)
}
