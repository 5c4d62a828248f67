//! `aml schedule update`

use clap::Args;
use serde_json::{Map, Value, json};

use crate::{asset::texts, context::Context};
use api::{
    Error, Result,
    schedules::{GetSchedule, Schedule, UpdateSchedule},
};
use spec::overrides::{self, Edit, Values};

/// What can change of a schedule.
const CHANGEABLE: [&str; 7] = [
    "display_name",
    "description",
    "tags",
    "properties",
    "trigger",
    "create_job",
    "is_enabled",
];

/// Change a schedule
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Schedule to change
    #[arg(short, long)]
    name: String,
    /// Value to change, such as trigger.expression="0 8 * * *"
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Key to remove, such as tags.team
    #[arg(long, value_name = "KEY", num_args = 1..)]
    remove: Vec<String>,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let set = args.set.iter().map(|set| Edit::set(set));
    let mut edits = set.collect::<Result<Vec<_>>>()?;
    edits.extend(
        args.remove
            .into_iter()
            .map(|path| Edit::Remove { path, index: None }),
    );
    let changed = change(ctx, &args.name, &edits, Values::Json).await?;
    ctx.ui.show(&changed)
}

/// Changes what edits say of a schedule.
pub async fn change(ctx: &Context, name: &str, edits: &[Edit], values: Values) -> Result<Schedule> {
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let get = GetSchedule {
        workspace: workspace.clone(),
        name: name.to_owned(),
    };
    let found = client.call(&get).await?;
    let before = fields(&found);
    let after = overrides::of_value(&before, edits, values)?;
    let update = UpdateSchedule {
        workspace,
        name: found.name,
        ..differences(&before, &after)?
    };
    client.call(&update).await
}

/// What a file says of the schedule.
pub fn fields(schedule: &Schedule) -> Map<String, Value> {
    let fields = json!({
        "name": schedule.name,
        "display_name": schedule.display_name,
        "description": schedule.description,
        "tags": schedule.tags,
        "properties": schedule.properties,
        "trigger": schedule.trigger,
        "create_job": schedule.create_job,
        "is_enabled": schedule.enabled,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

fn differences(before: &Map<String, Value>, after: &Map<String, Value>) -> Result<UpdateSchedule> {
    let mut update = UpdateSchedule::default();
    let text = |key: &str| {
        let text = after.get(key).and_then(Value::as_str);
        Some(text.unwrap_or_default().to_owned())
    };
    for key in before.keys().chain(after.keys()) {
        if before.get(key) == after.get(key) {
            continue;
        }
        match key.as_str() {
            "display_name" => update.display_name = text(key),
            "description" => update.description = text(key),
            "tags" => update.tags = Some(texts(after, key)),
            "properties" => update.properties = Some(texts(after, key)),
            "trigger" => {
                let trigger = after.get(key).and_then(Value::as_object);
                update.trigger = Some(trigger.cloned().unwrap_or_default());
            }
            "create_job" => update.create_job = after.get(key).cloned(),
            "is_enabled" => {
                let enabled = after.get(key).and_then(Value::as_bool);
                update.enabled =
                    Some(enabled.ok_or_else(|| {
                        Error::invalid("`is_enabled` is true or false").at("--set")
                    })?);
            }
            _ => {
                return Err(
                    Error::invalid(format!("`{key}` of a schedule does not change"))
                        .at("--set")
                        .hint(format!("What changes is {}", CHANGEABLE.join(", "))),
                );
            }
        }
    }
    Ok(update)
}
