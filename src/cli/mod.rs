//! The command tree: one file per subcommand, named as the user types it.
//!
//! A command reads what is the user's own (files, folder, terminal), calls the client, shows the
//! answer. It never asks which mode it is in.

mod args;
mod asset;
mod az;
mod az_link;
mod batch;
mod code;
mod complete;
mod completions;
mod component;
mod compute;
pub mod config;
mod connection;
mod context;
mod data;
mod datastore;
mod deploy;
mod deployment;
mod docs;
mod doctor;
mod document;
mod endpoint;
mod endpoint_host;
mod environment;
mod error;
mod experiment;
mod export;
mod gathered;
mod gc;
mod hidden;
mod import;
mod interrupt;
mod job;
mod lineage;
mod login;
mod logout;
mod mlflow;
mod model;
mod monitor;
mod part;
mod paste;
mod pipeline;
mod profile;
mod query;
mod question;
mod quickstart;
mod registry;
mod run;
mod schedule;
mod schema;
mod secret;
mod serve;
mod services;
mod snapshot;
mod software;
mod submission;
mod supervise;
mod sweep;
mod table_rows;
mod transfer;
mod ui;
mod user;
mod validate;
mod views;
mod webhook;
mod whoami;
pub mod wiring;
mod worker;
mod workspace;

use std::{path::Path, process::ExitCode};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{PossibleValuesParser, Styles, styling::AnsiColor},
};

use self::wiring::Wiring;
use context::Context;
use part::{Part, only};
use paste::Paste;
use ui::FORMATS;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

/// The Azure Machine Learning workspace in one binary
///
/// Submit training runs, compare them, register models and deploy them as HTTP endpoints, on this
/// machine or on a team's server.
#[derive(Debug, Parser)]
#[command(name = "aml", version, styles = STYLES, propagate_version = false, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options that every command takes.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Global options")]
struct Globals {
    /// Workspace to work in [default: `AML_WORKSPACE`, or the one chosen by `aml workspace use`, or the
    /// only one]
    #[arg(short, long, global = true, value_name = "NAME")]
    workspace: Option<String>,
    /// Server to talk to, by the name given to `aml login`; `local` is this machine [default:
    /// `AML_PROFILE`, or the one chosen by `aml profile use`, or this machine]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Format of the answer [default: table on a terminal, else json]
    #[arg(id = "output", short, long, global = true, value_name = "FORMAT",
          action = clap::ArgAction::Set, value_parser = PossibleValuesParser::new(FORMATS))]
    output: Vec<String>,
    /// JMESPath query to apply to the answer
    #[arg(long, global = true, value_name = "JMESPATH")]
    query: Option<String>,
    /// Resource group; recorded when a workspace is created, and narrows lists of them
    #[arg(
        short = 'g',
        long,
        global = true,
        value_name = "NAME",
        hide_short_help = true
    )]
    resource_group: Option<String>,
    /// Subscription; recorded when a workspace is created, and narrows lists of them
    #[arg(long, global = true, value_name = "ID", hide_short_help = true)]
    subscription: Option<String>,
    /// Print without colour
    #[arg(long, global = true)]
    no_color: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(Part<quickstart::QuickstartArgs>),
    #[command(subcommand)]
    Workspace(Part<workspace::WorkspaceCommand>),
    #[command(subcommand)]
    Model(Part<model::ModelCommand>),
    #[command(subcommand)]
    Data(Part<data::DataCommand>),
    #[command(subcommand)]
    Environment(Part<environment::EnvironmentCommand>),
    #[command(subcommand)]
    Component(Part<component::ComponentCommand>),
    #[command(subcommand)]
    Code(Part<code::CodeCommand>),
    #[command(subcommand)]
    Datastore(Part<datastore::DatastoreCommand>),
    #[command(subcommand)]
    Compute(Part<compute::ComputeCommand>),
    #[command(subcommand)]
    Connection(Part<connection::ConnectionCommand>),
    #[command(subcommand)]
    Registry(Part<registry::RegistryCommand>),
    Deploy(Part<deploy::DeployArgs>),
    #[command(subcommand)]
    Endpoint(Part<endpoint::EndpointCommand>),
    #[command(subcommand)]
    Deployment(Part<deployment::DeploymentCommand>),
    #[command(subcommand)]
    Batch(Part<batch::BatchCommand>),
    Doctor(Part<doctor::DoctorArgs>),
    Serve(Part<serve::ServeArgs>),
    Service(Part<services::ServiceArgs>),
    Mlflow(Part<mlflow::MlflowArgs>),
    #[command(subcommand)]
    Import(Part<import::ImportCommand>),
    #[command(subcommand)]
    Export(Part<export::ExportCommand>),
    Worker(Part<self::worker::WorkerArgs>),
    Login(Part<login::LoginArgs>),
    Logout(Part<logout::LogoutArgs>),
    Whoami(Part<whoami::WhoamiArgs>),
    #[command(subcommand)]
    Profile(Part<profile::ProfileCommand>),
    #[command(subcommand)]
    Experiment(Part<experiment::ExperimentCommand>),
    #[command(subcommand)]
    Run(Part<run::RunCommand>),
    #[command(subcommand)]
    Job(Part<job::JobCommand>),
    #[command(subcommand)]
    Pipeline(Part<pipeline::PipelineCommand>),
    #[command(subcommand)]
    Schedule(Part<schedule::ScheduleCommand>),
    #[command(subcommand)]
    Sweep(Part<sweep::SweepCommand>),
    Lineage(Part<lineage::LineageArgs>),
    Snapshot(Part<snapshot::SnapshotArgs>),
    Gc(Part<gc::GcArgs>),
    #[command(subcommand)]
    Secret(Part<secret::SecretCommand>),
    #[command(subcommand)]
    Webhook(Part<webhook::WebhookCommand>),
    #[command(subcommand)]
    Monitor(Part<self::monitor::MonitorCommand>),
    #[command(subcommand)]
    User(Part<user::UserCommand>),
    Validate(Part<validate::ValidateArgs>),
    Schema(Part<schema::SchemaArgs>),
    AzLink(Part<az_link::AzLinkArgs>),
    Completions(Part<completions::CompletionsArgs>),
    #[command(hide = true)]
    Docs(Part<docs::DocsArgs>),
    #[command(hide = true)]
    Supervise(Part<supervise::SuperviseArgs>),
    #[command(hide = true)]
    TableRows(Part<table_rows::TableRowsArgs>),
    #[command(hide = true)]
    EndpointHost(Part<endpoint_host::HostArgs>),
    #[command(hide = true)]
    EndpointWatch(Part<endpoint_host::WatchArgs>),
}

