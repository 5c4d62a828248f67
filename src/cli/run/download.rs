//! `aml run download`

use std::collections::BTreeSet;

use clap::Args;

use super::RunArg;
use crate::{
    context::Context,
    job::download::outputs_of,
    transfer::{Destination, Downloaded},
};
use api::{
    Error,
    files::{Artifact, ListArtifacts},
    names,
};

/// Download what a run has put out
///
/// Files keep their paths below the folder. A file that is there already is replaced.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    #[command(flatten)]
    run: RunArg,
    #[command(flatten)]
    destination: Destination,
    /// Only this file or folder of the run
    #[arg(
        long,
        value_name = "PATH",
        default_value = "",
        hide_default_value = true
    )]
    path: String,
}

/// So many entries are named.
const SHOWN: usize = 10;

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
    let named = outputs_of(&run);
    if all.is_empty() && !named.is_empty() {
        let name = &run.name;
        return Err(
            Error::not_found(format!("The run `{name}` has no artifacts of its own"))
                .hint(format!(
                    "It has named outputs: {}; download them: aml job download {name} --all",
                    named.join(", ")
                ))
                .into(),
        );
    }
    check_path(&run.name, &all, path)?;
    let folder = args.destination.folder(&run.name)?;
    let into = ctx.path(&folder);
    let report = ctx.ui.report();
    let download = client.download_artifacts(&workspace, &run.name, path, &into, Some(&report));
    let files = ctx.ui.download_until_ctrl_c(&folder, download).await?;
    ctx.ui.downloaded(&Downloaded {
        folder,
        files: files.len(),
        bytes: files.iter().map(|file| file.size).sum(),
    })
}

/// Says what there is when there is nothing at `path`.
pub fn check_path(name: &str, all: &[Artifact], path: &str) -> Result<(), Error> {
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
    let top = all
        .iter()
        .map(|artifact| match artifact.path.split_once('/') {
            Some((folder, _)) => format!("{folder}/"),
            None => artifact.path.clone(),
        });
    let top: BTreeSet<String> = top.collect();
    let mut shown: Vec<&str> = top.iter().take(SHOWN).map(String::as_str).collect();
    if top.len() > SHOWN {
        shown.push("…");
    }
    Err(Error::unknown("artifact", path, &place, nearest)
        .at("--path")
        .or_hint(format!("There are: {}", shown.join(", "))))
}
