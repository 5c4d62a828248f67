//! Endpoints: keys, starting and stopping, and what state is true.

use std::{collections::HashMap, path::Path, time::Duration};

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Result,
    endpoints::{
        DeleteEndpoint, Endpoint, EndpointKeys, EndpointLog, EndpointState, FailedUpdate,
        GetEndpoint, GetEndpointKeys, GetEndpointLog, KeyKind, ListEndpoints,
        RegenerateEndpointKey, StartEndpoint, StopEndpoint,
    },
    names,
};
use store::{EndpointRow, WorkspaceRow};

/// Starts the host process of an endpoint, detached; it need not be up when this returns.
pub type StartHost = fn(home: &Path, endpoint: i64) -> Result<()>;

/// How long a started host may take to take its lock.
const HOST_START: Duration = Duration::from_millis(HOST_START_MS.unsigned_abs());
const HOST_START_MS: i64 = 15_000;
/// How long a host may take to end its process and leave.
const HOST_STOP: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a server waits before it starts a host again that it has just started: from, to.
const FIRST_REVIVAL: Duration = Duration::from_secs(2);
const LONGEST_REVIVAL: Duration = Duration::from_mins(5);
/// A host that stays for so long after the wait is begun with anew.
const REVIVAL_STEADY: Duration = Duration::from_mins(1);
/// Lines of the log that come with a failure.
const TAIL: u32 = 20;

/// What a server remembers of the endpoints whose hosts it has started again.
#[derive(Debug, Default)]
pub struct Revivals {
    begun: bool,
    /// When each was started last, and how long to wait before it is again.
    waits: HashMap<i64, (Instant, Duration)>,
}

impl Revivals {
    /// Whether to start an endpoint's host now. The waits double while it does not stay.
    fn is_due(&mut self, endpoint: i64) -> bool {
        let now = Instant::now();
        let wait = match self.waits.get(&endpoint) {
            Some((started, wait)) if now.duration_since(*started) < *wait => return false,
            Some((started, wait)) if now.duration_since(*started) < *wait + REVIVAL_STEADY => {
                (*wait * 2).min(LONGEST_REVIVAL)
            }
            _ => FIRST_REVIVAL,
        };
        self.waits.insert(endpoint, (now, wait));
        true
    }
}

