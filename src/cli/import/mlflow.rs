//! `aml import mlflow`

use std::path::{Path, PathBuf};

use clap::Args;

use crate::{
    context::{Context, read_ca},
    error::{Exit, IMPORT_INCOMPLETE},
    views::size,
};
use api::Error;
use exchange::{Credentials, Import, Options, Source, Tally};
use spec::reference::missing;

/// Bring a server, database or folder of MLflow into the workspace
///
/// Experiments, runs with the whole history of their metrics, params, tags, datasets and files, logged
/// models, traces, registered models and prompts. Runs keep their ids as names. Importing again brings only what is new; an import that was
/// broken off is gone on with. A server is asked with the token, or name and password, that MLflow's
/// own variables hold.
#[derive(Debug, Args)]
pub struct MlflowArgs {
    /// Address of a server, SQLite file (also as sqlite:///…), or `mlruns` folder
    #[arg(long, value_name = "SOURCE", value_hint = clap::ValueHint::AnyPath)]
    from: String,
    /// Only this experiment there; may be repeated
    #[arg(short, long = "experiment", value_name = "NAME")]
    experiments: Vec<String>,
    /// Folder of a server's artifacts, if it is not beside the database
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    artifacts: Option<PathBuf>,
    /// Workspace there, of a newer server that has several
    #[arg(long, value_name = "NAME")]
    source_workspace: Option<String>,
    /// Bring over what is deleted there too, as deleted
    #[arg(long)]
    include_deleted: bool,
    /// Look at all of every run again, and bring back what was deleted here
    #[arg(long)]
    again: bool,
}

pub async fn mlflow(ctx: &Context, args: MlflowArgs) -> anyhow::Result<()> {
    let client = ctx.client().await?;
    let workspace = ctx.workspace().await?;
    let options = Options {
        artifacts: args.artifacts.map(|folder| ctx.path(folder)),
        workspace: args.source_workspace,
        credentials: credentials(ctx, &args.from)?,
    };
    check_source(ctx, &args.from)?;
    let source = Source::open(&args.from, &ctx.folder, options)?;
    let bar = ctx.ui.counter("Importing runs and traces", source.count()?);
    let import = Import {
        source: &source,
        client,
        workspace: &workspace,
        experiments: &args.experiments,
        include_deleted: args.include_deleted,
        again: args.again,
        progress: &|some| bar.inc(some),
    };
    let remains = "what has come over stays; the same command goes on from there";
    let tally = ctx.ui.until_ctrl_c(remains, import.run()).await;
    bar.finish_and_clear();
    conclude(ctx, &tally?)
}

/// Refuses a path that is not there; what is there says itself what it is.
fn check_source(ctx: &Context, from: &str) -> Result<(), Error> {
    if from.contains("://") {
        return Ok(());
    }
    let path = ctx.folder.join(from.strip_prefix("file:").unwrap_or(from));
    if path.exists() {
        return Ok(());
    }
    let error = missing("database or folder of MLflow", from, &path).at("--from");
    Err(
        if Path::new(from).extension().is_none() && from.contains(':') {
            error.hint(format!(
                "A server's address begins with http: --from http://{from}"
            ))
        } else {
            error.hint(
                "It is the address of a server, a file such as mlflow.db, or an `mlruns` folder",
            )
        },
    )
}

/// What MLflow's variables hold is for the server that they name, if they name one.
fn credentials(ctx: &Context, from: &str) -> anyhow::Result<Credentials> {
    let known = &ctx.config.tracking;
    let host = |uri: &str| uri.split('/').nth(2).map(str::to_owned);
    if known
        .uri
        .as_ref()
        .is_some_and(|uri| host(uri) != host(from))
    {
        return Ok(Credentials::default());
    }
    Ok(Credentials {
        token: known.token.clone(),
        user: known.user.clone(),
        password: known.password.clone(),
        ca: known.ca_file.as_deref().map(read_ca).transpose()?,
    })
}

fn conclude(ctx: &Context, tally: &Tally) -> anyhow::Result<()> {
    for remark in &tally.remarks {
        ctx.ui.warn(remark);
    }
    if tally.without_files > 0 {
        ctx.ui.warn(&format!(
            "The files of {} runs, models and traces are out of reach from here; the next import tries again.",
            tally.without_files
        ));
        ctx.ui.hint(
            "Name the folder of the server's artifacts with --artifacts, or import from the address of a running server",
        );
    }
    ctx.ui.show(tally)?;
    ctx.ui.status(&format!(
        "Sent {} points of metrics and {} files ({}).",
        tally.metric_points,
        tally.files,
        size(tally.bytes)
    ));
    match tally.failed() {
        0 => Ok(()),
        _ => Err(Exit(IMPORT_INCOMPLETE).into()),
    }
}
