//! Starting the server: what it listens on, whom it trusts, when it stops.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use super::{install_tls, now, open_service_for, worker};
use api::{Error, Result};
use cli::wiring::{Begun, ServeSettings, Served, Tls, Verbosity};
use server::{
    self, Asked, Listener, Log, Trust,
    tls::{self, Authority},
};
use service::{ArtifactPlaces, Revivals, Service};
use store::{Home, Lock};

/// How often a server's own certificate is made anew.
const RENEW: Duration = Duration::from_hours(30 * 24);

/// How often a server looks after endpoints and workers.
const LOOK: Duration = Duration::from_secs(2);

/// Serves a state directory until the process is asked to stop. `listening` is told when requests
/// are answered, and where.
pub async fn serve(settings: ServeSettings, listening: Begun<'_, Served>) -> Result<()> {
    super::hosts::allow_many_files();
    let home = Home::open(settings.home.clone())?;
    let listener = Listener::bind(&settings.host, settings.port)?;
    let address = listener.address();
    let host = match address.ip() {
        ip if ip.is_unspecified() => machine_name().unwrap_or_else(|| "127.0.0.1".to_owned()),
        IpAddr::V6(ip) => format!("[{ip}]"),
        IpAddr::V4(ip) => ip.to_string(),
    };
    let scheme = match settings.tls {
        Tls::Off => "http",
        Tls::Files { .. } | Tls::SelfSigned => "https",
    };
    let url = format!("{scheme}://{host}:{}", address.port());
    let (tls, authority) = certificate(&settings, &home)?;
    let trust = if address.ip().is_loopback() && !settings.require_token {
        Trust::OwnerUntilUsers
    } else {
        Trust::Nobody
    };
    let as_found = settings.url.is_none() && address.ip().is_unspecified();
    let service = open_service_for(&home, settings.url.unwrap_or(url.clone()), None)?
        .called_as_found(as_found)
        .with_places(ArtifactPlaces {
            folder: settings.folder,
            root: settings.artifact_root,
        });
    if trust == Trust::Nobody && !service.has_users().await? {
        return Err(Error::conflict(format!(
            "Nobody could log in: {url} needs tokens, and there is no user yet"
        ))
        .hint("Make the first user, an admin, on this machine: aml user create NAME"));
    }
    let lock = Lock::try_take(&home.server_lock())?;
    if let Some(lock) = &lock {
        lock.note(&Home::server_note(&url));
    }
    let taken = lock.is_none();
    let _lock = lock;
    if taken {
        tokio::spawn(take_lock_later(home.clone(), url.clone()));
    }
    tokio::spawn(watch_over_endpoints(
        service.clone(),
        service.watch_endpoints(),
    ));
    tokio::spawn(watch_over_leases(service.clone()));
    let stop = asked_to_stop()?;
    listening(&Served {
        exposed: tls.is_none() && !address.ip().is_loopback(),
        other: taken.then(|| Lock::holder(&home.server_lock()).unwrap_or_default()),
        authority,
        url,
    });
    let log = Log {
        verbosity: match settings.verbosity {
            Verbosity::Errors => server::Verbosity::Errors,
            Verbosity::Changes => server::Verbosity::Changes,
            Verbosity::Requests => server::Verbosity::Requests,
        },
        clock: now,
        asked: Asked::default(),
    };
    tokio::spawn(server::rest_when_quiet(log.asked.clone()));
    let router = server::logged(server::router(service.clone(), trust), log);
    let (leave, left) = watch::channel(false);
    let courier = tokio::spawn(deliver(service.clone(), left.clone()));
    let schedules = tokio::spawn(keep_schedules(service.clone(), left.clone()));
    let worker = settings
        .worker
        .map(|settings| tokio::spawn(worker::work_inside(service, settings, left)));
    let served = listener.serve(router, tls, Box::pin(stop)).await;
    // Runs go on and are found again by the next server.
    let _ = leave.send(true);
    if let Some(worker) = worker {
        let _ = worker.await;
    }
    let _ = courier.await;
    let _ = schedules.await;
    served
}

/// Becomes the server of the state directory when the one that is it now, such as one in the background,
/// has left.
async fn take_lock_later(home: Home, url: String) {
    loop {
        tokio::time::sleep(LOOK).await;
        if let Ok(Some(lock)) = Lock::try_take(&home.server_lock()) {
            lock.note(&Home::server_note(&url));
            // Held until the server ends.
            std::future::pending::<()>().await;
        }
    }
}

/// Endpoints come back with the server, and when their hosts were killed: as many as can, each after
/// waits that grow while it does not stay.
async fn watch_over_endpoints(service: Service, mut revivals: Revivals) {
    loop {
        // What keeps one from coming up is said by its own state.
        let _ = service.revive_endpoints(&mut revivals).await;
        tokio::time::sleep(LOOK).await;
    }
}

/// Runs of workers that are gone come to an end, though no other worker may be there to find them.
async fn watch_over_leases(service: Service) {
    loop {
        tokio::time::sleep(LOOK).await;
        // What could not be written now is written next time.
        let _ = service.release_lapsed().await;
    }
}

/// Creates the jobs of schedules when they are due, until `stop` is told.
async fn keep_schedules(service: Service, mut stop: watch::Receiver<bool>) {
    let told = async { drop(stop.wait_for(|stop| *stop).await) };
    service.keep_schedules(told).await;
}

/// Makes deliveries to webhooks until `stop` is told.
pub(super) async fn deliver(service: Service, mut stop: watch::Receiver<bool>) {
    let told = async { drop(stop.wait_for(|stop| *stop).await) };
    service.deliver(told).await;
}

/// The TLS to speak and, when it is our own, the certificate that clients must trust.
fn certificate(
    settings: &ServeSettings,
    home: &Home,
) -> Result<(Option<tls::Config>, Option<PathBuf>)> {
    install_tls();
    match &settings.tls {
        Tls::Off => Ok((None, None)),
        Tls::Files { certificate, key } => Ok((Some(tls::from_files(certificate, key)?), None)),
        Tls::SelfSigned => {
            let authority = Authority::open(&home.tls())?;
            let names = names(settings);
            let config = authority.issue(&names, now())?;
            let file = authority.certificate.clone();
            tokio::spawn(renew(authority, names, config.clone()));
            Ok((Some(config), Some(file)))
        }
    }
}

/// A server may run longer than its certificate is valid.
async fn renew(authority: Authority, names: Vec<String>, config: tls::Config) {
    loop {
        tokio::time::sleep(RENEW).await;
        if let Ok(newer) = authority.issue(&names, now()) {
            config.replace(&newer);
        }
    }
}

/// Every name the server may be called by.
fn names(settings: &ServeSettings) -> Vec<String> {
    let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
    let own = settings.url.as_deref().and_then(host_of);
    for name in own
        .into_iter()
        .chain(machine_name())
        .chain([settings.host.clone()])
    {
        let any = name.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        if !any && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn host_of(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    Some(host.trim_matches(['[', ']']).to_owned())
}

pub(super) fn machine_name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    (!name.is_empty()).then_some(name)
}

/// Done at the first SIGTERM or ctrl-C.
pub(super) fn asked_to_stop() -> Result<impl Future<Output = ()>> {
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
