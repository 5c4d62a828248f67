//! A scoring process as the front sees it: an address that takes HTTP.

use std::{
    io,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode, Uri,
    body::{Body, Frame, Incoming, SizeHint},
    header::{self, HeaderValue},
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tower::util::BoxCloneSyncService;

use super::{
    copies::Coming,
    native::Scorer,
    payloads::Tee,
    pool::{Heeded, Pool},
    stream::{Address, Stream},
};

use api::{Code, Error, error::Envelope};

type Connector = BoxCloneSyncService<Uri, TokioIo<Stream>, io::Error>;

/// A request's body: as it comes, or whole, so that it can be sent again.
pub type Sent = Either<Limited<Coming>, Full<Bytes>>;

/// The caller's body ended too early, or is not as HTTP has it.
#[derive(Debug)]
pub struct CutOff(hyper::Error);

impl CutOff {
    pub fn of(error: hyper::Error) -> Self {
        Self(error)
    }
}

impl std::fmt::Display for CutOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(formatter)
    }
}

// It is the cause of what follows from it, and has none that is told.
impl std::error::Error for CutOff {}

/// Why there is no answer.
pub enum NoAnswer {
    /// The request went on and on.
    TooLong,
    /// The request did not come to its end.
    CutOff,
    /// The process did not begin to answer.
    Silent(String),
    /// The process could not be reached, so nothing was sent.
    Unreached(String),
}

/// The body of an answer: as it comes, or made here.
pub type Got = Either<Incoming, Full<Bytes>>;

/// Requests of this length are scored where they are read, when the last one took less than this; others
/// where nobody waits for them.
const SHORT: usize = 16 << 10;
const QUICK: Duration = Duration::from_millis(1);

enum Kind {
    Process(Box<Client<Connector, Sent>>),
    Native(Native),
}

struct Native {
    scorer: Arc<Scorer>,
    /// The last request took long.
    slow: AtomicBool,
}

pub struct Backend {
    kind: Kind,
    /// Requests that it has not answered to the end.
    busy: AtomicUsize,
    /// The process with all that it has started, where there is one.
    pub process: Option<u32>,
}

impl Backend {
    /// Hands requests to whatever listens at `address`.
    pub fn new(address: Address) -> Self {
        let connector = tower::service_fn(move |_: Uri| {
            let address = address.clone();
            Box::pin(async move { address.connect().await.map(TokioIo::new) })
        });
        let client = Client::builder(TokioExecutor::new()).build(Connector::new(connector));
        Self {
            kind: Kind::Process(Box::new(client)),
            busy: AtomicUsize::new(0),
            process: None,
        }
    }

    /// Scores in this process.
    pub fn native(scorer: Scorer) -> Self {
        Self {
            kind: Kind::Native(Native {
                scorer: Arc::new(scorer),
                slow: AtomicBool::new(true),
            }),
            busy: AtomicUsize::new(0),
            process: None,
        }
    }

    /// Says which process it is.
    #[must_use]
    pub fn of_process(mut self, process: Option<u32>) -> Self {
        self.process = process;
        self
    }

    /// Sends a request on, its body as it comes; says why when there is no answer.
    pub async fn send(&self, request: Request<Sent>) -> Result<Response<Got>, NoAnswer> {
        match &self.kind {
            Kind::Process(client) => send(client, request).await,
            Kind::Native(native) => native.score(request).await,
        }
    }

    pub fn busy(&self) -> usize {
        self.busy.load(Ordering::Acquire)
    }

    /// Returns when it has answered all it was sent, or after `most`.
    pub async fn drained(&self, most: Duration) {
        let emptied = async {
            while self.busy() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(most, emptied).await;
    }
}

async fn send(
    client: &Client<Connector, Sent>,
    mut request: Request<Sent>,
) -> Result<Response<Got>, NoAnswer> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://scoring{path}")
        .parse()
        .map_err(|_| NoAnswer::Silent("its address cannot be handed on".to_owned()))?;
    let answer = client.request(request).await;
    answer
        .map(|answer| answer.map(Either::Left))
        .map_err(|error| match NoAnswer::of(&error) {
            NoAnswer::Silent(reason) if error.is_connect() => NoAnswer::Unreached(reason),
            no_answer => no_answer,
        })
}

