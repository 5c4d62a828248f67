//! The HTTP front of an endpoint: checks what opens it, chooses a deployment, counts, times and logs
//! each request, and hands it on to a scoring process.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{self, CONTENT_TYPE, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio_io_timeout::TimeoutWriter;

use super::{
    access::{Access, AccessLog},
    answers::{failure, read_off, request_id, soon, unavailable},
    backend::Answer,
    forward, guard,
    orders::Orders,
    target::Target,
};
use api::{
    Error,
    endpoints::{LOCAL, Traffic},
    work::HostOrders,
};

/// How long a caller may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a caller may take to accept the next part of an answer.
const PATIENCE: Duration = Duration::from_mins(1);
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Azure's names of it: in answers, and in requests.
pub const REQUEST_IDS: [HeaderName; 2] = [
    HeaderName::from_static("x-ms-request-id"),
    HeaderName::from_static("x-ms-client-request-id"),
];
/// Names the deployment that shall answer; in answers the one that has.
pub const DEPLOYMENT: HeaderName = HeaderName::from_static("azureml-model-deployment");
/// Where an endpoint scores.
pub const SCORE: &str = "/score";
/// Of a hundred requests in a row each gets another number: the step has no divisor with 100.
const STEP: usize = 61;
/// Where Prometheus asks.
const METRICS: &str = "/metrics";

pub struct Front {
    orders: Orders,
    targets: RwLock<BTreeMap<String, Arc<Target>>>,
    turn: AtomicUsize,
    mirror_turn: AtomicUsize,
    log: File,
    pub access: AccessLog,
}

/// Who answers a request, and who gets a copy of it.
pub struct Chosen {
    pub target: Arc<Target>,
    pub mirror: Option<Arc<Target>>,
}

impl Front {
    pub fn new(orders: Orders, log: File, access: AccessLog) -> Self {
        Self {
            orders,
            targets: RwLock::default(),
            turn: AtomicUsize::new(0),
            mirror_turn: AtomicUsize::new(0),
            log,
            access,
        }
    }

    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    pub fn add(&self, target: Arc<Target>) {
        if let Ok(mut targets) = self.targets.write() {
            targets.insert(target.name.to_lowercase(), target);
        }
    }

    pub fn remove(&self, name: &str) {
        if let Ok(mut targets) = self.targets.write() {
            targets.remove(&name.to_lowercase());
        }
    }

    pub fn targets(&self) -> Vec<Arc<Target>> {
        let targets = self.targets.read();
        targets.map_or_else(
            |_| Vec::new(),
            |targets| targets.values().cloned().collect(),
        )
    }

    /// Writes a line of the host's own into the endpoint's log.
    pub fn note(&self, text: &str) {
        self.write(&format!("{} I host - {text}\n", now()));
    }

    fn write(&self, line: &str) {
        // A full disk must not stop the scoring.
        let _ = (&self.log).write_all(line.as_bytes());
    }

