//! `aml job create`

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::{Map, Value};

use super::{also, entity::Entity, local, stream, workspace};
use crate::{
    context::Context,
    datastore::named,
    document,
    run::{git, naming},
    submission::Submission,
    validate::kind_named,
};
use api::{
    Error, Result,
    computes::{ComputeState, GetCompute},
    jobs::CreateJob,
    names,
    runs::{Run, RunStatus},
};
use spec::{
    issue::Report,
    load,
    overrides::{Edit, Values},
};

/// The experiment of jobs whose folder cannot be one.
pub(super) const EXPERIMENT: &str = "Default";

/// Computes that nobody creates.
const ANYWHERE: [&str; 2] = ["local", "serverless"];

/// Create a job from a YAML file and queue it
///
/// What the file names on this machine is uploaded first: code, data, build contexts. The job goes on
/// when this command ends.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// YAML file of the job
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub file: PathBuf,
    /// Name of the job, unique in the workspace [default: the file's, else one is made]
    #[arg(id = "new_name", short = 'n', long = "name", value_name = "NAME")]
    pub name: Option<String>,
    /// Value to change first, such as inputs.rate=0.1; several can follow
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    pub set: Vec<String>,
    /// Follow the job to its end; the exit code tells how it ended
    #[arg(short, long)]
    pub stream: bool,
    /// Say where its page is, too
    #[arg(short = 'e', long)]
    pub web: bool,
    /// File to write the created job to, as YAML
    #[arg(short = 'a', long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub save_as: Option<PathBuf>,
    /// Accepted for scripts; what cannot be understood is refused all the same
    #[arg(long, hide_short_help = true)]
    pub skip_validation: bool,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let submission = Submission::default();
    let work = Box::pin(create_and_follow(ctx, args, &submission));
    submission.until_ctrl_c(ctx, work).await
}

async fn create_and_follow(
    ctx: &Context,
    args: CreateArgs,
    submission: &Submission,
) -> anyhow::Result<()> {
    let (_, request) = request_of(ctx, &args.file, &args.set, args.name.clone()).await?;
    let client = ctx.client().await?;
    let run = submission.send(&request.name, client.call(&request)).await;
    let run = run.map_err(|error| located(ctx, &args.file, &args.set, error))?;
    let workspace = workspace(ctx).await?;
    let entity = Entity::new(&run, &workspace);
    if let Some(file) = &args.save_as {
        save(&ctx.folder.join(file), &entity)?;
    }
    if args.web {
        ctx.ui.status(&entity.web_view());
    }
    if args.stream {
        return stream::to_the_end_and_show(ctx, &run).await;
    }
    say_of_compute(ctx, &workspace.name, &run).await;
    ctx.ui.show(&entity)
}

/// Creates the job that a checked description is, whose local paths are absolute.
pub async fn submit(ctx: &Context, workspace: &str, definition: Map<String, Value>) -> Result<Run> {
    let request = request(ctx, workspace, None, definition).await?;
    ctx.client().await?.call(&request).await
}

/// What a file asks for and the workspace's name, with everything uploaded that is on this machine.
pub async fn request_of(
    ctx: &Context,
    file: &Path,
    set: &[String],
    name: Option<String>,
) -> Result<(String, CreateJob)> {
    let (value, mut report) = check(ctx, file, set)?;
    let Some(Value::Object(definition)) = value else {
        also::find(ctx, file, set, &mut report).await;
        return Err(report.into_error());
    };
    ctx.ui.excerpts(&report);
    let workspace = workspace(ctx).await?.name;
    match request(ctx, &workspace, name, definition).await {
        Ok(mut request) => {
            let mut looked_at = BTreeSet::new();
            for (key, address) in local::addresses(&mut request.definition, "") {
                let datastore = address.split("/paths/").next().unwrap_or_default();
                if looked_at.insert(datastore.to_owned()) {
                    let placed = |error: Error| located(ctx, file, set, error.at(key));
                    named::warn(ctx, &workspace, &address, placed).await;
                }
            }
            Ok((workspace, request))
        }
        Err(error) if error.code.retryable() => Err(error),
        Err(error) => {
            // Something that the file names on this machine.
            let error = located(ctx, file, set, error);
            let (value, mut report) = check(ctx, file, set)?;
            report.partial = value;
            Err(also::with(ctx, file, set, report, error).await)
        }
    }
}

/// An error about the keys of a file with their lines.
pub fn located(ctx: &Context, file: &Path, set: &[String], error: Error) -> Error {
    match opened(ctx, file, set) {
        Ok(document) => document::located(&document, error),
        Err(_) => error,
    }
}

pub(super) fn opened(ctx: &Context, file: &Path, set: &[String]) -> Result<load::Document> {
    let name = file.display().to_string();
    let mut document = load::open(&ctx.folder.join(file), &name)?;
    let edits: Vec<Edit> = set
        .iter()
        .map(|set| Edit::set(set))
        .collect::<Result<_>>()?;
    document.edit(&edits, Values::Strings)?;
    Ok(document)
}

