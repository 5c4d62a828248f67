//! The processes of a deployment that answer, and whose turn it is.

use std::sync::{
    Arc, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::Notify;

use super::backend::{Backend, Place};

#[derive(Default)]
pub struct Pool {
    backends: RwLock<Vec<Arc<Backend>>>,
    turn: AtomicUsize,
    /// Somebody has left a place, or a backend came.
    pub freed: Notify,
    /// Somebody waits though there is no backend.
    pub wanted: Notify,
}

impl Pool {
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

    /// Requests that are being answered.
    pub fn busy(&self) -> usize {
        let Ok(backends) = self.backends.read() else {
            return 0;
        };
        backends.iter().map(|backend| backend.busy()).sum()
    }

    /// A place at the backend that has the fewest requests; in turn when several have as few. Not at
    /// `except` if there is another one.
    pub fn place(
        self: &Arc<Self>,
        most: Option<u32>,
        except: Option<&Arc<Backend>>,
    ) -> Option<Place> {
        let backends = self.backends.read().ok()?;
        let count = backends.len();
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let refused = |backend: &Arc<Backend>| except.is_some_and(|e| Arc::ptr_eq(e, backend));
        let turns = (0..count).map(|step| &backends[(first + step) % count]);
        let best = turns.min_by_key(|backend| (refused(backend), backend.busy()))?;
        Place::take(best, self, most)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Backend, Pool};

    fn pool(count: usize) -> Arc<Pool> {
        let pool = Arc::new(Pool::default());
        for number in 0..count {
            pool.add(Arc::new(Backend::new(format!("s{number}").into())));
        }
        pool
    }

    #[test]
    fn whoever_has_the_fewest_requests_gets_the_next() {
        let pool = pool(3);
        let places: Vec<_> = (0..6).map(|_| pool.place(None, None).unwrap()).collect();
        for place in &places {
            assert_eq!(place.backend().busy(), 2);
        }
        let free = Arc::clone(places[0].backend());
        drop(places.into_iter().next());
        assert_eq!(free.busy(), 0, "all places were dropped");
    }

    #[test]
    fn nobody_gets_more_than_it_may() {
        let pool = pool(2);
        let first = pool.place(Some(1), None).unwrap();
        let second = pool.place(Some(1), None).unwrap();
        assert!(!Arc::ptr_eq(first.backend(), second.backend()));
        assert!(pool.place(Some(1), None).is_none());
        drop(first);
        assert!(pool.place(Some(1), None).is_some());
    }

    #[test]
    fn another_one_is_asked_after_a_failure_if_there_is_one() {
        let pool = pool(2);
        let failed = Arc::clone(pool.place(None, None).unwrap().backend());
        for _ in 0..4 {
            let next = pool.place(None, Some(&failed)).unwrap();
            assert!(!Arc::ptr_eq(next.backend(), &failed));
        }
        pool.remove(pool.place(None, Some(&failed)).unwrap().backend());
        assert!(Arc::ptr_eq(
            pool.place(None, Some(&failed)).unwrap().backend(),
            &failed
        ));
    }
}
