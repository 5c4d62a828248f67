//! `aml job download`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{JobArg, entity::BEST_TAG};
use crate::cli::{context::Context, error::Exit};
use api::{Code, Error, Result, files::ListArtifacts, names, paths::ResolvePath, runs::Run};
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
    match &args.output_name {
        Some(name) if ARTIFACTS.contains(&name.as_str()) => artifacts(ctx, &run, &folder).await,
        Some(name) => {
            let known = |known: &&String| known.eq_ignore_ascii_case(name);
            let Some(name) = outputs.iter().find(known) else {
                return Err(unknown(&run, name, &outputs).into());
            };
            output(ctx, &run, name, &folder).await
        }
        None => {
            let mut failed = artifacts(ctx, &run, &folder).await.err();
            for name in outputs.iter().filter(|_| args.all) {
                match output(ctx, &run, name, &folder).await {
                    Err(error) if is_not_there(&error) => ctx
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
    }
}

/// What a sweep has made is what its best trial has.
async fn best_of(ctx: &Context, run: Run) -> Result<Run> {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let kind = described.and_then(|described| described.definition.get("type"));
    match run.tags.get(BEST_TAG) {
        Some(best) if kind.is_some_and(|kind| kind == "sweep") => {
            ctx.ui.status(&format!("The best trial is {best}."));
            JobArg::named(best).get(ctx).await
        }
        _ => Ok(run),
    }
}

/// What a job that failed did not come to make.
fn is_not_there(error: &anyhow::Error) -> bool {
    let known = error.downcast_ref::<Error>();
    known.is_some_and(|error| error.code == Code::NotFound)
}

fn outputs_of(run: &Run) -> Vec<String> {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let outputs = described.map(|described| described.outputs.keys().cloned());
    outputs.into_iter().flatten().collect()
}

fn unknown(run: &Run, name: &str, outputs: &[String]) -> Error {
    let nearest = names::nearest(name, outputs.iter().map(String::as_str));
    let error = Error::unknown(
        "output",
        name,
        &format!(" of the job `{}`", run.name),
        nearest,
    );
    let error = error.at("--output-name");
    match nearest {
        Some(_) => error,
        None if outputs.is_empty() => error.hint("It has no named outputs"),
        None => error.hint(format!("It has {}", outputs.join(", "))),
    }
}

async fn artifacts(ctx: &Context, run: &Run, folder: &Path) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let list = ListArtifacts {
        workspace: workspace.clone(),
        run: run.name.clone(),
        path: String::new(),
    };
    if client.call(&list).await?.is_empty() {
        ctx.ui
            .status(&format!("The job {} has put out nothing.", run.name));
        return Ok(());
    }
    let to = folder.join("artifacts");
    let report = ctx.ui.report();
    let download = client.download_artifacts(&workspace, &run.name, "", &to, Some(&report));
    let files = ctx.ui.download_until_ctrl_c(to.display(), download).await?;
    said(ctx, files.len() as u64, &to);
    Ok(())
}

async fn output(ctx: &Context, run: &Run, name: &str, folder: &Path) -> anyhow::Result<()> {
    let to = folder.join("named-outputs").join(name);
    let fetched = ctx
        .ui
        .download_until_ctrl_c(to.display(), fetch(ctx, run, name, &to))
        .await?;
    said(ctx, fetched, &to);
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

fn said(ctx: &Context, files: u64, to: &Path) {
    let files = match files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    let shown = to.strip_prefix(&ctx.folder).unwrap_or(to);
    ctx.ui
        .status(&format!("Downloaded {files} to {}", shown.display()));
}
