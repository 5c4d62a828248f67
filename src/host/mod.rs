//! The host of an endpoint: a process of its own that serves what is deployed behind it, until told
//! to stop.
//!
//! It owns the HTTP front and the scoring process behind it. It knows nothing that the store does
//! not: killed at any moment, the next host goes on from the endpoint's orders.

mod backend;
mod counters;
mod explain;
mod front;
mod layout;
mod leftovers;
mod orders;
mod ports;
mod process;
mod requirements;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    task::JoinHandle,
    time::sleep,
};

pub use watch::watch;

use api::{
    Code, Error, Result,
    endpoints::EndpointState,
    work::{HostOrders, ReportEndpoint},
};
use client::Client;
use front::Front;
use layout::Laid;
use orders::Orders;
use process::{Plan, Scoring};

/// How often the stamp is looked at, and the orders are read in any case.
const LOOK: Duration = Duration::from_millis(100);
const READ: Duration = Duration::from_secs(5);
/// How long requests in flight may take when their scoring process is to end.
const DRAIN: Duration = Duration::from_secs(30);
/// Restarts of a process that was healthy, the waits between them doubling from the first.
const RESTARTS: u32 = 5;
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// A process that was healthy for so long has its restarts back.
const STEADY: Duration = Duration::from_mins(1);

/// What the host was started with.
pub struct Settings {
    pub endpoint: i64,
    /// The state directory, for the environments kept there.
    pub home: PathBuf,
    /// The endpoint's own folder and what is in it. The caller holds its lock.
    pub folder: PathBuf,
    pub log: PathBuf,
    pub stamp: PathBuf,
    pub traffic: PathBuf,
    /// Names the environment that it was served in last.
    pub environment: PathBuf,
    /// Variables of the machine that the scoring process gets.
    pub variables: BTreeMap<String, String>,
}

/// Serves an endpoint until it is stopped, deleted, or cannot be served.
pub async fn run(client: Client, settings: Settings) -> Result<()> {
    leftovers::clear(&settings.folder);
    let _ = std::fs::remove_file(&settings.traffic);
    let orders = Orders::read(client.clone(), settings.endpoint, settings.stamp.clone()).await?;
    let log = process::append(&settings.log)
        .map_err(|e| Error::unavailable(format!("Cannot open the endpoint's log: {e}")))?;
    let front = Arc::new(Front::new(orders, log));
    let counting = tokio::spawn(counters::keep(
        Arc::clone(&front.counters),
        settings.traffic.clone(),
    ));
    let mut host = Host {
        client,
        settings,
        front,
        listening: None,
        served: None,
        failed: None,
    };
    let result = host.serve().await;
    counting.abort();
    host.leave().await;
    result
}

struct Host {
    client: Client,
    settings: Settings,
    front: Arc<Front>,
    /// The port and the task that answers there.
    listening: Option<(u16, JoinHandle<()>)>,
    served: Option<Served>,
    /// The generation that could not be served; the one before it goes on.
    failed: Option<u64>,
}

/// A generation that was healthy once.
struct Served {
    plan: Plan,
    /// None between its end and a restart.
    scoring: Option<Scoring>,
    restarts: u32,
    since: Instant,
}

impl Host {
    async fn serve(&mut self) -> Result<()> {
        let mut terminated = signal(SignalKind::terminate())
            .map_err(|e| Error::internal(format!("Cannot listen to signals: {e}")))?;
        loop {
            let Some(orders) = self.front.orders().known().filter(|orders| orders.running) else {
                return Ok(());
            };
            let front = Arc::clone(&self.front);
            tokio::select! {
                () = changed(front.orders(), &orders) => {}
                step = self.step(&orders) => {
                    if !step? {
                        return Ok(());
                    }
                }
                _ = terminated.recv() => {
                    let message = "Its host was ended from outside; `aml endpoint start` starts it again";
                    self.report(&orders, EndpointState::Failed, Some(message.to_owned())).await?;
                    return Ok(());
                }
            }
        }
    }

