//! How a request reaches the router: by a call, or over a socket.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, Response, header},
};
use tower::ServiceExt;

use api::{Error, Result};

/// After so long without its first answer a server is said to be slow.
const SLOW: Duration = Duration::from_secs(5);

/// Tells the user something.
pub type Teller = Arc<dyn Fn(&str) + Send + Sync>;

/// Where a remote server is and how to be let in.
#[derive(Clone, Default)]
pub struct Remote {
    /// Scheme, host and port, without a path.
    pub url: String,
    pub token: Option<String>,
    /// PEM of a certificate to trust besides the system's.
    pub ca: Option<Vec<u8>>,
    /// Tells the user that the first answer lets itself be waited for.
    pub slow: Option<Teller>,
}

#[derive(Clone)]
pub enum Transport {
    InProcess(Router),
    Socket {
        http: reqwest::Client,
        remote: Remote,
        /// The server has answered once: what takes long from then on is work.
        answered: Arc<AtomicBool>,
    },
}

impl Transport {
    pub fn remote(remote: Remote) -> Result<Self> {
        let mut builder = reqwest::Client::builder()
            .connect_timeout(std::time::Duration::from_secs(10))
            .tcp_nodelay(true)
            .user_agent(concat!("aml/", env!("CARGO_PKG_VERSION")));
        if let Some(ca) = &remote.ca {
            let wrong = |why: &str| {
                Error::invalid(format!("The certificate to trust cannot be used: {why}"))
                    .at("ca_file")
            };
            let certificates =
                reqwest::Certificate::from_pem_bundle(ca).map_err(|e| wrong(&e.to_string()))?;
            if certificates.is_empty() {
                return Err(wrong("there is none in PEM format in the file"));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder
            .build()
            .map_err(|e| Error::internal(format!("Cannot set up the HTTP client: {e}")))?;
        Ok(Self::Socket {
            http,
            remote,
            answered: Arc::default(),
        })
    }

    /// Sends a request whose URI is a path with query.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>> {
        match self {
            Transport::InProcess(router) => match router.clone().oneshot(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
            Transport::Socket {
                http,
                remote,
                answered,
            } => {
                let (parts, body) = request.into_parts();
                let url = format!("{}{}", remote.url, parts.uri);
                let has_key = parts.headers.contains_key(header::AUTHORIZATION);
                let mut outgoing = http
                    .request(parts.method, url)
                    .headers(parts.headers)
                    .body(reqwest::Body::wrap_stream(body.into_data_stream()));
                if let Some(token) = remote.token.as_ref().filter(|_| !has_key) {
                    outgoing = outgoing.bearer_auth(token);
                }
                let mut answer = std::pin::pin!(outgoing.send());
                let response = tokio::select! {
                    biased;
                    response = &mut answer => response,
                    () = tokio::time::sleep(SLOW), if !answered.load(Ordering::Relaxed) => {
                        if let Some(slow) = &remote.slow {
                            slow(&format!(
                                "`{}` has not answered for {} s. Still waiting; ctrl-C ends this.",
                                remote.url,
                                SLOW.as_secs()
                            ));
                        }
                        answer.await
                    }
                };
                let response = response.map_err(|e| unreachable(remote, &e))?;
                answered.store(true, Ordering::Relaxed);
                Ok(Response::from(response).map(Body::new))
            }
        }
    }
}

/// Says why a server cannot be reached and what may help.
fn unreachable(remote: &Remote, error: &reqwest::Error) -> Error {
    let mut deepest: &dyn std::error::Error = error;
    while let Some(deeper) = deepest.source() {
        deepest = deeper;
    }
    let url = &remote.url;
    let cause = deepest.to_string();
    let cause = cause.trim_start_matches("invalid peer certificate: ");
    let (reason, hint) = match explain(cause, error.is_timeout(), url) {
        Some((reason, hint)) => (reason, hint),
        None => (
            cause,
            "Is the server running? Start it there with: aml serve".to_owned(),
        ),
    };
    Error::unavailable(format!("Cannot reach `{url}`: {reason}")).hint(hint)
}

/// The reason in words of ours, where the cause is a common one, and what may help.
fn explain<'a>(cause: &'a str, timed_out: bool, url: &str) -> Option<(&'a str, String)> {
    let has = |parts: &[&str]| parts.iter().any(|part| cause.contains(part));
    if timed_out {
        let hint = "Check the address, the network and the firewall between";
        return Some(("no answer in time", hint.to_owned()));
    }
    if has(&["failed to lookup"]) {
        return Some((
            "there is no host of that name",
            "Check the spelling".to_owned(),
        ));
    }
    if has(&["UnknownIssuer"]) {
        return Some((
            "its certificate is not signed by an authority that this machine trusts",
            format!(
                "If the server made its own, get its `ca.pem`: aml login {url} --ca-file ca.pem"
            ),
        ));
    }
    if has(&["CaUsedAsEndEntity"]) {
        let hint = "Make it with basicConstraints=CA:FALSE, or let the server: aml serve --tls-self-signed";
        return Some((
            "its certificate is an authority's, not a server's",
            hint.to_owned(),
        ));
    }
    let clocks = "Check the clocks; a certificate that the server made is renewed when it restarts";
    if has(&["Expired", "expired"]) {
        return Some(("its certificate has expired", clocks.to_owned()));
    }
    if has(&["NotValidYet", "not valid yet"]) {
        return Some(("its certificate is not valid yet", clocks.to_owned()));
    }
    if has(&["not valid for name"]) {
        let hint = "Use a name that the certificate has, or start the server with --host or --url of this one";
        return Some((cause, hint.to_owned()));
    }
    let other = match url.split_once("://")? {
        ("https", rest) => format!("http://{rest}"),
        (_, rest) => format!("https://{rest}"),
    };
    if has(&["InvalidContentType"]) {
        return Some((
            "it does not speak TLS",
            format!("Without TLS: aml login {other}"),
        ));
    }
    if url.starts_with("http://") && has(&["invalid HTTP"]) {
        return Some((
            "it does not speak plain HTTP",
            format!("With TLS: aml login {other}"),
        ));
    }
    if has(&["connection closed", "onnection reset", "roken pipe"]) {
        let hint = if url.starts_with("http://") {
            format!("Try again; if it speaks TLS: aml login {other}")
        } else {
            "Try again".to_owned()
        };
        return Some(("it closed the connection before it answered", hint));
    }
    None
}
