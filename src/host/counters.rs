//! What the front counts.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use api::endpoints::Traffic;

/// Answers whose times are kept.
const KEPT: usize = 1000;

#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    errors: AtomicU64,
    /// The last answers' times in microseconds, in a ring.
    times: Mutex<Vec<u32>>,
}

impl Counters {
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

    pub fn traffic(&self) -> Traffic {
        let mut times = match self.times.lock() {
            Ok(times) => times.clone(),
            Err(_) => Vec::new(),
        };
        times.sort_unstable();
        let quantile = |percent: usize| {
            let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
            times.get(at).map_or(0.0, |micros| f64::from(*micros) / 1e3)
        };
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            p50_ms: quantile(50),
            p99_ms: quantile(99),
        }
    }
}

/// Writes the counts each second in which something was asked.
pub async fn keep(counters: Arc<Counters>, path: PathBuf) {
    let mut written = Traffic::default();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let now = counters.traffic();
        if now != written {
            write(&path, now);
            written = now;
        }
    }
}

/// Whole or not at all: it may be read at any time. Counts are not worth failing for.
pub fn write(path: &Path, traffic: Traffic) {
    if traffic.requests == 0 {
        return;
    }
    let new = path.with_extension("new");
    if let Ok(bytes) = serde_json::to_vec(&traffic)
        && std::fs::write(&new, bytes).is_ok()
    {
        let _ = std::fs::rename(&new, path);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Counters, KEPT, Traffic};

    #[test]
    fn errors_and_the_times_of_the_last_answers_are_known() {
        let counters = Counters::default();
        for _ in 0..KEPT {
            counters.count(500, Duration::from_secs(9));
        }
        for ms in 1..=KEPT as u64 {
            counters.count(200, Duration::from_millis(ms));
        }
        let traffic = counters.traffic();
        assert_eq!((traffic.requests, traffic.errors), (2000, 1000));
        assert_eq!((traffic.p50_ms, traffic.p99_ms), (501.0, 991.0));
    }

    #[test]
    fn nothing_asked_is_nothing_counted() {
        assert_eq!(Counters::default().traffic(), Traffic::default());
    }
}
