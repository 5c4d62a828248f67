//! Endpoints: keys, starting and stopping, and what state is true.

use async_trait::async_trait;
use std::collections::BTreeMap;

use super::{Action, Caller, Perform, Service, endpoint_hosts::HOST_START_MS};
use api::{
    Done, Error, Result,
    deployments::{Deployed, FailedUpdate, Load},
    endpoints::{
        DeleteEndpoint, Endpoint, EndpointLog, EndpointState, GetEndpoint, GetEndpointLog,
        ListEndpoints, StartEndpoint, StopEndpoint,
    },
    names,
};
use store::{DeploymentRow, EndpointRow, WorkspaceRow};

/// What is said while nobody need do anything.
const STARTED_AGAIN: &str = "Its host was killed and is being started again";
/// Lines of the log that are looked at when a host has ended, and that come with the failure.
const TAIL: u32 = 50;
const SHOWN: usize = 5;

/// The deployment of an endpoint by its name.
pub(super) fn find_deployment<'a>(
    endpoint: &'a EndpointRow,
    name: &str,
) -> Result<&'a DeploymentRow> {
    if let Some(found) = endpoint.deployment(name) {
        return Ok(found);
    }
    let known = endpoint.deployments.iter().map(|row| row.name.as_str());
    let nearest = names::nearest(name, known.clone());
    let place = format!(" of endpoint `{}`", endpoint.name);
    let all: Vec<&str> = known.collect();
    let there_are = match all.as_slice() {
        [] => "Nothing is deployed behind it yet".to_owned(),
        all => format!("Its deployments are {}", all.join(", ")),
    };
    Err(Error::unknown("deployment", name, &place, nearest).or_hint(there_are))
}

/// The lines of a log that may say why its writer has ended.
fn useful_tail(log: &str) -> String {
    let everyday = [" I [", " I front - ", " I host - "];
    let is_everyday = |line: &&str| everyday.iter().any(|sign| line.contains(sign));
    let last = log.lines().rev().filter(|line| !line.trim().is_empty());
    let mut last: Vec<&str> = last
        .take_while(|line| !is_everyday(line))
        .take(SHOWN)
        .collect();
    last.reverse();
    last.join("\n")
}

impl Service {
    pub(super) async fn find_endpoint(
        &self,
        row: &WorkspaceRow,
        name: &str,
    ) -> Result<EndpointRow> {
        if let Some(found) = self.store.endpoint(row.id, name).await? {
            return Ok(found);
        }
        let all = self.store.list_endpoints(Some(row.id)).await?;
        let nearest = names::nearest(name, all.iter().map(|row| row.name.as_str()));
        let place = format!(" in workspace `{}`", row.workspace.name);
        Err(Error::unknown("endpoint", name, &place, nearest)
            .or_hint("See which there are: aml endpoint list"))
    }

