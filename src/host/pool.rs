//! The processes of a generation of a deployment that answer, whose turn it is, and how they are asked.

use std::{
    sync::{
        Arc, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use super::backend::{Backend, Place};
use api::deployments::{Deployment, RequestSettings};

/// How long an answer may take to begin when nothing is said.
const ANSWER: Duration = Duration::from_mins(5);

#[derive(Default)]
pub struct Pool {
    /// What its generation says of requests.
    pub heeded: Arc<Heeded>,
    backends: RwLock<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
    /// Somebody has left a place, or a backend came.
    pub freed: Notify,
    /// Somebody waits though there is no backend.
    pub wanted: Notify,
}

/// What a deployment says of requests.
#[derive(Debug, Default)]
pub struct Heeded {
    pub requests: RequestSettings,
    /// Where a program is asked to score, which answers at all paths; none for what scores at `/score`
    /// alone.
    pub program: Option<String>,
    /// This process itself scores, which has all of a request in memory several times.
    pub native: bool,
}

impl From<&Deployment> for Heeded {
    fn from(deployment: &Deployment) -> Self {
        let program = deployment.program.as_ref();
        Self {
            requests: deployment.requests,
            program: program.map(|program| program.routes.scoring.clone()),
            native: deployment.native,
        }
    }
}

impl Heeded {
    /// How long an answer may take to begin.
    pub fn patience(&self) -> Duration {
        let own = self.requests.timeout_ms;
        own.map_or(ANSWER, Duration::from_millis)
    }
}

impl Pool {
    /// One without processes.
    pub fn heeding(heeded: Arc<Heeded>) -> Self {
        Self {
            heeded,
            ..Self::default()
        }
    }

    pub fn add(&self, backend: Arc<Backend>) {
        if let Ok(mut backends) = self.backends.write() {
            backends.push(backend);
        }
        self.freed.notify_waiters();
        self.freed.notify_one();
    }

    pub fn remove(&self, backend: &Arc<Backend>) {
        if let Ok(mut backends) = self.backends.write() {
            backends.retain(|other| !Arc::ptr_eq(other, backend));
        }
    }

    pub fn len(&self) -> usize {
        self.backends.read().map_or(0, |backends| backends.len())
    }

    /// The processes that answer.
    pub fn processes(&self) -> Vec<u32> {
        let Ok(backends) = self.backends.read() else {
            return Vec::new();
        };
        backends
            .iter()
            .filter_map(|backend| backend.process)
            .collect()
    }

    /// Requests that are being answered.
    pub fn busy(&self) -> usize {
        let Ok(backends) = self.backends.read() else {
            return 0;
        };
        backends.iter().map(|backend| backend.busy()).sum()
    }

    /// A place at the backend that has the fewest requests; in turn when several have as few. Not at
    /// `except` if there is another one.
    pub fn place(self: &Arc<Self>, except: Option<&Arc<Backend>>) -> Option<Place> {
        let backends = self.backends.read().ok()?;
        let count = backends.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let refused = |backend: &Arc<Backend>| except.is_some_and(|e| Arc::ptr_eq(e, backend));
        let turns = (0..count).map(|step| &backends[(first + step) % count]);
        let best = turns.min_by_key(|backend| (refused(backend), backend.busy()))?;
        Place::take(best, self)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{super::stream::Address, Backend, Heeded, Pool, RequestSettings};

    fn pool(count: usize, most: Option<u32>) -> Arc<Pool> {
        let heeded = Heeded {
            requests: RequestSettings {
                max_concurrent: most,
                ..RequestSettings::default()
            },
            ..Heeded::default()
        };
        let pool = Arc::new(Pool::heeding(Arc::new(heeded)));
        for number in 0..count {
            let address = Address::Socket(format!("s{number}").into());
            pool.add(Arc::new(Backend::new(address)));
        }
        pool
    }

    #[test]
    fn whoever_has_the_fewest_requests_gets_the_next() {
        let pool = pool(3, None);
        let places: Vec<_> = (0..6).map(|_| pool.place(None).unwrap()).collect();
        for place in &places {
            assert_eq!(place.backend().busy(), 2);
        }
        let free = Arc::clone(places[0].backend());
        drop(places.into_iter().next());
        assert_eq!(free.busy(), 0, "all places were dropped");
    }

    #[test]
    fn nobody_gets_more_than_it_may() {
        let pool = pool(2, Some(1));
        let first = pool.place(None).unwrap();
        let second = pool.place(None).unwrap();
        assert!(!Arc::ptr_eq(first.backend(), second.backend()));
        assert!(pool.place(None).is_none());
        drop(first);
        assert!(pool.place(None).is_some());
    }

    #[test]
    fn another_one_is_asked_after_a_failure_if_there_is_one() {
        let pool = pool(2, None);
        let failed = Arc::clone(pool.place(None).unwrap().backend());
        for _ in 0..4 {
            let next = pool.place(Some(&failed)).unwrap();
            assert!(!Arc::ptr_eq(next.backend(), &failed));
        }
        pool.remove(pool.place(Some(&failed)).unwrap().backend());
        assert!(Arc::ptr_eq(
            pool.place(Some(&failed)).unwrap().backend(),
            &failed
        ));
    }
}
