//! The one place that knows both sides: opens a client for a target, starts servers and workers.

mod background;
mod hosts;
mod inspect;
mod lend;
mod serve;
mod worker;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

pub use self::worker::{WorkerSettings, work_for, work_here};
pub use background::{ensure_server, serve_in_background};
pub use host::Apart;
pub use hosts::{host_endpoint, watch_endpoint};
pub use inspect::{StateReport, disk_is_full, inspect};
pub use lend::{Lent, lend};
pub use serve::{ServeSettings, Served, Tls, serve};
use serve::{asked_to_stop, machine_name};
pub use server::Verbosity;

use crate::{
    config::WebhookSettings,
    courier::{Post, Rules},
};
use api::{Result, Time};
use client::{Client, Remote};
use nix::sys::prctl;
use server::Trust;
use service::{Bell, Service, Space};
use store::{Home, Store};

/// Names this process `aml` for whoever lists processes: one that was started through the kernel's link
/// to its program (so that a newer one in its place does not matter) has the name of the link.
pub fn name_process() {
    if prctl::get_name().is_ok_and(|name| name.as_c_str() == c"exe") {
        let _ = prctl::set_name(c"aml");
    }
}

/// What a command talks to.
#[derive(Clone)]
pub enum Target {
    /// The state directory, without a socket.
    Local {
        home: PathBuf,
    },
    Remote(Remote),
}

/// Opens a client. In local mode the server's router is called in this process, and a worker is
/// kept in the background as long as there is something to do.
pub async fn open_client(target: &Target) -> Result<Client> {
    match target {
        Target::Local { home } => {
            let service = open_local(home, String::new()).await?;
            Ok(Client::in_process(server::router(service, Trust::Owner)))
        }
        Target::Remote(remote) => {
            install_tls();
            Client::remote(remote.clone())
        }
    }
}

/// Opens the state directory for a command; `url` is what it listens on itself, if it does.
async fn open_local(home: &Path, url: String) -> Result<Service> {
    let home = Home::open(home.to_owned())?;
    let bell = home.clone();
    let bell: Bell = Box::new(move || worker::wake_or_start(&bell));
    let service = open_service_for(&home, url, Some(bell))?.beside(home.server_url());
    worker::ensure_worker(&home, &service).await;
    worker::keep_worker(home, service.clone());
    Ok(service)
}

/// Opens the state directory with everything that can be asked of it. The bell is rung when there
/// is something to do for a worker in another process.
fn open_service_for(home: &Home, base_url: String, bell: Option<Bell>) -> Result<Service> {
    service_of(Store::open(home.root().to_owned())?, base_url, bell)
}

fn service_of(store: Store, base_url: String, bell: Option<Bell>) -> Result<Service> {
    // For datastores in clouds.
    install_tls();
    let service = Service::new(store, now, base_url, bell)?;
    let post = Arc::new(Post::new(webhook_rules));
    Ok(service
        .with_hosts(hosts::HOSTS)
        .with_space(Space {
            environments: executor::use_of::free,
            images: host::free_images,
        })
        .with_courier(post))
}

/// Where this process may send to.
fn webhook_rules() -> Result<Rules> {
    install_tls();
    let settings = WebhookSettings::load()?;
    Ok(Rules {
        schemes: settings.schemes.unwrap_or(vec!["https".to_owned()]),
        private: settings.allow_private.unwrap_or(false),
    })
}

/// Whether Python environments can be made here; the error says what is missing and how to get it.
pub async fn check_python(variables: &BTreeMap<String, String>) -> Result<()> {
    executor::environment::check_machine(variables).await
}

/// Supervises the commands of runs, one after the other. A worker in the background of the state directory
/// that is killed meanwhile has a successor.
pub async fn supervise(succeed_in: Option<PathBuf>) -> Result<()> {
    executor::supervisor::supervise(succeed_in.map(worker::successor)).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the wall clock"
)]
pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// One TLS provider for client and server; a second call changes nothing.
pub fn install_tls() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests;
