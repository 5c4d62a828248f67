//! `aml code create`

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};

use crate::{
    asset::{self, Local, NewArgs},
    context::Context,
};
use api::{Error, assets::AssetKind};

/// Create a version of code from a folder
///
/// What `.amlignore`, `.gitignore` and `.dockerignore` name is left out.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Folder
    #[arg(short, long, value_hint = clap::ValueHint::DirPath)]
    path: PathBuf,
    #[command(flatten)]
    new: NewArgs,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    if args.new.has_file() {
        let error = Error::invalid("Code is not described by a file").at("--file");
        return Err(error.hint("Name its folder with --path").into());
    }
    let text = args.path.to_string_lossy();
    let Some(path) = ctx.local_path(&ctx.folder, &text, "--path")? else {
        return Err(Error::invalid(format!("`{text}` is no folder of this machine")).into());
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut spec = Map::new();
    spec.insert("path".to_owned(), Value::from(name.into_owned()));
    let local = Some(Local { path, code: true });
    asset::create(ctx, AssetKind::Code, args.new, spec, local).await
}
