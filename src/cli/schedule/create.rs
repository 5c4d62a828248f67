//! `aml schedule create`

use clap::Args;
use serde_json::{Map, Value};

use crate::{
    asset::texts,
    context::Context,
    document::{Draft, edits},
    job::{imported, local},
    run::naming,
};
use api::{
    Error, Result,
    schedules::{CreateSchedule, Schedule},
};
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
    let request = request(ctx, draft.check("schedule")?).await;
    let request = request.map_err(|error| draft.located(error))?;
    let created = ctx.client().await?.call(&request).await;
    let created = created.map_err(|error| draft.located(error))?;
    ctx.ui.show(&created)?;
    if let Some(needs) = what_it_needs(ctx, &created) {
        ctx.ui.status(needs);
    }
    Ok(())
}

/// What somebody has to do so that anything comes of a schedule. Whoever has a server need not know who
/// creates its jobs.
pub fn what_it_needs(ctx: &Context, schedule: &Schedule) -> Option<&'static str> {
    if schedule.enabled && schedule.next.is_empty() {
        return Some("It is never due: no time to come fits its trigger.");
    }
    let here = ctx.profile().is_none() && schedule.enabled;
    here.then_some(
        "Its jobs are created while `aml serve` runs, or by a timer that calls `aml schedule run-due`.",
    )
}

/// What creates the schedule that a checked file describes; what its job names on this machine is
/// brought along.
pub async fn request(ctx: &Context, mut fields: Map<String, Value>) -> Result<CreateSchedule> {
    let object = |value: Option<Value>| match value {
        Some(Value::Object(fields)) => Some(fields),
        _ => None,
    };
    let trigger = object(fields.shift_remove("trigger"));
    let mut create_monitor = object(fields.shift_remove("create_monitor"));
    let mut create_job = match (fields.shift_remove("create_job"), &create_monitor) {
        (Some(job), _) => job,
        (None, Some(_)) => Value::Null,
        (None, None) => match object(fields.shift_remove("import_data")) {
            Some(import) => imported::job_of(ctx, &import).map(Value::Object)?,
            None => return Err(no_job()),
        },
    };
    let trigger = trigger.ok_or_else(|| {
        Error::invalid("The schedule has no trigger")
            .at("trigger")
            .hint("Say when it is due: trigger: {type: cron, expression: \"0 8 * * *\"}")
    })?;
    let workspace = ctx.workspace().await?;
    bring(ctx, &workspace, &mut create_job).await?;
    if let Some(monitor) = &mut create_monitor {
        bring_data(ctx, &workspace, monitor).await?;
    }
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
        create_monitor,
        experiment: naming::experiment_of(&ctx.folder).unwrap_or_else(|_| EXPERIMENT.to_owned()),
        search_path: ctx.profile().is_none().then(|| ctx.config.path.clone()),
    })
}

/// Uploads what the job and what changes it name on this machine.
async fn bring(ctx: &Context, workspace: &str, create_job: &mut Value) -> Result<()> {
    if let Value::Object(fields) = create_job {
        let placed = |error: Error, at: &str| match &error.target {
            Some(key) => {
                let at = format!("{at}.{key}");
                error.at(at)
            }
            None => error.at(at),
        };
        let brought = local::bring(ctx, workspace, fields).await;
        brought.map_err(|error| placed(error, "create_job"))?;
        if let Some(Value::Object(job)) = fields.get_mut("job") {
            let brought = local::bring(ctx, workspace, job).await;
            brought.map_err(|error| placed(error, "create_job.job"))?;
        }
    }
    Ok(())
}

/// Uploads what the data of a monitor's signals names on this machine.
async fn bring_data(
    ctx: &Context,
    workspace: &str,
    monitor: &mut Map<String, Value>,
) -> Result<()> {
    let signals = monitor.get_mut("monitoring_signals");
    let Some(signals) = signals.and_then(Value::as_object_mut) else {
        return Ok(());
    };
    for signal in signals.values_mut() {
        for side in ["production_data", "reference_data"] {
            let data = signal
                .get_mut(side)
                .and_then(|data| data.get_mut("input_data"));
            if let Some(data) = data.filter(|data| data.is_object()) {
                let mut inputs = Map::from_iter([("data".to_owned(), data.take())]);
                let mut job = Map::from_iter([("inputs".to_owned(), inputs.into())]);
                local::bring(ctx, workspace, &mut job).await?;
                inputs = match job.shift_remove("inputs") {
                    Some(Value::Object(inputs)) => inputs,
                    _ => Map::new(),
                };
                *data = inputs.shift_remove("data").unwrap_or_default();
            }
        }
    }
    Ok(())
}

fn no_job() -> Error {
    Error::invalid("The schedule has no job")
        .at("create_job")
        .hint("Name its file: create_job: ./job.yml")
}