    /// Does the next thing there is to do for these orders; false when nothing is left to serve.
    /// Dropped half-way, nothing of it stays.
    async fn step(&mut self, orders: &Arc<HostOrders>) -> Result<bool> {
        let generation = self.served.as_ref().map(|served| served.plan.generation);
        if generation != Some(orders.generation) && self.failed != Some(orders.generation) {
            return self.deploy(orders).await;
        }
        let Some(served) = &mut self.served else {
            return Ok(false);
        };
        match &mut served.scoring {
            Some(scoring) => {
                let how = scoring.ended().await;
                if served.since.elapsed() > STEADY {
                    served.restarts = 0;
                }
                let reason = format!("The scoring process {how} and is being started again");
                served.scoring = None;
                self.front.switch(Err(reason.clone()));
                self.report(orders, EndpointState::Starting, Some(reason))
                    .await?;
                Ok(true)
            }
            None => self.restart(orders).await,
        }
    }

    /// Serves a new generation; the one before it answers until the new one does.
    async fn deploy(&mut self, orders: &Arc<HostOrders>) -> Result<bool> {
        let outcome = match self.listen(orders).await {
            Ok(listener) => self.bring_up(orders).await.map(|up| (listener, up)),
            Err(error) => Err(error),
        };
        let (listener, (plan, scoring)) = match outcome {
            Ok(up) => up,
            Err(error) => return self.fail(orders, &error).await,
        };
        let before = self.front.switch(Ok(Arc::clone(&scoring.backend)));
        if let Some((port, listener)) = listener {
            self.answer_on(port, listener);
        }
        let served = Served {
            plan,
            scoring: Some(scoring),
            restarts: 0,
            since: Instant::now(),
        };
        let old = self.served.replace(served);
        self.report(orders, EndpointState::Healthy, None).await?;
        if let Some(old) = old {
            // On its own, so that an end of the new process is seen meanwhile.
            tokio::spawn(async move {
                if let Some(backend) = before {
                    backend.drained(DRAIN).await;
                }
                old.end().await;
            });
        }
        Ok(true)
    }

    /// Says that a generation cannot be served; true when there is another one to serve.
    async fn fail(&mut self, orders: &HostOrders, error: &Error) -> Result<bool> {
        let message = error.explained();
        self.front.note(&message);
        self.failed = Some(orders.generation);
        let report = ReportEndpoint {
            unfit: true,
            answering: self.served.as_ref().map(|served| served.plan.generation),
            ..self.state(orders, EndpointState::Failed, Some(message))
        };
        self.send(&report).await;
        // The orders go back to the last generation that answered, if one did.
        let _ = self.front.orders().refresh().await;
        let next = self.front.orders().known();
        let another = next.is_some_and(|next| next.generation != orders.generation);
        Ok(self.served.is_some() || another)
    }

    /// A listener for the orders' port, unless the front answers there already.
    async fn listen(&mut self, orders: &HostOrders) -> Result<Option<(u16, TcpListener)>> {
        let now = self.listening.as_ref().map(|(port, _)| *port);
        let wanted = orders.deployment.port;
        if now.is_some() && (wanted.is_none() || wanted == now) {
            return Ok(None);
        }
        let (port, listener) = match wanted {
            Some(port) => (port, ports::take(port).await?),
            None => ports::choose(orders.port, self.settings.endpoint).await?,
        };
        if self.listening.is_none() {
            // The address answers from now on, with "starting".
            self.answer_on(port, listener);
            return Ok(None);
        }
        Ok(Some((port, listener)))
    }

    fn answer_on(&mut self, port: u16, listener: TcpListener) {
        let task = tokio::spawn(Arc::clone(&self.front).serve(listener));
        if let Some((_, old)) = self.listening.replace((port, task)) {
            old.abort();
        }
    }

