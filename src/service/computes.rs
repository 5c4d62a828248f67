//! Computes: what they may say, their passwords, starting and stopping.

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result,
    computes::{
        CLUSTER, Compute, ComputeState, CreateCompute, DEFAULT_SIZE, DeleteCompute, GetCompute,
        INSTANCE, ListComputes, Size, Switch, SwitchCompute, sizes,
    },
    names,
};
use store::{ComputeRow, WorkspaceRow};

/// The types there are.
const KINDS: [&str; 5] = [
    CLUSTER,
    INSTANCE,
    "virtualmachine",
    "kubernetes",
    "synapsespark",
];
/// Keys whose values are kept sealed.
const SECRETS: [&str; 2] = ["admin_password", "ssh_private_key"];

fn context(row: &WorkspaceRow, name: &str) -> String {
    let id = &row.workspace.id;
    format!("workspaces/{id}/computes/{}", name.to_lowercase())
}

fn shown(row: ComputeRow) -> Compute {
    let mut compute = row.compute;
    let size = compute.spec.get("size").and_then(Value::as_str);
    compute.size = size.and_then(Size::named);
    compute
}

/// For how long a compute instance may be idle, in milliseconds; for ever where it says nothing.
fn idle_time(spec: &Map<String, Value>) -> Result<Option<i64>> {
    let minutes = spec.get("idle_time_before_shutdown_minutes");
    let written = spec
        .get("idle_time_before_shutdown")
        .and_then(Value::as_str);
    let minutes = match (written, minutes.and_then(Value::as_i64)) {
        (Some(text), _) => in_minutes(text).ok_or_else(|| {
            Error::invalid(format!("`{text}` is no time to be idle for"))
                .at("idle_time_before_shutdown")
                .hint("Write it as PT30M, PT2H or P1D")
        })?,
        (None, Some(minutes)) => minutes,
        (None, None) => return Ok(None),
    };
    if minutes <= 0 {
        return Err(Error::invalid("An instance is idle for at least a minute")
            .at("idle_time_before_shutdown_minutes"));
    }
    let millis = minutes.checked_mul(60_000);
    millis.map(Some).ok_or_else(|| {
        Error::invalid("An instance is not idle for so long").at("idle_time_before_shutdown")
    })
}

/// A duration of whole minutes.
fn in_minutes(text: &str) -> Option<i64> {
    let seconds = spec::durations::seconds(text)?;
    (seconds % 60 == 0).then_some(seconds / 60)
}

impl Service {
    /// Stops the compute instances that have been idle for longer than they say: who looks at computes,
    /// or for work, finds them so.
    pub(super) async fn stop_idle_computes(&self) -> Result<()> {
        let now = self.now();
        for idle in self.store.idle_instances().await? {
            let allowed = idle_time(&idle.spec).ok().flatten();
            if allowed.is_some_and(|allowed| now.0.saturating_sub(idle.since.0) >= allowed) {
                self.store.stop_idle_instance(&idle, now).await?;
            }
        }
        Ok(())
    }

    async fn find_compute(&self, row: &WorkspaceRow, name: &str) -> Result<Compute> {
        match self.store.compute(row.id, name).await? {
            Some(found) => Ok(shown(found)),
            None => Err(self.unknown_compute(row, name).await?),
        }
    }

