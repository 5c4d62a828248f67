//! The processes of one generation of a deployment: each is started, watched, started again with
//! growing waits, and ended.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::sleep,
};

use super::{
    backend::Backend,
    native::Scorer,
    pool::Pool,
    process::{Plan, Scoring},
};
use api::{
    Error, Result,
    deployments::{Deployment, Probe},
};

/// How long requests in flight may take when the deployment is to end; when only their process is, they
/// have as long as any.
const DRAIN: Duration = Duration::from_secs(30);
/// And at most this, whatever a deployment lets its requests take.
const LONGEST_DRAIN: Duration = Duration::from_hours(1);
/// The same when it was deleted, and how long its processes may then take to end.
const DELETED_DRAIN: Duration = Duration::from_secs(3);
const DELETED_GRACE: Duration = Duration::from_secs(1);
/// Restarts after which a deployment without any process is given up, the waits between them doubling
/// from the first to the longest.
const RESTARTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// A process that was well for so long has its restarts back.
const STEADY: Duration = Duration::from_mins(1);

/// What becomes of a process.
pub enum Event {
    Up,
    /// It ended or did not come up, with how, and is started again.
    Down(String),
    /// It does not come up any more and it was the last; with why.
    GaveUp(String),
}

/// How a process is known to be well.
#[derive(Clone, Copy)]
struct Probes {
    liveness: Probe,
    /// Without one a process may take any time to come up.
    readiness: Option<Probe>,
}

impl From<&Deployment> for Probes {
    fn from(deployment: &Deployment) -> Self {
        Self {
            liveness: deployment.liveness.unwrap_or_default(),
            readiness: deployment.readiness,
        }
    }
}

/// What there shall be of a fleet.
#[derive(Clone, Copy)]
struct Wanted {
    processes: u32,
    /// How long those that are to end may take for what they have begun.
    drain: Duration,
    /// How long they may then take to end, if not as long as is usual.
    grace: Option<Duration>,
}

impl Wanted {
    /// So many of a deployment whose processes come and go.
    fn lasting(processes: u32, pool: &Pool) -> Self {
        Self {
            processes,
            drain: pool.heeded.patience().clamp(DRAIN, LONGEST_DRAIN),
            grace: None,
        }
    }
}

/// Why a deployment serves no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was stopped: it may come back.
    Stopped,
    Deleted,
}

/// Lets a fleet that is ending not take its time.
pub struct Hurry(watch::Sender<Wanted>);

impl Hurry {
    pub fn up(&self, end: End) {
        let (drain, grace) = match end {
            End::Stopped => (DRAIN, None),
            End::Deleted => (DELETED_DRAIN, Some(DELETED_GRACE)),
        };
        self.0.send_modify(|wanted| {
            wanted.drain = wanted.drain.min(drain);
            wanted.grace = wanted.grace.or(grace);
        });
    }
}

pub struct Fleet {
    worker: Worker,
    wanted: watch::Sender<Wanted>,
    tasks: Vec<JoinHandle<()>>,
}

/// What a task needs to keep a process.
#[derive(Clone)]
struct Worker {
    plan: Arc<Plan>,
    log: PathBuf,
    pool: Arc<Pool>,
    wanted: watch::Receiver<Wanted>,
    events: mpsc::UnboundedSender<Event>,
    probes: Probes,
    /// Numbers the starts: no two processes listen at the same place.
    starts: Arc<AtomicU32>,
}

