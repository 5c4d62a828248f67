//! `aml snapshot`

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{args::CodeLimit, context::Context};
use api::files::Hash;

/// Store a folder and print its hash, files and size
///
/// What `.amlignore`, `.gitignore` and `.dockerignore` name is left out. Files that the workspace has
/// are not sent again. `aml run submit` does the same with its code.
#[derive(Debug, Args)]
pub struct SnapshotArgs {
    /// Folder to store
    #[arg(default_value = ".", value_hint = clap::ValueHint::DirPath)]
    folder: PathBuf,
    #[command(flatten)]
    limit: CodeLimit,
}

/// A stored folder.
#[derive(Debug, Serialize)]
pub struct Snapshot {
    pub hash: Hash,
    pub files: u64,
    /// Bytes of all files.
    pub size: u64,
    /// Bytes that the workspace did not have.
    pub sent: u64,
}

pub async fn snapshot(ctx: &Context, args: SnapshotArgs) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let uploaded = ctx
        .upload_folder(&workspace, &args.folder, args.limit.limit())
        .await?;
    ctx.ui.show(&Snapshot {
        hash: uploaded.tree.hash,
        files: uploaded.tree.files,
        size: uploaded.tree.size,
        sent: uploaded.sent,
    })
}
