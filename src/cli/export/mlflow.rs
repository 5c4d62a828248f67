//! `aml export mlflow`

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use clap::Args;

use crate::{
    context::{Context, read_ca},
    views::size,
};
use api::{
    Error,
    experiments::ListExperiments,
    trace_measures::{Aggregation, MeasureTraces, Measured},
    workspaces::GetWorkspace,
};
use client::Client;
use exchange::{Chosen, Credentials, Export, ExportDatabase, Options, Source, Tally};

/// Write the workspace into a database that MLflow's own server reads
///
/// Experiments, runs with the whole history of their metrics, params, tags, datasets, files, logged
/// models, traces, registered models and prompts. MLflow 3.3 and newer read the database as it is. Exporting
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
    let file = ctx.path(database(&args.to)?);
    let beside = file.parent().unwrap_or(Path::new(".")).join("mlartifacts");
    let artifacts = args.artifacts.as_ref().map(|folder| ctx.path(folder));
    let artifacts = artifacts.unwrap_or(beside);
    let lent = ctx.wiring.lend(&ctx.target()?).await?;
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
    let written = write(
        ctx,
        (client, &workspace),
        &source,
        (&file, &artifacts),
        &args,
    )
    .await;
    lent.take_back.await;
    let tally = written?;
    conclude(ctx, &tally, (&file, &artifacts))
}

/// Makes the database only when it is known what goes into it.
async fn write(
    ctx: &Context,
    (client, workspace): (&Client, &str),
    source: &Source,
    (file, artifacts): (&Path, &Path),
    args: &MlflowArgs,
) -> anyhow::Result<Tally> {
    let chosen = Chosen::find(source, &args.experiments).await?;
    let mut target = ExportDatabase::open(file, artifacts.to_owned())?;
    let total = count(client, workspace, &args.experiments).await?;
    let bar = ctx.ui.counter("Exporting runs and traces", Some(total));
    let export = Export {
        source,
        target: &mut target,
        experiments: &args.experiments,
        chosen,
        include_deleted: args.include_deleted,
        again: args.again,
        progress: &|some| {
            bar.inc(some);
            // What is deleted, and what came meanwhile.
            bar.set_length(total.max(bar.position()));
        },
        folders: HashMap::new(),
    };
    let remains = "what was written stays; the same command goes on from there";
    let tally = ctx.ui.until_ctrl_c(remains, export.run()).await;
    bar.finish_and_clear();
    Ok(tally?)
}

/// How many runs and traces these experiments have.
async fn count(client: &Client, workspace: &str, experiments: &[String]) -> Result<u64, Error> {
    let list = ListExperiments {
        workspace: workspace.to_owned(),
        include_deleted: false,
    };
    let mut all = client.call(&list).await?;
    all.retain(|one| experiments.is_empty() || experiments.contains(&one.name));
    let measure = MeasureTraces {
        workspace: workspace.to_owned(),
        experiment_ids: all.iter().map(|one| one.id.clone()).collect(),
        of: Measured::Traces,
        metric: "trace_count".to_owned(),
        aggregations: vec![Aggregation::Count],
        groups: Vec::new(),
        filters: Vec::new(),
        from: None,
        until: None,
        interval_seconds: None,
        limit: 1,
        page: None,
    };
    let traces = client.call(&measure).await?.items;
    let traces = traces
        .first()
        .and_then(|figure| figure.values.first().copied().flatten());
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is a count"
    )]
    let traces = traces.unwrap_or_default() as u64;
    Ok(all.iter().map(|one| one.runs).sum::<u64>() + traces)
}

fn conclude(ctx: &Context, tally: &Tally, (file, artifacts): (&Path, &Path)) -> anyhow::Result<()> {
    for remark in &tally.remarks {
        ctx.ui.warn(remark);
    }
    if !tally.remarks.is_empty() {
        ctx.ui.hint(&format!(
            "Bring the database up to date and export again: mlflow db upgrade sqlite:///{}",
            file.display()
        ));
    }
    ctx.ui.show(tally)?;
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