/// The job that a file describes, if it is right; and what is wrong with it.
pub fn check(ctx: &Context, file: &Path, set: &[String]) -> Result<(Option<Value>, Report)> {
    checked(&opened(ctx, file, set)?)
}

/// The same of one that is open.
pub fn checked(document: &load::Document) -> Result<(Option<Value>, Report)> {
    let (_, value, report) = document.check_any(&[kind_named("job")?]);
    Ok((value, report))
}

/// Creates the job of a definition, with everything uploaded that is on this machine.
pub async fn started(
    ctx: &Context,
    name: Option<String>,
    definition: Map<String, Value>,
) -> Result<Run> {
    let workspace = workspace(ctx).await?.name;
    let request = request(ctx, &workspace, name, definition).await?;
    ctx.client().await?.call(&request).await
}

/// What is asked for, with everything uploaded that is on this machine.
async fn request(
    ctx: &Context,
    workspace: &str,
    name: Option<String>,
    mut definition: Map<String, Value>,
) -> Result<CreateJob> {
    let own = definition.get("name").and_then(Value::as_str);
    let name = name.or_else(|| own.map(str::to_owned));
    let name = name.unwrap_or_else(naming::new_name);
    names::RUN.check(&name)?;
    definition.insert("name".to_owned(), Value::from(name.clone()));
    let code = local::code_folder(&definition);
    let (brought, git) = tokio::join!(local::bring(ctx, workspace, &mut definition), async {
        match &code {
            Some(folder) => git::facts(folder).await,
            None => None,
        }
    });
    brought?;
    Ok(CreateJob {
        workspace: workspace.to_owned(),
        name,
        experiment: naming::experiment_of(&ctx.folder).unwrap_or_else(|_| EXPERIMENT.to_owned()),
        definition,
        git,
        search_path: ctx.profile().is_none().then(|| ctx.config.path.clone()),
    })
}

/// Says that a queued job waits for a compute that somebody has to start, or that it names none of the
/// workspace but nearly one: any machine takes it then, which may not be what was meant.
pub async fn say_of_compute(ctx: &Context, workspace: &str, run: &Run) {
    let described = run.job.as_ref().and_then(|job| job.described.as_ref());
    let Some(described) = described.filter(|_| !run.status.ended()) else {
        return;
    };
    // A pipeline is not queued itself.
    let waits = run.status == RunStatus::Queued || described.definition.contains_key("jobs");
    say_of_computes(ctx, workspace, &described.definition, waits).await;
}

/// The same of what runs later, unless it waits already.
pub async fn say_of_computes(
    ctx: &Context,
    workspace: &str,
    definition: &Map<String, Value>,
    waits: bool,
) {
    let Ok(client) = ctx.client().await else {
        return;
    };
    for name in computes(definition) {
        let get = GetCompute {
            workspace: workspace.to_owned(),
            name: name.to_owned(),
        };
        match client.call(&get).await {
            Ok(found) if waits && found.state == Some(ComputeState::Stopped) => {
                let name = found.name;
                ctx.ui.warn(&format!(
                    "The compute {name} is stopped: the job waits until it is started"
                ));
                ctx.ui.hint(&format!("Start it: aml compute start {name}"));
            }
            Err(Error {
                unknown: Some(unknown),
                ..
            }) => {
                if let Some(nearest) = unknown.nearest {
                    ctx.ui.warn(&format!(
                        "No compute is called {name}: any machine takes what names it"
                    ));
                    ctx.ui.hint(&format!("Did you mean `{nearest}`?"));
                }
            }
            _ => {}
        }
    }
}

/// The computes that a job and its steps name, each once.
fn computes(definition: &Map<String, Value>) -> BTreeSet<&str> {
    let steps = definition.get("jobs").and_then(Value::as_object);
    let steps = steps.into_iter().flat_map(Map::values);
    let own = [
        definition.get("compute"),
        definition
            .get("settings")
            .and_then(|settings| settings.get("default_compute")),
    ];
    let named = own.into_iter().chain(steps.map(|step| step.get("compute")));
    named
        .filter_map(|compute| compute?.as_str())
        .map(|compute| compute.strip_prefix("azureml:").unwrap_or(compute))
        .map(|compute| compute.rsplit('/').next().unwrap_or(compute))
        .filter(|compute| !ANYWHERE.contains(compute))
        .collect()
}

fn save(file: &Path, entity: &Entity) -> Result<()> {
    let text = serde_saphyr::to_string(entity).map_err(|e| Error::internal(e.to_string()))?;
    fs::write(file, text).map_err(|e| {
        Error::invalid(format!("Cannot write `{}`: {e}", file.display())).at("--save-as")
    })
}
