//! The command tree: one file per subcommand, named as the user types it.
//!
//! A command reads what is the user's own (files, folder, terminal), calls the client, shows the
//! answer. It never asks which mode it is in.

mod args;
mod asset;
mod az;
mod az_link;
mod code;
mod complete;
mod completions;
mod component;
mod compute;
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
mod job;
mod lineage;
mod login;
mod logout;
mod mlflow;
mod model;
mod paste;
mod pipeline;
mod profile;
mod quickstart;
mod registry;
mod run;
mod schedule;
mod schema;
mod secret;
mod serve;
mod snapshot;
mod software;
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
mod worker;
mod workspace;

use std::{path::Path, process::ExitCode};

use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand,
    builder::{PossibleValuesParser, Styles, styling::AnsiColor},
};

use context::Context;
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
    /// Workspace to work in [default: the one chosen by `aml workspace use`]
    #[arg(short, long, global = true, value_name = "NAME")]
    workspace: Option<String>,
    /// Server to talk to, by the name given to `aml login`
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Format of the answer [default: table on a terminal, else json]
    #[arg(id = "output", short, long, global = true, value_name = "FORMAT",
          value_parser = PossibleValuesParser::new(FORMATS))]
    output: Option<String>,
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
    Quickstart(quickstart::QuickstartArgs),
    #[command(subcommand)]
    Workspace(workspace::WorkspaceCommand),
    #[command(subcommand)]
    Model(model::ModelCommand),
    #[command(subcommand)]
    Data(data::DataCommand),
    #[command(subcommand)]
    Environment(environment::EnvironmentCommand),
    #[command(subcommand)]
    Component(component::ComponentCommand),
    #[command(subcommand)]
    Code(code::CodeCommand),
    #[command(subcommand)]
    Datastore(datastore::DatastoreCommand),
    #[command(subcommand)]
    Compute(compute::ComputeCommand),
    #[command(subcommand)]
    Connection(connection::ConnectionCommand),
    #[command(subcommand)]
    Registry(registry::RegistryCommand),
    Deploy(deploy::DeployArgs),
    #[command(subcommand)]
    Endpoint(endpoint::EndpointCommand),
    #[command(subcommand)]
    Deployment(deployment::DeploymentCommand),
    Doctor(doctor::DoctorArgs),
    Serve(serve::ServeArgs),
    Mlflow(mlflow::MlflowArgs),
    #[command(subcommand)]
    Import(import::ImportCommand),
    #[command(subcommand)]
    Export(export::ExportCommand),
    Worker(worker::WorkerArgs),
    Login(login::LoginArgs),
    Logout(logout::LogoutArgs),
    Whoami(whoami::WhoamiArgs),
    #[command(subcommand)]
    Profile(profile::ProfileCommand),
    #[command(subcommand)]
    Experiment(experiment::ExperimentCommand),
    #[command(subcommand)]
    Run(run::RunCommand),
    #[command(subcommand)]
    Job(job::JobCommand),
    #[command(subcommand)]
    Pipeline(pipeline::PipelineCommand),
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    #[command(subcommand)]
    Sweep(sweep::SweepCommand),
    Lineage(lineage::LineageArgs),
    Snapshot(snapshot::SnapshotArgs),
    Gc(gc::GcArgs),
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    #[command(subcommand)]
    User(user::UserCommand),
    Validate(validate::ValidateArgs),
    Schema(schema::SchemaArgs),
    AzLink(az_link::AzLinkArgs),
    Completions(completions::CompletionsArgs),
    #[command(hide = true)]
    Docs(docs::DocsArgs),
    #[command(hide = true)]
    Supervise(supervise::SuperviseArgs),
    #[command(hide = true)]
    TableRows(table_rows::TableRowsArgs),
    #[command(hide = true)]
    EndpointHost(endpoint_host::HostArgs),
    #[command(hide = true)]
    EndpointWatch(endpoint_host::WatchArgs),
}

/// The whole command tree, for parsing, completion and documents.
pub fn command() -> clap::Command {
    taking_negative_numbers(Cli::command())
}

