//! `aml job`

mod also;
pub mod archive;
pub mod cancel;
pub mod create;
pub mod download;
pub mod entity;
pub mod imported;
pub mod list;
pub mod local;
pub mod show;
pub mod steps;
pub mod stream;
pub mod update;
pub mod validate;

use clap::Subcommand;

use super::context::Context;
use api::{
    Error, Result,
    runs::{GetRun, Run},
    workspaces::{GetWorkspace, Workspace},
};

/// Run jobs that are written in Azure ML's YAML
///
/// A job is a run: its name is the run's, and `aml run` shows the same record.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    Create(create::CreateArgs),
    Show(show::ShowArgs),
    Stream(stream::StreamArgs),
    List(list::ListArgs),
    Download(download::DownloadArgs),
    Cancel(cancel::CancelArgs),
    Archive(archive::ArchiveArgs),
    Restore(archive::RestoreArgs),
    Update(update::UpdateArgs),
    Validate(validate::ValidateArgs),
}

pub async fn run(ctx: &Context, command: JobCommand) -> anyhow::Result<()> {
    match command {
        JobCommand::Create(args) => create::create(ctx, args).await,
        JobCommand::Show(args) => show::show(ctx, args).await,
        JobCommand::Stream(args) => stream::stream(ctx, args).await,
        JobCommand::List(args) => list::list(ctx, args).await,
        JobCommand::Download(args) => download::download(ctx, args).await,
        JobCommand::Cancel(args) => cancel::cancel(ctx, args).await,
        JobCommand::Archive(args) => archive::archive(ctx, args).await,
        JobCommand::Restore(args) => archive::restore(ctx, args).await,
        JobCommand::Update(args) => update::update(ctx, args).await,
        JobCommand::Validate(args) => validate::validate(ctx, &args),
    }
}

/// The job a command is about.
#[derive(Debug, Clone, clap::Args)]
pub struct JobArg {
    /// Name of the job
    #[arg(
        id = "job_name",
        value_name = "NAME",
        required_unless_present = "name_option"
    )]
    position: Option<String>,
    /// The same, as an option
    #[arg(
        id = "name_option",
        short = 'n',
        long = "name",
        value_name = "NAME",
        conflicts_with = "job_name",
        hide_short_help = true
    )]
    option: Option<String>,
}

impl JobArg {
    /// The job of that name.
    pub fn named(name: &str) -> Self {
        Self {
            position: Some(name.to_owned()),
            option: None,
        }
    }

    pub fn name(&self) -> &str {
        let name = self.position.as_ref().or(self.option.as_ref());
        name.map_or("", |name| name.strip_prefix("azureml:").unwrap_or(name))
    }

    /// The run of that name, which is called a job where jobs are asked for.
    pub async fn get(&self, ctx: &Context) -> Result<Run> {
        let get = GetRun {
            workspace: ctx.workspace().await?,
            run: self.name().to_owned(),
        };
        let found = ctx.client().await?.call(&get).await;
        found.map_err(|error| as_job(&get.workspace, error))
    }
}

/// That there is no such run, said of a job.
fn as_job(workspace: &str, error: Error) -> Error {
    let Some(unknown) = error.unknown.as_ref().filter(|_| error.is_unknown("run")) else {
        return error;
    };
    let place = format!(" in `{workspace}`");
    let nearest = unknown.nearest.as_deref();
    let mut job = Error::unknown("job", &unknown.name, &place, nearest);
    job.hints = match nearest {
        Some(_) => error.hints,
        None => vec!["See which there are: aml job list".to_owned()],
    };
    job
}

/// Says what was done with a job, and shows the job when that is asked for.
async fn done(ctx: &Context, said: &str, run: &Run) -> anyhow::Result<()> {
    if !ctx.ui.shapes_answers() {
        ctx.ui.status(said);
        return Ok(());
    }
    let entity = entity::Entity::new(run, &workspace(ctx).await?);
    ctx.ui.done(said, &entity)
}

/// The workspace worked in, which a job's addresses name.
pub async fn workspace(ctx: &Context) -> Result<Workspace> {
    let get = GetWorkspace {
        workspace: ctx.workspace().await?,
    };
    ctx.client().await?.call(&get).await
}
