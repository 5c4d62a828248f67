//! The one place that knows both sides: opens a client for a target, starts servers and workers.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::SystemTime,
};

use tokio::signal::unix::{SignalKind, signal};

use crate::{
    api::{Error, Result, Time},
    client::{Client, Remote},
    server::{self, Listener, Trust},
    service::Service,
    store::Store,
};

/// What a command talks to.
#[derive(Clone)]
pub enum Target {
    /// The state directory, without a socket.
    Local {
        home: PathBuf,
    },
    Remote(Remote),
}

/// Opens a client. In local mode the server's router is called in this process.
pub fn open_client(target: &Target) -> Result<Client> {
    match target {
        Target::Local { home } => {
            let service = open_service(home.clone(), String::new())?;
            Ok(Client::in_process(server::router(service, Trust::Owner)))
        }
        Target::Remote(remote) => {
            install_tls();
            Client::remote(remote.clone())
        }
    }
}

/// Opens the state directory with everything that can be asked of it.
pub fn open_service(home: PathBuf, base_url: String) -> Result<Service> {
    Service::new(Store::open(home)?, now, base_url)
}

/// What `aml serve` was told.
#[derive(Debug)]
pub struct ServeSettings {
    pub home: PathBuf,
    pub host: String,
    pub port: u16,
    /// Need a token on loopback too.
    pub require_token: bool,
}

/// Serves a state directory until the process is asked to stop. `listening` is told the address
/// when requests are answered there.
pub async fn serve(settings: ServeSettings, listening: impl FnOnce(&str)) -> Result<()> {
    let listener = Listener::bind(&settings.host, settings.port)?;
    let address = listener.address();
    let url = format!("http://{}", reachable(address));
    let service = open_service(settings.home, url.clone())?;
    let trust = if address.ip().is_loopback() && !settings.require_token {
        Trust::OwnerUntilUsers
    } else {
        Trust::Nobody
    };
    if trust == Trust::Nobody && !service.has_users().await? {
        return Err(Error::conflict(format!(
            "Nobody could log in: {url} needs tokens, and there is no user yet"
        ))
        .hint("Make the first user, an admin, on this machine: aml user create NAME"));
    }
    let stop = asked_to_stop()?;
    listening(&url);
    listener.serve(server::router(service, trust), stop).await
}

/// The address as others write it: one that means every address is reached by this machine's.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Done at the first SIGTERM or ctrl-C.
fn asked_to_stop() -> Result<impl Future<Output = ()>> {
    let listen =
        |kind| signal(kind).map_err(|e| Error::internal(format!("Cannot wait for signals: {e}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => (),
            _ = interrupt.recv() => (),
        }
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One TLS provider for client and server; a second call changes nothing.
fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
