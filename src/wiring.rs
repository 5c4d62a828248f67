//! The one place that knows both sides: opens a client for a target, starts servers and workers.

mod background;
mod hosts;
mod inspect;
mod lend;
mod serve;
mod worker;

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use futures_util::future::BoxFuture;
use nix::sys::prctl;

use crate::courier::{Post, Rules};
use api::{Result, Time};
use cli::{
    config::WebhookSettings,
    wiring::{
        Apart, Begun, Lent, ServeSettings, Served, StateReport, Target, Wiring, WorkerSettings,
    },
};
use client::{Client, Remote};
use serve::{asked_to_stop, machine_name};
use server::Trust;
use service::{Bell, Service, Space};
use store::{Home, Store};

/// What commands need of what is below the client, by the layers of this program.
pub struct Wired;

impl Wiring for Wired {
    fn open_client<'a>(&self, target: &'a Target) -> BoxFuture<'a, Result<Client>> {
        Box::pin(open_client(target))
    }

    fn lend<'a>(&self, target: &'a Target) -> BoxFuture<'a, Result<Lent>> {
        Box::pin(lend::lend(target))
    }

    fn ensure_server<'a>(&self, home: &'a Path) -> BoxFuture<'a, Result<String>> {
        Box::pin(background::ensure_server(home))
    }

    fn serve<'a>(
        &self,
        settings: ServeSettings,
        listening: Begun<'a, Served>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(serve::serve(settings, listening))
    }

    fn serve_in_background(&self, home: PathBuf) -> BoxFuture<'static, Result<()>> {
        Box::pin(background::serve_in_background(home))
    }

    fn work_here<'a>(
        &self,
        settings: WorkerSettings,
        background: bool,
        begun: Begun<'a, str>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(worker::work_here(settings, background, begun))
    }

    fn work_for<'a>(
        &self,
        remote: Remote,
        settings: WorkerSettings,
        begun: Begun<'a, str>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(worker::work_for(remote, settings, begun))
    }

    fn supervise(&self, succeed_in: Option<PathBuf>) -> BoxFuture<'static, Result<()>> {
        executor::supervisor::supervise(succeed_in.map(worker::successor))
    }

    fn host_endpoint<'a>(
        &self,
        home: &'a Path,
        endpoint: i64,
        variables: BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(hosts::host_endpoint(home, endpoint, variables))
    }

    fn watch_endpoint(
        &self,
        command: &[String],
        log: &Path,
        apart: Option<Apart>,
        secrets: &[String],
    ) -> io::Result<u8> {
        let apart = apart.map(|apart| host::Apart {
            state: apart.state,
            own: apart.own,
            readable: apart.readable,
        });
        host::watch(command, log, apart.as_ref(), secrets)
    }

    fn check_python<'a>(
        &self,
        variables: &'a BTreeMap<String, String>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(executor::environment::check_machine(variables))
    }

    fn inspect(&self, directory: &Path) -> StateReport {
        inspect::inspect(directory)
    }

    fn disk_is_full(&self, directory: &Path) -> bool {
        inspect::disk_is_full(directory)
    }

    fn now(&self) -> Time {
        now()
    }
}

/// Names this process `aml` for whoever lists processes: one that was started through the kernel's link
/// to its program (so that a newer one in its place does not matter) has the name of the link.
pub fn name_process() {
    if prctl::get_name().is_ok_and(|name| name.as_c_str() == c"exe") {
        let _ = prctl::set_name(c"aml");
    }
}

/// Opens a client. In local mode the server's router is called in this process, and a worker is
/// kept in the background as long as there is something to do.
async fn open_client(target: &Target) -> Result<Client> {
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

#[cfg(test)]
mod tests;
