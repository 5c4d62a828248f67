//! The host of an endpoint: a process of its own that serves what is deployed behind it, until told
//! to stop.
//!
//! It owns the HTTP front, and has a task for each deployment with the scoring processes behind it. It
//! knows nothing that the store does not: killed at any moment, the next host goes on from the
//! endpoint's orders.

mod access;
mod answers;
mod apart;
mod backend;
mod collecting;
mod container;
mod copies;
mod counters;
mod explain;
mod fleet;
mod forward;
mod front;
mod guard;
mod gzip;
mod layout;
mod leftovers;
mod listening;
mod logs;
mod native;
mod orders;
mod payloads;
mod pool;
mod ports;
mod process;
mod recorder;
mod registry;
mod reports;
mod scaler;
mod secrets;
mod stream;
mod target;
mod tender;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_bodies;
#[cfg(test)]
mod tests_shares;
mod usage;
mod watch;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::{Notify, watch as channel},
    task::JoinHandle,
    time::sleep,
};

pub use apart::Apart;
pub use container::free_images;
pub use native::BUILT as SCORES_NATIVELY;
pub use watch::watch;

use access::AccessLog;
use api::{
    Code, Error, Operation, Result,
    endpoints::EndpointState,
    environments::EnvironmentSettings,
    work::{DeploymentOrders, HostOrders, ReportDeployment, ReportHost},
};
use client::Client;
use counters::Counters;
use fleet::End;
use front::Front;
use orders::Orders;
use reports::Reports;
use target::Target;
use tender::{Tender, Wish};

/// How often the stamp is looked at, and the orders are read in any case.
const LOOK: Duration = Duration::from_millis(100);
const READ: Duration = Duration::from_secs(5);
const ENDED: &str = "Its host was ended from outside";

const OUTDATED: &str = "A newer aml has changed the state directory; its own host takes over";

/// What the host was started with.
pub struct Settings {
    pub endpoint: i64,
    /// The state directory, for the environments kept there.
    pub home: PathBuf,
    /// The endpoint's own folder and what is in it. The caller holds its lock.
    pub folder: PathBuf,
    pub log: PathBuf,
    /// A line for each request.
    pub access: PathBuf,
    pub stamp: PathBuf,
    pub loads: PathBuf,
    /// Variables of the machine that the scoring processes get.
    pub variables: BTreeMap<String, String>,
    /// How environments are made here now.
    pub environments: fn() -> Result<EnvironmentSettings>,
    /// Whether a newer version of this program has changed what the orders are kept in.
    pub outdated: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Settings {
    /// What a deployment's processes write.
    pub fn log_of(&self, deployment: i64) -> PathBuf {
        self.folder.join(format!("d{deployment}.log"))
    }

    /// What the package that collects data reads.
    pub fn collector_of(&self, deployment: i64) -> PathBuf {
        self.folder.join(format!("d{deployment}.collector"))
    }

    /// Names the environment that a deployment was served in last.
    pub fn environment_of(&self, deployment: i64) -> PathBuf {
        self.folder.join(format!("d{deployment}.environment"))
    }
}

/// Calls the store from another thread than the one that answers requests.
async fn aside<O: Operation>(client: &Client, operation: O) -> Result<O::Output> {
    let client = client.clone();
    let runtime = tokio::runtime::Handle::current();
    let call = move || runtime.block_on(async move { client.call(&operation).await });
    let called = tokio::task::spawn_blocking(call).await;
    called.unwrap_or_else(|e| Err(Error::internal(format!("A call was lost: {e}"))))
}

/// What the deployments of an endpoint have in common.
struct Shared {
    client: Client,
    settings: Settings,
    front: Arc<Front>,
    workspace: String,
    endpoint: String,
    /// The orders were read again, or a deployment has nothing left to do.
    again: Notify,
    reports: Reports,
    /// What the recorder has yet to tell.
    measured: tokio::sync::Mutex<recorder::Known>,
}

impl Shared {
    /// Calls the store from another thread: what takes long must not hold up requests.
    async fn aside<O: Operation>(&self, operation: O) -> Result<O::Output> {
        aside(&self.client, operation).await
    }