impl Service {
    async fn find_endpoint(&self, row: &WorkspaceRow, name: &str) -> Result<EndpointRow> {
        if let Some(found) = self.store.endpoint(row.id, name).await? {
            return Ok(found);
        }
        let all = self.store.list_endpoints(Some(row.id)).await?;
        let nearest = names::nearest(name, all.iter().map(|row| row.name.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        let error = Error::unknown("endpoint", name, &place, nearest);
        Err(if nearest.is_none() {
            error.hint("See which there are: aml endpoint list")
        } else {
            error
        })
    }

    pub(super) fn show_endpoint(&self, row: EndpointRow) -> Endpoint {
        let (state, message) = self.true_state(&row);
        let kept = |failed: &FailedUpdate| {
            let (new, message) = (failed.generation, &failed.message);
            format!(
                "Deployment {new} failed and deployment {} still answers; {message}",
                row.generation
            )
        };
        let message = message.or_else(|| match state {
            EndpointState::Healthy => row.failed_update.as_ref().map(kept),
            _ => None,
        });
        let scoring_uri = match row.port {
            _ if !self.base_url().is_empty() => format!(
                "{}/ws/{}/endpoints/{}/score",
                self.base_url(),
                row.workspace_name.to_lowercase(),
                row.name
            ),
            Some(port) => format!("http://127.0.0.1:{port}/score"),
            None => String::new(),
        };
        Endpoint {
            traffic: self.store.endpoint_traffic(row.id),
            name: row.name,
            state,
            message,
            scoring_uri,
            deployment: row.deployment,
            generation: row.generation,
            failed_update: row.failed_update,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }

    /// What the host said last counts only while it lives.
    fn true_state(&self, row: &EndpointRow) -> (EndpointState, Option<String>) {
        if !row.desired {
            return (EndpointState::Stopped, None);
        }
        let said = row.state_generation == row.generation;
        if said && row.state == EndpointState::Failed {
            return (EndpointState::Failed, row.message.clone());
        }
        if self.store.endpoint_hosted(row.id) {
            return if said {
                (row.state, row.message.clone())
            } else {
                (EndpointState::Starting, None)
            };
        }
        let waited = self.now().since(row.updated_at);
        if row.state == EndpointState::Starting && waited < HOST_START_MS {
            return (EndpointState::Starting, row.message.clone());
        }
        let tail = match self.store.endpoint_log(row.id, Some(TAIL), 0) {
            Ok((tail, _)) if !tail.is_empty() => {
                format!("\nThe end of its log:\n{}", tail.trim_end())
            }
            _ => String::new(),
        };
        let message = format!("Its process ended without a word{tail}");
        (EndpointState::Failed, Some(message))
    }

    /// Makes the endpoint's host look at its orders, starting one when none lives, and waits until
    /// it has taken them on.
    pub(super) async fn wake_host(&self, id: i64) -> Result<()> {
        self.store.touch_endpoint(id)?;
        let asked = Instant::now();
        let mut started = false;
        while asked.elapsed() < HOST_START {
            // A living host may be about to leave, so that only its word counts.
            let row = self.store.endpoint_by_id(id).await?;
            if row.is_none_or(|row| !row.desired || row.state_generation == row.generation) {
                return Ok(());
            }
            if !started && !self.store.endpoint_hosted(id) {
                let Some(start) = self.start_host.get() else {
                    return Err(Error::internal("This process cannot start endpoints"));
                };
                start(self.store.home.root(), id)?;
                started = true;
            }
            sleep(LOOK_AGAIN).await;
        }
        Err(Error::unavailable("The endpoint's host did not come up")
            .hint("Check the machine: aml doctor"))
    }

    /// Waits until no host serves the endpoint, which the store no longer wants. What a host that was
    /// killed has left behind is cleared by another one, which finds that it is not wanted.
    async fn host_left(&self, id: i64) -> Result<()> {
        self.store.touch_endpoint(id)?;
        if self.store.endpoint_left_behind(id)
            && !self.store.endpoint_hosted(id)
            && let Some(start) = self.start_host.get()
        {
            start(self.store.home.root(), id)?;
            let asked = Instant::now();
            while self.store.endpoint_left_behind(id) && asked.elapsed() < HOST_START {
                sleep(LOOK_AGAIN).await;
            }
        }
        let asked = Instant::now();
        while self.store.endpoint_hosted(id) {
            if asked.elapsed() > HOST_STOP {
                return Err(Error::unavailable(
                    "The endpoint's host is still ending its scoring process",
                )
                .hint("Look at its log: aml endpoint logs NAME"));
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Stops the hosts of endpoints that were deleted with their workspace.
    pub(super) async fn leave_endpoints(&self, endpoints: &[i64]) -> Result<()> {
        for id in endpoints {
            self.host_left(*id).await?;
            self.store.remove_endpoint_files(*id)?;
        }
        Ok(())
    }

    /// Starts the hosts of endpoints that shall run and have none: of all the first time, then of
    /// those whose host was killed. A server does so again and again with the same `revivals`; one
    /// that cannot be started does not keep the others.
    pub async fn revive_endpoints(&self, revivals: &mut Revivals) -> Result<()> {
        let first = !std::mem::replace(&mut revivals.begun, true);
        for row in self.store.list_endpoints(None).await? {
            if !row.desired || self.store.endpoint_hosted(row.id) {
                continue;
            }
            if first || (self.was_killed(&row) && revivals.is_due(row.id)) {
                self.store.want_endpoint(row.id, true, self.now()).await?;
                let _ = self.wake_host(row.id).await;
            }
        }
        Ok(())
    }

    /// Whether a host that is not there has left without a word. One that gave up, or was told to
    /// end by a signal, has said so.
    fn was_killed(&self, row: &EndpointRow) -> bool {
        match row.state {
            EndpointState::Healthy => true,
            // It may be on its way.
            EndpointState::Starting => self.now().since(row.updated_at) >= HOST_START_MS,
            EndpointState::Failed | EndpointState::Stopped => false,
        }
    }

    /// The port on this machine that answers for an endpoint; none when nothing does. Says nothing
    /// of why, because anybody may ask.
    pub async fn endpoint_port(&self, workspace: &str, name: &str) -> Result<Option<u16>> {
        let Some(row) = self.store.workspace(workspace).await? else {
            return Ok(None);
        };
        let found = self.store.endpoint(row.id, name).await?;
        Ok(found
            .filter(|row| self.store.endpoint_hosted(row.id))
            .and_then(|row| row.port))
    }

    pub(super) fn seal_keys(
        &self,
        workspace: i64,
        name: &str,
        keys: &EndpointKeys,
    ) -> Result<Vec<u8>> {
        let plain = serde_json::to_vec(keys).map_err(|e| Error::internal(e.to_string()))?;
        self.vault.seal(&keys_context(workspace, name), &plain)
    }

    pub(super) fn open_keys(&self, row: &EndpointRow) -> Result<EndpointKeys> {
        let context = keys_context(row.workspace, &row.name);
        let plain = self.vault.open(&context, &row.sealed_keys)?;
        serde_json::from_slice(&plain).map_err(|e| Error::internal(e.to_string()))
    }
}

fn keys_context(workspace: i64, name: &str) -> String {
    format!("endpoints/{workspace}/{}", name.to_lowercase())
}

#[async_trait]
impl Perform for ListEndpoints {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Endpoint>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let rows = service.store.list_endpoints(Some(row.id)).await?;
        Ok(rows
            .into_iter()
            .map(|row| service.show_endpoint(row))
            .collect())
    }
}

#[async_trait]
impl Perform for GetEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        Ok(service.show_endpoint(found))
    }
}

#[async_trait]
impl Perform for StartEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        if found.desired && service.store.endpoint_hosted(found.id) {
            return Ok(service.show_endpoint(found));
        }
        if !found.desired {
            // A host that was told to stop must be gone before the next one can have its lock.
            service.host_left(found.id).await?;
        }
        let wanted = service
            .store
            .want_endpoint(found.id, true, service.now())
            .await?;
        service.wake_host(found.id).await?;
        Ok(service.show_endpoint(wanted.unwrap_or(found)))
    }
}

#[async_trait]
impl Perform for StopEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Endpoint> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        let stopped = service
            .store
            .want_endpoint(found.id, false, service.now())
            .await?;
        service.host_left(found.id).await?;
        Ok(service.show_endpoint(stopped.unwrap_or(found)))
    }
}

