//! What an operation means: rules, states, permissions.
//!
//! The service never reads the environment, the current directory or the clock directly, and keeps
//! nothing in memory that the store does not have: killed at any moment, nothing is lost. It knows
//! no foreign protocol and no HTTP.

mod access;
mod assessments;
mod assets;
mod automl;
mod autoscale;
mod batch;
mod collect;
mod collector;
mod computes;
mod connected;
mod connections;
mod curated;
mod datastores;
mod deploy;
mod deployment_settings;
mod deployments;
mod driven;
mod endpoint_hosts;
mod endpoint_keys;
mod endpoint_metrics;
mod endpoints;
mod environments;
mod events;
mod experiments;
mod files;
mod filter;
mod hosts;
mod identities;
mod imports;
mod job_places;
mod jobs;
mod lineage;
mod logged_models;
mod logs;
mod metric_histories;
mod metrics;
mod minibatch;
mod model_files;
mod model_imports;
mod models;
mod monitors;
mod packed;
mod paths;
mod pinned;
mod pipelines;
mod programs;
mod registered_models;
mod registries;
mod resource_groups;
mod run_create;
mod runs;
pub mod sampling;
mod schedules;
mod secrets;
mod signed;
mod spans;
mod spark;
mod sweeps;
#[cfg(test)]
mod tests;
mod trace_files;
mod trace_measures;
mod traces;
mod uploads;
mod vault;
mod webhooks;
mod work;
mod workspaces;

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::atomic::{AtomicBool, Ordering},
    sync::{Arc, OnceLock},
};

use async_trait::async_trait;
use tokio::sync::Notify;

pub use access::{Action, Caller};
pub use collect::Space;
pub use endpoint_hosts::{Hosts, Revivals};
pub use files::{Content, Pieces};
pub use vault::Vault;
pub use webhooks::{Courier, Parcel, Sent};

use api::{
    Error, Operation, Result, Time, names,
    registries::{CURATED, named_in},
};
use store::{KEPT_HERE, Store, WorkspaceRow};

/// Handles operations. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
    /// What the caller of a request found it by, where that is its name.
    found_by: Option<Arc<str>>,
}

pub struct Inner {
    store: Store,
    vault: Vault,
    clock: fn() -> Time,
    renewals: std::sync::Mutex<work::Renewals>,
    /// What clients can reach this service by, such as `http://127.0.0.1:5000`; empty without a socket.
    base_url: String,
    /// Callers know better what it is called by than the machine.
    called_as_found: AtomicBool,
    /// What clients can reach another service of the same store by.
    neighbour: OnceLock<String>,
    places: OnceLock<ArtifactPlaces>,
    hosts: OnceLock<Hosts>,
    /// This process starts the hosts of endpoints that were killed.
    revives: AtomicBool,
    space: OnceLock<Space>,
    courier: OnceLock<Arc<dyn Courier>>,
    /// Woken when there are deliveries to make, by what happens in this process.
    deliveries: Notify,
    /// Woken when a schedule is made or changed in this process.
    schedules: Notify,
    /// Woken when a run is queued or cancelled in this process.
    pub work: Notify,
    bell: Option<Bell>,
    /// Woken when a log grows or a run ends in this process.
    pub logs: Notify,
    /// Copies of what is stored of driven runs.
    courses: std::sync::Mutex<driven::Courses>,
    /// What driven runs are a part of.
    roots: std::sync::Mutex<HashMap<i64, (i64, String)>>,
}

impl std::ops::Deref for Service {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.inner
    }
}

/// Where clients keep the artifacts that are not kept here.
#[derive(Debug)]
pub struct ArtifactPlaces {
    /// What a relative path is meant from.
    pub folder: PathBuf,
    /// Where artifacts of new experiments go, by which clients write there themselves.
    pub root: Option<String>,
}

impl ArtifactPlaces {
    fn whole(&self, location: &str) -> String {
        let (scheme, path) = match location.strip_prefix("file:") {
            Some(path) => ("file://", path),
            None if location.contains(':') => return location.to_owned(),
            None => ("", location),
        };
        if path.starts_with('/') {
            return location.to_owned();
        }
        format!("{scheme}{}", self.folder.join(path).display())
    }
}

/// Called when there is something to do for workers, wherever they are.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// An operation with a meaning.
#[async_trait]
pub trait Perform: Operation {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Self::Output>;
}

impl Service {
    pub fn new(
        store: Store,
        clock: fn() -> Time,
        base_url: String,
        bell: Option<Bell>,
    ) -> Result<Self> {
        let vault = Vault::new(store.home.key()?);
        let inner = Arc::new(Inner {
            store,
            vault,
            clock,
            renewals: std::sync::Mutex::new(work::Renewals::from(clock())),
            base_url,
            called_as_found: AtomicBool::new(false),
            neighbour: OnceLock::new(),
            places: OnceLock::new(),
            hosts: OnceLock::new(),
            revives: AtomicBool::new(false),
            space: OnceLock::new(),
            courier: OnceLock::new(),
            deliveries: Notify::new(),
            schedules: Notify::new(),
            work: Notify::new(),
            bell,
            logs: Notify::new(),
            courses: std::sync::Mutex::default(),
            roots: std::sync::Mutex::default(),
        });
        Ok(Self {
            inner,
            found_by: None,
        })
    }