/// The whole command tree, for completion and documents.
pub fn command() -> clap::Command {
    lenient(Cli::command())
}

/// The command tree as far as this command line needs it.
fn needed() -> clap::Command {
    let first = std::env::args_os().nth(1).unwrap_or_default();
    let first = first.to_string_lossy();
    let tree = only(&first, command);
    let is_part = tree.get_subcommands().any(|sub| sub.get_name() == first);
    if is_part || matches!(&*first, "--version" | "-V") {
        return tree;
    }
    command()
}

/// So that `--limit -1` is answered with what a limit can be, and words that are chosen from a few may be
/// written in any case, as in Azure.
fn lenient(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let takes_values = arg.get_action().takes_values();
            arg.allow_negative_numbers(takes_values)
                .ignore_case(takes_values)
        })
        .mut_subcommands(lenient)
}

/// Runs the command line of this process.
pub fn main(wiring: &'static dyn Wiring) -> ExitCode {
    if az::is_called(std::env::args().next().as_deref()) {
        return az::main(wiring);
    }
    clap_complete::CompleteEnv::with_factory(|| complete::with_candidates(command(), wiring))
        .complete();
    let cli = match needed()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => return error::usage(error),
    };
    let no_color = cli.globals.no_color;
    let paste = Paste::new(&cli.globals, std::env::args().next());
    match run(cli, wiring) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error, &paste, no_color),
    }
}

/// Threads of a server that the store may keep for a moment: for one write and one read.
const KEPT_THREADS: usize = 2;

fn run(cli: Cli, wiring: &'static dyn Wiring) -> anyhow::Result<()> {
    if let Command::EndpointWatch(Part(args)) = cli.command {
        return endpoint_host::watch(args, wiring);
    }
    if let Command::Serve(_) = cli.command {
        serve::check_profile(cli.globals.profile.as_deref())?;
    }
    // A command has nothing else to do while it waits; a server does.
    let runtime = match cli.command {
        Command::Serve(_) | Command::Worker(_) | Command::Mlflow(_) => {
            let processors = std::thread::available_parallelism().map_or(1, usize::from);
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(processors + KEPT_THREADS)
                .enable_all()
                .build()?
        }
        _ => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?,
    };
    let ended = runtime.block_on(async {
        let ctx = match cli.command {
            Command::Doctor(_)
            | Command::Supervise(_)
            | Command::TableRows(_)
            // Each new shell asks for them.
            | Command::Completions(_)
            | Command::EndpointHost(_) => Context::whatever_the_file(cli.globals, wiring)?,
            _ => Context::new(cli.globals, wiring)?,
        };
        let performed = perform(&ctx, cli.command).await;
        performed
            .map_err(|error| error::amend(error, |error| ctx.explain(error)))
            .map_err(|error| ctx.ui.ended(error))
    });
    let interrupted = |error: &anyhow::Error| {
        let own = error.downcast_ref::<error::Exit>();
        own.is_some_and(|exit| exit.0 == error::INTERRUPTED)
    };
    if ended.as_ref().is_err_and(interrupted) {
        // A file may still be read, which nobody waits for any more.
        runtime.shutdown_background();
    }
    ended
}

