//! Runs whose end is being reported: what a worker has and has room for changes with each, so it asks
//! for orders before or after, not in the midst.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::sync::Notify;

use api::work::Assignment;

/// How long the next call waits for reports: as long as they usually take.
const LONGEST: Duration = Duration::from_millis(20);

/// The reports that are under way.
#[derive(Default)]
pub struct Endings {
    under_way: AtomicUsize,
    /// For who calls.
    changed: Notify,
    /// For a call that waits.
    settled: Notify,
    /// For who calls: another run may begin.
    room: Notify,
    /// How many runs are executed at once, where there is room for one; else none.
    slots: AtomicU32,
    /// How many calls for orders were made, and how many answers followed.
    calls: AtomicU64,
    /// Runs that were given with the answer to a report, and the calls before it.
    given: Mutex<Vec<(u64, Vec<Assignment>)>>,
}

/// One report, until it is dropped.
pub struct Ending<'a> {
    endings: &'a Endings,
    calls: u64,
}

impl Endings {
    pub fn begin(&self) -> Ending<'_> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        let calls = self.calls.load(Ordering::Acquire);
        self.changed.notify_one();
        Ending {
            endings: self,
            calls,
        }
    }

    /// Notes how many runs are executed at once, where there is room for another one.
    pub fn set_slots(&self, slots: Option<u32>) {
        self.slots.store(slots.unwrap_or(0), Ordering::Relaxed);
    }

    /// Notes that a call for orders is made, or that its answer is followed.
    pub fn note_call(&self) {
        self.calls.fetch_add(1, Ordering::AcqRel);
    }

    /// Runs that were given with answers to reports. Left out are those that the answer to a call may have
    /// given as well, or may yet give, for it was made or followed since the report began: a run that is
    /// taken twice may be executed twice. The next call gives what is the worker's and not known to it.
    pub fn take_given(&self) -> Vec<Assignment> {
        let given = std::mem::take(&mut *self.given.lock().unwrap_or_else(PoisonError::into_inner));
        let calls = self.calls.load(Ordering::Acquire);
        let given = given.into_iter().filter(|(before, _)| *before == calls);
        given.flat_map(|(_, given)| given).collect()
    }

    /// Waits until a report has begun or ended since this was last waited for.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Says that the process of a run is over, before what it leaves is stored.
    pub fn make_room(&self) {
        self.room.notify_one();
    }

    /// Waits until that was said since this was last waited for.
    pub async fn has_room(&self) {
        self.room.notified().await;
    }

    /// Waits until no report is under way, but not for long ones.
    pub async fn settled(&self) {
        let none = async {
            loop {
                let settled = self.settled.notified();
                if self.under_way.load(Ordering::Acquire) == 0 {
                    return;
                }
                settled.await;
            }
        };
        let _ = tokio::time::timeout(LONGEST, none).await;
    }
}

impl Ending<'_> {
    /// How many runs are executed at once, where there is room for another one.
    pub fn slots(&self) -> Option<u32> {
        Some(self.endings.slots.load(Ordering::Relaxed)).filter(|slots| *slots > 0)
    }

    /// Ends it, with runs that were given with its answer.
    pub fn answered(self, given: Vec<Assignment>) {
        if !given.is_empty() {
            let all = self.endings.given.lock();
            let mut all = all.unwrap_or_else(PoisonError::into_inner);
            all.push((self.calls, given));
        }
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.endings.under_way.fetch_sub(1, Ordering::AcqRel);
        self.endings.settled.notify_waiters();
        self.endings.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::{future::poll_fn, pin::pin, task::Poll};

    use super::*;

    #[tokio::test]
    async fn a_call_waits_for_reports_but_not_for_long_ones() {
        let endings = Endings::default();
        endings.settled().await;
        let report = endings.begin();
        endings.changed().await;
        let mut call = pin!(endings.settled());
        let mut waits =
            async || poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_pending())).await;
        assert!(waits().await);
        drop(report);
        assert!(!waits().await);
        endings.changed().await;
        let _long = endings.begin();
        endings.settled().await;
    }

    fn assignment(run: &str) -> Assignment {
        serde_json::from_value(serde_json::json!({
            "workspace": "ws", "run": run, "experiment": "e", "experiment_id": "1",
            "display_name": run, "job": {"command": ["true"]}, "token": "", "secrets": {},
            "log_length": 0, "cancel": false,
        }))
        .unwrap()
    }

    #[test]
    fn what_a_call_may_give_as_well_is_left_to_it() {
        let endings = Endings::default();
        assert_eq!(endings.begin().slots(), None);
        endings.set_slots(Some(2));
        let first = endings.begin();
        assert_eq!(first.slots(), Some(2));
        first.answered(vec![assignment("a")]);
        let given = endings.take_given();
        assert_eq!(given.len(), 1);
        assert_eq!(given[0].run, "a");
        assert!(endings.take_given().is_empty());
        // A call was made while the report was under way, and one before its answer was seen.
        let second = endings.begin();
        endings.note_call();
        second.answered(vec![assignment("b")]);
        assert!(endings.take_given().is_empty());
        endings.begin().answered(vec![assignment("c")]);
        endings.note_call();
        assert!(endings.take_given().is_empty());
    }
}
