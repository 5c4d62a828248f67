//! The work queue: what workers are told, and what they report.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Action, Caller, Perform, Service, connected};
use api::{
    Error, Result, Time,
    computes::Size,
    files::check_path,
    runs::Job,
    work::{Assignment, LEASE_SECONDS, Progress, ReportRun, Reported, SyncWorker, WorkerOrders},
};
use store::{Glance, Lock, Orders, Sync, Taken};

/// Waiting longer would come too near the end of the leases.
const LONGEST_WAIT: Duration = Duration::from_secs(LEASE_SECONDS as u64 / 3);
/// How often a waiting worker looks for what other processes have written.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often a worker's calls look for computes that have been idle for too long.
const COMPUTES_MS: i64 = 1000;

/// Driven runs of which it is known what they are a part of, at most.
const ROOTS: usize = 4096;

const WORKER_GONE: &str = "Its worker is gone, and the run's process with it";

/// When workers could renew their leases, as far as this process knows.
pub struct Renewals {
    possible_since: Time,
    looked_at: Time,
    /// When idle computes were looked for.
    computes_at: Option<Time>,
}

impl From<Time> for Renewals {
    fn from(now: Time) -> Self {
        Self {
            possible_since: now,
            looked_at: now,
            computes_at: None,
        }
    }
}

impl Service {
    fn renewals(&self) -> MutexGuard<'_, Renewals> {
        self.renewals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether some run waits for a worker: queued, or held by one that is dead. Cheap.
    pub async fn has_open_work(&self) -> Result<bool> {
        let glance = self.glance("").await?;
        Ok(!glance.due.is_empty() || self.is_open(&glance))
    }

    fn is_open(&self, glance: &Glance) -> bool {
        let mut holders = glance.holders.iter();
        let waits = holders.any(|holder| match holder {
            None => true,
            Some(worker) => self.is_dead(worker),
        });
        waits || glance.lapsed
    }

    /// The handles of the processes of which a worker has said that they run, and nothing since.
    pub async fn processes_of(&self, worker: &'static str) -> Result<Vec<String>> {
        self.store.processes_of(worker).await
    }

    /// Sees to runs whose worker has not renewed its lease in time, also when no other worker is
    /// there: who serves workers calls it now and then. Answers whether there were any.
    pub async fn release_lapsed(&self) -> Result<bool> {
        let before = self.lapsed_before();
        if !self.store.has_lapsed(before).await? {
            return Ok(false);
        }
        let now = self.now();
        let released = self
            .store
            .release_lapsed(before, WORKER_GONE.to_owned(), now);
        let any = released.await? > 0;
        if any {
            self.advance_due().await;
            self.ring();
            self.logs.notify_waiters();
        }
        Ok(any)
    }

    /// Leases that ran out before this have lapsed. None has while the workers had no time to renew
    /// it: whoever serves them was down, or slept with its machine, or could write nothing down, for
    /// longer than a lease lasts.
    fn lapsed_before(&self) -> Time {
        let now = self.now();
        let mut renewals = self.renewals();
        if now.since(renewals.looked_at) > LEASE_SECONDS * 1000 / 2 {
            renewals.possible_since = now;
        }
        renewals.looked_at = now;
        if now.since(renewals.possible_since) < LEASE_SECONDS * 1000 {
            Time(i64::MIN)
        } else {
            now
        }
    }

    async fn sync(&self, request: &SyncWorker, glance: &Glance) -> Result<Orders> {
        let orders = self.sync_once(request, glance).await;
        if orders.is_err() {
            self.renewals().possible_since = self.now();
        }
        orders
    }

    /// A worker on this machine is dead when nobody holds its lock file; of others only their
    /// leases tell.
    fn is_dead(&self, worker: &str) -> bool {
        let lock = self.store.home.worker_lock(worker);
        lock.exists() && !Lock::is_held(&lock)
    }

    /// Whether a worker is on this machine, and loses its runs when this machine loses its power.
    fn is_here(&self, worker: &str) -> bool {
        self.store.home.worker_lock(worker).exists()
    }

    async fn sync_once(&self, request: &SyncWorker, glance: &Glance) -> Result<Orders> {
        if !glance.due.is_empty() {
            self.advance_due().await;
        }
        self.look_for_idle_computes().await;
        let holders = glance.holders.iter().flatten();
        let dead = holders
            .filter(|worker| **worker != request.worker && self.is_dead(worker))
            .cloned()
            .collect();
        let now = self.now();
        self.store
            .sync_worker(Sync {
                worker: request.worker.clone(),
                here: self.is_here(&request.worker),
                capacity: request.capacity,
                holding: request
                    .holding
                    .iter()
                    .filter_map(|name| split(name))
                    .collect(),
                dead,
                lapsed_before: self.lapsed_before(),
                now,
                lease_until: now.plus_ms(LEASE_SECONDS * 1000),
            })
            .await
    }