    /// Whether each caller is told addresses that begin with what the caller found the service by: on a
    /// machine with several names nobody else knows which of them leads here from there.
    #[must_use]
    pub fn called_as_found(self, is_so: bool) -> Self {
        self.called_as_found.store(is_so, Ordering::Relaxed);
        self
    }

    /// The service for a caller who asked for a host, `host:port` as HTTP's `Host` has it.
    #[must_use]
    pub fn found_by<'a>(mut self, host: impl FnOnce() -> Option<&'a str>) -> Self {
        let plain = |c: char| c.is_ascii_alphanumeric() || ".-:[]_".contains(c);
        if self.called_as_found.load(Ordering::Relaxed)
            && let Some(host) = host()
            && !host.is_empty()
            && host.chars().all(plain)
            && let Some((scheme, _)) = self.base_url.split_once("://")
        {
            self.found_by = Some(format!("{scheme}://{host}").into());
        }
        self
    }

    /// Lets endpoints be started; without it they can only be looked at.
    #[must_use]
    pub fn with_hosts(self, hosts: Hosts) -> Self {
        self.hosts.get_or_init(|| hosts);
        self
    }

    /// Lets environments and images of this machine be freed.
    #[must_use]
    pub fn with_space(self, space: Space) -> Self {
        self.space.get_or_init(|| space);
        self
    }

    /// Says where clients keep artifacts that are not kept here.
    #[must_use]
    pub fn with_places(self, mut places: ArtifactPlaces) -> Self {
        places.root = places.root.as_deref().map(|root| places.whole(root));
        self.places.get_or_init(|| places);
        self
    }

    /// What the artifacts of a new experiment are below, unless it says another location.
    pub fn artifact_root(&self) -> &str {
        let root = self.places.get().and_then(|places| places.root.as_deref());
        root.unwrap_or(KEPT_HERE)
    }

    /// A location as it is kept: a relative path is one from this process's folder.
    pub fn whole_location(&self, location: &str) -> String {
        let places = self.places.get();
        places.map_or_else(|| location.to_owned(), |places| places.whole(location))
    }

    /// Sends clients, who cannot reach this service, to another one of the same store.
    #[must_use]
    pub fn beside(self, url: Option<String>) -> Self {
        if let Some(url) = url {
            self.neighbour.get_or_init(|| url);
        }
        self
    }

    /// A random token of 256 bits, of which nothing is kept.
    pub fn new_token(&self) -> Result<String> {
        self.vault.new_token("aml")
    }

    pub fn now(&self) -> Time {
        (self.clock)()
    }

    /// Tells workers that a run was queued, cancelled or removed.
    fn ring(&self) {
        self.work.notify_waiters();
        if let Some(bell) = &self.bell {
            bell();
        }
    }

    /// Another process says that there is something to do.
    pub fn heard(&self) {
        self.work.notify_waiters();
        self.deliveries.notify_one();
        self.schedules.notify_one();
    }

    pub fn base_url(&self) -> &str {
        self.found_by.as_deref().unwrap_or(&self.base_url)
    }

    /// Where MLflow's clients find a workspace; empty while nothing listens.
    fn tracking_uri(&self, workspace: &str) -> Option<String> {
        let url = match self.base_url() {
            "" => self.neighbour.get().map(String::as_str),
            url => Some(url),
        };
        let workspace = workspace.to_lowercase();
        url.map(|url| format!("{url}/ws/{workspace}"))
    }

    /// Finds a workspace and checks that the caller may do this there. Every operation on what a
    /// workspace holds begins so. To who has no role in it, it is not there.
    pub async fn enter(&self, caller: &Caller, name: &str, action: Action) -> Result<WorkspaceRow> {
        if named_in(name).is_some_and(|name| name.eq_ignore_ascii_case(CURATED)) {
            Box::pin(self.ensure_curated()).await?;
        }
        let Some(row) = self.store.workspace(name).await? else {
            return Err(match named_in(name) {
                Some(registry) => self.unknown_registry(registry).await?,
                None => self.unknown_workspace(caller, name).await?,
            });
        };
        match self.allow(caller, &row, action).await {
            Ok(()) => Ok(row),
            // Who may see nothing of it does not learn that it is there.
            Err(_) if self.is_stranger(caller, &row).await? => {
                Err(self.unknown_workspace(caller, name).await?)
            }
            Err(error) => Err(error),
        }
    }

    /// Suggests only workspaces that the caller may read.
    async fn unknown_workspace(&self, caller: &Caller, name: &str) -> Result<Error> {
        let mut rows = Vec::new();
        for row in self.store.list_workspaces().await? {
            if self.allow(caller, &row, Action::Read).await.is_ok() {
                rows.push(row);
            }
        }
        let nearest = names::nearest(name, rows.iter().map(|row| row.workspace.name.as_str()));
        let error = Error::unknown("workspace", name, "", nearest);
        Ok(if rows.is_empty() && !Self::is_admin(caller) {
            error.hint(format!(
                "If it is there, an owner can share it with you: aml workspace share add -n {name} --user {} --role Reader",
                caller.name()
            ))
        } else if rows.is_empty() {
            error.hint(format!("Create it: aml workspace create -n {name}"))
        } else {
            error.or_hint("See which there are: aml workspace list")
        })
    }
}
