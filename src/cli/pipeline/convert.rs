//! `aml pipeline convert`

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::Value;

use crate::context::Context;
use api::{Error, Result};
use spec::v1;

/// Bring a pipeline of the first Azure ML command line into today's YAML
///
/// Prints the pipeline; what could not be kept is said on stderr. Parameters and data references become
/// inputs, and the steps get each other's outputs as before.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// YAML file with a `pipeline` and its `steps`
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
}

pub fn convert(ctx: &Context, args: &ConvertArgs) -> anyhow::Result<()> {
    let (converted, _) = converted(&ctx.folder, &args.file.display().to_string())?;
    for note in &converted.notes {
        ctx.ui.warn(note);
    }
    let text = serde_saphyr::to_string(&converted.pipeline);
    let text = text.map_err(|error| Error::internal(error.to_string()))?;
    ctx.ui.print(&text)
}

/// The pipeline of a file, and the folder where its relative paths start.
pub fn converted(here: &Path, file: &str) -> Result<(v1::Converted, PathBuf)> {
    let path = here.join(file);
    let folder = path.parent().unwrap_or(&path).to_owned();
    let old = read(&path, file)?;
    let converted = v1::converted(&old, &|other| read(&folder.join(other), other));
    let converted = converted.map_err(|error| {
        let target = error.target.clone().unwrap_or_default();
        error.at(format!("{file}: {target}"))
    })?;
    Ok((converted, folder))
}

fn read(path: &Path, name: &str) -> Result<Value> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|e| Error::invalid(format!("Cannot read `{name}`: {e}")))?;
    serde_saphyr::from_str(&text).map_err(|e| Error::invalid(e.to_string()).at(name))
}