    /// Answers requests on `listener` until dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(Arc::clone(&self).connection(stream));
                }
                // Out of file descriptors or the like: the next one may go through.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let _ = stream.set_nodelay(true);
        let answer = service_fn(|request| {
            let front = Arc::clone(&self);
            async move { Ok::<_, std::convert::Infallible>(front.answer(request).await) }
        });
        let mut stream = TimeoutWriter::new(stream);
        stream.set_timeout(Some(PATIENCE));
        // A caller that goes away is no news.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(Box::pin(stream)), answer)
            .await;
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Answer> {
        let begun = Instant::now();
        let id = request_id(request.headers_mut());
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let received = request.body().size_hint().exact();
        let (target, mut response) = self.route(request).await;
        if let Some(id) = &id {
            for name in [&REQUEST_ID, &REQUEST_IDS[0]] {
                let headers = response.headers_mut();
                headers.entry(name).or_insert_with(|| id.clone());
            }
        }
        let took = begun.elapsed();
        let status = response.status();
        let id = id.as_ref().and_then(|id| id.to_str().ok()).unwrap_or("-");
        self.access.add(&Access {
            deployment: target.as_ref().map(|target| target.name.as_str()),
            method: method.as_str(),
            path: &path,
            status: status.as_u16(),
            took,
            received,
            sent: response.body().size_hint().exact(),
            id,
        });
        let line = format!(
            "{} I front - {method} {} {} {:.3}ms {}\n",
            now(),
            path.escape_debug(),
            status.as_u16(),
            took.as_secs_f64() * 1e3,
            id,
        );
        match target {
            Some(target) => {
                // What a key or token was missing for was asked of no deployment.
                if method == Method::POST && status != StatusCode::UNAUTHORIZED {
                    target.count(status.as_u16(), took);
                }
                target.write(&line);
            }
            None => self.write(&line),
        }
        response
    }

    /// Answers a request; with the deployment that it was meant for.
    async fn route(&self, request: Request<Incoming>) -> (Option<Arc<Target>>, Response<Answer>) {
        let (target, mut answer) = match self.admit(&request).await {
            Ok(chosen) => {
                let mut answer = forward::forward(&chosen, request).await;
                if let Ok(name) = HeaderValue::from_str(&chosen.target.name) {
                    answer.headers_mut().insert(DEPLOYMENT, name);
                }
                return (Some(chosen.target), answer);
            }
            Err((target, answer)) => (target, *answer),
        };
        read_off(request.into_body(), &mut answer).await;
        (target, answer)
    }

    /// Where to hand a request on to, or the answer to it from here.
    async fn admit(
        &self,
        request: &Request<Incoming>,
    ) -> Result<Chosen, (Option<Arc<Target>>, Box<Response<Answer>>)> {
        let refused = |answer| Err((None, Box::new(answer)));
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => return refused(self.liveness()),
            // A browser asks with OPTIONS before it sends a key.
            (&Method::POST | &Method::OPTIONS, SCORE)
            | (&Method::GET, SCORE | "/swagger.json" | METRICS) => {}
            // Programs have paths and methods of their own.
            _ if self.has_program() => {}
            (_, "/" | "/score" | "/swagger.json" | METRICS) => {
                return refused(failure(
                    StatusCode::METHOD_NOT_ALLOWED,
                    &Error::invalid("The address does not take this method")
                        .hint("Score with POST /score"),
                ));
            }
            _ => return refused(nothing_here()),
        }
        let orders = match self.orders.current().await {
            Ok(Some(orders)) => orders,
            Ok(None) => return refused(unavailable("The endpoint was deleted")),
            Err(error) => return refused(soon(StatusCode::SERVICE_UNAVAILABLE, &error)),
        };
        let open = is_preflight(request);
        // Nobody's turn, so that strangers do not change the shares.
        if !open && let Some(refusal) = guard::refuse(&orders, request.headers()) {
            return Err((self.only(&orders), Box::new(refusal)));
        }
        if (request.method(), request.uri().path()) == (&Method::GET, METRICS) {
            return refused(self.metrics().await);
        }
        let chosen = self.choose(&orders, request);
        let chosen = chosen.map_err(|answer| (None, answer))?;
        let usual = matches!(request.uri().path(), SCORE | "/swagger.json");
        if !usual && !chosen.target.is_program() {
            return Err((Some(chosen.target), Box::new(nothing_here())));
        }
        Ok(chosen)
    }

    /// Whether a deployment is answered by a program.
    fn has_program(&self) -> bool {
        let targets = self.targets.read();
        targets.is_ok_and(|targets| targets.values().any(|one| one.is_program()))
    }

    /// Chooses by the header, else by the shares of the requests.
    fn choose(
        &self,
        orders: &HostOrders,
        request: &Request<Incoming>,
    ) -> Result<Chosen, Box<Response<Answer>>> {
        let asked = request.headers().get(DEPLOYMENT);
        let name = match asked.map(|name| name.to_str().unwrap_or_default()) {
            Some(asked) => {
                let mut all = orders.deployments.iter();
                let known = all.find(|one| one.name.eq_ignore_ascii_case(asked));
                let Some(known) = known else {
                    let all = orders.deployments.iter();
                    let all: Vec<&str> = all.map(|one| one.name.as_str()).collect();
                    let error = Error::not_found(format!(
                        "The endpoint has no deployment `{}`",
                        asked.escape_debug()
                    ))
                    .hint(format!("Its deployments are {}", all.join(", ")));
                    return Err(Box::new(failure(StatusCode::NOT_FOUND, &error)));
                };
                known.name.as_str()
            }
            None => self
                .by_share(orders)
                .ok_or_else(|| Box::new(self.nobody(orders)))?,
        };
        let Some(found) = self.target(name) else {
            return Err(Box::new(unavailable(&format!(
                "The deployment `{name}` is starting"
            ))));
        };
        let copied = shared(&orders.mirror_traffic, &self.mirror_turn);
        let copied = copied.filter(|_| asked.is_none() && request.method() == Method::POST);
        Ok(Chosen {
            target: found,
            mirror: copied.and_then(|name| self.target(name)),
        })
    }

    /// The deployment of an endpoint that has one, whose log is the endpoint's.
    fn only(&self, orders: &HostOrders) -> Option<Arc<Target>> {
        let [only] = orders.deployments.as_slice() else {
            return None;
        };
        self.target(&only.name)
    }

    fn by_share<'a>(&self, orders: &'a HostOrders) -> Option<&'a str> {
        let chosen = shared(&orders.traffic, &self.turn);
        // Azure's local endpoints know no shares: whoever answers is asked.
        if !orders.name.starts_with(LOCAL) || chosen.is_some_and(|name| self.answers(name)) {
            return chosen;
        }
        let names = || orders.deployments.iter().map(|one| one.name.as_str());
        names()
            .find(|name| self.answers(name))
            .or(chosen)
            .or_else(|| names().next())
    }

    fn answers(&self, deployment: &str) -> bool {
        self.target(deployment)
            .is_some_and(|target| target.current().is_ok())
    }

    fn target(&self, deployment: &str) -> Option<Arc<Target>> {
        let targets = self.targets.read().ok()?;
        targets.get(&deployment.to_lowercase()).cloned()
    }

    /// The answer when no deployment gets requests.
    fn nobody(&self, orders: &HostOrders) -> Response<Answer> {
        let mut all = orders.deployments.iter();
        let healthy = all.clone().find(|one| self.answers(&one.name));
        let Some(one) = healthy.or_else(|| all.next()) else {
            return unavailable("Nothing is deployed behind the endpoint");
        };
        let (endpoint, name) = (&orders.name, &one.name);
        let error = Error::not_found("No deployment of the endpoint gets requests")
            .hint(format!(
                "Share them: aml endpoint traffic {endpoint} {name}=100"
            ))
            .hint(format!(
                "Or ask one: the header `azureml-model-deployment: {name}`"
            ));
        failure(StatusCode::NOT_FOUND, &error)
    }

    /// What was measured, for Prometheus.
    async fn metrics(&self) -> Response<Answer> {
        let text = match self.orders.exposition().await {
            Ok(text) => text,
            Err(error) => return soon(StatusCode::SERVICE_UNAVAILABLE, &error),
        };
        let mut response = Response::new(Bytes::from(text).into());
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    fn liveness(&self) -> Response<Answer> {
        let targets = self.targets();
        let mut reason = "Nothing is deployed behind the endpoint".to_owned();
        for target in targets {
            match target.current() {
                Ok(_) => return Response::new(Bytes::from_static(b"Healthy").into()),
                Err(why) => reason = why,
            }
        }
        unavailable(&reason)
    }
}

