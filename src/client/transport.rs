//! How a request reaches the router: by a call, or over a socket.

use axum::{
    Router,
    body::Body,
    http::{Request, Response, header},
};
use tower::ServiceExt;

use crate::api::{Error, Result};

/// Where a remote server is and how to be let in.
#[derive(Clone)]
pub struct Remote {
    /// Scheme, host and port, without a path.
    pub url: String,
    pub token: Option<String>,
    /// PEM of a certificate to trust besides the system's.
    pub ca: Option<Vec<u8>>,
}

#[derive(Clone)]
pub enum Transport {
    InProcess(Router),
    Socket {
        http: reqwest::Client,
        remote: Remote,
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
        Ok(Self::Socket { http, remote })
    }

    /// Sends a request whose URI is a path with query.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>> {
        match self {
            Transport::InProcess(router) => match router.clone().oneshot(request).await {
                Ok(response) => Ok(response),
                Err(never) => match never {},
            },
            Transport::Socket { http, remote } => {
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
                let response = outgoing.send().await.map_err(|e| unreachable(remote, &e))?;
                Ok(Response::from(response).map(Body::new))
            }
        }
    }
}

/// Says why a server cannot be reached and what may help.
fn unreachable(remote: &Remote, error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let url = &remote.url;
    let (reason, hints) = explain(&cause.to_string(), error.is_timeout(), url);
    let error = Error::unavailable(format!("Cannot reach `{url}`: {reason}"));
    hints.into_iter().fold(error, Error::hint)
}

/// The reason in words of ours, where the cause has a common one, and hints.
fn explain(cause: &str, timed_out: bool, url: &str) -> (String, Vec<String>) {
    let other_scheme = match url.split_once("://") {
        Some(("https", rest)) => format!("http://{rest}"),
        Some((_, rest)) => format!("https://{rest}"),
        None => url.to_owned(),
    };
    if timed_out {
        let hint = "Check the address, the network and the firewall between".to_owned();
        return ("no answer in time".to_owned(), vec![hint]);
    }
    let (reason, hint) = if cause.contains("UnknownIssuer") || cause.contains("CaUsedAsEndEntity") {
        (
            "its certificate is not signed by an authority that this machine trusts".to_owned(),
            format!(
                "If the server made its own, get its `ca.pem`: aml login {url} --ca-file ca.pem"
            ),
        )
    } else if cause.contains("certificate expired") {
        (
            cause.replace("invalid peer certificate: ", ""),
            "Renew the server's certificate; one that the server makes itself is renewed by a restart".to_owned(),
        )
    } else if cause.contains("not valid for name") || cause.contains("NotValidForName") {
        (
            cause.replace("invalid peer certificate: ", ""),
            "Use a name that the certificate has, or start the server with --host or --url of this one".to_owned(),
        )
    } else if cause.contains("InvalidContentType") {
        (
            "it does not speak TLS".to_owned(),
            format!("Without TLS: aml login {other_scheme}"),
        )
    } else if url.starts_with("http://")
        && ["connection closed", "invalid HTTP", "onnection reset"]
            .iter()
            .any(|part| cause.contains(part))
    {
        (
            "it does not speak plain HTTP".to_owned(),
            format!("With TLS: aml login {other_scheme}"),
        )
    } else if cause.contains("failed to lookup") {
        (
            "there is no host of that name".to_owned(),
            "Check the spelling".to_owned(),
        )
    } else {
        (
            cause.to_owned(),
            "Is the server running? Start it there with: aml serve".to_owned(),
        )
    };
    (reason, vec![hint])
}