    async fn unknown_compute(&self, row: &WorkspaceRow, name: &str) -> Result<Error> {
        let all = self.store.list_computes(row.id, None).await?;
        let nearest = names::nearest(name, all.iter().map(|row| row.compute.name.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        Ok(Error::unknown("compute", name, &place, nearest)
            .or_hint("See which there are: aml compute list"))
    }
}

/// Fills in what has a default and refuses what cannot be.
fn complete(kind: &str, spec: &mut Map<String, Value>) -> Result<()> {
    spec.retain(|_, value| !value.is_null());
    if kind != CLUSTER && kind != INSTANCE {
        return Ok(());
    }
    let size = spec
        .entry("size")
        .or_insert_with(|| json!(DEFAULT_SIZE))
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if Size::named(&size).is_none() {
        let known: Vec<String> = sizes().map(|size| size.name).collect();
        let nearest = names::nearest(&size, known.iter().map(String::as_str));
        let error = Error::invalid(format!("`{size}` is no size of a machine")).at("size");
        return Err(match nearest {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None => error.hint("See which there are: aml compute list-sizes"),
        });
    }
    if kind == INSTANCE {
        idle_time(spec)?;
    }
    if kind == CLUSTER {
        let mut number = |key: &str, default: i64| -> Result<i64> {
            let value = spec.entry(key).or_insert_with(|| json!(default));
            let number = value.as_i64().filter(|number| *number >= 0);
            number.ok_or_else(|| {
                Error::invalid(format!("`{key}` is {value}, which is no number from 0")).at(key)
            })
        };
        let least = number("min_instances", 0)?;
        let most = number("max_instances", 4)?;
        number("idle_time_before_scale_down", 120)?;
        if least > most {
            return Err(Error::invalid(format!(
                "min_instances is {least} and max_instances only {most}"
            ))
            .at("min_instances"));
        }
        spec.entry("tier").or_insert_with(|| json!("dedicated"));
    }
    Ok(())
}

/// An identity that the machine gets has an id of its own.
fn identify(spec: &mut Map<String, Value>, before: Option<&Compute>) {
    let own = before.and_then(|compute| compute.spec.get("identity")?.get("principal_id").cloned());
    let Some(Value::Object(identity)) = spec.get_mut("identity") else {
        return;
    };
    let kind = identity
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if kind.contains("system_assigned") && !identity.contains_key("principal_id") {
        let new = || json!(uuid::Uuid::new_v4().to_string());
        identity.insert("principal_id".to_owned(), own.unwrap_or_else(new));
    }
}

/// Takes the secrets out of a spec, at any depth.
fn take_secrets(spec: &mut Map<String, Value>, path: &str, taken: &mut Map<String, Value>) {
    for (key, value) in spec.iter_mut() {
        let path = format!("{path}{key}");
        if let Value::Object(below) = value {
            take_secrets(below, &format!("{path}."), taken);
        } else if SECRETS.contains(&key.as_str()) {
            taken.insert(path, value.take());
        }
    }
    spec.retain(|key, _| !SECRETS.contains(&key.as_str()));
}

#[async_trait]
impl Perform for CreateCompute {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Compute> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageWorkspace)
            .await?;
        names::COMPUTE.check(&self.name)?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        let kind = self.kind.to_lowercase();
        if !KINDS.contains(&kind.as_str()) {
            return Err(
                Error::invalid(format!("`{}` is no type of compute", self.kind))
                    .at("type")
                    .hint(format!("The types are {}", KINDS.join(", "))),
            );
        }
        let before = service.store.compute(row.id, &self.name).await?.map(shown);
        let mut spec = self.spec;
        complete(&kind, &mut spec)?;
        identify(&mut spec, before.as_ref());
        let mut secrets = Map::new();
        take_secrets(&mut spec, "", &mut secrets);
        let sealed = if secrets.is_empty() {
            None
        } else {
            let plain = serde_json::to_vec(&secrets).map_err(|e| Error::internal(e.to_string()))?;
            Some(service.vault.seal(&context(&row, &self.name), &plain)?)
        };
        let now = service.now();
        let new = ComputeRow {
            compute: Compute {
                name: self.name.clone(),
                state: (kind == INSTANCE).then_some(ComputeState::Running),
                kind,
                location: self
                    .location
                    .unwrap_or_else(|| row.workspace.location.clone()),
                spec,
                description: self.description,
                tags: self.tags,
                last_operation: "Create".to_owned(),
                size: None,
                created_by: caller.name().to_owned(),
                created_at: now,
                updated_at: now,
            },
            sealed_secrets: sealed,
        };
        match service.store.put_compute(row.id, new).await? {
            Some(put) => {
                // More of what is queued may begin.
                service.ring();
                Ok(shown(put))
            }
            None => Err(Error::conflict(format!(
                "There is a compute `{}` of another type already",
                self.name
            ))
            .at("type")
            .hint(format!("Delete it: aml compute delete -n {}", self.name))),
        }
    }
}

#[async_trait]
impl Perform for ListComputes {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Compute>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.stop_idle_computes().await?;
        let kind = self.kind.map(|kind| kind.to_lowercase());
        let all = service.store.list_computes(row.id, kind).await?;
        Ok(all.into_iter().map(shown).collect())
    }
}

#[async_trait]
impl Perform for GetCompute {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Compute> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        service.stop_idle_computes().await?;
        service.find_compute(&row, &self.name).await
    }
}

#[async_trait]
impl Perform for SwitchCompute {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Compute> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        let found = service.find_compute(&row, &self.name).await?;
        if found.kind != INSTANCE {
            return Err(Error::conflict(format!(
                "`{}` is of type {}; only compute instances are started and stopped",
                found.name, found.kind
            ))
            .hint("A cluster has instances while there is work for them"));
        }
        let (state, operation) = match self.to {
            Switch::Start => (ComputeState::Running, "Start"),
            Switch::Stop => (ComputeState::Stopped, "Stop"),
            Switch::Restart => (ComputeState::Running, "Restart"),
        };
        let switched =
            service
                .store
                .switch_compute(row.id, &self.name, state, operation, service.now());
        match switched.await? {
            Some(switched) => {
                service.ring();
                Ok(shown(switched))
            }
            None => Err(service.unknown_compute(&row, &self.name).await?),
        }
    }
}

#[async_trait]
impl Perform for DeleteCompute {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::ManageWorkspace)
            .await?;
        if service.store.delete_compute(row.id, &self.name).await? {
            service.ring();
            return Ok(Done {});
        }
        Err(service.unknown_compute(&row, &self.name).await?)
    }
}