#[async_trait]
impl Perform for DeleteEndpoint {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        service.store.delete_endpoint(found.id).await?;
        service.leave_endpoints(&[found.id]).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for GetEndpointKeys {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointKeys> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        service.open_keys(&found)
    }
}

#[async_trait]
impl Perform for RegenerateEndpointKey {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointKeys> {
        let row = service
            .enter(caller, &self.workspace, Action::Deploy)
            .await?;
        let new = service.vault.new_token("amlkey")?;
        // Again when somebody made the other key new meanwhile.
        loop {
            let found = service.find_endpoint(&row, &self.name).await?;
            let mut keys = service.open_keys(&found)?;
            match self.key {
                KeyKind::Primary => keys.primary.clone_from(&new),
                KeyKind::Secondary => keys.secondary.clone_from(&new),
            }
            let sealed = service.seal_keys(row.id, &found.name, &keys)?;
            let replaced = service
                .store
                .replace_endpoint_keys(found.id, found.sealed_keys, sealed);
            if replaced.await? {
                service.store.touch_endpoint(found.id)?;
                return Ok(keys);
            }
        }
    }
}

#[async_trait]
impl Perform for GetEndpointLog {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointLog> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        let (text, offset) = service
            .store
            .endpoint_log(found.id, self.lines, self.offset)?;
        Ok(EndpointLog { text, offset })
    }
}
