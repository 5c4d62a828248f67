//! `aml data create`

use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::{
    asset::{self, Local, NewArgs},
    context::Context,
};
use api::{Error, Result, assets::AssetKind};
use table::Definition;

/// Create a version of data from a file or folder, or from an address
///
/// Files of this machine are uploaded; those that the workspace has are not sent again. Of an
/// address, such as `azureml://datastores/NAME/paths/PATH` or an `https` URL, only the address is
/// kept.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// File, folder or address
    #[arg(short, long, required_unless_present = "file")]
    path: Option<String>,
    /// What it is [default: found out from the files, else `uri_folder`]
    #[arg(short = 't', long = "type", value_enum)]
    kind: Option<TypeArg>,
    #[command(flatten)]
    new: NewArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TypeArg {
    #[value(name = "uri_file", alias = "file")]
    File,
    #[value(name = "uri_folder", alias = "folder")]
    Folder,
    /// A folder with a file `MLTable`
    #[value(name = "mltable")]
    Table,
}

impl TypeArg {
    fn name(self) -> &'static str {
        match self {
            TypeArg::File => "uri_file",
            TypeArg::Folder => "uri_folder",
            TypeArg::Table => "mltable",
        }
    }
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    if args.new.has_file() {
        let kind = args.kind.map(|kind| ("type", Value::from(kind.name())));
        let path = args.path.map(|path| ("path", Value::from(path)));
        let more = kind.into_iter().chain(path).collect();
        return asset::create_from_file(ctx, AssetKind::Data, args.new, more).await;
    }
    let path = args.path.unwrap_or_default();
    let local = ctx.local_path(&ctx.folder, &path, "--path")?;
    let (kind, path) = match &local {
        None => (args.kind.unwrap_or(TypeArg::Folder), path),
        Some(path) => {
            let kind = check(args.kind, path)?;
            if kind == TypeArg::Table {
                Definition::check(path)?;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let slash = if kind == TypeArg::File { "" } else { "/" };
            (kind, format!("{name}{slash}"))
        }
    };
    let mut spec = Map::new();
    spec.insert("type".to_owned(), Value::from(kind.name()));
    spec.insert("path".to_owned(), Value::from(path));
    let local = local.map(|path| Local { path, code: false });
    asset::create(ctx, AssetKind::Data, args.new, spec, local).await
}

/// What is asked for, if the files agree; else what the files are.
fn check(wanted: Option<TypeArg>, path: &std::path::Path) -> Result<TypeArg> {
    let is_file = path.is_file();
    let is_table = path.join("MLTable").is_file();
    let shown = path.display();
    let wrong = |message: String| Err(Error::invalid(message).at("--type"));
    match wanted {
        None if is_file => Ok(TypeArg::File),
        None if is_table => Ok(TypeArg::Table),
        None => Ok(TypeArg::Folder),
        Some(TypeArg::File) if !is_file => wrong(format!("`{shown}` is a folder, not a file")),
        Some(TypeArg::Folder) if is_file => wrong(format!("`{shown}` is a file, not a folder")),
        Some(TypeArg::Table) if !is_table => wrong(format!(
            "`{shown}` has no file `MLTable`, which says how to read the table"
        )),
        Some(kind) => Ok(kind),
    }
}
