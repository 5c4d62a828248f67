//! Live candidates for completion: the names a shell offers after TAB.
//!
//! A shell waits for these, so they are few, quick and silent: whatever goes wrong, there are none.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    time::Duration,
};

use clap::{Arg, Command};
use clap_complete::engine::{
    ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};

use super::{Globals, context::Context};
use crate::wiring::{Target, Wiring};
use api::{
    Result,
    access::{ListUsers, Role},
    assets::{Archived, AssetKind, ListAssets},
    batch::ListBatchEndpoints,
    computes::ListComputes,
    connections::ListConnections,
    datastores::ListDatastores,
    endpoints::ListEndpoints,
    experiments::ListExperiments,
    models::{ListModels, Model},
    monitors::ListMonitorReports,
    registries::ListRegistries,
    runs::ListRuns,
    schedules::ListSchedules,
    secrets::ListSecrets,
    webhooks::ListWebhooks,
    workspaces::ListWorkspaces,
};

/// Longer than this and the person has typed on.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs offered, the newest of those whose names begin as what is typed.
const RUNS: u32 = 50;

/// The kinds of names there are to offer.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Workspace,
    Experiment,
    Run,
    /// `NAME` of a model.
    Model,
    /// `NAME:VERSION`.
    ModelVersion,
    /// Name of an asset.
    Asset(AssetKind),
    Registry,
    Datastore,
    Compute,
    Connection,
    Endpoint,
    BatchEndpoint,
    Monitor,
    Schedule,
    Webhook,
    Secret,
    User,
    Profile,
    Metric,
    Role,
    /// What `--env` takes: a curated name, `host`, or a file.
    Environment,
}

/// The command tree with candidates at each argument that names something there is.
pub fn with_candidates(command: Command, wiring: &'static dyn Wiring) -> Command {
    below(command, &mut Vec::new(), wiring)
}

fn below(command: Command, path: &mut Vec<String>, wiring: &'static dyn Wiring) -> Command {
    let command = command.mut_args(|arg| match kind(path, &arg) {
        Some(kind) => arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
            candidates(kind, typed, wiring)
        })),
        None => arg,
    });
    command.mut_subcommands(|sub| {
        path.push(sub.get_name().to_owned());
        let sub = below(sub, path, wiring);
        path.pop();
        sub
    })
}

/// Whether the name given to a command is that of something new.
fn makes_something(path: &[String]) -> bool {
    let verb = path.last().map(String::as_str);
    matches!(
        verb,
        Some("create" | "submit" | "register" | "set" | "deploy")
    )
}

/// What an argument names: said by its own name, or, where that is `name`, by the command's.
fn kind(path: &[String], arg: &Arg) -> Option<Kind> {
    if arg.get_id() == "name" && makes_something(path) {
        return None;
    }
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    // The commands of `az ml` are about the same things.
    let path = path.strip_prefix(&["ml"]).unwrap_or(&path);
    match (path, arg.get_id().as_str()) {
        (_, "workspace" | "workspace-name") | (["workspace", ..], "name") => Some(Kind::Workspace),
        (_, "experiment") | (["experiment", ..], "name") => Some(Kind::Experiment),
        (["run" | "job", ..], "name" | "from" | "a" | "b" | "job_name" | "name_option")
        | (_, "run" | "runs" | "from_run") => Some(Kind::Run),
        (["deploy"], "model") | (_, "model_version") => Some(Kind::ModelVersion),
        (["model", ..], "name") | (_, "model") => Some(Kind::Model),
        (["datastore", ..], "name") | (_, "datastore") => Some(Kind::Datastore),
        (["compute", ..], "name") => Some(Kind::Compute),
        (["connection", ..], "name") => Some(Kind::Connection),
        (["registry", ..], "name") | (_, "registry_name" | "registry-name" | "to") => {
            Some(Kind::Registry)
        }
        ([noun, ..], "name" | "asset") if AssetKind::parse(noun).is_some() => {
            AssetKind::parse(noun).map(Kind::Asset)
        }
        (["batch", ..], "name" | "endpoint") => Some(Kind::BatchEndpoint),
        (_, "monitor") | (["monitor", ..], "name") => Some(Kind::Monitor),
        (["endpoint", ..], "name") | (_, "endpoint") => Some(Kind::Endpoint),
        (["schedule", ..], "name") => Some(Kind::Schedule),
        (_, "webhook") => Some(Kind::Webhook),
        (["secret", ..], "name") | (_, "secret") => Some(Kind::Secret),
        (["user", ..], "name") | (_, "user") => Some(Kind::User),
        (["profile" | "logout", ..], "name") | (_, "profile") => Some(Kind::Profile),
        (["run", "best" | "metrics"], "metric") => Some(Kind::Metric),
        (_, "role") => Some(Kind::Role),
        (_, "env") => Some(Kind::Environment),
        _ => None,
    }
}

