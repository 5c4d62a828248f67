//! The data collector of a deployment: takes what `azureml-ai-monitoring` posts from its scripts and
//! what the front has seen of requests and answers, and hands it to the store in batches.
//!
//! It listens on loopback, where other accounts could post too, and for containers on all addresses; so
//! it takes only what comes with a secret that the scoring processes have in the address they post to.

use std::{
    convert::Infallible,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderMap, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Map, Value, json};
use subtle::ConstantTimeEq;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::{Instant, timeout, timeout_at},
};

use super::{Shared, guard::now, process::Plan, target::Target};
use api::{
    Time,
    collector::{Collected, Collector, REQUEST, RESPONSE, ReportCollected},
    endpoints::LOCAL,
    work::DeploymentOrders,
};

/// Where the package posts to.
const PATH: &str = "/modeldata/log";
/// The most that it may post at once, and that is kept of an answer.
const LONGEST: usize = 16 << 20;
/// How long a head or a body may take, and how many may post at once: others than the scoring processes
/// reach it too.
const SLOWEST: Duration = Duration::from_secs(30);
const CONNECTIONS: usize = 512;
/// Things that wait to be handed over, and how long they are together, in KiB; what comes when there is
/// more is dropped.
const WAITING: usize = 4096;
const WAITING_KIB: usize = 64 << 10;
/// What is handed over together: at most so many, of so many bytes, of so long.
const BATCH: usize = 1024;
const BATCH_BYTES: usize = 8 << 20;
const GATHER: Duration = Duration::from_secs(1);
/// Waits between attempts to hand over what could not be.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// Tell the package where to post, and what the file is that says the rest.
pub const VARIABLES: [&str; 4] = [
    "AZUREML_MDC_HOST",
    "AZUREML_MDC_PORT",
    "no_proxy",
    "NO_PROXY",
];
pub const FILE: &str = "AZUREML_MDC_CONFIG_PATH";
const LOOPBACK: &str = "127.0.0.1";
/// Begins the names of headers that are attributes of an event.
const ATTRIBUTE: &str = "ce-";

/// Takes what is collected of a generation, until it is ended.
pub struct Collecting {
    port: u16,
    secret: String,
    inlet: Inlet,
    /// Azure's local endpoints write what they would collect to the log.
    is_local: bool,
    /// Ends when it is dropped.
    listens: JoinSet<()>,
    hands_over: JoinHandle<()>,
}

/// Where collected things go in.
#[derive(Clone)]
pub struct Inlet {
    collector: Arc<Collector>,
    sender: mpsc::Sender<Waiting>,
    room: Arc<Semaphore>,
    dropped: Arc<AtomicU64>,
}

/// Makes an event, which is not done by who answers requests.
type Make = Box<dyn FnOnce() -> Map<String, Value> + Send>;

/// One thing that waits to be handed over.
struct Waiting {
    collection: String,
    time: Time,
    make: Make,
    length: usize,
    room: OwnedSemaphorePermit,
}

impl Inlet {
    /// Whether a collection of this name is kept.
    pub fn takes(&self, collection: &str) -> bool {
        self.collector.collections.contains_key(collection)
    }

    pub fn collector(&self) -> &Collector {
        &self.collector
    }

    /// Counts one that is not collected, which the log tells.
    pub fn leave_out(&self) {
        self.dropped.fetch_add(1, Relaxed);
    }

    /// Takes one of about this length; drops it when too much waits.
    pub fn put(
        &self,
        collection: &str,
        time: Time,
        length: usize,
        make: impl FnOnce() -> Map<String, Value> + Send + 'static,
    ) {
        let kib = u32::try_from(length / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib);
        let taken = room.ok().is_some_and(|room| {
            let one = Waiting {
                collection: collection.to_owned(),
                time,
                make: Box::new(make),
                length,
                room,
            };
            self.sender.try_send(one).is_ok()
        });
        if !taken {
            self.dropped.fetch_add(1, Relaxed);
        }
    }
}

impl Collecting {
    /// Begins to take what is collected of a deployment, if anything shall be.
    pub(super) async fn start(
        shared: &Arc<Shared>,
        target: &Arc<Target>,
        orders: &DeploymentOrders,
    ) -> io::Result<Option<Self>> {
        let Some(collector) = &orders.deployment.collector else {
            return Ok(None);
        };
        let address = match orders.deployment.container {
            // Its network is another one.
            Some(_) => "0.0.0.0",
            None => LOOPBACK,
        };
        let listener = TcpListener::bind((address, 0)).await?;
        let port = listener.local_addr()?.port();
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let (sender, received) = mpsc::channel(WAITING);
        let inlet = Inlet {
            collector: Arc::new(collector.clone()),
            sender,
            room: Arc::new(Semaphore::new(WAITING_KIB)),
            dropped: Arc::default(),
        };
        let report = ReportCollected {
            endpoint: shared.settings.endpoint,
            deployment: orders.id,
            instance: format!(
                "{}-{}",
                orders.name,
                &uuid::Uuid::new_v4().simple().to_string()[..8]
            ),
            events: Vec::new(),
        };
        let dropped = Arc::clone(&inlet.dropped);
        let is_local = shared.endpoint.starts_with(LOCAL);
        let (shared, target) = (Arc::clone(shared), Arc::clone(target));
        let mut listens = JoinSet::new();
        listens.spawn(listen(listener, inlet.clone(), secret.clone()));
        Ok(Some(Self {
            listens,
            hands_over: tokio::spawn(hand_over(shared, target, received, report, dropped)),
            port,
            secret,
            inlet,
            is_local,
        }))
    }

