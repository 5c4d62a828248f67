//! `aml model download`

use clap::Args;

use super::{ModelArg, resolve};
use crate::{
    context::Context,
    transfer::{Destination, Downloaded},
};
use api::Error;

/// Download the files of a model version into a folder
#[derive(Debug, Args)]
pub struct DownloadArgs {
    #[command(flatten)]
    model: ModelArg,
    #[command(flatten)]
    destination: Destination,
}

pub async fn download(ctx: &Context, args: DownloadArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let model = resolve(client, &workspace, &args.model.reference()?).await?;
    let name = format!("{}:{}", model.name, model.version_called());
    let Some(files) = model.files else {
        let error = Error::not_found(format!("The files of `{name}` are not kept here"));
        return Err(match model.location {
            Some(location) => error.hint(format!("They are at {location}")).into(),
            None => error.into(),
        });
    };
    let folder = args.destination.folder(&model.name)?;
    let into = ctx.path(&folder);
    let report = ctx.ui.report();
    let download = client.download_tree(&workspace, files.hash, &into, Some(&report));
    ctx.ui.download_until_ctrl_c(&folder, download).await?;
    ctx.ui.downloaded(&Downloaded {
        folder,
        files: usize::try_from(files.files).unwrap_or(usize::MAX),
        bytes: files.size,
    })
}
