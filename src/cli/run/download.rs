//! `aml run download`

use std::{collections::BTreeSet, path::PathBuf};

use clap::Args;

use super::RunArg;
use crate::{
    api::{
        Error,
        files::{Artifact, ListArtifacts},
        names,
        runs::Run,
    },
    cli::{context::Context, transfer::until_ctrl_c, views::size},
};

/// Download what a run has put out
///
/// Files keep their paths below the folder. A file that is there already is replaced.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    #[command(flatten)]
    run: RunArg,
    // Takes the place of the global option, whose value must be of the same type.
    /// Folder to write to, made when it is not there
    #[arg(id = "output", short, long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    output: String,
    /// Only this file or folder of the run
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    path: String,
}

pub async fn download(ctx: &Context, args: DownloadArgs) -> anyhow::Result<()> {
    let run = super::get(ctx, &args.run.name).await?;
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let path = args.path.trim_matches('/');
    let all = client
        .call(&ListArtifacts {
            workspace: workspace.clone(),
            run: run.name.clone(),
            path: String::new(),
        })
        .await?;
    check(&run, &all, path)?;
    let folder = ctx.folder.join(PathBuf::from(&args.output));
    let report = ctx.ui.report();
    let download = client.download_artifacts(&workspace, &run.name, path, &folder, Some(&report));
    let files = until_ctrl_c(download).await?;
    let bytes = files.iter().map(|file| file.size).sum();
    let count = match files.len() {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    };
    ctx.ui.status(&format!(
        "Downloaded {count}, {}, to {}",
        size(bytes),
        args.output
    ));
    Ok(())
}

/// Says what there is when there is nothing at `path`.
fn check(run: &Run, all: &[Artifact], path: &str) -> Result<(), Error> {
    let name = &run.name;
    if all.is_empty() {
        return Err(
            Error::not_found(format!("The run `{name}` has put out nothing"))
                .hint("Runs put out what they write to `outputs/` and log as artifacts"),
        );
    }
    let mut known = BTreeSet::from([""]);
    for artifact in all {
        known.insert(&artifact.path);
        let ends = artifact.path.match_indices('/');
        known.extend(ends.map(|(end, _)| &artifact.path[..end]));
    }
    if known.contains(path) {
        return Ok(());
    }
    let nearest = names::nearest(path, known);
    let place = format!(" in the run `{name}`");
    Err(Error::unknown("artifact", path, &place, nearest).at("--path"))
}