    /// What the front hands over itself, if anything.
    pub fn inlet(&self) -> Option<Inlet> {
        let payloads = self.inlet.takes(REQUEST) || self.inlet.takes(RESPONSE);
        (payloads && !self.is_local).then(|| self.inlet.clone())
    }

    /// Tells the package in the scoring processes where to post what; by a file that is written here.
    pub fn tell(&self, plan: &mut Plan, file: &Path) -> io::Result<()> {
        let machine = plan.machine.unwrap_or(LOOPBACK);
        let collector = &self.inlet.collector;
        let one = |name: &String| {
            let percent = collector.sampling_percent;
            (
                name.clone(),
                json!({"enabled": true, "sampleRatePercentage": percent}),
            )
        };
        let collections: Map<String, Value> = collector.collections.keys().map(one).collect();
        let mode = if self.is_local { "local" } else { "cloud" };
        let document = json!({"runMode": mode, "collections": collections});
        std::fs::write(file, document.to_string())?;
        if let Some(apart) = &mut plan.apart {
            apart.readable.push(file.to_owned());
        }
        let [host, port, proxies @ ..] = VARIABLES;
        let path = file.to_string_lossy().into_owned();
        let own = [
            (FILE, path),
            (host, format!("aml:{}@{machine}", self.secret)),
            (port, self.port.to_string()),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value));
        plan.variables.extend(own);
        // No proxy is between.
        for name in proxies {
            let before = plan.variables.get(name).filter(|before| !before.is_empty());
            let all = before.map_or(String::new(), |before| format!("{before},"));
            plan.variables.insert(name.to_owned(), all + machine);
        }
        Ok(())
    }

    /// Returns when all that was taken has been handed over.
    pub async fn end(self) {
        drop(self.listens);
        drop(self.inlet);
        // The front may still have one for a request on its way.
        let _ = timeout(GATHER * 10, self.hands_over).await;
    }
}

