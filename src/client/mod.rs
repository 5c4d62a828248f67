//! The workspace client library: every command and worker speaks to a workspace through it.
//!
//! It knows HTTP and `api`, not the service: requests go either to the server's router in this
//! process or over a socket.

mod address;
mod files;
pub mod inputs;
mod logs;
mod runs;
pub mod score;
pub mod traceback;
mod transport;

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{Method, Request, Uri, header},
};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;

pub use address::below;
pub use files::{Limit, Report, Step, Take, UploadOptions, Uploaded, save, walk_everything};
pub use transport::Remote;
use transport::Transport;

use api::{Code, Error, Operation, Result, error::Envelope};

/// A connection to a workspace server, in process or remote. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Transport,
    /// Asks servers of the web; made when the first of them is asked.
    web: Arc<OnceLock<reqwest::Client>>,
}

impl Client {
    /// Speaks to a router in this process.
    pub fn in_process(router: Router) -> Self {
        Self {
            transport: Transport::InProcess(router),
            web: Arc::default(),
        }
    }

    /// Speaks to a server over the network.
    pub fn remote(remote: Remote) -> Result<Self> {
        Ok(Self {
            transport: Transport::remote(remote)?,
            web: Arc::default(),
        })
    }

    /// Whether the server's router is called in this process: then its machine is this one.
    pub fn is_in_process(&self) -> bool {
        matches!(self.transport, Transport::InProcess(_))
    }

    /// Performs one operation.
    pub async fn call<O: Operation>(&self, operation: &O) -> Result<O::Output> {
        let body = operation
            .to_body()
            .map_err(|e| Error::internal(format!("Cannot write the request: {e}")))?;
        let answer = self.post(O::NAME, body).await?;
        O::from_answer(&answer).map_err(|e| misunderstood(O::NAME, &e))
    }

    /// Boxed, because an `async fn` is compiled, with all of HTTP below it, in every crate that calls it.
    fn post<'a>(&'a self, operation: &'a str, body: Vec<u8>) -> BoxFuture<'a, Result<Bytes>> {
        Box::pin(async move {
            let request = Request::builder()
                .method(Method::POST)
                .uri(format!("/api/v1/{operation}"))
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body))
                .map_err(|e| Error::internal(format!("Cannot make the request: {e}")))?;
            collect(self.send(request).await?).await
        })
    }

    /// Sends any request with a path-only URI; an answer of 400 or more is an error.
    pub fn send(&self, request: Request<Body>) -> BoxFuture<'_, Result<Body>> {
        Box::pin(async move {
            let response = self.transport.send(request).await?;
            let status = response.status();
            if status.is_success() {
                return Ok(response.into_body());
            }
            let bytes = collect(response.into_body()).await?;
            match serde_json::from_slice::<Envelope>(&bytes) {
                Ok(envelope) => Err(self.seen_from_here(envelope.error)),
                Err(_) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let code = Code::ALL
                        .into_iter()
                        .find(|code| code.status() == status.as_u16());
                    Err(Error::new(
                        code.unwrap_or(Code::Unavailable),
                        format!("The server answered {status}: {}", text.trim()),
                    ))
                }
            }
        })
    }

    /// What a server advises those at its own machine is of no use to others.
    fn seen_from_here(&self, mut error: Error) -> Error {
        if let (Code::Full, Transport::Socket { remote, .. }) = (error.code, &self.transport) {
            let address = remote.url.parse::<Uri>().ok();
            let host = address.as_ref().and_then(Uri::host);
            // It may well be this machine's own.
            if !matches!(host, Some("localhost" | "127.0.0.1" | "[::1]")) {
                error.hints.clear();
            }
            let whose = format!(
                "It is the disk of `{}`: ask who runs it to make room, then try again",
                remote.url
            );
            error.hints.insert(0, whose);
        }
        error
    }
}

fn misunderstood(operation: &str, error: &serde_json::Error) -> Error {
    Error::internal(format!(
        "The answer to {operation} is not understood: {error}"
    ))
}

/// All of a body.
pub async fn collect(body: Body) -> Result<Bytes> {
    match body.collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(e) => Err(Error::unavailable(format!("The answer broke off: {e}"))),
    }
}
