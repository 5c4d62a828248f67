//! `aml environment create`

use std::path::Path;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{
    asset::{self, Local, NewArgs},
    context::Context,
};
use api::{Error, Result, assets::AssetKind};
use spec::reference::unreadable;

/// Create a version of an environment from an image, a conda file or a folder with a Dockerfile
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Image to start from
    #[arg(short, long, value_name = "IMAGE", conflicts_with = "build_context")]
    image: Option<String>,
    /// Conda file with the packages
    #[arg(short, long, value_name = "FILE", conflicts_with = "build_context")]
    conda_file: Option<String>,
    /// Folder with a Dockerfile
    #[arg(short, long, value_name = "FOLDER")]
    build_context: Option<String>,
    /// Dockerfile below that folder
    #[arg(
        short,
        long,
        value_name = "PATH",
        default_value = "Dockerfile",
        requires = "build_context"
    )]
    dockerfile_path: String,
    #[command(flatten)]
    new: NewArgs,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    if args.new.has_file() {
        let image = args.image.map(|image| ("image", Value::from(image)));
        let conda = args
            .conda_file
            .map(|file| ("conda_file", Value::from(file)));
        let build = args.build_context.map(|folder| {
            let file = args.dockerfile_path.trim_start_matches('/');
            ("build", json!({"path": folder, "dockerfile_path": file}))
        });
        let more = image.into_iter().chain(conda).chain(build).collect();
        return asset::create_from_file(ctx, AssetKind::Environment, args.new, more).await;
    }
    let mut spec = Map::new();
    if let Some(image) = args.image {
        spec.insert("image".to_owned(), Value::from(image));
    }
    if let Some(file) = &args.conda_file {
        spec.insert("conda_file".to_owned(), conda(&ctx.folder, file)?);
    }
    let mut local = None;
    if let Some(folder) = &args.build_context {
        let Some(path) = ctx.local_path(&ctx.folder, folder, "--build-context")? else {
            return Err(Error::invalid(format!("`{folder}` is no folder of this machine")).into());
        };
        let dockerfile = args.dockerfile_path.trim_start_matches('/');
        if !path.join(dockerfile).is_file() {
            return Err(
                Error::invalid(format!("`{folder}` has no file `{dockerfile}`"))
                    .at("--dockerfile-path")
                    .into(),
            );
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let build = json!({"path": name, "dockerfile_path": dockerfile});
        spec.insert("build".to_owned(), build);
        local = Some(Local { path, code: true });
    }
    if spec.is_empty() {
        return Err(
            Error::invalid("Nothing says what the environment is made of")
                .hint("Name an --image, a --conda-file or a --build-context")
                .into(),
        );
    }
    spec.insert("os_type".to_owned(), Value::from("linux"));
    asset::create(ctx, AssetKind::Environment, args.new, spec, local).await
}

fn conda(folder: &Path, file: &str) -> Result<Value> {
    let path = folder.join(file);
    let text = std::fs::read_to_string(&path)
        .map_err(|e| unreadable("file", file, &path, &e).at("--conda-file"))?;
    serde_saphyr::from_str(&text).map_err(|e| Error::invalid(e.to_string()).at(file))
}
