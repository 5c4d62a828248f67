//! `aml schedule create`

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::{
    asset::texts,
    context::Context,
    document::{Draft, edits},
    job::local,
    run::naming,
};
use api::{Error, Result, schedules::CreateSchedule};
use spec::overrides::Values;

/// The experiment of jobs whose folder cannot be one.
const EXPERIMENT: &str = "Default";

/// Create a schedule from a YAML file, or replace the one of that name
///
/// The job is copied now, with what it names on this machine; a change of its file changes nothing.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// YAML file that describes it
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: String,
    /// Name, instead of the file's
    #[arg(short, long)]
    name: Option<String>,
    /// Value to change, as KEY=VALUE; the key with dots
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Accepted for scripts; the command ends when it is done
    #[arg(long, hide_short_help = true)]
    no_wait: bool,
}

pub async fn create(ctx: &Context, args: CreateArgs) -> anyhow::Result<()> {
    let mut draft = Draft::open(Some(&args.file), &ctx.folder)?;
    if let Some(name) = args.name {
        draft.put("name", name, "--name");
    }
    draft.edit(&edits(&args.set)?, Values::Strings)?;
    let request = request(ctx, draft.check("schedule")?).await?;
    ctx.ui.show(&ctx.client().await?.call(&request).await?)
}

/// What creates the schedule that a checked file describes; what its job names on this machine is
/// brought along.
pub async fn request(ctx: &Context, mut fields: Map<String, Value>) -> Result<CreateSchedule> {
    let object = |value: Option<Value>| match value {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let trigger = object(fields.shift_remove("trigger"));
    let create_job = fields.shift_remove("create_job");
    let mut create_job = create_job.ok_or_else(|| no_job(&fields))?;
    let trigger = trigger.ok_or_else(|| {
        Error::invalid("The schedule has no trigger")
            .at("trigger")
            .hint("Say when it is due: trigger: {type: cron, expression: \"0 8 * * *\"}")
    })?;
    let workspace = ctx.workspace().await?;
    bring(ctx, &workspace, &mut create_job).await?;
    let text = |key: &str| fields.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(CreateSchedule {
        workspace,
        name: text("name").unwrap_or_default(),
        display_name: text("display_name"),
        description: text("description"),
        tags: texts(&fields, "tags"),
        properties: texts(&fields, "properties"),
        trigger,
        create_job,
        experiment: naming::experiment_of(&ctx.folder).unwrap_or_else(|_| EXPERIMENT.to_owned()),
        search_path: ctx.profile().is_none().then(|| ctx.config.path.clone()),
    })
}

/// Uploads what the job and what changes it name on this machine.
async fn bring(ctx: &Context, workspace: &str, create_job: &mut Value) -> Result<()> {
    if let Value::Object(fields) = create_job {
        local::bring(ctx, workspace, fields).await?;
        if let Some(Value::Object(job)) = fields.get_mut("job") {
            local::bring(ctx, workspace, job).await?;
        }
    }
    Ok(())
}

/// Why a schedule of something else than a job is refused.
fn no_job(fields: &Map<String, Value>) -> Error {
    if fields.contains_key("create_monitor") {
        return Error::unsupported(
            "A monitor looks at data that Azure collects from its deployments; nothing collects it here",
        )
        .at("create_monitor")
        .hint("Schedule a job that looks at the data: create_job: ./job.yml");
    }
    if fields.contains_key("import_data") {
        return Error::unsupported(
            "Data is imported through connections by a service of Azure, which is not here",
        )
        .at("import_data")
        .hint("Schedule a job that fetches the data and names its output: create_job: ./job.yml");
    }
    Error::invalid("The schedule has no job")
        .at("create_job")
        .hint("Name its file: create_job: ./job.yml")
}
