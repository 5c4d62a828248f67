//! `aml endpoint`

mod delete;
mod keys;
mod list;
mod logs;
mod score;
mod show;
mod start;
mod stop;

use std::time::Duration;

use clap::Subcommand;

use super::{
    context::Context,
    error::{ENDPOINT_FAILED, Exit, INTERRUPTED},
};
use api::{
    Error,
    endpoints::{Endpoint, EndpointState, GetEndpoint},
};
use client::Client;

/// Score with endpoints and manage them
#[derive(Debug, Subcommand)]
pub enum EndpointCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Score(score::ScoreArgs),
    Logs(logs::LogsArgs),
    Keys(keys::KeysArgs),
    Stop(stop::StopArgs),
    Start(start::StartArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: EndpointCommand) -> anyhow::Result<()> {
    match command {
        EndpointCommand::List(args) => list::list(ctx, args).await,
        EndpointCommand::Show(args) => show::show(ctx, args).await,
        EndpointCommand::Score(args) => score::score(ctx, args).await,
        EndpointCommand::Logs(args) => logs::logs(ctx, args).await,
        EndpointCommand::Keys(args) => keys::keys(ctx, args).await,
        EndpointCommand::Stop(args) => stop::stop(ctx, args).await,
        EndpointCommand::Start(args) => start::start(ctx, args).await,
        EndpointCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// How often an endpoint that is starting is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until a starting endpoint answers; fails with the reason when it does not come to that. On
/// ctrl-C it goes on starting, and that is said.
pub async fn wait(ctx: &Context, workspace: &str, endpoint: Endpoint) -> anyhow::Result<Endpoint> {
    let name = endpoint.name.clone();
    tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {
            ctx.ui.status(&format!("The endpoint {name} goes on starting."));
            ctx.ui.hint(&format!("See how far it is: aml endpoint show {name}"));
            ctx.ui.hint(&format!("Stop it: aml endpoint stop {name}"));
            Err(Exit(INTERRUPTED).into())
        }
        waited = until_it_answers(ctx, workspace, endpoint) => waited,
    }
}

async fn until_it_answers(
    ctx: &Context,
    workspace: &str,
    endpoint: Endpoint,
) -> anyhow::Result<Endpoint> {
    let client: &Client = ctx.client().await?;
    let spinner = ctx.ui.spinner("Starting");
    let generation = endpoint.generation;
    let mut endpoint = endpoint;
    while endpoint.state == EndpointState::Starting && endpoint.generation == generation {
        if let Some(message) = &endpoint.message {
            spinner.set_message(message.clone());
        }
        tokio::time::sleep(LOOK).await;
        let request = GetEndpoint {
            workspace: workspace.to_owned(),
            name: endpoint.name,
        };
        endpoint = client.call(&request).await?;
    }
    spinner.finish_and_clear();
    let name = &endpoint.name;
    if let Some(failed) = &endpoint.failed_update
        && failed.generation == generation
    {
        let (before, reason) = (endpoint.generation, &failed.message);
        let verb = match endpoint.state {
            EndpointState::Healthy => "still answers",
            _ => "is started again",
        };
        return Err(failure(
            name,
            &format!("{reason}\nDeployment {before} {verb}"),
        ));
    }
    if endpoint.generation != generation {
        return Err(Error::conflict(format!("`{name}` was deployed again meanwhile")).into());
    }
    match endpoint.state {
        EndpointState::Healthy => Ok(endpoint),
        EndpointState::Stopped => {
            Err(Error::conflict(format!("`{name}` was stopped meanwhile")).into())
        }
        EndpointState::Failed | EndpointState::Starting => Err(failure(
            name,
            endpoint.message.as_deref().unwrap_or_default(),
        )),
    }
}

fn failure(name: &str, reason: &str) -> anyhow::Error {
    let error = Error::unavailable(format!("The endpoint `{name}` failed: {reason}"))
        .hint(format!("See all of its log: aml endpoint logs {name}"));
    anyhow::Error::new(error).context(Exit(ENDPOINT_FAILED))
}
