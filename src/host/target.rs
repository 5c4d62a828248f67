//! A deployment as the front sees it: what answers, within which limits, what was counted, its log.

use std::{
    fs::File,
    io::Write,
    sync::{Arc, RwLock},
    time::Duration,
};

use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};

use super::{
    backend::{Backend, Place},
    counters::Counters,
    front::now,
    pool::Pool,
};
use api::deployments::RequestSettings;

/// How long a request waits for a process that is being started again.
const REVIVAL: Duration = Duration::from_secs(30);
/// How long a request waits for a process that can take it, as in Azure when nothing is said.
const QUEUE: Duration = Duration::from_millis(500);
/// How long an answer may take to begin when nothing is said.
const ANSWER: Duration = Duration::from_mins(5);

/// How many copies of requests may be on their way at once.
const COPIES: usize = 64;

pub struct Target {
    pub name: String,
    /// What answers now; a reason when nothing does.
    pool: RwLock<Result<Arc<Pool>, String>>,
    settings: RwLock<RequestSettings>,
    pub counters: Counters,
    /// Places for copies of requests that are on their way.
    pub copies: Arc<Semaphore>,
    log: File,
}

/// Why a request finds no place.
pub enum NoPlace {
    /// Nothing answers.
    Nobody(String),
    /// All are busy.
    Busy,
}

impl Target {
    pub fn new(name: String, log: File) -> Self {
        Self {
            pool: RwLock::new(Err(format!("The deployment `{name}` is starting"))),
            name,
            settings: RwLock::default(),
            counters: Counters::default(),
            copies: Arc::new(Semaphore::new(COPIES)),
            log,
        }
    }

    /// Sends requests to `pool` from now on; answers what they went to before.
    pub fn switch(&self, pool: Result<Arc<Pool>, String>) -> Option<Arc<Pool>> {
        let before = match self.pool.write() {
            Ok(mut current) => std::mem::replace(&mut *current, pool).ok(),
            Err(_) => None,
        };
        if let Some(before) = &before {
            // Who waits there finds a place at what answers now.
            before.freed.notify_waiters();
        }
        before
    }

    pub fn set(&self, settings: RequestSettings) {
        if let Ok(mut current) = self.settings.write() {
            *current = settings;
        }
    }

    pub fn settings(&self) -> RequestSettings {
        self.settings.read().map(|s| *s).unwrap_or_default()
    }

    /// How long an answer may take to begin.
    pub fn patience(&self) -> Duration {
        let own = self.settings().timeout_ms;
        own.map_or(ANSWER, Duration::from_millis)
    }

    pub fn current(&self) -> Result<Arc<Pool>, String> {
        match self.pool.read() {
            Ok(current) => current.clone(),
            Err(_) => Err("The front has failed".to_owned()),
        }
    }

    /// A place for a request; waits for one as long as the settings say. A request that `failed` at a
    /// process tries another one.
    pub async fn place(&self, failed: Option<&Arc<Backend>>) -> Result<Place, NoPlace> {
        let settings = self.settings();
        let most = settings.max_concurrent;
        let queue = settings
            .max_queue_wait_ms
            .map_or(QUEUE, Duration::from_millis);
        let begun = Instant::now();
        loop {
            let pool = self.current().map_err(NoPlace::Nobody)?;
            let freed = pool.freed.notified();
            if let Some(place) = pool.place(most, failed) {
                return Ok(place);
            }
            let empty = pool.len() == 0;
            if empty {
                pool.wanted.notify_one();
            }
            let end = begun + if empty { REVIVAL } else { queue };
            if timeout_at(end, freed).await.is_ok() {
                continue;
            }
            return Err(if empty {
                NoPlace::Nobody("Its process does not come up again".to_owned())
            } else {
                NoPlace::Busy
            });
        }
    }

    /// Writes a line of the host's own into the deployment's log.
    pub fn note(&self, text: &str) {
        self.write(&format!("{} I host - {text}\n", now()));
    }

    /// Writes a line into the deployment's log.
    pub fn write(&self, line: &str) {
        // A full disk must not stop the scoring.
        let _ = (&self.log).write_all(line.as_bytes());
    }
}
