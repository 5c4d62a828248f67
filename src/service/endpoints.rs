//! Endpoints: keys, starting and stopping, and what state is true.

use async_trait::async_trait;
use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::atomic::Ordering,
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{Action, Caller, Perform, Service};
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

/// What is done with the host processes of endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Hosts {
    /// Starts one, detached; it need not be up when this returns.
    pub start: fn(home: &Path, endpoint: i64) -> Result<()>,
    /// Tells the one that holds the endpoint's lock to end, or kills it.
    pub end: fn(home: &Path, endpoint: i64, at_once: bool),
}

/// How long a started host may take to take its lock.
const HOST_START: Duration = Duration::from_millis(HOST_START_MS.unsigned_abs());
const HOST_START_MS: i64 = 15_000;
/// How long a host may take to heed its orders.
const HOST_HEEDS: Duration = Duration::from_secs(15);
/// How long a host that did not may take to end.
const HOST_ENDS: Duration = Duration::from_secs(5);
/// How long a host may take to end its process and leave.
const HOST_STOP: Duration = Duration::from_mins(1);
const LOOK_AGAIN: Duration = Duration::from_millis(10);
/// How long a server waits before it starts a host again that it has just started: from, to.
const FIRST_REVIVAL: Duration = Duration::from_secs(2);
const LONGEST_REVIVAL: Duration = Duration::from_mins(5);
/// A host that stays for so long after the wait is begun with anew.
const REVIVAL_STEADY: Duration = Duration::from_mins(1);
/// What is said while nobody need do anything.
const STARTED_AGAIN: &str = "Its host was killed and is being started again";
/// Lines of the log that are looked at when a host has ended, and that come with the failure.
const TAIL: u32 = 50;
const SHOWN: usize = 5;

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
    let error = Error::unknown("deployment", name, &place, nearest);
    let all: Vec<&str> = known.collect();
    Err(match (nearest, all.as_slice()) {
        (Some(_), _) => error,
        (None, []) => error.hint("Nothing is deployed behind it yet"),
        (None, all) => error.hint(format!("Its deployments are {}", all.join(", "))),
    })
}