    /// Reads the orders again and has them heeded.
    async fn refresh(&self) {
        let _ = self.front.orders().refresh().await;
        self.again.notify_one();
    }
}

/// Serves an endpoint until it is stopped, deleted, or nothing of it can be served.
pub async fn run(client: Client, settings: Settings) -> Result<()> {
    leftovers::clear(&settings.folder);
    let orders = Orders::read(client.clone(), settings.endpoint, settings.stamp.clone()).await?;
    let Some(known) = orders.known() else {
        return Ok(());
    };
    let log = process::append(&settings.log)
        .map_err(|e| Error::unavailable(format!("Cannot open the endpoint's log: {e}")))?;
    let access = AccessLog::open(&settings.access)
        .map_err(|e| Error::unavailable(format!("Cannot open the endpoint's access log: {e}")))?;
    let front = Arc::new(Front::new(orders, log, access));
    let shared = Arc::new(Shared {
        reports: Reports::new(client.clone(), Arc::clone(&front)),
        client,
        settings,
        front: Arc::clone(&front),
        workspace: known.workspace.clone(),
        endpoint: known.name.clone(),
        again: Notify::new(),
        measured: tokio::sync::Mutex::default(),
    });
    let helpers = [
        tokio::spawn(counters::keep(front, shared.settings.loads.clone())),
        tokio::spawn(logs::keep(shared.settings.folder.clone())),
        tokio::spawn(recorder::keep(Arc::clone(&shared))),
        tokio::spawn(reports::keep(Arc::clone(&shared))),
    ];
    let mut host = Host {
        shared,
        listening: None,
        seen: 0,
        tended: BTreeMap::new(),
    };
    let result = host.serve().await;
    for helper in helpers {
        helper.abort();
    }
    host.leave().await;
    result
}

struct Host {
    shared: Arc<Shared>,
    /// The port and the task that answers there.
    listening: Option<(u16, JoinHandle<()>)>,
    /// The orders that were heeded last.
    seen: u64,
    /// The deployments by their number.
    tended: BTreeMap<i64, Tended>,
}

/// A deployment that is served.
struct Tended {
    target: Arc<Target>,
    wanted: channel::Sender<Wish>,
    idle: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Host {
    async fn serve(&mut self) -> Result<()> {
        let mut terminated = signal(SignalKind::terminate())
            .map_err(|e| Error::internal(format!("Cannot listen to signals: {e}")))?;
        let shared = Arc::clone(&self.shared);
        loop {
            // Before the orders are looked at, which what was told can have changed.
            let told = shared.reports.are_told().await;
            let orders = shared.front.orders().known();
            let Some(orders) = orders.filter(|orders| orders.running) else {
                return Ok(());
            };
            if let Err(error) = self.listen(&orders).await {
                self.say_seen(&orders, Some(error.explained())).await;
                if self.listening.is_none() {
                    self.fail_all(&orders, &error.explained()).await;
                    tokio::select! {
                        () = shared.reports.all_told() => {}
                        _ = terminated.recv() => {}
                    }
                    return Ok(());
                }
            } else if self.seen < orders.number {
                self.say_seen(&orders, None).await;
            }
            self.tend(&orders).await;
            let idle = |tended: &Tended| tended.idle.load(Ordering::Acquire);
            let all_idle = !orders.deployments.is_empty() && self.tended.values().all(idle);
            if all_idle && told {
                return Ok(());
            }
            tokio::select! {
                readable = changed(&shared, &orders) => {
                    if !readable {
                        shared.front.note(OUTDATED);
                        return Ok(());
                    }
                }
                () = shared.again.notified() => {}
                () = sleep(READ), if self.seen < orders.number => {}
                _ = terminated.recv() => {
                    self.fail_all(&orders, ENDED).await;
                    return Ok(());
                }
            }
        }
    }

    /// Says which orders were read, before they are carried out.
    async fn say_seen(&mut self, orders: &HostOrders, message: Option<String>) {
        let report = ReportHost {
            endpoint: self.shared.settings.endpoint,
            seen: orders.number,
            port: self.listening.as_ref().map(|(port, _)| *port),
            message,
        };
        match self.shared.client.call(&report).await {
            Err(error) if error.code != Code::NotFound => {
                let text = format!("Cannot report what was read: {error}");
                self.shared.front.note(&text);
            }
            _ => self.seen = orders.number,
        }
    }

    async fn fail_all(&mut self, orders: &HostOrders, message: &str) {
        for one in &orders.deployments {
            self.fail(one, message).await;
        }
        if orders.deployments.is_empty() {
            self.say_seen(orders, Some(message.to_owned())).await;
        }
    }

    async fn fail(&self, one: &DeploymentOrders, message: &str) {
        let report = ReportDeployment {
            endpoint: self.shared.settings.endpoint,
            deployment: one.id,
            generation: one.generation,
            state: EndpointState::Failed,
            message: Some(message.to_owned()),
            unfit: false,
            answering: None,
        };
        self.shared.reports.send(report).await;
    }

    /// Hands each deployment its orders, with a task for those that are new.
    async fn tend(&mut self, orders: &HostOrders) {
        let mut failed = Vec::new();
        for one in &orders.deployments {
            let tended = match self.tended.get(&one.id) {
                Some(tended) => tended,
                None => match self.begin(one) {
                    Ok(tended) => self.tended.entry(one.id).or_insert(tended),
                    Err(error) => {
                        failed.push((one, error.explained()));
                        continue;
                    }
                },
            };
            tended.wanted.send_if_modified(|wanted| {
                let other = !matches!(wanted, Wish::Serve(now) if **now == *one);
                if other {
                    *wanted = Wish::Serve(Box::new(one.clone()));
                    tended.idle.store(false, Ordering::Release);
                }
                other
            });
        }
        self.forget(orders);
        // Only now: what the host before has counted of the others is taken up first.
        for (one, message) in failed {
            self.fail(one, &message).await;
        }
    }

    /// Lets go of the deployments that are not in the orders any more.
    fn forget(&mut self, orders: &HostOrders) {
        let there = |id: &i64| orders.deployments.iter().any(|one| one.id == *id);
        let gone: Vec<i64> = self
            .tended
            .keys()
            .filter(|id| !there(id))
            .copied()
            .collect();
        for id in gone {
            if let Some(tended) = self.tended.remove(&id) {
                let name = &tended.target.name;
                let again = orders.deployments.iter();
                // One that was made anew under its name has its place.
                if !again.clone().any(|one| one.name.eq_ignore_ascii_case(name)) {
                    self.shared.front.remove(name);
                }
                // Its task ends by itself.
                tended.wanted.send_replace(Wish::End(End::Deleted));
            }
        }
    }

    fn begin(&self, one: &DeploymentOrders) -> Result<Tended> {
        let path = self.shared.settings.log_of(one.id);
        let log = process::append(&path).map_err(|e| {
            Error::unavailable(format!("Cannot open the log `{}`: {e}", path.display()))
                .hint("Put that right, then stop and start the endpoint")
        })?;
        let mut target = Target::new(one.id, one.name.clone(), log);
        target.counters = Counters::resumed(&self.shared.settings.loads, &one.name);
        let target = Arc::new(target);
        self.shared.front.add(Arc::clone(&target));
        let (wanted, received) = channel::channel(Wish::Serve(Box::new(one.clone())));
        let idle = Arc::new(AtomicBool::new(false));
        let tender = Tender::new(
            Arc::clone(&self.shared),
            Arc::clone(&target),
            received,
            Arc::clone(&idle),
        );
        Ok(Tended {
            target,
            wanted,
            idle,
            task: tokio::spawn(tender.run()),
        })
    }

    /// Answers on the port that is asked for, if it does not yet.
    async fn listen(&mut self, orders: &HostOrders) -> Result<()> {
        let now = self.listening.as_ref().map(|(port, _)| *port);
        let wanted = orders.pinned_port;
        if now.is_some() && (wanted.is_none() || wanted == now) {
            return Ok(());
        }
        let (port, listener) = match wanted {
            Some(port) => (port, ports::take(port, &orders.name).await?),
            None => {
                let endpoint = self.shared.settings.endpoint;
                ports::choose(orders.port, &orders.others, endpoint).await?
            }
        };
        if let Some(before) = orders.port.filter(|before| *before != port) {
            self.shared.front.note(&format!(
                "Port {before}, where it answered before, is in use by another program; it answers on {port} now"
            ));
        }
        self.answer_on(port, listener);
        Ok(())
    }

    fn answer_on(&mut self, port: u16, listener: TcpListener) {
        let task = tokio::spawn(Arc::clone(&self.shared.front).serve(listener));
        if let Some((_, old)) = self.listening.replace((port, task)) {
            old.abort();
        }
    }

    /// Ends what is served and leaves the folder as it was.
    async fn leave(self) {
        let Self { shared, tended, .. } = self;
        let tended = tended.into_values().map(|one| (one.wanted, one.task));
        let (wishes, tasks): (Vec<_>, Vec<_>) = tended.unzip();
        let end = |end| {
            for wish in &wishes {
                wish.send_replace(Wish::End(end));
            }
        };
        end(End::Stopped);
        // A deletion may come while what was stopped takes its time.
        let hurried = async {
            deleted(&shared).await;
            end(End::Deleted);
            std::future::pending::<()>().await;
        };
        let ended = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        tokio::select! {
            () = ended => {}
            () = hurried => {}
        }
        shared.front.access.flush();
        recorder::tell(&shared, false).await;
        let settings = &shared.settings;
        let loads = counters::loads(&shared.front);
        // A host that came to nothing leaves what the one before has counted.
        if !loads.is_empty() {
            counters::write(&settings.loads, &loads);
        }
        leftovers::clear(&settings.folder);
    }
}

/// Returns when the endpoint is not there any more.
async fn deleted(shared: &Shared) {
    let orders = shared.front.orders();
    while !matches!(orders.current().await, Ok(None)) {
        sleep(LOOK).await;
    }
}

/// Returns when the orders are others than these; false when there are some that this program is too
/// old to read.
async fn changed(shared: &Shared, these: &HostOrders) -> bool {
    let orders = shared.front.orders();
    let mut read = Instant::now();
    loop {
        sleep(LOOK).await;
        let known = if read.elapsed() > READ {
            read = Instant::now();
            orders.refresh().await.map(|()| orders.known())
        } else {
            orders.current().await
        };
        match known {
            Ok(Some(now)) if now.running && now.number == these.number => {}
            Ok(_) => return true,
            // Until something is asked for, what is served goes on.
            Err(_) if orders.stale() && (shared.settings.outdated)() => return false,
            // The store cannot be read just now; what is served goes on.
            Err(_) => sleep(READ).await,
        }
    }
}
