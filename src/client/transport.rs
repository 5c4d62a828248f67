//! How a request reaches the router: by a call, or over a socket.

use axum::{
    Router,
    body::Body,
    http::{Request, Response},
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
            let certificate = reqwest::Certificate::from_pem(ca).map_err(|e| {
                Error::invalid(format!("The profile's certificate cannot be read: {e}"))
                    .at("ca_file")
            })?;
            builder = builder.tls_certs_merge([certificate]);
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
                let mut outgoing = http
                    .request(parts.method, url)
                    .headers(parts.headers)
                    .body(reqwest::Body::wrap_stream(body.into_data_stream()));
                if let Some(token) = &remote.token {
                    outgoing = outgoing.bearer_auth(token);
                }
                let response = outgoing.send().await.map_err(|e| unreachable(remote, &e))?;
                Ok(Response::from(response).map(Body::new))
            }
        }
    }
}

fn unreachable(remote: &Remote, error: &reqwest::Error) -> Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    let error = Error::unavailable(format!("Cannot reach `{}`: {cause}", remote.url));
    if cause.to_string().contains("certificate") {
        error.hint("If the server's certificate is its own: aml login URL --ca-file CERT.pem")
    } else {
        error.hint("Is the server running? Start it there with: aml serve")
    }
}
