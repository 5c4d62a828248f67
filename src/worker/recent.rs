//! What was found out a moment ago and need not be found out again for each of many runs.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Facts that are kept, at most.
const MOST: usize = 1024;

/// When things were found to be so.
#[derive(Debug, Default)]
pub struct Recent(Mutex<HashMap<String, Instant>>);

impl Recent {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it was so not longer ago than this.
    pub fn was(&self, fact: &str, lately: Duration) -> bool {
        let at = self.known().get(fact).copied();
        at.is_some_and(|at| at.elapsed() < lately)
    }

    pub fn is(&self, fact: String) {
        let mut known = self.known();
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(fact, Instant::now());
    }
}
