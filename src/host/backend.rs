//! A scoring process as the front sees it: a Unix socket that takes HTTP.

use std::{
    io,
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{Either, Full, Limited};
use hyper::{
    Request, Response, Uri,
    body::{Body, Frame, Incoming, SizeHint},
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::UnixStream;
use tower::util::BoxCloneSyncService;

use super::pool::Pool;

type Connector = BoxCloneSyncService<Uri, TokioIo<UnixStream>, io::Error>;

/// A request's body: as it comes, or whole, so that it can be sent again.
pub type Sent = Either<Limited<Incoming>, Full<Bytes>>;

pub struct Backend {
    client: Client<Connector, Sent>,
    /// Requests that it has not answered to the end.
    busy: AtomicUsize,
}

impl Backend {
    /// Hands requests to whatever listens on `socket`.
    pub fn new(socket: PathBuf) -> Self {
        let connector = tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            Box::pin(async move { UnixStream::connect(socket).await.map(TokioIo::new) })
        });
        Self {
            client: Client::builder(TokioExecutor::new()).build(Connector::new(connector)),
            busy: AtomicUsize::new(0),
        }
    }

    /// Sends a request on, its body as it comes; says why when there is no answer.
    pub async fn send(&self, mut request: Request<Sent>) -> Result<Response<Incoming>, String> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://scoring{path}")
            .parse()
            .map_err(|_| "its address cannot be handed on".to_owned())?;
        self.client.request(request).await.map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        })
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

/// A place at a backend, kept until its answer has been sent on.
pub struct Place {
    backend: Arc<Backend>,
    pool: Arc<Pool>,
}

impl Place {
    /// A place at `backend` unless it has `most` requests already.
    pub fn take(backend: &Arc<Backend>, pool: &Arc<Pool>, most: Option<u32>) -> Option<Self> {
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
}

impl Drop for Place {
    fn drop(&mut self) {
        self.backend.busy.fetch_sub(1, Ordering::AcqRel);
        self.pool.freed.notify_one();
    }
}

/// An answer's body: what a backend sends, or our own.
pub struct Answer {
    body: Either<Incoming, Full<Bytes>>,
    _place: Option<Place>,
}

impl Answer {
    pub fn of(body: Incoming, place: Place) -> Self {
        Self {
            body: Either::Left(body),
            _place: Some(place),
        }
    }
}

impl From<Bytes> for Answer {
    fn from(bytes: Bytes) -> Self {
        Self {
            body: Either::Right(Full::from(bytes)),
            _place: None,
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
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
