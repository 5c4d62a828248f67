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
    collecting::Inlet,
    counters::Counters,
    front::now,
    pool::{Heeded, Pool},
    recorder::Recorder,
};

/// How long a request waits for a process that is being started again.
const REVIVAL: Duration = Duration::from_secs(30);
/// How long a request waits for a process that can take it, as in Azure when nothing is said.
const QUEUE: Duration = Duration::from_millis(500);
/// How many copies of requests may be on their way at once.
const COPIES: usize = 64;

pub struct Target {
    /// Its number in the store.
    pub id: i64,
    pub name: String,
    now: RwLock<Now>,
    /// Takes requests and answers that are collected.
    inlet: RwLock<Option<Inlet>>,
    pub counters: Counters,
    pub recorder: Recorder,
    /// Places for copies of requests that are on their way.
    pub copies: Arc<Semaphore>,
    log: File,
}

/// Where requests go.
struct Now {
    /// What answers, with how it is asked; what did when nothing does.
    pool: Arc<Pool>,
    /// Why nothing answers.
    refused: Option<String>,
}

/// Why a request finds no place.
pub enum NoPlace {
    /// Nothing answers.
    Nobody(String),
    /// All are busy.
    Busy,
}

impl Target {
    pub fn new(id: i64, name: String, log: File) -> Self {
        Self {
            id,
            now: RwLock::new(Now {
                pool: Arc::default(),
                refused: Some(format!("The deployment `{name}` is starting")),
            }),
            name,
            inlet: RwLock::default(),
            counters: Counters::default(),
            recorder: Recorder::default(),
            copies: Arc::new(Semaphore::new(COPIES)),
            log,
        }
    }

    /// Sends requests to `pool` from now on, as it is asked; or to nobody, for a reason.
    pub fn switch(&self, pool: Result<Arc<Pool>, String>) {
        let Ok(mut now) = self.now.write() else {
            return;
        };
        let (pool, refused) = match pool {
            Ok(pool) => (pool, None),
            // What does not answer any more is let go of.
            Err(reason) => {
                let heeded = Arc::clone(&now.pool.heeded);
                (Arc::new(Pool::heeding(heeded)), Some(reason))
            }
        };
        let before = std::mem::replace(&mut *now, Now { pool, refused });
        drop(now);
        // Who waits there finds a place at what answers now.
        before.pool.freed.notify_waiters();
    }

    /// How it is asked now, or was last.
    pub fn heeded(&self) -> Arc<Heeded> {
        let now = self.now.read();
        now.map(|now| Arc::clone(&now.pool.heeded))
            .unwrap_or_default()
    }

    /// Whether it is a program, which answers at all paths.
    pub fn is_program(&self) -> bool {
        self.heeded().program.is_some()
    }

    /// Collects requests and answers from now on, or does not any more.
    pub fn collect(&self, inlet: Option<Inlet>) {
        if let Ok(mut current) = self.inlet.write() {
            *current = inlet;
        }
    }

    /// What takes requests and answers, if they are collected.
    pub fn inlet(&self) -> Option<Inlet> {
        self.inlet.read().ok()?.clone()
    }

    /// What answers now; a reason when nothing does.
    pub fn current(&self) -> Result<Arc<Pool>, String> {
        match self.now.read() {
            Ok(now) => match &now.refused {
                None => Ok(Arc::clone(&now.pool)),
                Some(reason) => Err(reason.clone()),
            },
            Err(_) => Err("The front has failed".to_owned()),
        }
    }

    /// A place for a request; waits for one as long as the settings say. A request that `failed` at a
    /// process tries another one.
    pub async fn place(&self, failed: Option<&Arc<Backend>>) -> Result<Place, NoPlace> {
        let begun = Instant::now();
        let mut waiting = None;
        // Since when there is somebody to wait for: a start takes longer than a queue may.
        let mut queued = None;
        loop {
            let pool = self.current().map_err(NoPlace::Nobody)?;
            let freed = pool.freed.notified();
            if let Some(place) = pool.place(failed) {
                return Ok(place);
            }
            let queue = pool.heeded.requests.max_queue_wait_ms;
            let queue = queue.map_or(QUEUE, Duration::from_millis);
            waiting.get_or_insert_with(|| self.recorder.wait());
            let empty = pool.len() == 0;
            let end = if empty {
                pool.wanted.notify_one();
                queued = None;
                begun + REVIVAL
            } else {
                *queued.get_or_insert_with(Instant::now) + queue
            };
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

    /// Counts a request.
    pub fn count(&self, status: u16, took: Duration) {
        self.counters.count(status, took);
        self.recorder.count(status, took);
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