/// So that `--limit -1` is answered with what a limit can be.
fn taking_negative_numbers(command: clap::Command) -> clap::Command {
    command
        .mut_args(|arg| {
            let takes_values = arg.get_action().takes_values();
            arg.allow_negative_numbers(takes_values)
        })
        .mut_subcommands(taking_negative_numbers)
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    crate::wiring::name_process();
    if az::is_called(std::env::args().next().as_deref()) {
        return az::main();
    }
    clap_complete::CompleteEnv::with_factory(|| complete::with_candidates(command())).complete();
    let cli = match command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches))
    {
        Ok(cli) => cli,
        Err(error) => return error::usage(error),
    };
    let no_color = cli.globals.no_color;
    let paste = Paste::new(&cli.globals, std::env::args().next());
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error, &paste, no_color),
    }
}

/// Threads of a server that the store may keep for a moment: for one write and one read.
const KEPT_THREADS: usize = 2;

fn run(cli: Cli) -> anyhow::Result<()> {
    if let Command::EndpointWatch(args) = &cli.command {
        return endpoint_host::watch(args);
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
    runtime.block_on(async {
        let ctx = match cli.command {
            Command::Doctor(_)
            | Command::Supervise(_)
            | Command::TableRows(_)
            | Command::EndpointHost(_) => Context::whatever_the_file(cli.globals)?,
            _ => Context::new(cli.globals)?,
        };
        let performed = perform(&ctx, cli.command).await;
        performed
            .map_err(|error| error::amend(error, |error| ctx.explain(error)))
            .map_err(|error| ctx.ui.ended(error))
    })
}

async fn perform(ctx: &Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Quickstart(args) => Box::pin(quickstart::quickstart(ctx, args)).await,
        Command::Doctor(args) => doctor::doctor(ctx, args).await,
        Command::Workspace(command) => workspace::run(ctx, command).await,
        Command::Model(command) => model::run(ctx, command).await,
        Command::Data(command) => data::run(ctx, command).await,
        Command::Environment(command) => environment::run(ctx, command).await,
        Command::Component(command) => component::run(ctx, command).await,
        Command::Code(command) => code::run(ctx, command).await,
        Command::Datastore(command) => datastore::run(ctx, command).await,
        Command::Compute(command) => compute::run(ctx, command).await,
        Command::Connection(command) => connection::run(ctx, command).await,
        Command::Registry(command) => registry::run(ctx, command).await,
        Command::Deploy(args) => deploy::deploy(ctx, args).await,
        Command::Deployment(command) => deployment::run(ctx, command).await,
        Command::Endpoint(command) => endpoint::run(ctx, command).await,
        Command::Serve(args) => serve::serve(ctx, args).await,
        Command::Import(command) => Box::pin(import::run(ctx, command)).await,
        Command::Export(command) => Box::pin(export::run(ctx, command)).await,
        Command::Mlflow(args) => mlflow::mlflow(ctx, args).await,
        Command::Worker(args) => worker::worker(ctx, args).await,
        Command::Login(args) => login::login(ctx, args).await,
        Command::Logout(args) => logout::logout(ctx, &args),
        Command::Whoami(args) => whoami::whoami(ctx, args).await,
        Command::Profile(command) => profile::run(ctx, command),
        Command::Experiment(command) => experiment::run(ctx, command).await,
        Command::Run(command) => run::run(ctx, command).await,
        Command::Job(command) => Box::pin(job::run(ctx, command)).await,
        Command::Pipeline(command) => Box::pin(pipeline::run(ctx, command)).await,
        Command::Schedule(command) => Box::pin(schedule::run(ctx, command)).await,
        Command::Sweep(command) => sweep::run(ctx, command).await,
        Command::Lineage(args) => lineage::lineage(ctx, args).await,
        Command::Snapshot(args) => snapshot::snapshot(ctx, args).await,
        Command::Gc(args) => gc::gc(ctx, args).await,
        Command::Secret(command) => secret::run(ctx, command).await,
        Command::Webhook(command) => webhook::run(ctx, command).await,
        Command::User(command) => user::run(ctx, command).await,
        Command::Validate(args) => validate::validate(ctx, &args),
        Command::Schema(args) => schema::schema(ctx, &args),
        Command::AzLink(args) => az_link::az_link(ctx, &args),
        Command::Completions(args) => completions::completions(ctx, &args),
        Command::Docs(args) => docs::docs(ctx, &args),
        Command::Supervise(args) => supervise::supervise(args).await,
        Command::TableRows(args) => table_rows::table_rows(ctx, &args),
        Command::EndpointHost(args) => endpoint_host::host(ctx, args).await,
        Command::EndpointWatch(args) => endpoint_host::watch(&args),
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
