//! `aml model download`

use clap::Args;

use super::resolve;
use crate::{api::models::ModelRef, cli::context::Context};

/// Download the files of a model version into a folder
#[derive(Debug, Args)]
pub struct DownloadArgs {
    /// Model to download: NAME:VERSION, or NAME for the newest version
    #[arg(value_name = "MODEL")]
    model: ModelRef,
    /// Folder to write to [default: the model's name]
    #[arg(id = "output", short, long, value_name = "FOLDER")]
    output: Option<String>,
}

pub async fn download(ctx: &Context, args: DownloadArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let model = resolve(client, &workspace, &args.model).await?;
    let folder = ctx
        .folder
        .join(args.output.unwrap_or_else(|| model.name.clone()));
    client
        .download_tree(
            &workspace,
            model.files.hash,
            &folder,
            Some(&ctx.ui.report()),
        )
        .await?;
    ctx.ui.status(&format!(
        "Downloaded {}:{} to {}",
        model.name,
        model.version,
        folder.display()
    ));
    Ok(())
}
