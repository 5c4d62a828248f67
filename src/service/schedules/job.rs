//! The job that a schedule creates: copied from one that is named, changed, and filled in each time.

use chrono::SecondsFormat;
use serde_json::{Map, Value};

use super::super::{Caller, Perform, Service};
use api::{
    Error, Result, Time,
    assets::{AssetKind, AssetRef, GetAsset},
    runs::GetRun,
};
use spec::{
    expression::{Expression, Template},
    kinds::{environment::EnvironmentSource, schedule::CreateJob as Written},
    shape::Described as _,
};

/// Keys of which a change replaces members and not the whole.
const MERGED: [&str; 8] = [
    "settings",
    "inputs",
    "outputs",
    "tags",
    "properties",
    "environment_variables",
    "conf",
    "limits",
];
/// Keys in which `${{name}}` and `${{creation_context.trigger_time}}` are filled in.
const FILLED: [&str; 7] = [
    "inputs",
    "outputs",
    "tags",
    "properties",
    "display_name",
    "description",
    "experiment_name",
];
const TRIGGER_TIME: &str = "creation_context.trigger_time";

impl Service {
    /// The whole job that a `create_job` asks for.
    pub(super) async fn job_of_schedule(
        &self,
        caller: &Caller,
        workspace: &str,
        asked: Value,
    ) -> Result<Map<String, Value>> {
        Written::read(Some(&asked)).map_err(|mismatch| {
            Error::invalid(format!("The job is not understood: {mismatch}")).at("create_job")
        })?;
        let (source, changes) = match asked {
            Value::Object(mut fields) => match fields.shift_remove("job") {
                Some(source) => (source, fields),
                None => (Value::Object(fields), Map::new()),
            },
            source => (source, Map::new()),
        };
        let changed: Vec<String> = changes.keys().cloned().collect();
        let base = match source {
            Value::Object(job) => job,
            Value::String(name) => self.copied_job(caller, workspace, &name).await?,
            _ => return Err(Error::invalid("There is no job").at("create_job")),
        };
        let mut job = merged(base, changes)?;
        // Each job has a name of its own.
        job.shift_remove("name");
        filled(&job, "name", self.now())?;
        let named = self.check_named(caller, workspace, &job, "create_job.");
        // What no change says is said by the job that is changed.
        named.await.map_err(|error| {
            let target = error.target.as_deref().unwrap_or_default();
            let key = target.strip_prefix("create_job.").unwrap_or_default();
            let own = changed.iter().any(|own| key.split('.').next() == Some(own));
            if changed.is_empty() || own || key.is_empty() {
                return error;
            }
            let target = format!("create_job.job.{key}");
            error.at(target)
        })?;
        Ok(job)
    }

    /// Refuses environments and components that are not there: else each of the jobs would fail. Data may
    /// come until it is due.
    async fn check_named(
        &self,
        caller: &Caller,
        workspace: &str,
        part: &Map<String, Value>,
        at: &str,
    ) -> Result<()> {
        if let Some(source) = part.get("environment").filter(|source| source.is_string())
            && let Ok(source) = EnvironmentSource::read(Some(source))
        {
            let found = self.resolve_environment(caller, workspace, &source).await;
            found.map_err(|error| error.at(format!("{at}environment")))?;
        }
        for key in ["component", "trial"] {
            let at = format!("{at}{key}");
            match part.get(key) {
                Some(Value::String(reference)) => {
                    self.check_component(caller, workspace, reference)
                        .await
                        .map_err(|error| error.at(at))?;
                }
                Some(Value::Object(inside)) => {
                    let at = format!("{at}.");
                    Box::pin(self.check_named(caller, workspace, inside, &at)).await?;
                }
                _ => {}
            }
        }
        for (name, step) in part
            .get("jobs")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            if let Value::Object(step) = step {
                let at = format!("{at}jobs.{name}.");
                Box::pin(self.check_named(caller, workspace, step, &at)).await?;
            }
        }
        Ok(())
    }

    async fn check_component(
        &self,
        caller: &Caller,
        workspace: &str,
        reference: &str,
    ) -> Result<()> {
        let asset = AssetRef::parse(reference)?;
        let get = GetAsset::of(&asset, AssetKind::Component, workspace);
        get.perform(self, caller).await.map(drop)
    }

    /// What a job of the workspace was described by.
    async fn copied_job(
        &self,
        caller: &Caller,
        workspace: &str,
        reference: &str,
    ) -> Result<Map<String, Value>> {
        let name = reference.strip_prefix("azureml:").unwrap_or(reference);
        let name = name.rsplit('/').next().unwrap_or(name);
        let get = GetRun {
            workspace: workspace.to_owned(),
            run: name.to_owned(),
        };
        let run = get.perform(self, caller).await;
        let run = run.map_err(|error| error.at("create_job"))?;
        let described = run.job.and_then(|job| job.described);
        described
            .map(|described| described.definition)
            .ok_or_else(|| {
                Error::invalid(format!(
                "The run `{name}` was not described by a job file, so it cannot be created again"
            ))
            .at("create_job")
            .hint("Write what it does as a job, and name that file: create_job: ./job.yml")
            })
    }
}

/// A job with changes.
fn merged(mut base: Map<String, Value>, changes: Map<String, Value>) -> Result<Map<String, Value>> {
    let kind = |job: &Map<String, Value>| {
        let kind = job.get("type").and_then(Value::as_str);
        kind.map(str::to_owned)
    };
    if let Some(asked) = kind(&changes) {
        let found = kind(&base).unwrap_or_else(|| "command".to_owned());
        if found != asked {
            return Err(Error::invalid(format!(
                "The job is of type `{found}`, and the schedule says `{asked}`"
            ))
            .at("create_job.type")
            .hint(format!("Say type: {found}, or leave it out")));
        }
    }
    for (key, change) in changes {
        match (base.get_mut(&key), change) {
            (_, Value::Null) => {}
            (Some(Value::Object(members)), Value::Object(change))
                if MERGED.contains(&key.as_str()) =>
            {
                members.extend(change);
            }
            (_, change) => drop(base.insert(key, change)),
        }
    }
    Ok(base)
}

/// The job to create at a time, under a name.
pub(super) fn filled(
    job: &Map<String, Value>,
    name: &str,
    trigger_time: Time,
) -> Result<Map<String, Value>> {
    let time = trigger_time
        .datetime()
        .to_rfc3339_opts(SecondsFormat::Secs, true);
    let mut job = job.clone();
    for key in FILLED {
        if let Some(value) = job.get_mut(key) {
            fill(value, name, &time).map_err(|error| error.at(format!("create_job.{key}")))?;
        }
    }
    job.insert("name".to_owned(), Value::from(name));
    Ok(job)
}

fn fill(value: &mut Value, name: &str, time: &str) -> Result<()> {
    match value {
        Value::String(text) if text.contains("${{") => {
            let filled = Template::parse(text).fill(&mut |expression| match expression {
                Expression::Name => Ok(Some(name.to_owned())),
                Expression::Other(word) if word == TRIGGER_TIME => Ok(Some(time.to_owned())),
                Expression::Other(word) if word.starts_with("creation_context.") => {
                    Err(Error::invalid(format!("`${{{{{word}}}}}` means nothing"))
                        .hint("There are ${{name}} and ${{creation_context.trigger_time}}"))
                }
                // Known when the job runs.
                other => Ok(Some(other.to_string())),
            })?;
            *text = filled;
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, name, time)),
        Value::Object(fields) => fields
            .values_mut()
            .try_for_each(|item| fill(item, name, time)),
        _ => Ok(()),
    }
}
