//! The HTTP front of an endpoint: checks the key, counts, times and logs each request, and hands it
//! on to the scoring process.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, RwLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use subtle::ConstantTimeEq;
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{backend::Backend, counters::Counters, orders::Orders};
use api::{Code, Error, endpoints::EndpointKeys, error::Envelope};

type Body = Either<Incoming, Full<Bytes>>;

/// How long a caller may take to send a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How much of a request that is not handed on is read, and for how long.
const READ_OFF: usize = 1 << 20;
const READ_OFF_TIME: Duration = Duration::from_secs(1);
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Headers that are about one connection and must not be handed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

pub struct Front {
    orders: Orders,
    /// What answers now; a reason when nothing does.
    backend: RwLock<Result<Arc<Backend>, String>>,
    pub counters: Arc<Counters>,
    access_log: File,
}

impl Front {
    pub fn new(orders: Orders, access_log: File) -> Self {
        Self {
            orders,
            backend: RwLock::new(Err("The endpoint is starting".to_owned())),
            counters: Arc::default(),
            access_log,
        }
    }

    pub fn orders(&self) -> &Orders {
        &self.orders
    }

    /// Sends requests to `backend` from now on; answers what they went to before.
    pub fn switch(&self, backend: Result<Arc<Backend>, String>) -> Option<Arc<Backend>> {
        match self.backend.write() {
            Ok(mut current) => std::mem::replace(&mut *current, backend).ok(),
            Err(_) => None,
        }
    }

    /// Writes a line of the host's own into the endpoint's log.
    pub fn note(&self, text: &str) {
        self.write(&format!("{} I host - {text}\n", now()));
    }

    fn write(&self, line: &str) {
        // A full disk must not stop the scoring.
        let _ = (&self.access_log).write_all(line.as_bytes());
    }

    fn current(&self) -> Result<Arc<Backend>, String> {
        match self.backend.read() {
            Ok(current) => current.clone(),
            Err(_) => Err("The endpoint's front has failed".to_owned()),
        }
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
        // A caller that goes away is no news.
        let _ = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }

    async fn answer(&self, mut request: Request<Incoming>) -> Response<Body> {
        let begun = Instant::now();
        let id = request_id(request.headers_mut());
        let method = request.method().clone();
        let path = request.uri().path().to_owned();
        let mut response = self.route(request).await;
        if let Some(id) = &id {
            response
                .headers_mut()
                .entry(REQUEST_ID)
                .or_insert_with(|| id.clone());
        }
        let took = begun.elapsed();
        if method == Method::POST {
            self.counters.count(response.status().as_u16(), took);
        }
        self.log(&method, &path, response.status(), took, id.as_ref());
        response
    }

    async fn route(&self, request: Request<Incoming>) -> Response<Body> {
        let mut answer = match self.admit(&request).await {
            Ok(backend) => return forward(&backend, request).await,
            Err(answer) => *answer,
        };
        // The connection goes on only after all of the request was read. A caller that is not told
        // would send its next one into a connection that is being closed.
        if !read_off(request.into_body()).await {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(header::CONNECTION, close);
        }
        answer
    }

