//! A scoring process as the front sees it: a Unix socket that takes HTTP.

use std::{
    io,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hyper::{Request, Response, Uri, body::Incoming};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::UnixStream;
use tower::util::BoxCloneSyncService;

type Connector = BoxCloneSyncService<Uri, TokioIo<UnixStream>, io::Error>;

pub struct Backend {
    client: Client<Connector, Incoming>,
    /// Requests that it has not begun to answer.
    waiting: AtomicUsize,
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
            waiting: AtomicUsize::new(0),
        }
    }

    /// Sends a request on, its body as it comes; says why when there is no answer.
    pub async fn send(&self, mut request: Request<Incoming>) -> Result<Response<Incoming>, String> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        *request.uri_mut() = format!("http://scoring{path}")
            .parse()
            .map_err(|_| "its address cannot be handed on".to_owned())?;
        let _waiting = Waiting::new(&self.waiting);
        self.client.request(request).await.map_err(|error| {
            let mut cause: &dyn std::error::Error = &error;
            while let Some(deeper) = cause.source() {
                cause = deeper;
            }
            cause.to_string()
        })
    }

    /// Returns when it has begun to answer all it was sent, or after `most`.
    pub async fn drained(&self, most: Duration) {
        let emptied = async {
            while self.waiting.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let _ = tokio::time::timeout(most, emptied).await;
    }
}

/// Counts a request while it lives.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::AcqRel);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
