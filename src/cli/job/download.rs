//! `aml job download`

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::{
    JobArg,
    entity::{BEST_TAG, kind},
};
use crate::{
    context::Context,
    error::{Exit, is_not_found},
    views::{Show, View, list},
};
use api::{
    Error, Result, files::ListArtifacts, jobs::SEARCHES, names, paths::ResolvePath, runs::Run,
};
use client::inputs::Wanted;

/// Azure ML's names of what a job keeps itself.
const ARTIFACTS: [&str; 2] = ["artifacts", "default"];

/// Download what a job that has ended made
///
/// Its logs and `outputs/` go to `artifacts/` below the folder, named outputs to
/// `named-outputs/NAME/`.
#[derive(Debug, Args)]
pub struct DownloadArgs {
    #[command(flatten)]
    pub job: JobArg,
    /// Folder to write to
    #[arg(short = 'p', long, value_name = "FOLDER", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    pub download_path: PathBuf,
    /// Only this output
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    pub output_name: Option<String>,
    /// All named outputs as well
    #[arg(long)]
    pub all: bool,
}

pub async fn download(ctx: &Context, args: DownloadArgs) -> anyhow::Result<()> {
    let run = args.job.get(ctx).await?;
    if !run.status.ended() {
        return Err(Error::conflict(format!(
            "The job `{}` has not ended; its status is {}",
            run.name, run.status
        ))
        .hint(format!("Wait for it: aml job stream {}", run.name))
        .into());
    }
    let folder = ctx.path(&args.download_path);
    let run = best_of(ctx, run).await?;
    let outputs = outputs_of(&run);
    let mut got = Got::default();
    let downloaded = match &args.output_name {
        Some(name) if ARTIFACTS.contains(&name.as_str()) => {
            artifacts(ctx, &run, &folder, &mut got).await
        }
        Some(name) => {
            let known = |known: &&String| known.eq_ignore_ascii_case(name);
            let Some(name) = outputs.iter().find(known) else {
                return Err(unknown(&run, name, &outputs).into());
            };
            output(ctx, &run, name, &folder, &mut got).await
        }
        None => {
            let mut failed = artifacts(ctx, &run, &folder, &mut got).await.err();
            if !args.all && got.0.is_empty() && !outputs.is_empty() {
                say_of_outputs(ctx, &run.name, &outputs);
            }
            for name in outputs.iter().filter(|_| args.all) {
                match output(ctx, &run, name, &folder, &mut got).await {
                    Err(error) if is_not_found(&error) => ctx
                        .ui
                        .status(&format!("Nothing was kept of the output {name}.")),
                    Err(error) if error.is::<Exit>() => return Err(error),
                    // The others are downloaded all the same; the first trouble is the answer.
                    Err(error) if failed.is_some() => {
                        ctx.ui.warn(&format!("The output {name}: {error}"));
                    }
                    downloaded => failed = failed.or(downloaded.err()),
                }
            }
            failed.map_or(Ok(()), Err)
        }
    };
    downloaded?;
    ctx.ui.show_if_asked(&got)
}

/// What was downloaded, in its order.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
struct Got(Vec<Part>);

#[derive(Debug, Serialize)]
struct Part {
    folder: String,
    files: u64,
}

impl Got {
    /// Says at once that these files are there.
    fn add(&mut self, ctx: &Context, files: u64, folder: &Path) {
        let shown = folder.strip_prefix(&ctx.folder).unwrap_or(folder);
        let folder = shown.display().to_string();
        let counted = match files {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        };
        ctx.ui.status(&format!("Downloaded {counted} to {folder}"));
        self.0.push(Part { folder, files });
    }
}

impl Show for Got {
    fn view(&self) -> View {
        let row = |part: &Part| [part.folder.clone(), part.files.to_string()];
        list(["Folder", "Files"], self.0.iter().map(row))
    }
}

/// What a sweep has made is what its best trial has.
async fn best_of(ctx: &Context, run: Run) -> Result<Run> {
    match run.tags.get(BEST_TAG) {
        Some(best) if kind(&run).is_some_and(|kind| SEARCHES.contains(&kind)) => {
            ctx.ui.status(&format!("The best trial is {best}."));
            JobArg::named(best).get(ctx).await
        }
        _ => Ok(run),
    }
}

/// Says what else there is to download.
fn say_of_outputs(ctx: &Context, job: &str, outputs: &[String]) {
    let outputs = outputs.join(", ");
    ctx.ui.hint(&format!(
        "It has named outputs: {outputs}; download them as well: aml job download {job} --all"
    ));
}

/// The names of the outputs that a job names.
pub fn outputs_of(run: &Run) -> Vec<String> {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let outputs = described.map(|described| described.outputs.keys().cloned());
    outputs.into_iter().flatten().collect()
}

fn unknown(run: &Run, name: &str, outputs: &[String]) -> Error {
    let nearest = names::nearest(name, outputs.iter().map(String::as_str));
    let place = format!(" of the job `{}`", run.name);
    let there_are = match outputs {
        [] => "It has no named outputs".to_owned(),
        all => format!("It has {}", all.join(", ")),
    };
    Error::unknown("output", name, &place, nearest)
        .at("--output-name")
        .or_hint(there_are)
}

async fn artifacts(ctx: &Context, run: &Run, folder: &Path, got: &mut Got) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let list = ListArtifacts {
        workspace: workspace.clone(),
        run: run.name.clone(),
        path: String::new(),
    };
    if client.call(&list).await?.is_empty() {
        let nothing = match outputs_of(run).as_slice() {
            [] => "has put out nothing",
            _ => "has no artifacts of its own",
        };
        ctx.ui.status(&format!("The job {} {nothing}.", run.name));
        return Ok(());
    }
    let to = folder.join("artifacts");
    let report = ctx.ui.report();
    let download = client.download_artifacts(&workspace, &run.name, "", &to, Some(&report));
    let files = ctx.ui.download_until_ctrl_c(to.display(), download).await?;
    got.add(ctx, files.len() as u64, &to);
    Ok(())
}

async fn output(
    ctx: &Context,
    run: &Run,
    name: &str,
    folder: &Path,
    got: &mut Got,
) -> anyhow::Result<()> {
    let to = folder.join("named-outputs").join(name);
    let fetched = ctx
        .ui
        .download_until_ctrl_c(to.display(), fetch(ctx, run, name, &to))
        .await?;
    got.add(ctx, fetched, &to);
    Ok(())
}

async fn fetch(ctx: &Context, run: &Run, name: &str, to: &Path) -> Result<u64> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let path = format!("azureml://jobs/{}/outputs/{name}", run.name);
    let resolve = ResolvePath {
        workspace: workspace.clone(),
        path: path.clone(),
        model: false,
    };
    // Says what is wrong before anything is made.
    client.call(&resolve).await?;
    let located = client
        .locate(Wanted {
            workspace: &workspace,
            path: &path,
            model: false,
            mirrors: &ctx.config.settings.mirrors,
        })
        .await?;
    let report = ctx.ui.report();
    let fetched = client.fetch(&located, to, Some(&report)).await?;
    Ok(fetched.files)
}
