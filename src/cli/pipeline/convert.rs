//! `aml pipeline convert`

use std::{fs, path::PathBuf};

use clap::Args;
use serde_json::Value;

use crate::cli::context::Context;
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
    let path = ctx.folder.join(&args.file);
    let folder = path.parent().unwrap_or(&path).to_owned();
    let old = read(&path, &args.file.display().to_string())?;
    let converted = v1::converted(&old, &|file| read(&folder.join(file), file));
    let converted = converted.map_err(|error| {
        let target = error.target.clone().unwrap_or_default();
        error.at(format!("{}: {target}", args.file.display()))
    })?;
    for note in &converted.notes {
        ctx.ui.warn(note);
    }
    let text = serde_saphyr::to_string(&converted.pipeline);
    let text = text.map_err(|error| Error::internal(error.to_string()))?;
    ctx.ui.print(&text)
}

fn read(path: &PathBuf, name: &str) -> Result<Value> {
    let text = fs::read_to_string(path);
    let text = text.map_err(|e| Error::invalid(format!("Cannot read `{name}`: {e}")))?;
    serde_saphyr::from_str(&text).map_err(|e| Error::invalid(e.to_string()).at(name))
}