impl NoAnswer {
    /// What lies at the bottom of an error.
    fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        if cause.is::<LengthLimitError>() {
            NoAnswer::TooLong
        } else if cause.is::<CutOff>() {
            NoAnswer::CutOff
        } else {
            NoAnswer::Silent(cause.to_string())
        }
    }
}

impl Native {
    /// Answers a request by the model.
    async fn score(&self, request: Request<Sent>) -> Result<Response<Got>, NoAnswer> {
        let (parts, body) = request.into_parts();
        let answer = if parts.uri.path() == "/swagger.json" {
            Ok(self.scorer.swagger())
        } else if parts.method != Method::POST {
            Err(Error::invalid("Score with POST /score"))
        } else {
            let body = body
                .collect()
                .await
                .map_err(|error| NoAnswer::of(&*error))?;
            self.answer(body.to_bytes()).await
        };
        let (status, text) = match answer {
            Ok(text) => (StatusCode::OK, text),
            Err(error) => {
                let status = match error.code {
                    Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
                    _ => StatusCode::BAD_REQUEST,
                };
                let envelope = Envelope { error };
                (status, serde_json::to_vec(&envelope).unwrap_or_default())
            }
        };
        let mut response = Response::new(Either::Right(Full::from(text)));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        Ok(response)
    }

    async fn answer(&self, body: Bytes) -> Result<Vec<u8>, Error> {
        let ended = || Error::internal("The scoring ended without an answer");
        let begun = Instant::now();
        let is_short = body.len() <= SHORT;
        let answer = if is_short && !self.slow.load(Ordering::Relaxed) {
            let scored = panic::catch_unwind(AssertUnwindSafe(|| self.scorer.answer(&body)));
            scored.unwrap_or_else(|_| Err(ended()))
        } else {
            let scorer = Arc::clone(&self.scorer);
            let scored = tokio::task::spawn_blocking(move || scorer.answer(&body)).await;
            scored.unwrap_or_else(|_| Err(ended()))
        };
        if is_short {
            self.slow.store(begun.elapsed() > QUICK, Ordering::Relaxed);
        }
        answer
    }
}

/// A place at a backend, kept until its answer has been sent on.
pub struct Place {
    backend: Arc<Backend>,
    pool: Arc<Pool>,
}

impl Place {
    /// A place at `backend` unless it has as many requests as it may.
    pub fn take(backend: &Arc<Backend>, pool: &Arc<Pool>) -> Option<Self> {
        let most = pool.heeded.requests.max_concurrent;
        let most = most.map_or(usize::MAX, |most| most as usize);
        let more = |busy| (busy < most).then_some(busy + 1);
        let taken = backend
            .busy
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, more);
        taken.is_ok().then(|| Self {
            backend: Arc::clone(backend),
            pool: Arc::clone(pool),
        })
    }

    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// How the generation is asked that the place is of.
    pub fn heeded(&self) -> &Heeded {
        &self.pool.heeded
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.backend.busy.fetch_sub(1, Ordering::AcqRel);
        self.pool.freed.notify_one();
    }
}

/// An answer's body: what a backend sends, or our own.
pub struct Answer {
    body: Got,
    _place: Option<Place>,
    /// Collects it while it passes.
    tee: Option<Tee>,
}

impl Answer {
    pub fn of(body: Got, place: Place) -> Self {
        Self {
            body,
            _place: Some(place),
            tee: None,
        }
    }

    /// The same, collected while it passes.
    #[must_use]
    pub fn seen_by(mut self, tee: Tee) -> Self {
        self.tee = Some(tee);
        self
    }
}

impl From<Bytes> for Answer {
    fn from(bytes: Bytes) -> Self {
        Self {
            body: Either::Right(Full::from(bytes)),
            _place: None,
            tee: None,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let (Some(tee), Some(data)) = (&mut self.tee, frame.data_ref())
        {
            tee.see(data);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