async fn listen(listener: TcpListener, inlet: Inlet, secret: String) {
    let mut connections = JoinSet::new();
    let secret: Arc<str> = secret.into();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (inlet, secret) = (inlet.clone(), Arc::clone(&secret));
                connections.spawn(async move {
                    connection(stream, inlet, secret).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, inlet: Inlet, secret: Arc<str>) {
    let answer = service_fn(|request| {
        let (inlet, secret) = (inlet.clone(), Arc::clone(&secret));
        async move {
            let status = take(request, &inlet, &secret).await.err();
            let mut response = Response::new(Full::<Bytes>::default());
            *response.status_mut() = status.unwrap_or(StatusCode::OK);
            Ok::<_, Infallible>(response)
        }
    });
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(SLOWEST)
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

/// Takes what the package posts.
async fn take(request: Request<Incoming>, inlet: &Inlet, secret: &str) -> Result<(), StatusCode> {
    if request.method() != Method::POST || request.uri().path() != PATH {
        return Err(StatusCode::NOT_FOUND);
    }
    let right = format!("Basic {}", BASE64_STANDARD.encode(format!("aml:{secret}")));
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .map(HeaderValue::as_bytes);
    if !given.is_some_and(|given| bool::from(given.ct_eq(right.as_bytes()))) {
        return Err(StatusCode::UNAUTHORIZED);
    }
    let (parts, body) = request.into_parts();
    let body = timeout(SLOWEST, Limited::new(body, LONGEST).collect()).await;
    let body = body.map_err(|_| StatusCode::REQUEST_TIMEOUT)?;
    let body = body.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?.to_bytes();
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    let kind = text("ce-type").ok_or(StatusCode::BAD_REQUEST)?;
    let collection = kind.rsplit('.').next().unwrap_or(kind);
    if !inlet.takes(collection) {
        return Err(StatusCode::NOT_FOUND);
    }
    let seconds = text("ce-time").and_then(|time| time.parse::<f64>().ok());
    #[expect(clippy::cast_possible_truncation, reason = "a time in milliseconds")]
    let time = seconds.map_or_else(now, |seconds| Time((seconds * 1e3) as i64));
    let (collection, kind) = (collection.to_owned(), kind.to_owned());
    let length = body.len();
    let headers = parts.headers.clone();
    inlet.put(&collection, time, length, move || {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let mut event = event(text("trace-id"), &kind, time, text("content-type"), &body);
        event.extend(attributes(&headers));
        event
    });
    Ok(())
}

/// What comes as headers of an event besides its type and time.
fn attributes(headers: &HeaderMap) -> Map<String, Value> {
    let mut attributes = Map::new();
    for (name, value) in headers {
        let (Some(name), Ok(value)) = (name.as_str().strip_prefix(ATTRIBUTE), value.to_str())
        else {
            continue;
        };
        // Names of attributes are of letters and digits.
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        match name.as_str() {
            "type" | "time" => {}
            "xrequestid" => {
                attributes.insert("correlationid".to_owned(), value.into());
                attributes.insert(name, value.into());
            }
            _ => {
                attributes.insert(name, value.into());
            }
        }
    }
    if !attributes.contains_key("modelversion") {
        attributes.insert("modelversion".to_owned(), "default".into());
    }
    attributes
}

/// An event in the words of `CloudEvents`, as Azure keeps it.
pub fn event(
    id: Option<&str>,
    kind: &str,
    time: Time,
    content_type: Option<&str>,
    content: &[u8],
) -> Map<String, Value> {
    let id = id.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
    let content_type = content_type.unwrap_or("application/json");
    let document = content_type
        .contains("json")
        .then(|| serde_json::from_slice(content).ok())
        .flatten();
    let (key, data) = match (document, std::str::from_utf8(content)) {
        (Some(document), _) => ("data", document),
        (None, Ok(text)) => ("data", text.into()),
        (None, Err(_)) => ("data_base64", BASE64_STANDARD.encode(content).into()),
    };
    let length = content.len();
    let range = format!("bytes 0-{}/{length}", length.saturating_sub(1));
    let all: [(&str, Value); 7] = [
        ("specversion", "1.0".into()),
        ("id", id.into()),
        ("type", kind.into()),
        ("datacontenttype", content_type.into()),
        ("time", time.to_string().into()),
        (key, data),
        ("contentrange", range.into()),
    ];
    all.map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}

/// Hands over what was taken, until nothing can come any more. What cannot be is tried again; meanwhile
/// no more comes than there is room for.
async fn hand_over(
    shared: Arc<Shared>,
    target: Arc<Target>,
    mut received: mpsc::Receiver<Waiting>,
    report: ReportCollected,
    dropped: Arc<AtomicU64>,
) {
    while let Some(first) = received.recv().await {
        let batch = gather(first, &mut received).await;
        let count = batch.len();
        let made =
            tokio::task::spawn_blocking(move || batch.into_iter().map(Waiting::made).unzip());
        // What was taken keeps its room until it is handed over.
        let Ok((events, rooms)): Result<(Vec<Collected>, Vec<_>), _> = made.await else {
            continue;
        };
        let mut report = report.clone();
        report.events = events;
        let mut wait = FIRST_WAIT;
        while let Err(error) = shared.aside(report.clone()).await {
            if wait == FIRST_WAIT {
                target.note(&format!("What was collected cannot be kept: {error}"));
            }
            if received.is_closed() && wait > FIRST_WAIT {
                target.note(&format!("{count} things that were collected are lost"));
                break;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
        drop::<Vec<OwnedSemaphorePermit>>(rooms);
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            target.note(&format!(
                "Too long or too many to be collected: {lost} were dropped"
            ));
        }
    }
}

impl Waiting {
    fn made(self) -> (Collected, OwnedSemaphorePermit) {
        let made = Collected {
            collection: self.collection,
            time: self.time,
            event: (self.make)(),
        };
        (made, self.room)
    }
}

/// What is handed over together with the first.
async fn gather(first: Waiting, received: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.length;
    let mut batch = vec![first];
    let until = Instant::now() + GATHER;
    while batch.len() < BATCH
        && bytes < BATCH_BYTES
        && let Ok(Some(next)) = timeout_at(until, received.recv()).await
    {
        bytes += next.length;
        batch.push(next);
    }
    batch
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_json_is_kept_as_text_or_bytes() {
        let of = |kind, content: &[u8]| event(Some("1"), "t", Time(0), Some(kind), content);
        assert_eq!(of("application/json", b"[1]")["data"], json!([1]));
        assert_eq!(of("application/json", b"{")["data"], json!("{"));
        assert_eq!(of("text/csv", b"a,b")["data"], json!("a,b"));
        assert_eq!(of("image/png", b"\xff\x00")["data_base64"], json!("/wA="));
        assert_eq!(of("image/png", b"")["contentrange"], json!("bytes 0-0/0"));
    }

    #[test]
    fn the_packages_own_headers_are_attributes() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("ce-type", "azureml.inference.model_inputs"),
            ("ce-collect-data-type", "pandas.core.frame.DataFrame"),
            ("ce-x-request-id", "r1"),
            ("accept", "*/*"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        let expected = json!({
            "collectdatatype": "pandas.core.frame.DataFrame", "correlationid": "r1",
            "xrequestid": "r1", "modelversion": "default",
        });
        let found = Value::Object(attributes(&headers));
        assert_eq!(found, expected);
    }
}