impl Fleet {
    /// Starts processes and returns when all of them answer; else with why the first that failed did.
    pub async fn start(
        plan: Plan,
        log: PathBuf,
        deployment: &Deployment,
        count: u32,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<Self> {
        let pool = Arc::new(Pool::heeding(Arc::new(deployment.into())));
        let (wanted, watched) = watch::channel(Wanted::lasting(count, &pool));
        let mut fleet = Self {
            worker: Worker {
                plan: Arc::new(plan),
                log,
                pool,
                wanted: watched,
                events,
                probes: deployment.into(),
                starts: Arc::default(),
            },
            wanted,
            tasks: Vec::new(),
        };
        // The first alone: what is wrong with one is wrong with all.
        for part in [0..1, 1..count] {
            let first_start = |instance| {
                let (first, ready) = oneshot::channel();
                fleet.keep(instance, Some(first));
                ready
            };
            let ready: Vec<_> = part.map(first_start).collect();
            for ready in ready {
                let outcome = ready.await;
                let outcome = outcome.unwrap_or_else(|_| Err("It was ended".to_owned()));
                if let Err(reason) = outcome {
                    fleet.end().await;
                    return Err(Error::invalid(reason));
                }
            }
        }
        Ok(fleet)
    }

    /// One place at which this process itself answers.
    pub fn here(
        scorer: Scorer,
        deployment: &Deployment,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let pool = Arc::new(Pool::heeding(Arc::new(deployment.into())));
        let (wanted, watched) = watch::channel(Wanted::lasting(1, &pool));
        let worker = Worker {
            plan: Arc::default(),
            log: PathBuf::new(),
            pool,
            wanted: watched,
            events,
            probes: deployment.into(),
            starts: Arc::default(),
        };
        worker.pool.add(Arc::new(Backend::native(scorer)));
        Self {
            worker,
            wanted,
            tasks: Vec::new(),
        }
    }

    pub fn pool(&self) -> &Arc<Pool> {
        &self.worker.pool
    }

    pub fn size(&self) -> u32 {
        self.wanted.borrow().processes
    }

    /// Whether a process can be started again with what was laid out for it.
    pub fn is_whole(&self) -> bool {
        self.worker.plan.is_whole()
    }

    /// Starts processes or ends some until there are so many.
    pub fn resize(&mut self, count: u32) {
        self.tasks.retain(|task| !task.is_finished());
        let wanted = Wanted::lasting(count, self.pool());
        let before = self.wanted.send_replace(wanted).processes;
        for instance in before..count {
            self.keep(instance, None);
        }
    }

    /// Keeps a process; given up at once when somebody waits for its first start and that fails.
    fn keep(&mut self, instance: u32, first: Option<First>) {
        let worker = self.worker.clone();
        self.tasks.push(tokio::spawn(worker.run(instance, first)));
    }

    /// Hurries this when it is being ended.
    pub fn hurry(&self) -> Hurry {
        Hurry(self.wanted.clone())
    }

    /// Ends all processes, after what they have begun, and removes what they were laid out in.
    pub async fn end(mut self) {
        self.wanted.send_modify(|wanted| wanted.processes = 0);
        for task in &mut self.tasks {
            let _ = task.await;
        }
        self.worker.plan.folders.remove().await;
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // A process ends with its task, and the last one takes along what they were laid out in.
        for task in &self.tasks {
            task.abort();
        }
    }
}

type First = oneshot::Sender<std::result::Result<(), String>>;

impl Worker {
    async fn run(mut self, instance: u32, mut first: Option<First>) {
        let mut restarts = 0;
        loop {
            match self.bring_up(instance).await {
                None => return,
                Some(Ok(scoring)) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    }
                    let since = Instant::now();
                    let Some(how) = self.watch(instance, scoring).await else {
                        return;
                    };
                    if since.elapsed() > STEADY {
                        restarts = 0;
                    }
                    let _ = self.events.send(Event::Down(how));
                }
                Some(Err(reason)) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Err(reason));
                        return;
                    }
                    if restarts >= RESTARTS && self.pool.len() == 0 {
                        let _ = self.events.send(Event::GaveUp(reason));
                        return;
                    }
                    let why = reason.lines().next().unwrap_or_default();
                    let how = format!("did not come up ({why})");
                    let _ = self.events.send(Event::Down(how));
                }
            }
            let wait = (FIRST_WAIT * 2_u32.pow(restarts.min(10))).min(LONGEST_WAIT);
            restarts += 1;
            tokio::select! {
                () = sleep(wait) => {}
                () = superfluous(&mut self.wanted, instance) => return,
            }
        }
    }

    /// Starts a process and waits until it answers; none when it shall not be any more.
    async fn bring_up(&mut self, instance: u32) -> Option<std::result::Result<Scoring, String>> {
        let number = self.starts.fetch_add(1, Ordering::Relaxed);
        let mut scoring = match Scoring::start(&self.plan, number, &self.log) {
            Ok(scoring) => scoring,
            Err(error) => return Some(Err(error.explained())),
        };
        let too_late = async {
            match self.probes.readiness {
                Some(probe) => {
                    let most = probe.initial_delay + probe.period * probe.failure_threshold;
                    sleep(Duration::from_secs(u64::from(most))).await;
                    format!(
                        "The scoring process has not answered within {most} s, as its readiness probe asks"
                    )
                }
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            outcome = scoring.ready() => outcome,
            reason = too_late => Err(match scoring.elsewhere().await {
                Some(why) => format!("{reason}\n{why}"),
                None => reason,
            }),
            () = superfluous(&mut self.wanted, instance) => {
                self.stop(scoring).await;
                return None;
            }
        };
        match outcome {
            Ok(()) => Some(Ok(scoring)),
            Err(reason) => {
                self.stop(scoring).await;
                Some(Err(reason))
            }
        }
    }

    /// Lets a process answer until it ends, with how; none when it shall not be any more.
    async fn watch(&mut self, instance: u32, mut scoring: Scoring) -> Option<String> {
        let backend = Arc::clone(&scoring.backend);
        self.pool.add(Arc::clone(&backend));
        let _ = self.events.send(Event::Up);
        let well = scoring.well(self.probes.liveness);
        let how = tokio::select! {
            how = well => Some(how),
            () = superfluous(&mut self.wanted, instance) => None,
        };
        self.pool.remove(&backend);
        if how.is_none() {
            drained(&backend, &mut self.wanted).await;
        }
        self.stop(scoring).await;
        how
    }

    async fn stop(&self, scoring: Scoring) {
        let grace = self.wanted.borrow().grace;
        scoring.stop(grace).await;
    }
}