    pub(super) fn show_endpoint(&self, row: EndpointRow) -> Endpoint {
        let loads = self.store.endpoint_loads(row.id);
        let hosted = self.store.endpoint_hosted(row.id);
        let shown = row.deployments.iter();
        let deployments: Vec<Deployed> = shown
            .map(|deployment| self.show_deployment(&row, deployment, hosted, &loads))
            .collect();
        let (state, message) = self.endpoint_state(&row, hosted, &deployments);
        Endpoint {
            scoring_uri: self.scoring_uri(&row),
            name: row.name,
            state,
            message,
            auth_mode: row.auth_mode,
            traffic: row.traffic,
            mirror_traffic: row.mirror_traffic,
            description: row.description,
            tags: row.tags,
            properties: row.properties,
            port: row.pinned_port,
            deployments,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }

    fn scoring_uri(&self, row: &EndpointRow) -> String {
        match row.port {
            _ if !self.base_url().is_empty() => format!(
                "{}/ws/{}/endpoints/{}/score",
                self.base_url(),
                row.workspace_name.to_lowercase(),
                row.name.replace('/', "%2F")
            ),
            Some(port) => format!("http://127.0.0.1:{port}/score"),
            None => String::new(),
        }
    }

    pub(super) fn show_deployment(
        &self,
        endpoint: &EndpointRow,
        row: &DeploymentRow,
        hosted: bool,
        loads: &BTreeMap<String, Load>,
    ) -> Deployed {
        let (state, message) = self.true_state(endpoint, row, hosted);
        let kept = |failed: &FailedUpdate| {
            let (new, message) = (failed.generation, &failed.message);
            format!(
                "Generation {new} failed and generation {} still answers; {message}",
                row.generation
            )
        };
        let message = message.or_else(|| match state {
            EndpointState::Healthy => row.failed_update.as_ref().map(kept),
            _ => None,
        });
        let elsewhere = |holder: &&String| !holder.eq_ignore_ascii_case(&endpoint.workspace_name);
        Deployed {
            name: row.name.clone(),
            state,
            message,
            traffic: endpoint.traffic.get(&row.name).copied().unwrap_or(0),
            deployment: row.deployment.clone(),
            model_workspace: row.model_workspace.as_ref().filter(elsewhere).cloned(),
            generation: row.generation,
            failed_update: row.failed_update.clone(),
            load: loads.get(&row.name).copied(),
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }

    /// That of the deployments that get requests, or of all when none does.
    fn endpoint_state(
        &self,
        row: &EndpointRow,
        hosted: bool,
        deployments: &[Deployed],
    ) -> (EndpointState, Option<String>) {
        if !row.desired {
            return (EndpointState::Stopped, None);
        }
        let gets = |one: &&Deployed| one.traffic > 0;
        let mut counted: Vec<&Deployed> = deployments.iter().filter(gets).collect();
        if counted.is_empty() {
            counted = deployments.iter().collect();
        }
        let worst = [EndpointState::Failed, EndpointState::Starting];
        let worst = worst.into_iter().find_map(|state| {
            let mut those = counted.iter().filter(|one| one.state == state);
            those.next().map(|one| (state, one.message.clone()))
        });
        if let Some(worst) = worst {
            return worst;
        }
        if let Some(message) = &row.message {
            return (EndpointState::Failed, Some(message.clone()));
        }
        let waited = self.now().since(row.updated_at);
        match counted.first() {
            Some(one) => (EndpointState::Healthy, one.message.clone()),
            None if hosted && row.seen > 0 => (EndpointState::Healthy, None),
            None if hosted || waited < HOST_START_MS => (EndpointState::Starting, None),
            None if self.endpoints_are_watched() => {
                (EndpointState::Starting, Some(STARTED_AGAIN.to_owned()))
            }
            None => (
                EndpointState::Failed,
                Some("Its process ended without a word".to_owned()),
            ),
        }
    }

    /// What the host said last counts only while it lives.
    fn true_state(
        &self,
        endpoint: &EndpointRow,
        row: &DeploymentRow,
        hosted: bool,
    ) -> (EndpointState, Option<String>) {
        if !endpoint.desired {
            return (EndpointState::Stopped, None);
        }
        let said = row.state_generation == row.generation;
        if said && row.state == EndpointState::Failed {
            return (EndpointState::Failed, row.message.clone());
        }
        if hosted {
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
        if let Some(message) = &endpoint.message {
            return (EndpointState::Failed, Some(message.clone()));
        }
        if self.endpoints_are_watched() {
            return (EndpointState::Starting, Some(STARTED_AGAIN.to_owned()));
        }
        let log = |of| self.store.endpoint_log(endpoint.id, of, Some(TAIL), 0);
        let tail = log(Some(row.id)).map_or_else(|_| String::new(), |(log, _)| useful_tail(&log));
        let tail = match tail.as_str() {
            "" => String::new(),
            tail => format!("\nThe end of its log:\n{tail}"),
        };
        let message = format!("Its process ended without a word{tail}");
        (EndpointState::Failed, Some(message))
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
            if self.port.is_some_and(|port| Some(port) != found.port) {
                let name = &found.name;
                return Err(
                    Error::conflict(format!("`{name}` is running")).hint(format!(
                        "Stop it before it is moved: aml endpoint stop {name}"
                    )),
                );
            }
            return Ok(service.show_endpoint(found));
        }
        if let Some(port) = self.port {
            service.check_port(&row, &found.name, port).await?;
        }
        if !found.desired {
            // A host that was told to stop must be gone before the next one can have its lock.
            service.host_left(found.id).await?;
        }
        let store = &service.store;
        store
            .want_endpoint(found.id, true, self.port, service.now())
            .await?;
        service.wake_host(found.id).await?;
        let started = store.endpoint_by_id(found.id).await?;
        Ok(service.show_endpoint(started.unwrap_or(found)))
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
            .want_endpoint(found.id, false, None, service.now())
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
impl Perform for GetEndpointLog {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointLog> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        if self.access {
            let log = service.store.access_log(found.id, self.lines, self.offset);
            return log.map(|(text, offset)| EndpointLog { text, offset });
        }
        let deployment = match (&self.deployment, found.deployments.as_slice()) {
            (Some(name), _) => Some(find_deployment(&found, name)?.id),
            (None, [only]) => Some(only.id),
            (None, _) => None,
        };
        let (text, offset) =
            service
                .store
                .endpoint_log(found.id, deployment, self.lines, self.offset)?;
        Ok(EndpointLog { text, offset })
    }
}

#[cfg(test)]
mod tests {
    use super::useful_tail;

    #[test]
    fn only_what_follows_the_last_everyday_line_says_why_a_writer_ended() {
        let raised = "2026-11-26 01:00:00,000 E [7] azmlinfsrv - Request a\nKeyError: 'x'\n";
        let asked = "2026-11-26 01:00:00,001 I front - POST /score 500 3 ms\n";
        assert_eq!(useful_tail(&format!("{raised}{asked}\n")), "");
        let end = "one\n\ntwo\nthree\nfour\nfive\nKilled\n";
        let tail = useful_tail(&format!("{raised}{asked}{end}"));
        assert_eq!(tail, "two\nthree\nfour\nfive\nKilled");
        assert_eq!(useful_tail("KeyError: 'x'"), "KeyError: 'x'");
    }
}
