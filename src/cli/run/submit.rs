//! `aml run submit`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{follow, git, naming, script};
use crate::{
    args::{CodeLimit, parse_pairs, parse_seconds},
    context::Context,
    software,
    submission::Submission,
};
use api::{
    Code, Error, Result,
    deployments::ImageBase,
    environments::{Environment, RunImage},
    names,
    runs::{GetRun, Job, SubmitRun},
};

/// The tag of a run that repeats another.
const REPEATS: &str = "aml.repeats";

/// Submit a command as a run and print the queued run
///
/// The code folder is copied first, without what .amlignore and .gitignore name; unchanged files
/// are not sent again. The run goes on when this command ends.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// Experiment to record the run under [default: the name of the current folder]
    #[arg(short, long, value_name = "NAME")]
    experiment: Option<String>,
    /// Folder that becomes the working directory of the run [default: an empty one]
    #[arg(short, long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    code: Option<PathBuf>,
    #[command(flatten)]
    limit: CodeLimit,
    /// Software to run in: a requirements or conda file, a curated name, or `host`
    #[arg(long, value_name = "ENVIRONMENT", default_value = "host")]
    env: String,
    /// Run in a container of podman or docker
    #[arg(long)]
    container: bool,
    /// Container image to run in, with what --env names on top of it
    #[arg(long, value_name = "IMAGE", requires = "container")]
    image: Option<String>,
    /// Environment variable to set; may be repeated
    #[arg(long = "env-var", value_name = "NAME=VALUE")]
    env_vars: Vec<String>,
    /// Environment variable to set to a secret of the workspace; may be repeated
    #[arg(long = "secret", value_name = "VARIABLE=SECRET")]
    secrets: Vec<String>,
    /// Param to log for the run; may be repeated
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// Tag to set; may be repeated
    #[arg(short, long = "tag", value_name = "KEY=VALUE")]
    tags: Vec<String>,
    /// Name of the run, unique in the workspace [default: one is made]
    #[arg(id = "new_name", short, long = "name", value_name = "NAME")]
    name: Option<String>,
    /// Name to show, which need not be unique
    #[arg(long, value_name = "TEXT")]
    display_name: Option<String>,
    /// Time after which the run is stopped and fails, such as 90s, 10m or 2h
    #[arg(long, value_name = "TIME", value_parser = parse_seconds)]
    timeout: Option<u64>,
    /// Follow the run to its end; the exit code tells how it ended
    #[arg(short, long)]
    stream: bool,
    /// Repeat this run exactly: its code, command, environment, variables and params
    #[arg(long, value_name = "NAME",
          conflicts_with_all = ["code", "env", "container", "env_vars", "secrets", "params", "timeout", "command"])]
    from: Option<String>,
    /// Program and its arguments; a single one is a line for the shell
    #[arg(last = true, value_name = "COMMAND", required_unless_present = "from")]
    command: Vec<String>,
}

pub async fn submit(ctx: &Context, args: SubmitArgs) -> anyhow::Result<()> {
    let submission = Submission::default();
    let work = Box::pin(submit_and_follow(ctx, args, &submission));
    submission.until_ctrl_c(ctx, work).await
}

async fn submit_and_follow(
    ctx: &Context,
    args: SubmitArgs,
    submission: &Submission,
) -> anyhow::Result<()> {
    let workspace = ctx.workspace().await?;
    let name = args.name.clone().unwrap_or_else(naming::new_name);
    names::RUN.check(&name)?;
    if args.name.is_some() {
        check_free(ctx, &workspace, &name).await?;
    }
    let mut tags = parse_pairs("--tag", &args.tags)?;
    let (job, experiment) = match &args.from {
        Some(from) => {
            let original = super::get(ctx, from).await?;
            tags.insert(REPEATS.to_owned(), original.name.clone());
            let job = original.job.ok_or_else(|| {
                Error::conflict(format!(
                    "`{from}` was logged by a client; there is no command to repeat"
                ))
                .at("--from")
            })?;
            (job, Some(original.experiment))
        }
        None => (job(ctx, &workspace, &args).await?, None),
    };
    let experiment = match args.experiment.or(experiment) {
        Some(experiment) => experiment,
        None => naming::experiment_of(&ctx.folder)?,
    };
    let request = SubmitRun {
        workspace: workspace.clone(),
        name,
        experiment,
        display_name: args.display_name,
        tags,
        job,
    };
    let client = ctx.client().await?;
    let run = submission
        .send(&request.name, client.call(&request))
        .await?;
    if args.stream {
        ctx.ui.status(&format!("Submitted the run {}", run.name));
        return follow::follow(ctx, &workspace, &run.name).await;
    }
    ctx.ui.show(&run)
}

/// A name that is taken is said before anything is uploaded, however the run of it stands.
async fn check_free(ctx: &Context, workspace: &str, name: &str) -> Result<()> {
    let taken = GetRun {
        workspace: workspace.to_owned(),
        run: name.to_owned(),
    };
    match ctx.client().await?.call(&taken).await {
        Err(error) if error.code == Code::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(run) => Err(Error::conflict(format!(
            "There is a run `{}` already; nothing was submitted",
            run.name
        ))
        .at("--name")
        .hint("Choose another name, or leave it out and one is made")),
    }
}

/// What `--env` and `--image` name.
fn environment(ctx: &Context, args: &SubmitArgs, code: Option<&Path>) -> Result<Environment> {
    let mut environment = software::load(ctx, &args.env, code)?;
    let Some(named) = &args.image else {
        return match environment {
            Environment::Host | Environment::HostPath { .. } if args.container => {
                Err(Error::invalid("What is in the container is not said")
                    .at("--container")
                    .hint("Name an image: --image python:3.12, or an environment: --env FILE"))
            }
            environment => Ok(environment),
        };
    };
    if !matches!(environment, Environment::Python { .. }) {
        environment = spec::environment::of_image(named, named);
    } else if let Environment::Python { conda, .. } = &mut environment {
        // So that its packages are put on top of the image.
        conda.get_or_insert_default();
    }
    if let Environment::Python { image, path, .. } = &mut environment {
        *image = Some(Box::new(RunImage {
            base: ImageBase::Named(named.clone()),
            workspace: String::new(),
            arguments: [].into(),
        }));
        if ctx.profile().is_none() {
            *path = Some(ctx.config.path.clone());
        }
    }
    Ok(environment)
}

/// What to run, with its code uploaded.
async fn job(ctx: &Context, workspace: &str, args: &SubmitArgs) -> Result<Job> {
    let code = args.code.as_ref().map(|code| ctx.path(code));
    script::check(&args.command, code.as_deref(), &ctx.folder)?;
    let mut job = Job {
        command: args.command.clone(),
        environment: environment(ctx, args, code.as_deref())?,
        container: args.container.then_some(true),
        environment_variables: parse_pairs("--env-var", &args.env_vars)?,
        params: parse_pairs("--param", &args.params)?,
        secrets: parse_pairs("--secret", &args.secrets)?,
        timeout_seconds: args.timeout,
        ..Job::default()
    };
    if let Some(code) = &code {
        let upload = ctx.upload_folder(workspace, code, args.limit.limit());
        let (uploaded, git) = tokio::join!(upload, git::facts(code));
        job.snapshot = Some(uploaded?.tree.hash);
        job.git = git;
    }
    Ok(job)
}
