//! `aml job update`

use clap::Args;
use serde_json::{Map, Value};

use super::{JobArg, entity::Entity, workspace};
use crate::context::Context;
use api::{
    Error, Result,
    jobs::DESCRIPTION_TAG,
    metrics::LogBatch,
    runs::{GetRun, Run, UpdateRun},
};
use spec::overrides::{self, Edit, Values};

/// What can change of a job.
const CHANGEABLE: [&str; 4] = ["display_name", "description", "experiment_name", "tags"];

/// Change a job's display name, description, experiment or tags
///
/// What it ran stays as it was.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    #[command(flatten)]
    job: JobArg,
    /// Value to change, such as `tags.team=a` or `display_name=b`
    #[arg(long, value_name = "KEY=VALUE", num_args = 1..)]
    set: Vec<String>,
    /// Key to remove, such as tags.team
    #[arg(long, value_name = "KEY", num_args = 1..)]
    remove: Vec<String>,
    /// Take values as texts, also where they are JSON
    #[arg(long)]
    force_string: bool,
    /// Say where its page is, too
    #[arg(short = 'e', long)]
    web: bool,
}

pub async fn update(ctx: &Context, args: UpdateArgs) -> anyhow::Result<()> {
    let mut edits: Vec<Edit> = args
        .set
        .iter()
        .map(|set| Edit::set(set))
        .collect::<Result<_>>()?;
    edits.extend(args.remove.iter().map(|path| Edit::Remove {
        path: path.clone(),
        index: None,
    }));
    let values = if args.force_string {
        Values::Strings
    } else {
        Values::Json
    };
    let entity = change(ctx, &args.job, &edits, values).await?;
    if args.web {
        ctx.ui.status(&entity.web_view());
    }
    ctx.ui.show(&entity)
}

/// Changes what can be changed of a job; the job as it is then.
pub async fn change(ctx: &Context, job: &JobArg, edits: &[Edit], values: Values) -> Result<Entity> {
    let run = job.get(ctx).await?;
    let workspace = workspace(ctx).await?;
    let before = Entity::new(&run, &workspace);
    let after = overrides::of_value(before.fields(), edits, values)?;
    apply(ctx, &run, before.fields(), &after).await?;
    let get = GetRun {
        workspace: workspace.name.clone(),
        run: run.name,
    };
    let run = ctx.client().await?.call(&get).await?;
    Ok(Entity::new(&run, &workspace))
}

/// Sends the differences.
async fn apply(
    ctx: &Context,
    run: &Run,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) -> Result<()> {
    let null = Value::Null;
    let keys = after.keys().chain(before.keys());
    for key in keys {
        let same = after.get(key).unwrap_or(&null) == before.get(key).unwrap_or(&null);
        if !same && !CHANGEABLE.contains(&key.as_str()) {
            return Err(Error::invalid(format!("`{key}` of a job does not change"))
                .at("--set")
                .hint(format!("What changes is {}", CHANGEABLE.join(", "))));
        }
    }
    let workspace = ctx.workspace().await?;
    let client = ctx.client().await?;
    let text = |key: &str| after.get(key).and_then(Value::as_str).map(str::to_owned);
    let changed = |key: &str| after.get(key) != before.get(key);
    if changed("experiment_name") && text("experiment_name").is_none() {
        return Err(Error::invalid("A job is always in an experiment")
            .at("--set")
            .hint("Name another one: --set experiment_name=NAME"));
    }
    if changed("display_name") || changed("experiment_name") {
        let own = || text("display_name").unwrap_or_else(|| run.name.clone());
        let update = UpdateRun {
            workspace: workspace.clone(),
            run: run.name.clone(),
            display_name: changed("display_name").then(own),
            experiment: text("experiment_name").filter(|_| changed("experiment_name")),
            ..UpdateRun::default()
        };
        client.call(&update).await?;
    }
    let mut batch = LogBatch {
        workspace,
        run: run.name.clone(),
        ..LogBatch::default()
    };
    if after.get("description") != before.get("description") {
        match text("description") {
            Some(description) => drop(batch.tags.insert(DESCRIPTION_TAG.to_owned(), description)),
            None => batch.remove_tags.push(DESCRIPTION_TAG.to_owned()),
        }
    }
    let tags = |fields: &Map<String, Value>| match fields.get("tags") {
        Some(Value::Object(tags)) => tags.clone(),
        _ => Map::new(),
    };
    let (old, new) = (tags(before), tags(after));
    for (key, value) in &new {
        if old.get(key) != Some(value) {
            let text = value.as_str().map(str::to_owned);
            let text = text.unwrap_or_else(|| value.to_string());
            batch.tags.insert(key.clone(), text);
        }
    }
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    batch.remove_tags.extend(gone.cloned());
    if !batch.tags.is_empty() || !batch.remove_tags.is_empty() {
        client.call(&batch).await?;
    }
    Ok(())
}