    /// Prepares and starts a generation's process and waits until it answers.
    async fn bring_up(&self, orders: &Arc<HostOrders>) -> Result<(Plan, Scoring)> {
        let say = async |what: &str| {
            self.report(orders, EndpointState::Starting, Some(what.to_owned()))
                .await
        };
        say("Laying out the model and the code").await?;
        let laid = layout::lay_out(&self.client, orders, &self.settings.folder).await?;
        let plan = self.plan(orders, laid).await?;
        say("Starting the scoring process").await?;
        let mut scoring = Scoring::start(&plan, &self.settings.log)?;
        match scoring.ready().await {
            Ok(()) => Ok((plan, scoring)),
            Err(reason) => Err(Error::invalid(reason)),
        }
    }

    /// Makes the environment ready, and tells what is being done meanwhile.
    async fn plan(&self, orders: &HostOrders, laid: Laid) -> Result<Plan> {
        let (sender, mut lines) = mpsc::unbounded_channel();
        let say = move |line: &str| {
            let _ = sender.send(line.to_owned());
        };
        let mut planned = pin!(laid.plan(orders, &self.settings, &say));
        loop {
            tokio::select! {
                plan = &mut planned => return plan,
                Some(line) = lines.recv() => {
                    self.report(orders, EndpointState::Starting, Some(line)).await?;
                }
            }
        }
    }

    /// Starts the served generation's process again, after a wait that grows.
    async fn restart(&mut self, orders: &HostOrders) -> Result<bool> {
        let Some(served) = &mut self.served else {
            return Ok(false);
        };
        sleep(FIRST_WAIT * 2_u32.pow(served.restarts)).await;
        served.restarts += 1;
        let mut scoring = Scoring::start(&served.plan, &self.settings.log)?;
        match scoring.ready().await {
            Ok(()) => {
                self.front.switch(Ok(Arc::clone(&scoring.backend)));
                served.scoring = Some(scoring);
                served.since = Instant::now();
                if served.plan.generation == orders.generation {
                    self.report(orders, EndpointState::Healthy, None).await?;
                }
                Ok(true)
            }
            Err(_) if served.restarts < RESTARTS => Ok(true),
            Err(reason) => {
                self.served = None;
                self.fail(orders, &Error::invalid(reason)).await
            }
        }
    }

    /// Tells the store; an endpoint that was deleted has no state any more.
    async fn report(
        &self,
        orders: &HostOrders,
        state: EndpointState,
        message: Option<String>,
    ) -> Result<()> {
        self.send(&self.state(orders, state, message)).await;
        Ok(())
    }

    fn state(
        &self,
        orders: &HostOrders,
        state: EndpointState,
        message: Option<String>,
    ) -> ReportEndpoint {
        ReportEndpoint {
            endpoint: self.settings.endpoint,
            generation: orders.generation,
            state,
            message,
            port: self.listening.as_ref().map(|(port, _)| *port),
            unfit: false,
            answering: None,
        }
    }

    /// The endpoint goes on answering when the state cannot be written.
    async fn send(&self, report: &ReportEndpoint) {
        if let Err(error) = self.client.call(report).await
            && error.code != Code::NotFound
        {
            self.front
                .note(&format!("Cannot report the state: {error}"));
        }
    }

    /// Ends what is served and leaves the folder as it was.
    async fn leave(self) {
        let before = self
            .front
            .switch(Err("The endpoint is stopping".to_owned()));
        if let Some(backend) = before {
            backend.drained(DRAIN).await;
        }
        if let Some(served) = self.served {
            served.end().await;
        }
        counters::write(&self.settings.traffic, self.front.counters.traffic());
        leftovers::clear(&self.settings.folder);
    }
}

impl Served {
    async fn end(self) {
        if let Some(scoring) = self.scoring {
            scoring.stop().await;
        }
        layout::remove(&self.plan);
    }
}

/// Returns when the orders are others than these.
async fn changed(orders: &Orders, these: &HostOrders) {
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
            Ok(Some(now)) if now.running && now.generation == these.generation => {}
            Ok(_) => return,
            // The store cannot be read just now; what is served goes on.
            Err(_) => sleep(READ).await,
        }
    }
}
