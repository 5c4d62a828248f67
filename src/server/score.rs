//! Scoring through the server: hands a request on to the endpoint's own front, which checks the key.

use std::{sync::LazyLock, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{HeaderValue, Method, Uri, header},
    response::{IntoResponse, Response},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::Failure;
use api::{Code, Error, Result};
use service::Service;

/// Shorter than a front keeps a connection: one that it is about to close must not be sent a request.
const IDLE: Duration = Duration::from_secs(15);

static FRONTS: LazyLock<Client<HttpConnector, Body>> = LazyLock::new(|| {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .build(connector)
});

/// `/ws/<workspace>/endpoints/<name>/<what>`: needs a key of the endpoint, not a user's token.
pub async fn score(
    State(service): State<Service>,
    Path((workspace, name, what)): Path<(String, String, String)>,
    request: Request,
) -> Response {
    match forward(&service, &workspace, &name, &what, request).await {
        Ok(response) => response,
        Err(error) => Failure(error).into_response(),
    }
}

async fn forward(
    service: &Service,
    workspace: &str,
    name: &str,
    what: &str,
    mut request: Request,
) -> Result<Response> {
    if !matches!(what, "score" | "swagger.json" | "metrics") {
        return Err(Error::not_found("There is nothing at this address"));
    }
    // The front of a local endpoint asks for nothing; here others may come than on loopback. A browser
    // asks with OPTIONS before it sends a key.
    if request.method() != Method::OPTIONS && !request.headers().contains_key(header::AUTHORIZATION)
    {
        return Err(Error::new(
            Code::Unauthenticated,
            "The endpoint needs one of its keys, or a token",
        )
        .hint("Send the header `Authorization: Bearer KEY`; see aml endpoint keys"));
    }
    let Some(port) = service.endpoint_port(workspace, name).await? else {
        return Err(Error::unavailable(format!(
            "No endpoint `{name}` is running in workspace `{workspace}`"
        ))
        .hint("If it is being started, try again in some seconds")
        .hint(format!("See how it is: aml endpoint show {name}")));
    };
    let query = request
        .uri()
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    *request.uri_mut() = format!("http://127.0.0.1:{port}/{what}{query}")
        .parse::<Uri>()
        .map_err(|_| Error::invalid("The address cannot be handed on"))?;
    let headers = request.headers_mut();
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.insert(header::HOST, HeaderValue::from_static("127.0.0.1"));
    match FRONTS.request(request).await {
        Ok(response) => Ok(response.map(Body::new).into_response()),
        Err(e) => Err(
            Error::unavailable(format!("The endpoint `{name}` did not answer: {e}"))
                .hint("It may be starting again: try again in some seconds"),
        ),
    }
}