    /// Where to hand a request on to, or the answer to it from here.
    async fn admit(
        &self,
        request: &Request<Incoming>,
    ) -> Result<Arc<Backend>, Box<Response<Body>>> {
        let scoring = || {
            let current = self.current();
            current.map_err(|reason| Box::new(unavailable(&reason)))
        };
        let answer = match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => self.liveness(),
            (&Method::POST, "/score") | (&Method::GET, "/score" | "/swagger.json") => {
                match self.refuse(request.headers()).await {
                    Some(refusal) => refusal,
                    None => return scoring(),
                }
            }
            // A browser asks so before it sends a key.
            (&Method::OPTIONS, "/score") => return scoring(),
            (_, "/" | "/score" | "/swagger.json") => failure(
                StatusCode::METHOD_NOT_ALLOWED,
                &Error::invalid("The address does not take this method")
                    .hint("Score with POST /score"),
            ),
            _ => failure(
                StatusCode::NOT_FOUND,
                &Error::not_found("There is nothing at this address")
                    .hint("Score with POST /score"),
            ),
        };
        Err(Box::new(answer))
    }

    fn liveness(&self) -> Response<Body> {
        match self.current() {
            Ok(_) => Response::new(Either::Right(Full::from("Healthy"))),
            Err(reason) => unavailable(&reason),
        }
    }

    /// The answer to a request without a right key.
    async fn refuse(&self, headers: &HeaderMap) -> Option<Response<Body>> {
        let orders = match self.orders.current().await {
            Ok(Some(orders)) => orders,
            Ok(None) => return Some(unavailable("The endpoint was deleted")),
            Err(error) => return Some(failure(StatusCode::SERVICE_UNAVAILABLE, &error)),
        };
        if bearer(headers).is_some_and(|key| opens(&orders.keys, key)) {
            return None;
        }
        let error = Error::new(Code::Unauthenticated, "The endpoint needs one of its keys")
            .hint("Send the header `Authorization: Bearer KEY`; see aml endpoint keys");
        let mut response = failure(StatusCode::UNAUTHORIZED, &error);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Some(response)
    }

    fn log(
        &self,
        method: &Method,
        path: &str,
        status: StatusCode,
        took: Duration,
        id: Option<&HeaderValue>,
    ) {
        let id = id.and_then(|id| id.to_str().ok()).unwrap_or("-");
        let line = format!(
            "{} I front - {method} {} {} {:.3}ms {id}\n",
            now(),
            path.escape_debug(),
            status.as_u16(),
            took.as_secs_f64() * 1e3
        );
        self.write(&line);
    }
}

/// Hands a request on and its answer back.
async fn forward(backend: &Backend, mut request: Request<Incoming>) -> Response<Body> {
    strip(request.headers_mut());
    request.headers_mut().remove(header::AUTHORIZATION);
    match backend.send(request).await {
        Ok(mut response) => {
            strip(response.headers_mut());
            response.map(Either::Left)
        }
        Err(reason) => failure(
            StatusCode::BAD_GATEWAY,
            &Error::unavailable(format!("The scoring process did not answer: {reason}"))
                .hint("Look at the endpoint's log: aml endpoint logs NAME"),
        ),
    }
}

/// Reads the rest of a request that is not handed on; false when it is too long or does not come.
async fn read_off(mut body: Incoming) -> bool {
    let mut left = READ_OFF;
    let read = async {
        while let Some(frame) = body.frame().await {
            let length = match &frame {
                Ok(frame) => frame.data_ref().map_or(0, Bytes::len),
                Err(_) => return false,
            };
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    timeout(READ_OFF_TIME, read).await.unwrap_or(false)
}

/// The time as the scoring server writes it.
fn now() -> impl std::fmt::Display {
    chrono::Local::now().format("%Y-%m-%d %H:%M:%S,%3f")
}

/// The request's id, given by the caller or made here; the scoring process gets it too.
fn request_id(headers: &mut HeaderMap) -> Option<HeaderValue> {
    if let Some(id) = headers.get(&REQUEST_ID) {
        return Some(id.clone());
    }
    let id = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok()?;
    headers.insert(REQUEST_ID, id.clone());
    Some(id)
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, key) = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// Both keys are compared whole, so that the time taken says nothing.
fn opens(keys: &EndpointKeys, key: &str) -> bool {
    let primary = keys.primary.as_bytes().ct_eq(key.as_bytes());
    let secondary = keys.secondary.as_bytes().ct_eq(key.as_bytes());
    bool::from(primary | secondary)
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

fn unavailable(reason: &str) -> Response<Body> {
    let mut response = failure(StatusCode::SERVICE_UNAVAILABLE, &Error::unavailable(reason));
    response
        .headers_mut()
        .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn failure(status: StatusCode, error: &Error) -> Response<Body> {
    let envelope = Envelope {
        error: error.clone(),
    };
    let body = serde_json::to_vec(&envelope).unwrap_or_default();
    let mut response = Response::new(Either::Right(Full::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}