async fn perform(ctx: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Quickstart(Part(args)) => Box::pin(quickstart::quickstart(ctx, args)).await,
        Command::Doctor(Part(args)) => doctor::doctor(ctx, args).await,
        Command::Workspace(Part(command)) => workspace::run(ctx, command).await,
        Command::Model(Part(command)) => model::run(ctx, command).await,
        Command::Data(Part(command)) => data::run(ctx, command).await,
        Command::Environment(Part(command)) => environment::run(ctx, command).await,
        Command::Component(Part(command)) => component::run(ctx, command).await,
        Command::Code(Part(command)) => code::run(ctx, command).await,
        Command::Datastore(Part(command)) => datastore::run(ctx, command).await,
        Command::Compute(Part(command)) => compute::run(ctx, command).await,
        Command::Connection(Part(command)) => connection::run(ctx, command).await,
        Command::Registry(Part(command)) => registry::run(ctx, command).await,
        Command::Deploy(Part(args)) => deploy::deploy(ctx, args).await,
        Command::Deployment(Part(command)) => deployment::run(ctx, command).await,
        Command::Endpoint(Part(command)) => endpoint::run(ctx, command).await,
        Command::Service(Part(args)) => Box::pin(services::service(ctx, args)).await,
        Command::Serve(Part(args)) => serve::serve(ctx, args).await,
        Command::Import(Part(command)) => Box::pin(import::run(ctx, command)).await,
        Command::Export(Part(command)) => Box::pin(export::run(ctx, command)).await,
        Command::Mlflow(Part(args)) => mlflow::mlflow(ctx, args).await,
        Command::Worker(Part(args)) => self::worker::worker(ctx, args).await,
        Command::Login(Part(args)) => login::login(ctx, args).await,
        Command::Logout(Part(args)) => logout::logout(ctx, &args),
        Command::Whoami(Part(args)) => whoami::whoami(ctx, args).await,
        Command::Profile(Part(command)) => profile::run(ctx, command),
        Command::Experiment(Part(command)) => experiment::run(ctx, command).await,
        Command::Run(Part(command)) => run::run(ctx, command).await,
        Command::Job(Part(command)) => Box::pin(job::run(ctx, command)).await,
        Command::Pipeline(Part(command)) => Box::pin(pipeline::run(ctx, command)).await,
        Command::Schedule(Part(command)) => Box::pin(schedule::run(ctx, command)).await,
        Command::Sweep(Part(command)) => sweep::run(ctx, command).await,
        Command::Lineage(Part(args)) => lineage::lineage(ctx, args).await,
        Command::Snapshot(Part(args)) => snapshot::snapshot(ctx, args).await,
        Command::Gc(Part(args)) => gc::gc(ctx, args).await,
        Command::Secret(Part(command)) => secret::run(ctx, command).await,
        Command::Batch(Part(command)) => batch::run(ctx, command).await,
        Command::Webhook(Part(command)) => webhook::run(ctx, command).await,
        Command::Monitor(Part(command)) => self::monitor::run(ctx, command).await,
        Command::User(Part(command)) => user::run(ctx, command).await,
        Command::Validate(Part(args)) => validate::validate(ctx, &args),
        Command::Schema(Part(args)) => schema::schema(ctx, &args),
        Command::AzLink(Part(args)) => az_link::az_link(ctx, &args),
        Command::Completions(Part(args)) => completions::completions(ctx, &args),
        Command::Docs(Part(args)) => docs::docs(ctx, &args),
        Command::Supervise(Part(args)) => supervise::supervise(ctx, args).await,
        Command::TableRows(Part(args)) => table_rows::table_rows(ctx, &args),
        Command::EndpointHost(Part(args)) => endpoint_host::host(ctx, args).await,
        Command::EndpointWatch(Part(args)) => endpoint_host::watch(args, ctx.wiring),
    }
}

/// Runs another command line in `folder`, on the same target as `ctx`.
async fn run_line(ctx: &Context, words: &[&str], folder: &Path) -> anyhow::Result<()> {
    let cli = Cli::try_parse_from(words)?;
    let ctx = ctx.for_command(cli.globals, folder)?;
    // Its hints name the workspace of its own line.
    let performed = perform(&ctx, cli.command).await;
    performed.map_err(|error| {
        error::amend(error, |mut error| {
            for hint in &mut error.hints {
                *hint = ctx.ui.paste.text(hint);
            }
            error
        })
    })
}
