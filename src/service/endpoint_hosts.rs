//! The host processes of endpoints: woken, ended, and started again when they were killed.

use std::{collections::HashMap, path::Path, sync::atomic::Ordering, time::Duration};

use tokio::time::{Instant, sleep};

use super::Service;
use api::{Error, Result, endpoints::EndpointState};
use store::{DeploymentRow, EndpointRow};

/// How long a started host may take to take its lock.
const HOST_START: Duration = Duration::from_millis(HOST_START_MS.unsigned_abs());
pub(super) const HOST_START_MS: i64 = 15_000;
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
/// What is done with the host processes of endpoints.
#[derive(Debug, Clone, Copy)]
pub struct Hosts {
    /// Starts one, detached; it need not be up when this returns.
    pub start: fn(home: &Path, endpoint: i64) -> Result<()>,
    /// Tells the one that holds the endpoint's lock to end, or kills it.
    pub end: fn(home: &Path, endpoint: i64, at_once: bool),
    /// Whether they can score by themselves.
    pub native: bool,
}

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

/// Whether all that was deployed has failed and nothing of it ever answered. It is tried again when
/// somebody asks for that.
fn never_answered(row: &EndpointRow) -> bool {
    let vain = |one: &DeploymentRow| one.state == EndpointState::Failed && !one.answered;
    !row.deployments.is_empty() && row.deployments.iter().all(vain)
}

impl Service {
    /// Makes the endpoint's host look at its orders where one lives; one that is started later reads
    /// them anyway.
    pub(super) async fn tell_host(&self, endpoint: &EndpointRow) -> Result<()> {
        if endpoint.desired && self.store.endpoint_hosted(endpoint.id) {
            self.wake_host(endpoint.id).await?;
        }
        Ok(())
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
    pub(super) async fn host_left(&self, id: i64) -> Result<()> {
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
    pub(super) fn endpoints_are_watched(&self) -> bool {
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
}
