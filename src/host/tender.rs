//! Serves one deployment: brings each new generation up beside the one before, which answers until
//! then, and says how it stands.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    Shared, counters,
    fleet::{Event, Fleet, Probes},
    layout::{self, Laid, Named},
    process::Plan,
    scaler::Scaler,
    target::Target,
};
use api::{
    Code, Error, Result,
    endpoints::EndpointState,
    work::{DeploymentOrders, ReportDeployment},
};

pub struct Tender {
    shared: Arc<Shared>,
    target: Arc<Target>,
    /// What to serve; none is an end.
    wanted: watch::Receiver<Option<DeploymentOrders>>,
    served: Option<Served>,
    /// The generation that could not be served; the one before it goes on.
    failed: Option<u64>,
    /// Nothing is served and nothing is left to try.
    idle: Arc<AtomicBool>,
}

/// A generation that answers, or did.
struct Served {
    generation: u64,
    fleet: Fleet,
    events: mpsc::UnboundedReceiver<Event>,
    scaler: Option<Scaler>,
    look: Duration,
    /// What was said of it last.
    said: EndpointState,
}

impl Tender {
    pub fn new(
        shared: Arc<Shared>,
        target: Arc<Target>,
        wanted: watch::Receiver<Option<DeploymentOrders>>,
        idle: Arc<AtomicBool>,
    ) -> Self {
        Self {
            shared,
            target,
            wanted,
            served: None,
            failed: None,
            idle,
        }
    }

    /// Serves until nothing is wanted any more.
    pub async fn run(mut self) {
        loop {
            let Some(orders) = self.wanted.borrow_and_update().clone() else {
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
        let before = self
            .target
            .switch(Err("The deployment is stopping".to_owned()));
        drop(before);
        if let Some(served) = self.served.take() {
            served.fleet.end().await;
        }
    }

    /// Serves a new generation; the one before it answers until the new one does.
    async fn deploy(&mut self, orders: &DeploymentOrders) {
        let mut wanted = self.wanted.clone();
        let up = tokio::select! {
            // Dropped half-way, nothing of it stays.
            _ = wanted.changed() => return,
            up = self.bring_up(orders) => up,
        };
        let (fleet, events) = match up {
            Ok(up) => up,
            Err(error) => return self.fail(orders, &error).await,
        };
        self.target.set(orders.deployment.requests);
        let before = self.target.switch(Ok(Arc::clone(fleet.pool())));
        drop(before);
        let scale = orders.deployment.scale;
        let capacity = orders.deployment.requests.max_concurrent;
        let served = Served {
            generation: orders.generation,
            fleet,
            events,
            scaler: scale.map(|scale| Scaler::new(scale, capacity)),
            look: Duration::from_secs(scale.map_or(1, |scale| u64::from(scale.polling_seconds))),
            said: EndpointState::Healthy,
        };
        let old = self.served.replace(served);
        self.report(orders, EndpointState::Healthy, None).await;
        // It may get requests now that others got until here.
        self.shared.refresh().await;
        if let Some(old) = old {
            // On its own, so that an end of the new processes is seen meanwhile.
            tokio::spawn(old.fleet.end());
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
        let pool = Arc::clone(served.fleet.pool());
        loop {
            tokio::select! {
                _ = self.wanted.changed() => return,
                event = served.events.recv() => {
                    match event {
                        Some(Event::GaveUp(reason)) => {
                            return self.give_up(orders, reason).await;
                        }
                        Some(event) => {
                            let told = heard(served, event);
                            if let Some((state, message)) = told {
                                served.said = state;
                                report(&self.shared, orders, state, message).await;
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
        self.target.switch(Err(reason.clone()));
        if let Some(served) = self.served.take() {
            served.fleet.end().await;
        }
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
        self.shared.send(&report).await;
        self.shared.refresh().await;
    }

    /// Prepares and starts a generation's processes and waits until they answer.
    async fn bring_up(
        &self,
        orders: &DeploymentOrders,
    ) -> Result<(Fleet, mpsc::UnboundedReceiver<Event>)> {
        let named = Named {
            workspace: &self.shared.workspace,
            endpoint: &self.shared.endpoint,
            orders,
        };
        let folder = &self.shared.settings.folder;
        self.say(orders, "Laying out the model and the code").await;
        let laid = layout::lay_out(&self.shared.client, &named, folder).await?;
        let plan = self.plan(&named, laid).await?;
        self.say(orders, "Starting the scoring process").await;
        let (events, received) = mpsc::unbounded_channel();
        let deployment = &orders.deployment;
        let probes = Probes {
            liveness: deployment.liveness.unwrap_or_default(),
            readiness: deployment.readiness,
        };
        // One is tried in any case.
        let count = deployment
            .scale
            .map_or(deployment.instances, |scale| scale.min)
            .max(1);
        let log = self.shared.settings.log_of(orders.id);
        let fleet = Fleet::start(plan, log, count, probes, events).await?;
        Ok((fleet, received))
    }

    /// Makes the environment ready, and tells what is being done meanwhile.
    async fn plan(&self, named: &Named<'_>, laid: Laid) -> Result<Plan> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let say = move |line: &str| {
            let _ = sender.send(line.to_owned());
        };
        let mut planned = pin!(laid.plan(named, &self.shared.settings, &say));
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

/// Tells the store; what was deleted has no state any more.
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
    shared.send(&state(shared, orders, now, message)).await;
}

impl Shared {
    /// What is served goes on answering when the state cannot be written.
    async fn send(&self, report: &ReportDeployment) {
        if let Err(error) = self.client.call(report).await
            && error.code != Code::NotFound
        {
            self.front
                .note(&format!("Cannot report the state: {error}"));
        }
    }
}
