//! Serves one deployment: brings each new generation up beside the one before, which answers until
//! then, and says how it stands.

use std::{
    io,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    Shared,
    collecting::Collecting,
    container::Outdated,
    counters,
    fleet::{End, Event, Fleet, Hurry},
    layout::{self, Laid, Named},
    native::Scorer,
    process::{Plan, Unpushed},
    scaler::Scaler,
    secrets,
    target::Target,
};
use api::{
    Error, Result,
    autoscale::AskScale,
    endpoints::EndpointState,
    work::{DeploymentOrders, ReportDeployment},
};

/// How often it is asked how many processes there shall be, where rules say that.
const ASK: Duration = Duration::from_secs(10);

/// How long it must have answered before its files are laid out again that somebody has removed.
const LAY_OUT_AGAIN: Duration = Duration::from_secs(10);

/// What shall become of a deployment.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    Serve(Box<DeploymentOrders>),
    End(End),
}

pub struct Tender {
    shared: Arc<Shared>,
    target: Arc<Target>,
    wanted: watch::Receiver<Wish>,
    served: Option<Served>,
    /// Those before, which end what they have begun.
    leaving: Vec<Leaving>,
    /// The generation that could not be served; the one before it goes on.
    failed: Option<u64>,
    /// Nothing is served and nothing is left to try.
    idle: Arc<AtomicBool>,
}

/// What a generation is served with.
enum Ready {
    Native(Box<Scorer>),
    Processes(Box<Plan>),
}

/// What a generation answers with.
struct Up {
    fleet: Fleet,
    events: mpsc::UnboundedReceiver<Event>,
    collecting: Option<Collecting>,
    unpushed: Option<Unpushed>,
    /// Images that are needed no more.
    outdated: Option<Outdated>,
}

/// A generation that answers, or did.
struct Served {
    generation: u64,
    /// Where it listens, if it listens nowhere else.
    port: Option<u16>,
    fleet: Fleet,
    events: mpsc::UnboundedReceiver<Event>,
    scaler: Option<Scaler>,
    look: Duration,
    since: Instant,
    /// When their number was changed last.
    resized: Instant,
    /// What was said of it last.
    said: EndpointState,
    collecting: Option<Collecting>,
    /// Told when its image is pushed that could not be at first.
    pushed: Option<oneshot::Receiver<()>>,
}

/// A generation that gets no more requests.
struct Leaving {
    /// On which it listens whatever it is told.
    port: Option<u16>,
    hurry: Hurry,
    task: JoinHandle<()>,
}

impl Served {
    /// As many processes as the rules ask for.
    async fn rescale(&mut self, shared: &Shared, orders: &DeploymentOrders, target: &Target) {
        let now = self.fleet.size();
        let wanted = ask_scale(shared, orders, now, self.resized.elapsed()).await;
        if wanted != now {
            target.note(&format!("By its rules {now} instances become {wanted}"));
            self.fleet.resize(wanted);
            self.resized = Instant::now();
        }
    }

    async fn end(self) {
        self.fleet.end().await;
        if let Some(collecting) = self.collecting {
            collecting.end().await;
        }
    }
}

impl Tender {
    pub fn new(
        shared: Arc<Shared>,
        target: Arc<Target>,
        wanted: watch::Receiver<Wish>,
        idle: Arc<AtomicBool>,
    ) -> Self {
        Self {
            shared,
            target,
            wanted,
            served: None,
            leaving: Vec::new(),
            failed: None,
            idle,
        }
    }

    /// Serves until nothing is wanted any more.
    pub async fn run(mut self) {
        loop {
            let Wish::Serve(orders) = self.wanted.borrow_and_update().clone() else {
                break;
            };
            let generation = self.served.as_ref().map(|served| served.generation);
            let new = generation != Some(orders.generation);
            if new && self.failed != Some(orders.generation) {
                self.idle.store(false, Ordering::Release);
                self.deploy(&orders).await;
            } else {
                self.attend(&orders).await;
            }
        }
        let leaving = std::mem::take(&mut self.leaving);
        let (hurries, tasks): (Vec<_>, Vec<_>) =
            leaving.into_iter().map(|one| (one.hurry, one.task)).unzip();
        let wanted = self.wanted.clone();
        let left = async {
            for task in tasks {
                let _ = task.await;
            }
        };
        tokio::join!(
            self.take_down("The deployment is stopping".to_owned()),
            ended(left, &hurries, wanted),
        );
    }

