//! `aml export mlflow`

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    cli::{
        context::{Context, read_ca},
        views::size,
    },
    exchange::{Credentials, Export, ExportDatabase, Options, Source},
    wiring,
};
use api::{Error, workspaces::GetWorkspace};

/// Write the workspace into a database that MLflow's own server reads
///
/// Experiments, runs with the whole history of their metrics, params, tags, datasets, files, logged
/// models, registered models and prompts. MLflow 3.0 and newer read the database as it is. Exporting
/// again writes only what is new or has changed; an export that was broken off is gone on with.
#[derive(Debug, Args)]
pub struct MlflowArgs {
    /// SQLite file (also as sqlite:///…), made when it is not there
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    to: String,
    /// Only this experiment; may be repeated
    #[arg(short, long = "experiment", value_name = "NAME")]
    experiments: Vec<String>,
    /// Folder for the files of runs and models [default: `mlartifacts` beside the database]
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    artifacts: Option<PathBuf>,
    /// Write what is deleted too, as deleted
    #[arg(long)]
    include_deleted: bool,
    /// Write all of every run again
    #[arg(long)]
    again: bool,
}

pub async fn mlflow(ctx: &Context, args: MlflowArgs) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    let workspace = ctx.workspace().await?;
    let workspace = client.call(&GetWorkspace { workspace }).await?.name;
    let file = ctx.folder.join(database(&args.to)?);
    let beside = file.parent().unwrap_or(Path::new(".")).join("mlartifacts");
    let artifacts = args.artifacts.map(|folder| ctx.folder.join(folder));
    let artifacts = artifacts.unwrap_or(beside);
    let mut target = ExportDatabase::open(&file, artifacts.clone())?;
    wiring::install_tls();
    let lent = wiring::lend(&ctx.target()?).await?;
    let known = ctx.profile().map(|profile| ctx.known_profile(profile));
    let ca = known
        .transpose()?
        .and_then(|known| known.ca_file.as_deref());
    let options = Options {
        credentials: Credentials {
            token: lent.token.clone(),
            ca: ca.map(read_ca).transpose()?,
            ..Credentials::default()
        },
        ..Options::default()
    };
    let url = format!("{}/ws/{}", lent.url, workspace.to_lowercase());
    let source = Source::open(&url, &ctx.folder, options)?;
    let bar = ctx.ui.counter("Exporting runs", None);
    let export = Export {
        source: &source,
        target: &mut target,
        experiments: &args.experiments,
        include_deleted: args.include_deleted,
        again: args.again,
        progress: &|runs| bar.inc(runs),
        folders: HashMap::new(),
    };
    let tally = export.run().await;
    bar.finish_and_clear();
    lent.take_back().await;
    let tally = tally?;
    ctx.ui.show(&tally)?;
    ctx.ui.status(&format!(
        "Wrote {} points of metrics and {} files ({}).",
        tally.metric_points,
        tally.files,
        size(tally.bytes)
    ));
    ctx.ui.hint(&format!(
        "mlflow server --backend-store-uri sqlite:///{} --artifacts-destination {}",
        file.display(),
        artifacts.display()
    ));
    Ok(())
}

/// The file that a path or URI names.
fn database(to: &str) -> Result<&str, Error> {
    match to.split_once("://") {
        None => Ok(to),
        Some(("sqlite", path)) => Ok(path.strip_prefix('/').unwrap_or(path)),
        Some((scheme, _)) => Err(Error::invalid(format!("`{scheme}` cannot be written"))
            .at("--to")
            .hint("Export to a SQLite file: aml export mlflow --to mlflow.db")),
    }
}
