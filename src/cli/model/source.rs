//! Where a model's files are, as files and flags say it.

use crate::context::Context;
use api::{Error, Result, models::ModelSource};
use client::inputs::Wanted;
use spec::reference::{self, Reference, missing};

/// Names of the output that is all of a job's artifacts.
const WHOLE: [&str; 2] = ["artifacts", "default"];

/// Where the files of a model come from that is to be in `workspace`; `jobs` is the workspace of the
/// jobs that are named.
pub async fn source(ctx: &Context, workspace: &str, jobs: &str, path: &str) -> Result<ModelSource> {
    let parsed = reference::parse(path, &ctx.folder).map_err(|e| Error::invalid(e).at("path"))?;
    Ok(match parsed {
        Reference::Run { run, path } => ModelSource::Run { run, path },
        Reference::Job { name, output, path } if WHOLE.contains(&output.as_str()) => {
            ModelSource::Run { run: name, path }
        }
        Reference::Job { .. } => output_of_job(ctx, workspace, jobs, path).await?,
        Reference::Local(path) => {
            let shown = path.display().to_string();
            let real = path.canonicalize();
            let real = real.map_err(|_| missing("file or folder", &shown, &path).at("path"))?;
            let uploaded = ctx.upload_model(workspace, &real).await?;
            ModelSource::Tree {
                hash: uploaded.tree.hash,
                path: real.to_string_lossy().into_owned(),
            }
        }
        _ => ModelSource::Elsewhere {
            uri: path.to_owned(),
        },
    })
}

/// The files of a job's named output, kept with the model: a version never changes.
async fn output_of_job(
    ctx: &Context,
    workspace: &str,
    jobs: &str,
    path: &str,
) -> Result<ModelSource> {
    let client = ctx.client().await?;
    let located = client
        .locate(Wanted {
            workspace: jobs,
            path,
            model: false,
            mirrors: &ctx.config.settings.mirrors,
        })
        .await?;
    let id = uuid::Uuid::new_v4().simple();
    let folder = ctx.config.home.join(format!("cache/model-{id}"));
    let report = ctx.ui.report();
    let kept = async {
        let fetched = client.fetch(&located, &folder, Some(&report)).await?;
        ctx.upload_model(workspace, &fetched.path).await
    };
    let kept = kept.await;
    let _ = std::fs::remove_dir_all(&folder);
    Ok(ModelSource::Tree {
        hash: kept?.tree.hash,
        path: path.to_owned(),
    })
}