/// Returns when there shall be fewer processes than this one's number.
async fn superfluous(wanted: &mut watch::Receiver<Wanted>, instance: u32) {
    // Whoever could ask for it is gone: there shall be none.
    let _ = wanted.wait_for(|wanted| wanted.processes <= instance).await;
}

/// Returns when a process has answered all it was sent, or may not take longer.
async fn drained(backend: &Backend, wanted: &mut watch::Receiver<Wanted>) {
    let begun = tokio::time::Instant::now();
    loop {
        let most = wanted.borrow_and_update().drain;
        tokio::select! {
            () = backend.drained(most.saturating_sub(begun.elapsed())) => return,
            Ok(()) = wanted.changed() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::{Arc, atomic::AtomicU32},
        time::Duration,
    };

    use tokio::{
        sync::{mpsc, watch},
        time::timeout,
    };

    use super::{
        super::{layout::Folders, process::Listens, stream::Address},
        Backend, Event, Fleet, Plan, Pool, Wanted, Worker, drained,
    };
    use api::deployments::{Deployment, Routes};

    /// This program, which is no `aml` here, ends without an answer.
    #[tokio::test]
    async fn an_instance_that_is_added_is_tried_again_when_its_first_start_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().to_owned();
        let plan = Plan {
            command: vec!["no-such-program".to_owned()],
            folder: root.clone(),
            variables: [].into(),
            listens: Listens::Port(None),
            routes: Routes::default(),
            folders: Folders::default(),
            ..Plan::default()
        };
        let (events, mut received) = mpsc::unbounded_channel();
        let (wanted, watched) = watch::channel(Wanted::lasting(0, &Pool::default()));
        let mut fleet = Fleet {
            worker: Worker {
                plan: Arc::new(plan),
                log: PathBuf::from("/dev/null"),
                pool: Arc::default(),
                wanted: watched,
                events,
                probes: (&Deployment::default()).into(),
                starts: Arc::new(AtomicU32::new(0)),
            },
            wanted,
            tasks: Vec::new(),
        };
        fleet.resize(1);
        for _ in 0..2 {
            let event = timeout(Duration::from_secs(20), received.recv()).await;
            match event.expect("it is tried again") {
                Some(Event::Down(how)) => assert!(how.starts_with("did not come up ("), "{how}"),
                _ => panic!("it did not come up"),
            }
        }
        fleet.end().await;
    }

    #[tokio::test]
    async fn who_ends_takes_its_time_for_what_it_has_begun_until_it_is_hurried() {
        let pool = Arc::new(Pool::default());
        let backend = Arc::new(Backend::new(Address::Port(1)));
        pool.add(Arc::clone(&backend));
        let place = pool.place(None).expect("a place");
        let lasting = Wanted::lasting(0, &pool);
        assert!(lasting.drain >= pool.heeded.patience());
        let (wanted, mut watched) = watch::channel(lasting);
        let early = timeout(Duration::from_millis(50), drained(&backend, &mut watched));
        early.await.expect_err("it has more time");
        let hurry = async {
            wanted.send_modify(|wanted| wanted.drain = Duration::ZERO);
        };
        let late = tokio::join!(drained(&backend, &mut watched), hurry);
        assert_eq!((late, backend.busy()), (((), ()), 1));
        drop(place);
        wanted.send_replace(lasting);
        drained(&backend, &mut watched).await;
    }
}
