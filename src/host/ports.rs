//! Which port an endpoint answers on.

use std::io;

use tokio::net::TcpListener;

use api::{Error, Result};

/// Ports to choose from: below those that outgoing connections get.
const PORTS: std::ops::Range<u16> = 31_000..32_000;

async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(("127.0.0.1", port)).await
}

/// Listens on the port that was asked for.
pub async fn take(port: u16, endpoint: &str) -> Result<TcpListener> {
    bind(port).await.map_err(|e| not_bound(port, endpoint, &e))
}

fn not_bound(port: u16, endpoint: &str, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::AddrInUse {
        Error::conflict(format!(
            "Port {port} is in use by another program of this machine"
        ))
        .hint(format!(
            "Free it, or choose another: aml endpoint start {endpoint} --port PORT"
        ))
    } else {
        Error::unavailable(format!("Cannot listen on port {port}: {error}"))
    }
}

/// The port the endpoint had before if it is free, else the first free one that is not one of `others`.
pub async fn choose(
    before: Option<u16>,
    others: &[u16],
    endpoint: i64,
) -> Result<(u16, TcpListener)> {
    let ports = PORTS.end - PORTS.start;
    let first = u16::try_from(endpoint.rem_euclid(i64::from(ports))).unwrap_or(0);
    let free = (0..ports).map(|step| PORTS.start + (first + step) % ports);
    let free = free.filter(|port| !others.contains(port));
    for port in before.into_iter().chain(free) {
        if let Ok(listener) = bind(port).await {
            return Ok((port, listener));
        }
    }
    Err(Error::unavailable(format!(
        "No port from {} to {} is free",
        PORTS.start, PORTS.end
    )))
}