/// The names that begin as `start` does; like everywhere, case does not count.
fn candidates(kind: Kind, start: &OsStr, wiring: &'static dyn Wiring) -> Vec<CompletionCandidate> {
    let text = start.to_string_lossy();
    let names = match kind {
        Kind::Role => Role::ALL.map(short_role).to_vec(),
        Kind::Environment => spec::environment::curated_names()
            .chain(["host"])
            .map(str::to_owned)
            .collect(),
        _ => {
            let line = typed(std::env::args_os());
            let ctx = Context::new(line.globals, wiring);
            let names = ctx.and_then(|ctx| {
                let experiment = line.experiment;
                let asked = Asked {
                    kind,
                    text: &text,
                    experiment,
                };
                names(&ctx, &asked)
            });
            names.unwrap_or_default()
        }
    };
    let begins = |name: &String| name.to_lowercase().starts_with(&text.to_lowercase());
    let names = names.into_iter().filter(begins);
    let mut candidates: Vec<_> = names.map(CompletionCandidate::new).collect();
    if let Kind::Environment = kind {
        candidates.extend(PathCompleter::file().complete(start));
    }
    candidates
}

/// A role as it is typed without quotes.
fn short_role(role: Role) -> String {
    let name = role.name().to_lowercase();
    let short = name.strip_prefix("azureml ").unwrap_or(&name);
    short.replace(' ', "-")
}

/// What the line so far says of which names are meant.
#[derive(Default)]
struct Line {
    globals: Globals,
    experiment: Option<String>,
}

/// The options on the line so far. It is not whole yet, so it cannot be parsed.
fn typed(line: impl Iterator<Item = OsString>) -> Line {
    let mut found = Line::default();
    let mut words = line.filter_map(|word| word.into_string().ok()).peekable();
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), words.peek().cloned()),
        };
        match option {
            "-w" | "--workspace" | "--workspace-name" => found.globals.workspace = value,
            "--profile" => found.globals.profile = value,
            "-e" | "--experiment" => found.experiment = value,
            _ => (),
        }
    }
    found
}

/// Which names are asked for.
struct Asked<'a> {
    kind: Kind,
    /// How they begin.
    text: &'a str,
    /// What the line says of the experiment.
    experiment: Option<String>,
}

