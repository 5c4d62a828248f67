//! `aml run`

mod best;
mod cancel;
pub mod compare;
mod delete;
mod diff;
mod download;
pub mod failed;
pub mod follow;
pub mod git;
mod list;
mod log;
mod logs;
mod metrics;
pub mod naming;
mod outputs;
pub mod script;
mod show;
mod submit;

use clap::Subcommand;

use super::context::{Context, remote_of};
use crate::{config::InsideRun, wiring::Target};
use api::{
    Result,
    runs::{GetRun, Run},
};
use client::Client;

/// Submit, watch, compare and manage runs
#[derive(Debug, Subcommand)]
pub enum RunCommand {
    Submit(Box<submit::SubmitArgs>),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Logs(logs::LogsArgs),
    Metrics(metrics::MetricsArgs),
    Best(best::BestArgs),
    Diff(diff::DiffArgs),
    Outputs(outputs::OutputsArgs),
    Download(download::DownloadArgs),
    Cancel(cancel::CancelArgs),
    Delete(delete::DeleteArgs),
    Log(log::LogArgs),
}

pub async fn run(ctx: &Context, command: RunCommand) -> anyhow::Result<()> {
    match command {
        RunCommand::Submit(args) => submit::submit(ctx, *args).await,
        RunCommand::List(args) => list::list(ctx, args).await,
        RunCommand::Show(args) => show::show(ctx, args).await,
        RunCommand::Logs(args) => logs::logs(ctx, args).await,
        RunCommand::Metrics(args) => metrics::metrics(ctx, args).await,
        RunCommand::Best(args) => best::best(ctx, args).await,
        RunCommand::Diff(args) => diff::diff(ctx, args).await,
        RunCommand::Outputs(args) => outputs::outputs(ctx, args).await,
        RunCommand::Download(args) => download::download(ctx, args).await,
        RunCommand::Cancel(args) => cancel::cancel(ctx, args).await,
        RunCommand::Delete(args) => delete::delete(ctx, args).await,
        RunCommand::Log(args) => log::log(ctx, args).await,
    }
}

/// A client of the server that a run's process was given.
pub async fn inside(ctx: &Context, run: &InsideRun) -> Result<Client> {
    ctx.wiring
        .open_client(&Target::Remote(remote_of(run)?))
        .await
}

/// The run a command is about.
#[derive(Debug, clap::Args)]
struct RunArg {
    /// Name of the run
    #[arg(value_name = "NAME")]
    name: String,
}

/// Fetches one run of the workspace worked in.
async fn get(ctx: &Context, name: &str) -> anyhow::Result<Run> {
    let request = GetRun {
        workspace: ctx.workspace().await?,
        run: name.to_owned(),
    };
    Ok(ctx.client().await?.call(&request).await?)
}
