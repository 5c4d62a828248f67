//! What the front counts.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use super::front::Front;
use api::deployments::Load;

/// How often the counts are written while they change.
const WRITE: Duration = Duration::from_millis(200);
/// Answers whose times are kept.
const KEPT: usize = 1000;

#[derive(Debug, Default)]
pub struct Counters {
    /// What the hosts before this one have counted.
    before: Load,
    requests: AtomicU64,
    errors: AtomicU64,
    /// The last answers' times in microseconds, in a ring.
    times: Mutex<Vec<u32>>,
}

impl Counters {
    /// Goes on from what the host before has written of a deployment.
    pub fn resumed(path: &Path, deployment: &str) -> Self {
        let written = std::fs::read(path).ok();
        let loads = written.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let mut loads: BTreeMap<String, Load> = loads.unwrap_or_default();
        Self {
            before: loads.remove(deployment).unwrap_or_default(),
            ..Self::default()
        }
    }

    pub fn count(&self, status: u16, took: Duration) {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        if status >= 400 {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        if let Ok(mut times) = self.times.lock() {
            if times.len() < KEPT {
                times.push(micros);
            } else {
                times[usize::try_from(number).unwrap_or(0) % KEPT] = micros;
            }
        }
    }

    pub fn load(&self) -> Load {
        let mut times = match self.times.lock() {
            Ok(times) => times.clone(),
            Err(_) => Vec::new(),
        };
        times.sort_unstable();
        let quantile = |percent: usize, before: f64| {
            let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            let found = times.get(at).map(|micros| f64::from(*micros) / 1e3);
            found.unwrap_or(before)
        };
        let before = &self.before;
        Load {
            instances: 0,
            requests: before.requests + self.requests.load(Ordering::Relaxed),
            errors: before.errors + self.errors.load(Ordering::Relaxed),
            p50_ms: quantile(50, before.p50_ms),
            p99_ms: quantile(99, before.p99_ms),
        }
    }
}

/// Writes the counts soon after they have changed.
pub async fn keep(front: Arc<Front>, path: PathBuf) {
    let mut written = BTreeMap::new();
    loop {
        tokio::time::sleep(WRITE).await;
        front.access.flush();
        let now = loads(&front);
        if now != written {
            write(&path, &now);
            written = now;
        }
    }
}

/// What was counted of each deployment.
pub fn loads(front: &Front) -> BTreeMap<String, Load> {
    let one = |target: &Arc<super::target::Target>| {
        let mut load = target.counters.load();
        let pool = target.current();
        load.instances = pool.map_or(0, |pool| u32::try_from(pool.len()).unwrap_or(u32::MAX));
        (target.name.clone(), load)
    };
    front.targets().iter().map(one).collect()
}

/// Whole or not at all: it may be read at any time. Counts are not worth failing for.
pub fn write(path: &Path, loads: &BTreeMap<String, Load>) {
    static WRITING: Mutex<()> = Mutex::new(());
    let _alone = WRITING.lock();
    let new = path.with_extension("new");
    if let Ok(bytes) = serde_json::to_vec(loads)
        && std::fs::write(&new, bytes).is_ok()
    {
        let _ = std::fs::rename(&new, path);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counters, KEPT, Load};

    #[test]
    fn errors_and_the_times_of_the_last_answers_are_known() {
        let counters = Counters::default();
        for _ in 0..KEPT {
            counters.count(500, Duration::from_secs(9));
        }
        for ms in 1..=KEPT as u64 {
            counters.count(200, Duration::from_millis(ms));
        }
        let load = counters.load();
        assert_eq!((load.requests, load.errors), (2000, 1000));
        assert_eq!((load.p50_ms, load.p99_ms), (501.0, 991.0));
    }

    #[test]
    fn nothing_asked_is_nothing_counted() {
        assert_eq!(Counters::default().load(), Load::default());
    }
}
