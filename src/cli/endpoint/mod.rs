//! `aml endpoint`

pub mod ask;
mod delete;
mod export;
mod keys;
mod list;
mod logs;
mod metrics;
pub mod score;
mod show;
mod start;
mod stop;
mod token;
pub mod traffic;

use std::{collections::BTreeMap, time::Duration};

use clap::Subcommand;

use super::{
    context::Context,
    error::{ENDPOINT_FAILED, Exit, INTERRUPTED, amend},
    interrupt,
};
use api::{
    Error,
    deployments::Deployed,
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
    Metrics(metrics::MetricsArgs),
    Keys(keys::KeysArgs),
    Token(token::TokenArgs),
    Traffic(traffic::TrafficArgs),
    Stop(stop::StopArgs),
    Start(start::StartArgs),
    Export(export::ExportArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: EndpointCommand) -> anyhow::Result<()> {
    match command {
        EndpointCommand::List(args) => list::list(ctx, args).await,
        EndpointCommand::Show(args) => show::show(ctx, args).await,
        EndpointCommand::Score(args) => score::score(ctx, args).await,
        EndpointCommand::Logs(args) => logs::logs(ctx, args).await,
        EndpointCommand::Metrics(args) => metrics::metrics(ctx, args).await,
        EndpointCommand::Keys(args) => keys::keys(ctx, args).await,
        EndpointCommand::Token(args) => token::token(ctx, args).await,
        EndpointCommand::Traffic(args) => traffic::traffic(ctx, args).await,
        EndpointCommand::Stop(args) => stop::stop(ctx, args).await,
        EndpointCommand::Start(args) => start::start(ctx, args).await,
        EndpointCommand::Export(args) => export::export(ctx, args).await,
        EndpointCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// How often an endpoint that is starting is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Waits until the deployments of a starting endpoint answer, or one of them; fails with the reason
/// when it does not come to that. On ctrl-C it goes on starting, and that is said.
pub async fn wait(
    ctx: &Context,
    workspace: &str,
    endpoint: Endpoint,
    deployment: Option<&str>,
) -> anyhow::Result<Endpoint> {
    let name = endpoint.name.clone();
    let updated = waited_for(&endpoint, deployment).any(|one| one.generation > 1);
    tokio::select! {
        biased;
        () = interrupt::ctrl_c() => {
            let what = if updated { "being updated" } else { "starting" };
            let (said, show, end) = match deployment {
                None => (
                    format!("endpoint {name}"),
                    format!("aml endpoint show {name}"),
                    format!("Stop it: aml endpoint stop {name}"),
                ),
                Some(one) => (
                    format!("deployment {one} of {name}"),
                    format!("aml deployment show {name} {one}"),
                    format!("Delete it: aml deployment delete {name} {one}"),
                ),
            };
            ctx.ui.status(&format!("\nThe {said} goes on {what}."));
            ctx.ui.hint(&format!("See how far it is: {show}"));
            // What answered before may still do so.
            if !updated {
                ctx.ui.hint(&end);
            }
            Err(Exit(INTERRUPTED).into())
        }
        waited = until_it_answers(ctx, workspace, endpoint, deployment) => waited,
    }
}

/// The deployments that are waited for.
fn waited_for<'a>(
    endpoint: &'a Endpoint,
    deployment: Option<&'a str>,
) -> impl Iterator<Item = &'a Deployed> {
    let one =
        move |one: &&Deployed| deployment.is_none_or(|name| one.name.eq_ignore_ascii_case(name));
    endpoint.deployments.iter().filter(one)
}

async fn until_it_answers(
    ctx: &Context,
    workspace: &str,
    endpoint: Endpoint,
    deployment: Option<&str>,
) -> anyhow::Result<Endpoint> {
    let client: &Client = ctx.client().await?;
    let spinner = ctx.ui.spinner("Starting");
    let mut said = String::new();
    let generations: BTreeMap<String, u64> = waited_for(&endpoint, deployment)
        .map(|one| (one.name.clone(), one.generation))
        .collect();
    let mut endpoint = endpoint;
    loop {
        let starting = waited_for(&endpoint, deployment).find(|one| {
            one.state == EndpointState::Starting
                && generations.get(&one.name) == Some(&one.generation)
        });
        let Some(starting) = starting else {
            break;
        };
        let news = starting.message.as_deref().unwrap_or("Starting");
        if news != said {
            spinner.set_message(news.to_owned());
            // Off a terminal nothing is drawn, and it may take minutes.
            if spinner.is_hidden() {
                ctx.ui.status(news);
            }
            news.clone_into(&mut said);
        }
        tokio::time::sleep(LOOK).await;
        let request = GetEndpoint {
            workspace: workspace.to_owned(),
            name: endpoint.name.clone(),
        };
        endpoint = client.call(&request).await?;
    }
    spinner.finish_and_clear();
    for (one, generation) in &generations {
        let found = endpoint.deployments.iter().find(|d| d.name == *one);
        let Some(found) = found else {
            return Err(Error::conflict(format!("`{one}` was deleted meanwhile")).into());
        };
        outcome(&endpoint, found, *generation)?;
    }
    match endpoint.state {
        // The address itself may be what fails.
        EndpointState::Failed if generations.len() == endpoint.deployments.len() => Err(failure(
            &endpoint.name,
            endpoint.message.as_deref().unwrap_or_default(),
        )),
        _ => Ok(endpoint),
    }
}

/// What became of a deployment that was waited for.
fn outcome(endpoint: &Endpoint, found: &Deployed, generation: u64) -> anyhow::Result<()> {
    let name = &endpoint.name;
    let log = log_of(endpoint, found);
    if let Some(failed) = &found.failed_update
        && failed.generation == generation
    {
        let (before, reason) = (found.generation, &failed.message);
        let verb = match found.state {
            EndpointState::Healthy => "still answers",
            _ => "is started again",
        };
        let what = format!("The update of `{name}`");
        let text = format!("{reason}\nGeneration {before} of `{}` {verb}", found.name);
        return Err(failure_of(&what, &log, &text));
    }
    if found.generation != generation {
        return Err(Error::conflict(format!("`{name}` was deployed again meanwhile")).into());
    }
    match found.state {
        EndpointState::Healthy => Ok(()),
        EndpointState::Stopped => {
            Err(Error::conflict(format!("`{name}` was stopped meanwhile")).into())
        }
        EndpointState::Failed | EndpointState::Starting => {
            let reason = found.message.as_deref().unwrap_or_default();
            let one = &found.name;
            if endpoint.deployments.len() > 1 {
                let what = format!("The deployment `{one}` of `{name}`");
                let stays = |error: Error| {
                    error.hint(format!(
                        "It stays, failed, beside the others. Deploy again, or delete it: \
                         aml deployment delete {name} {one} --yes"
                    ))
                };
                return Err(amend(failure_of(&what, &log, reason), stays));
            }
            let stays = |error: Error| {
                error
                    .hint(format!(
                        "It stays, failed. Deploy again, or try the same again: aml endpoint start {name}"
                    ))
                    .hint(format!("Delete it: aml endpoint delete {name} --yes"))
            };
            let what = format!("The endpoint `{name}`");
            Err(amend(failure_of(&what, &log, reason), stays))
        }
    }
}

/// What `aml endpoint logs` is told for the log of a deployment.
fn log_of(endpoint: &Endpoint, one: &Deployed) -> String {
    format!("{} --deployment {}", endpoint.name, one.name)
}

fn failure(name: &str, reason: &str) -> anyhow::Error {
    failure_of(&format!("The endpoint `{name}`"), name, reason)
}

/// `log` says whose log has all of it.
fn failure_of(what: &str, log: &str, reason: &str) -> anyhow::Error {
    let error = Error::unavailable(format!("{what} failed: {reason}"))
        .hint(format!("See all of its log: aml endpoint logs {log}"));
    anyhow::Error::new(error).context(Exit(ENDPOINT_FAILED))
}