    /// Lets nothing answer any more, for a reason.
    async fn take_down(&mut self, why: String) {
        self.target.switch(Err(why));
        self.target.collect(None);
        if let Some(served) = self.served.take() {
            let hurry = served.fleet.hurry();
            ended(served.end(), &[hurry], self.wanted.clone()).await;
        }
    }

    /// Serves a new generation; the one before it answers until the new one does.
    async fn deploy(&mut self, orders: &DeploymentOrders) {
        let mut wanted = self.wanted.clone();
        let ready = tokio::select! {
            // Dropped half-way, nothing of it stays.
            _ = wanted.changed() => return,
            ready = self.prepare(orders) => ready,
        };
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => return self.fail(orders, &error).await,
        };
        self.make_room(orders).await;
        let up = tokio::select! {
            _ = wanted.changed() => return,
            up = self.bring_up(orders, ready) => up,
        };
        let Up {
            fleet,
            events,
            collecting,
            unpushed,
            outdated,
        } = match up {
            Ok(up) => up,
            Err(error) => return self.fail(orders, &error).await,
        };
        let inlet = collecting.as_ref().and_then(Collecting::inlet);
        self.target.collect(inlet);
        self.target.switch(Ok(Arc::clone(fleet.pool())));
        let (message, pushed) = unpushed.map(|it| (it.why, it.pushed)).unzip();
        // This process is as many as there can be.
        let scale = orders
            .deployment
            .scale
            .filter(|_| !orders.deployment.native);
        let capacity = orders.deployment.requests.max_concurrent;
        let served = Served {
            generation: orders.generation,
            port: fixed_port(orders),
            fleet,
            events,
            scaler: scale.map(|scale| Scaler::new(scale, capacity)),
            look: Duration::from_secs(scale.map_or(1, |scale| u64::from(scale.polling_seconds))),
            since: Instant::now(),
            resized: Instant::now(),
            said: EndpointState::Healthy,
            collecting,
            pushed,
        };
        let old = self.served.replace(served);
        self.report(orders, EndpointState::Healthy, message).await;
        // It may get requests now that others got until here.
        self.shared.refresh().await;
        self.leaving.retain(|one| !one.task.is_finished());
        // However long a request may take, only the last generation waits for its requests.
        for one in &self.leaving {
            one.hurry.up(End::Stopped);
        }
        let left = old.as_ref().map(|old| (old.port, old.fleet.hurry()));
        // On its own, so that an end of the new processes is seen meanwhile.
        let task = tokio::spawn(async move {
            if let Some(old) = old {
                old.end().await;
            }
            if let Some(outdated) = outdated {
                outdated.remove().await;
            }
        });
        self.leaving
            .extend(left.map(|(port, hurry)| Leaving { port, hurry, task }));
    }

    /// Ends what answers where the new generation is to listen: the two cannot be there at once.
    async fn make_room(&mut self, orders: &DeploymentOrders) {
        let wanted = fixed_port(orders);
        let taken = |served: &Served| wanted.is_some() && served.port == wanted;
        if self.served.as_ref().is_some_and(taken) {
            let name = &self.target.name;
            let why = format!("The deployment `{name}` is being replaced");
            self.take_down(why).await;
        }
        let in_the_way = |one: &mut Leaving| wanted.is_some() && one.port == wanted;
        let leaving: Vec<_> = self.leaving.extract_if(.., in_the_way).collect();
        for one in leaving {
            let left = async { drop(one.task.await) };
            ended(left, &[one.hurry], self.wanted.clone()).await;
        }
    }

    /// Lets what is served answer until something else is wanted or it cannot.
    async fn attend(&mut self, orders: &DeploymentOrders) {
        let Some(served) = &mut self.served else {
            self.idle.store(true, Ordering::Release);
            self.shared.again.notify_one();
            let _ = self.wanted.changed().await;
            return;
        };
        let mut next = Instant::now() + served.look;
        let mut ask = Instant::now();
        let pool = Arc::clone(served.fleet.pool());
        loop {
            tokio::select! {
                _ = self.wanted.changed() => return,
                event = served.events.recv() => {
                    match event {
                        Some(Event::GaveUp(reason)) => {
                            return self.give_up(orders, reason).await;
                        }
                        Some(Event::Down(_))
                            if served.since.elapsed() > LAY_OUT_AGAIN && !served.fleet.is_whole() =>
                        {
                            self.target.note(
                                "Some of its files were removed from where they were laid out: all are laid out again",
                            );
                            // However that ends, the next process that answers is news, and the
                            // next one that goes is no reason for some time.
                            served.said = EndpointState::Starting;
                            served.since = Instant::now();
                            return self.deploy(orders).await;
                        }
                        Some(event) => {
                            let told = heard(served, event);
                            if let Some((state, message)) = told {
                                served.said = state;
                                // How the processes before are is no news of a generation that failed.
                                if served.generation == orders.generation {
                                    report(&self.shared, orders, state, message).await;
                                }
                            }
                        }
                        None => return,
                    }
                }
                () = sleep_until(next), if served.scaler.is_some() => {
                    next = Instant::now() + served.look;
                    let now = served.fleet.size();
                    if let Some(scaler) = &mut served.scaler {
                        let wanted = scaler.look(now, pool.busy());
                        if wanted != now {
                            self.target.note(&format!("{now} instances become {wanted}"));
                            served.fleet.resize(wanted);
                        }
                    }
                }
                () = sleep_until(ask), if orders.autoscaled => {
                    ask = Instant::now() + ASK;
                    served.rescale(&self.shared, orders, &self.target).await;
                }
                () = is_pushed(&mut served.pushed), if served.pushed.is_some() => {
                    served.pushed = None;
                    if served.said == EndpointState::Healthy && served.generation == orders.generation {
                        report(&self.shared, orders, EndpointState::Healthy, None).await;
                    }
                }
                () = pool.wanted.notified(), if served.scaler.is_some() => {
                    if served.fleet.size() == 0 {
                        self.target.note("A request wakes the first instance");
                        served.fleet.resize(1);
                    }
                }
            }
        }
    }

    /// Ends what does not come up any more.
    async fn give_up(&mut self, orders: &DeploymentOrders, reason: String) {
        self.take_down(reason.clone()).await;
        self.fail(orders, &Error::invalid(reason)).await;
    }

    /// Says that a generation cannot be served. The orders go back to the last one that answered, if
    /// one did.
    async fn fail(&mut self, orders: &DeploymentOrders, error: &Error) {
        let message = error.explained();
        self.target.note(&message);
        self.failed = Some(orders.generation);
        let answering = self.served.as_ref().map(|served| served.generation);
        if answering.is_none() {
            let first = message.lines().next().unwrap_or_default();
            self.target
                .switch(Err(format!("The deployment has failed: {first}")));
        }
        let report = ReportDeployment {
            unfit: true,
            answering,
            ..state(&self.shared, orders, EndpointState::Failed, Some(message))
        };
        self.shared.reports.send(report).await;
        self.shared.refresh().await;
    }

    /// Makes ready what a generation's processes need.
    async fn prepare(&self, orders: &DeploymentOrders) -> Result<Ready> {
        let named = Named {
            workspace: &self.shared.workspace,
            endpoint: &self.shared.endpoint,
            orders,
        };
        let folder = &self.shared.settings.folder;
        self.say(orders, "Laying out the model and the code").await;
        let laid = layout::lay_out(&self.shared.client, &named, folder).await?;
        if orders.deployment.native {
            self.say(orders, "Loading the model").await;
            return Ok(Ready::Native(Box::new(laid.scorer().await?)));
        }
        let mut plan = self.plan(&named, laid).await?;
        secrets::give(&mut plan, orders, folder)?;
        Ok(Ready::Processes(Box::new(plan)))
    }

    /// Starts a generation's processes and waits until they answer.
    async fn bring_up(&self, orders: &DeploymentOrders, ready: Ready) -> Result<Up> {
        let failed = |e: io::Error| {
            Error::unavailable(format!("Cannot collect data of the deployment: {e}"))
        };
        let collecting = Collecting::start(&self.shared, &self.target, orders).await;
        let collecting = collecting.map_err(failed)?;
        let (events, received) = mpsc::unbounded_channel();
        let mut plan = match ready {
            Ready::Native(scorer) => {
                return Ok(Up {
                    fleet: Fleet::here(*scorer, &orders.deployment, events),
                    events: received,
                    collecting,
                    unpushed: None,
                    outdated: None,
                });
            }
            Ready::Processes(plan) => *plan,
        };
        if let Some(collecting) = &collecting {
            let file = self.shared.settings.collector_of(orders.id);
            collecting.tell(&mut plan, &file).map_err(failed)?;
        }
        self.say(orders, "Starting the scoring process").await;
        let deployment = &orders.deployment;
        // One is tried in any case.
        let count = deployment
            .scale
            .map_or(deployment.instances, |scale| scale.min)
            .max(1);
        // What is replaced may have been given more by its rules.
        let served = self.served.as_ref().filter(|_| orders.autoscaled);
        let count = count.max(served.map_or(1, |served| served.fleet.size()));
        let count = ask_scale(&self.shared, orders, count, Duration::ZERO).await;
        let log = self.shared.settings.log_of(orders.id);
        let (unpushed, outdated) = (plan.unpushed.take(), plan.outdated.take());
        let fleet = Fleet::start(plan, log, deployment, count, events).await?;
        Ok(Up {
            fleet,
            events: received,
            collecting,
            unpushed,
            outdated,
        })
    }

    /// Makes the environment ready, and tells what is being done meanwhile.
    async fn plan(&self, named: &Named<'_>, laid: Laid) -> Result<Plan> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let say = move |line: &str| {
            let _ = sender.send(line.to_owned());
        };
        let settings = &self.shared.settings;
        let planned = async {
            match named.orders.deployment.container {
                Some(_) => laid.containers(named, settings, &say).await,
                None => laid.plan(named, settings, &say).await,
            }
        };
        let mut planned = pin!(planned);
        loop {
            tokio::select! {
                plan = &mut planned => return plan,
                Some(line) = lines.recv() => self.say(named.orders, &line).await,
            }
        }
    }

    async fn say(&self, orders: &DeploymentOrders, what: &str) {
        self.report(orders, EndpointState::Starting, Some(what.to_owned()))
            .await;
    }

    async fn report(
        &self,
        orders: &DeploymentOrders,
        state: EndpointState,
        message: Option<String>,
    ) {
        report(&self.shared, orders, state, message).await;
    }
}