/// Whose turn it is by shares in percent: of a hundred in a row each gets exactly its share.
fn shared<'a>(shares: &'a Traffic, turn: &AtomicUsize) -> Option<&'a str> {
    if shares.is_empty() {
        return None;
    }
    let number = turn.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP) % 100;
    let mut upper = 0;
    shares
        .iter()
        .find(|(_, share)| {
            upper += usize::from(**share);
            number < upper
        })
        .map(|(name, _)| name.as_str())
}

/// Whether a browser asks what it may send, for which it has no key yet.
fn is_preflight(request: &Request<Incoming>) -> bool {
    let headers = request.headers();
    request.method() == Method::OPTIONS
        && request.uri().path() == SCORE
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn nothing_here() -> Response<Answer> {
    let error = Error::not_found("There is nothing at this address");
    failure(StatusCode::NOT_FOUND, &error.hint("Score with POST /score"))
}

/// The time as the scoring server writes it.
pub fn now() -> impl std::fmt::Display {
    chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::atomic::AtomicUsize};

    use super::shared;

    #[test]
    fn of_a_hundred_requests_each_gets_its_share() {
        let shares = [("blue".to_owned(), 90), ("green".to_owned(), 10)].into();
        let turn = AtomicUsize::new(7);
        for _ in 0..3 {
            let mut got = BTreeMap::new();
            for _ in 0..100 {
                *got.entry(shared(&shares, &turn).unwrap()).or_insert(0) += 1;
            }
            assert_eq!(got, [("blue", 90), ("green", 10)].into());
        }
    }

    #[test]
    fn what_is_shared_with_nobody_goes_nowhere() {
        let turn = AtomicUsize::new(0);
        assert_eq!(shared(&BTreeMap::new(), &turn), None);
        let none = [("blue".to_owned(), 0)].into();
        assert_eq!(shared(&none, &turn), None);
        let some = [("blue".to_owned(), 10)].into();
        let got = (0..100).filter(|_| shared(&some, &turn).is_some());
        assert_eq!(got.count(), 10);
    }
}