/// Whether all that was deployed has failed and nothing of it ever answered. It is tried again when
/// somebody asks for that.
fn never_answered(row: &EndpointRow) -> bool {
    let vain = |one: &DeploymentRow| one.state == EndpointState::Failed && !one.answered;
    !row.deployments.is_empty() && row.deployments.iter().all(vain)
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
        let error = Error::unknown("endpoint", name, &place, nearest);
        Err(if nearest.is_none() {
            error.hint("See which there are: aml endpoint list")
        } else {
            error
        })
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
                "Deployment {new} failed and deployment {} still answers; {message}",
                row.generation
            )
        };
        let message = message.or_else(|| match state {
            EndpointState::Healthy => row.failed_update.as_ref().map(kept),
            _ => None,
        });
        Deployed {
            name: row.name.clone(),
            state,
            message,
            traffic: endpoint.traffic.get(&row.name).copied().unwrap_or(0),
            deployment: row.deployment.clone(),
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
        let message = format!(
            "Its process ended without a word; `aml endpoint start {}` starts it again{tail}",
            endpoint.name
        );
        (EndpointState::Failed, Some(message))
    }

    /// Makes the endpoint's host look at its orders, starting one when none lives, and waits until
    /// it has taken them on. One that does not heed them gives way to a new one: it hangs, or is of a
    /// version that cannot read them.
    pub(super) async fn wake_host(&self, id: i64) -> Result<()> {
        self.store.touch_endpoint(id)?;
        let mut asked = Instant::now();
        let (mut started, mut ended) = (false, false);
        loop {
            // A living host may be about to leave, so that only its word counts. One that could not
            // do as it was told has said why, and left.
            let row = self.store.endpoint_by_id(id).await?;
            let heeded = |row: EndpointRow| {
                let there = || self.store.endpoint_hosted(id);
                let refused = started && row.message.is_some();
                !row.desired || (row.seen >= row.orders && (refused || there()))
            };
            if row.is_none_or(heeded) {
                return Ok(());
            }
            if !started && !self.store.endpoint_hosted(id) {
                (self.hosts()?.start)(self.store.home.root(), id)?;
                (started, asked) = (true, Instant::now());
            } else if !started && !ended && asked.elapsed() > HOST_HEEDS {
                self.end_host(id, HOST_ENDS).await?;
                (ended, asked) = (true, Instant::now());
            } else if asked.elapsed() > HOST_START {
                return Err(Error::unavailable("The endpoint's host did not come up")
                    .hint("Check the machine: aml doctor"));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    fn hosts(&self) -> Result<&Hosts> {
        let hosts = self.hosts.get();
        hosts.ok_or_else(|| Error::internal("This process cannot start endpoints"))
    }

    /// Tells the endpoint's host to end, and kills it when it has not after a while.
    async fn end_host(&self, id: i64, patience: Duration) -> Result<()> {
        let hosts = self.hosts()?;
        let home = self.store.home.root();
        (hosts.end)(home, id, false);
        if self.is_left_within(id, patience).await {
            return Ok(());
        }
        (hosts.end)(home, id, true);
        if self.is_left_within(id, HOST_ENDS).await {
            return Ok(());
        }
        Err(
            Error::unavailable("The endpoint's host holds its lock and cannot be ended").hint(
                format!(
                    "See who has `{}` open and end it: fuser FILE",
                    self.store.home.endpoint_lock(id).display()
                ),
            ),
        )
    }

    /// Whether no host serves the endpoint any more before the time is over.
    async fn is_left_within(&self, id: i64, most: Duration) -> bool {
        let asked = Instant::now();
        while self.store.endpoint_hosted(id) {
            if asked.elapsed() > most {
                return false;
            }
            sleep(LOOK_AGAIN).await;
        }
        true
    }

    /// Waits until no host serves the endpoint, which the store no longer wants. One that does not
    /// leave is told by a signal, to which one that is leaving pays no heed, and is killed at last.
    /// What a host that was killed has left behind is cleared by another one, which finds that it is
    /// not wanted.
    async fn host_left(&self, id: i64) -> Result<()> {
        self.store.touch_endpoint(id)?;
        if !self.is_left_within(id, HOST_HEEDS).await {
            self.end_host(id, HOST_STOP).await?;
        }
        if self.store.endpoint_left_behind(id)
            && let Some(hosts) = self.hosts.get()
        {
            (hosts.start)(self.store.home.root(), id)?;
            let asked = Instant::now();
            while self.store.endpoint_left_behind(id) && asked.elapsed() < HOST_START {
                sleep(LOOK_AGAIN).await;
            }
        }
        if self.is_left_within(id, HOST_STOP).await {
            return Ok(());
        }
        Err(
            Error::unavailable("The endpoint's host is still clearing what another has left")
                .hint("Look at its log: aml endpoint logs NAME"),
        )
    }

    /// Stops the hosts of endpoints that were deleted with their workspace.
    pub(super) async fn leave_endpoints(&self, endpoints: &[i64]) -> Result<()> {
        for id in endpoints {
            self.host_left(*id).await?;
            self.store.remove_endpoint_files(*id)?;
        }
        Ok(())
    }

    /// Whether a server starts the hosts that are killed: this one, or one beside this process.
    fn endpoints_are_watched(&self) -> bool {
        self.revives.load(Ordering::Relaxed) || self.neighbour.get().is_some()
    }

    /// What [`Service::revive_endpoints`] goes on from; whoever asks for it will call that.
    pub fn watch_endpoints(&self) -> Revivals {
        self.revives.store(true, Ordering::Relaxed);
        Revivals::default()
    }

    /// Starts the hosts of endpoints that shall run and have none: the first time of all but those of
    /// which nothing ever answered, then of those whose host was killed. A server does so again and again with the same `revivals`; one
    /// that cannot be started does not keep the others.
    pub async fn revive_endpoints(&self, revivals: &mut Revivals) -> Result<()> {
        let first = !std::mem::replace(&mut revivals.begun, true);
        for row in self.store.list_endpoints(None).await? {
            if !row.desired || never_answered(&row) || self.store.endpoint_hosted(row.id) {
                continue;
            }
            if first || (self.was_killed(&row) && revivals.is_due(row.id)) {
                let now = self.now();
                self.store.want_endpoint(row.id, true, None, now).await?;
                let _ = self.wake_host(row.id).await;
            }
        }
        Ok(())
    }

    /// Whether a host that is not there has left without a word. One that gave up, or was told to
    /// end by a signal, has said so.
    fn was_killed(&self, row: &EndpointRow) -> bool {
        let long_ago = |time| self.now().since(time) >= HOST_START_MS;
        if row.message.is_some() {
            return false;
        }
        if row.deployments.is_empty() {
            return row.seen > 0 || long_ago(row.updated_at);
        }
        row.deployments.iter().any(|one| match one.state {
            EndpointState::Healthy => true,
            // It may be on its way.
            EndpointState::Starting => long_ago(one.updated_at),
            EndpointState::Failed | EndpointState::Stopped => false,
        })
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