fn names(ctx: &Context, asked: &Asked<'_>) -> Result<Vec<String>> {
    if let Kind::Profile = asked.kind {
        let profiles = ctx.config.settings.profiles.keys().cloned();
        return Ok(profiles.chain(["local".to_owned()]).collect());
    }
    if let Target::Local { home } = ctx.target()?
        && !home.exists()
    {
        return Ok(Vec::new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread();
    let Ok(runtime) = { runtime }.enable_all().build() else {
        return Ok(Vec::new());
    };
    runtime.block_on(async {
        let answer = tokio::time::timeout(PATIENCE, ask(ctx, asked)).await;
        answer.unwrap_or_else(|_| Ok(Vec::new()))
    })
}

async fn ask(ctx: &Context, asked: &Asked<'_>) -> Result<Vec<String>> {
    let client = ctx.client().await?;
    let (kind, text) = (asked.kind, asked.text);
    // After a colon come the versions of a name, after an @ its aliases.
    let named = text.split_once([':', '@']).map(|(name, _)| name.to_owned());
    Ok(match kind {
        Kind::Workspace => collect(client.call(&ListWorkspaces {}).await?, |item| item.name),
        Kind::User => collect(client.call(&ListUsers {}).await?, |item| item.name),
        Kind::Experiment => {
            let request = ListExperiments {
                workspace: ctx.workspace().await?,
                include_deleted: false,
            };
            collect(client.call(&request).await?, |item| item.name)
        }
        Kind::Run => runs(ctx, text).await?,
        Kind::Model | Kind::ModelVersion => models(ctx, kind, named, text).await?,
        Kind::Asset(kind) => {
            let request = ListAssets {
                workspace: ctx.workspace().await?,
                kind,
                name: named.clone(),
                archived: Archived::Exclude,
                limit: None,
            };
            let assets = client.call(&request).await?;
            match named {
                None => collect(assets, |item| item.name),
                Some(_) => collect(assets, |item| format!("{}:{}", item.name, item.version)),
            }
        }
        Kind::Metric => metrics(ctx, asked.experiment.clone()).await?,
        Kind::Datastore => {
            let workspace = ctx.workspace().await?;
            let datastores = client.call(&ListDatastores { workspace }).await?;
            collect(datastores, |item| item.name)
        }
        Kind::Compute => {
            let request = ListComputes {
                workspace: ctx.workspace().await?,
                kind: None,
            };
            collect(client.call(&request).await?, |item| item.name)
        }
        Kind::Connection => {
            let request = ListConnections {
                workspace: ctx.workspace().await?,
                kind: None,
                secrets: false,
            };
            collect(client.call(&request).await?, |item| item.name)
        }
        Kind::Registry => collect(client.call(&ListRegistries {}).await?, |item| item.name),
        Kind::Endpoint => {
            let workspace = ctx.workspace().await?;
            let endpoints = client.call(&ListEndpoints { workspace }).await?;
            collect(endpoints, |item| item.name)
        }
        Kind::BatchEndpoint => {
            let workspace = ctx.workspace().await?;
            let endpoints = client.call(&ListBatchEndpoints { workspace }).await?;
            collect(endpoints, |item| item.name)
        }
        Kind::Monitor => {
            let request = ListMonitorReports {
                workspace: ctx.workspace().await?,
                monitor: None,
                limit: None,
            };
            let mut names = collect(client.call(&request).await?, |item| item.monitor);
            names.sort_unstable();
            names.dedup();
            names
        }
        Kind::Schedule => {
            let workspace = ctx.workspace().await?;
            let schedules = client.call(&ListSchedules { workspace }).await?;
            collect(schedules, |item| item.name)
        }
        Kind::Webhook => {
            let request = ListWebhooks {
                workspace: ctx.workspace().await?,
                ..ListWebhooks::default()
            };
            collect(client.call(&request).await?.items, |item| item.name)
        }
        Kind::Secret => {
            let workspace = ctx.workspace().await?;
            let secrets = client.call(&ListSecrets { workspace }).await?;
            collect(secrets, |item| item.name)
        }
        Kind::Profile | Kind::Role | Kind::Environment => Vec::new(),
    })
}

async fn runs(ctx: &Context, text: &str) -> Result<Vec<String>> {
    let request = ListRuns {
        workspace: ctx.workspace().await?,
        filter: begins_as(text),
        limit: Some(RUNS),
        ..ListRuns::default()
    };
    let found = ctx.client().await?.call(&request).await?.items;
    Ok(collect(found, |item| item.name))
}

/// The condition that the names of runs begin as `text`; none where that is no beginning of a name.
fn begins_as(text: &str) -> Option<String> {
    let in_names = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    let is_begun = !text.is_empty() && text.chars().all(in_names);
    is_begun.then(|| format!("attributes.run_id ILIKE '{text}%'"))
}

/// The metrics of the newest runs, of the experiment if one is named.
async fn metrics(ctx: &Context, experiment: Option<String>) -> Result<Vec<String>> {
    let request = ListRuns {
        workspace: ctx.workspace().await?,
        experiment,
        limit: Some(RUNS),
        ..ListRuns::default()
    };
    let runs = ctx.client().await?.call(&request).await?.items.into_iter();
    let keys: BTreeSet<String> = runs.flat_map(|run| run.metrics.into_keys()).collect();
    Ok(keys.into_iter().collect())
}

/// Models, versions of one that is `named`, and aliases.
async fn models(
    ctx: &Context,
    kind: Kind,
    named: Option<String>,
    text: &str,
) -> Result<Vec<String>> {
    let request = ListModels {
        workspace: ctx.workspace().await?,
        name: named.clone(),
        ..ListModels::default()
    };
    let models = ctx.client().await?.call(&request).await?;
    let aliases = |model: &Model| {
        let whole = |alias: &String| format!("{}@{alias}", model.name);
        model.aliases.iter().map(whole).collect::<Vec<_>>()
    };
    let aliased: Vec<String> = models.iter().flat_map(aliases).collect();
    let mut names = match kind {
        Kind::Model if named.is_none() => collect(models, |item| item.name),
        _ => collect(models, |item| format!("{}:{}", item.name, item.version)),
    };
    names.dedup();
    // Once the name is there, or where a version is wanted.
    if text.contains('@') || matches!(kind, Kind::ModelVersion) {
        names.extend(aliased);
    }
    Ok(names)
}

fn collect<T>(items: Vec<T>, name: impl Fn(T) -> String) -> Vec<String> {
    items.into_iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A new command's argument is completed, or is known to name something new.
    #[test]
    fn names_have_candidates() {
        fn below(command: &Command, path: &mut Vec<String>) {
            for arg in command.get_arguments().filter(|arg| arg.get_id() == "name") {
                assert!(
                    makes_something(path) || kind(path, arg).is_some(),
                    "`{}` has a name without candidates",
                    path.join(" ")
                );
            }
            for sub in command.get_subcommands() {
                path.push(sub.get_name().to_owned());
                below(sub, path);
                path.pop();
            }
        }
        below(&crate::command(), &mut Vec::new());
    }

    #[test]
    fn options_are_found_on_an_unfinished_line() {
        let line = "aml -- aml run show -w Churn --profile=team na";
        let Line { globals, .. } = typed(line.split(' ').map(OsString::from));
        assert_eq!(globals.workspace.as_deref(), Some("Churn"));
        assert_eq!(globals.profile.as_deref(), Some("team"));
    }
}