    /// A worker on this machine that executes so many runs at once, to be given more.
    fn with_room(&self, worker: &str, slots: u32) -> Sync {
        let now = self.now();
        Sync {
            worker: worker.to_owned(),
            here: true,
            capacity: slots,
            holding: Vec::new(),
            dead: BTreeSet::new(),
            lapsed_before: Time(i64::MIN),
            now,
            lease_until: now.plus_ms(LEASE_SECONDS * 1000),
        }
    }

    /// Now and then, for a busy worker calls with every run that ends.
    async fn look_for_idle_computes(&self) {
        let now = self.now();
        {
            let mut renewals = self.renewals();
            if renewals
                .computes_at
                .is_some_and(|at| now.since(at) < COMPUTES_MS)
            {
                return;
            }
            renewals.computes_at = Some(now);
        }
        // One that cannot be read keeps no work from being given out.
        let _ = self.stop_idle_computes().await;
    }

    /// What there may be to say to a worker.
    async fn glance(&self, worker: &str) -> Result<Glance> {
        let now = self.now();
        // That its leases could be renewed is noted with that.
        let lapsed = self.lapsed_before();
        let mut glance = self.store.glance(worker, now, lapsed).await?;
        glance.due = self.undecided(glance.due, now);
        Ok(glance)
    }

    /// Whether a worker that will wait needs no sync before that: it has renewed its leases lately, and
    /// there is nothing to say. A busy one calls with every run that ends.
    fn has_just_synced(&self, request: &SyncWorker, glance: &Glance) -> bool {
        let held = glance.held;
        let left = held.lease_until.map_or(0, |until| until.since(self.now()));
        let fresh = left > LEASE_SECONDS * 1000 * 2 / 3;
        let news = self.has_news(request, glance);
        request.wait_ms > 0 && fresh && held.cancelled == 0 && !news
    }

    /// Whether another sync would have something to say.
    fn has_news(&self, request: &SyncWorker, glance: &Glance) -> bool {
        glance.held.cancels > 0
            || glance.held.runs != request.holding.len() as u64
            || !glance.due.is_empty()
            || (request.capacity > 0 && self.is_open(glance))
    }

    /// Number and name of the whole pipeline or sweep that a driven run is or is a part of, which never
    /// changes.
    async fn root_of(&self, driver: i64) -> Result<Option<(i64, String)>> {
        let roots = || self.roots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(root) = roots().get(&driver) {
            return Ok(Some(root.clone()));
        }
        let found = self.store.root_of(driver).await?;
        if let Some(root) = &found {
            let mut roots = roots();
            if roots.len() >= ROOTS {
                roots.clear();
            }
            roots.insert(driver, root.clone());
        }
        Ok(found)
    }

    /// Completes an assignment with what its process needs to know. A run whose secret is gone fails.
    async fn assign(&self, taken: Taken, alone: bool) -> Result<Option<Assignment>> {
        let Taken {
            workspace,
            subscription,
            resource_group,
            row,
            handle,
            cancel,
            driver,
        } = taken;
        let Some(mut job) = row.run.job else {
            return Ok(None);
        };
        let mut secrets = BTreeMap::new();
        if !job.secrets.is_empty()
            && let Some(found) = self.store.workspace(&workspace).await?
        {
            for (variable, name) in &job.secrets {
                let opened = match name.strip_prefix(connected::SECRETS) {
                    Some(connection) => self.lets_in(&found, connection, variable).await,
                    None => {
                        let opened = self.open_secret(&found, name).await;
                        opened.map(|value| vec![(variable.clone(), value, true)])
                    }
                };
                match opened {
                    Ok(opened) => {
                        for (variable, value, secret) in opened {
                            let variables = if secret {
                                &mut secrets
                            } else {
                                &mut job.environment_variables
                            };
                            variables.insert(variable, value);
                        }
                    }
                    Err(error) => {
                        let reason = error.message;
                        self.store.fail_run(row.id, reason, self.now()).await?;
                        self.advance_due().await;
                        return Ok(None);
                    }
                }
            }
        }
        let root = match driver {
            Some(driver) => self.root_of(driver).await?,
            None => None,
        };
        let (root_id, root) = root.unzip();
        let size = self.size_for(row.workspace_id, &job).await?;
        Ok(Some(Assignment {
            token: self.vault.run_token(row.workspace_id, row.id),
            log_length: self.store.log_length(row.workspace_id, row.id)?,
            workspace,
            subscription,
            resource_group,
            root: root.unwrap_or_else(|| row.run.name.clone()),
            root_id,
            run: row.run.name,
            experiment: row.run.experiment,
            experiment_id: row.run.experiment_id,
            display_name: row.run.display_name,
            job,
            handle,
            secrets,
            cancel,
            owned: !self.store.has_users().await?,
            size,
            alone,
        }))
    }
}