/// Waits until something has ended that may not take its time, and even less once the deployment is
/// deleted.
async fn ended(
    something: impl Future<Output = ()>,
    hurries: &[Hurry],
    mut wanted: watch::Receiver<Wish>,
) {
    let up = |end| hurries.iter().for_each(|one| one.up(end));
    up(End::Stopped);
    let hurried = async {
        let is_deleted = |wish: &Wish| *wish == Wish::End(End::Deleted);
        if wanted.wait_for(is_deleted).await.is_ok() {
            up(End::Deleted);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = something => {}
        () = hurried => {}
    }
}

/// The port of the machine on which a generation listens whatever it is told.
fn fixed_port(orders: &DeploymentOrders) -> Option<u16> {
    let deployment = &orders.deployment;
    let program = deployment.program.as_ref();
    // In containers each has such a port.
    let program = program.filter(|_| deployment.container.is_none());
    program.and_then(|program| program.port)
}

/// How many processes there shall be when there have been `now` for a while.
async fn ask_scale(shared: &Shared, orders: &DeploymentOrders, now: u32, since: Duration) -> u32 {
    if !orders.autoscaled {
        return now;
    }
    let ask = AskScale {
        endpoint: shared.settings.endpoint,
        deployment: orders.id,
        instances: now,
        since_seconds: since.as_secs(),
    };
    shared.aside(ask).await.unwrap_or(now)
}

/// Returns when an image that could not be pushed is, or will not be any more.
async fn is_pushed(pushed: &mut Option<oneshot::Receiver<()>>) {
    if let Some(pushed) = pushed {
        let _ = pushed.await;
    }
}

/// What an event says of the deployment, if it is news.
fn heard(served: &Served, event: Event) -> Option<(EndpointState, Option<String>)> {
    let empty = served.fleet.pool().len() == 0;
    match event {
        Event::Up if served.said != EndpointState::Healthy => Some((EndpointState::Healthy, None)),
        Event::Down(how) if empty => Some((
            EndpointState::Starting,
            Some(format!(
                "The scoring process {how} and is being started again"
            )),
        )),
        Event::Up | Event::Down(_) | Event::GaveUp(_) => None,
    }
}

fn state(
    shared: &Shared,
    orders: &DeploymentOrders,
    state: EndpointState,
    message: Option<String>,
) -> ReportDeployment {
    ReportDeployment {
        endpoint: shared.settings.endpoint,
        deployment: orders.id,
        generation: orders.generation,
        state,
        message,
        unfit: false,
        answering: None,
    }
}

/// Tells the store how a generation is.
async fn report(
    shared: &Shared,
    orders: &DeploymentOrders,
    now: EndpointState,
    message: Option<String>,
) {
    if now == EndpointState::Healthy {
        // Whoever waits for it looks at once, and finds the instances that answer.
        counters::write(&shared.settings.loads, &counters::loads(&shared.front));
    }
    let report = state(shared, orders, now, message);
    shared.reports.send(report).await;
}