impl Service {
    /// What each node of a job's compute has: the size that the job asks for, else the compute's.
    async fn size_for(&self, workspace: i64, job: &Job) -> Result<Option<Size>> {
        let Some(described) = &job.described else {
            return Ok(None);
        };
        let definition = &described.definition;
        let asked = definition.get("resources");
        let asked = asked.and_then(|resources| resources.get("instance_type")?.as_str());
        if let Some(size) = asked.and_then(Size::named) {
            return Ok(Some(size));
        }
        let Some(named) = definition
            .get("compute")
            .and_then(serde_json::Value::as_str)
        else {
            return Ok(None);
        };
        let name = named.strip_prefix("azureml:").unwrap_or(named);
        let name = name.rsplit('/').next().unwrap_or(name);
        let Some(found) = self.store.compute(workspace, name).await? else {
            return Ok(None);
        };
        let size = found.compute.spec.get("size");
        Ok(size.and_then(|size| Size::named(size.as_str()?)))
    }
}

/// Splits `workspace/run`.
fn split(name: &str) -> Option<(String, String)> {
    let (workspace, run) = name.split_once('/')?;
    Some((workspace.to_owned(), run.to_owned()))
}

#[async_trait]
impl Perform for SyncWorker {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<WorkerOrders> {
        service.allow_admin(caller, "execute runs of the server")?;
        if self.worker.is_empty()
            || !self
                .worker
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        {
            return Err(
                Error::invalid("A worker's name has letters, digits, `-` and `_`").at("worker"),
            );
        }
        if let Some(bad) = self.holding.iter().find(|name| split(name).is_none()) {
            return Err(Error::invalid(format!("`{bad}` is not `workspace/run`")).at("holding"));
        }
        let until = Instant::now() + Duration::from_millis(self.wait_ms).min(LONGEST_WAIT);
        // Listening begins before looking, so that nothing falls between.
        let notified = service.work.notified();
        tokio::pin!(notified);
        notified.as_mut().enable();
        let glance = service.glance(&self.worker).await?;
        let mut orders = if service.has_just_synced(&self, &glance) {
            Orders::default()
        } else {
            service.sync(&self, &glance).await?
        };
        let knows = |(workspace, run): &(String, String)| {
            let known = self.cancelling.as_ref();
            known.is_none_or(|known| known.contains(&format!("{workspace}/{run}")))
        };
        let nothing_new = |orders: &Orders| !orders.are_news() && orders.cancel.iter().all(knows);
        while nothing_new(&orders) && Instant::now() < until {
            let next = until.min(Instant::now() + LOOK_AGAIN);
            let _ = tokio::time::timeout_at(next, notified.as_mut()).await;
            notified.set(service.work.notified());
            notified.as_mut().enable();
            let glance = service.glance(&self.worker).await?;
            if service.has_news(&self, &glance) {
                orders = service.sync(&self, &glance).await?;
            }
        }
        answer(service, orders).await
    }
}

async fn answer(service: &Service, orders: Orders) -> Result<WorkerOrders> {
    let join = |(workspace, run): (String, String)| format!("{workspace}/{run}");
    let mut take = Vec::new();
    for taken in orders.take {
        take.extend(service.assign(taken, orders.alone).await?);
    }
    Ok(WorkerOrders {
        take,
        cancel: orders.cancel.into_iter().map(join).collect(),
        lost: orders.lost.into_iter().map(join).collect(),
    })
}

#[async_trait]
impl Perform for ReportRun {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Reported> {
        service.allow_admin(caller, "execute runs of the server")?;
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        let ends = matches!(self.progress, Progress::Ended { .. });
        if let Progress::Ended { artifacts, .. } = &self.progress {
            for artifact in artifacts {
                check_path(&artifact.path)?;
            }
        }
        let run = service.find_run(&row, &self.run).await?;
        let here = service.is_here(&self.worker);
        let slots = self.slots.filter(|_| here && ends);
        let with_room = slots.map(|slots| service.with_room(&self.worker, slots));
        let from = (self.worker, here);
        service
            .store
            .report_run(run, from, (self.before, self.progress), service.now())
            .await?;
        let given = service.advance_and_fill(with_room).await;
        service.logs.notify_waiters();
        // One that has more to do begins while the end comes to disk.
        let soon = !given.take.is_empty();
        if here && ends && !soon {
            service.store.settle().await?;
        }
        // What it cannot be told now it is told with its regular call.
        let orders = answer(service, given).await.unwrap_or_default();
        Ok(Reported {
            take: orders.take,
            soon,
        })
    }
}
