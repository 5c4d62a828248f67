//! Runs whose end is being reported: what a worker has and has room for changes with each, so it asks
//! for orders before or after, not in the midst.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use tokio::sync::Notify;

/// How long the next call waits for reports: as long as they usually take.
const LONGEST: Duration = Duration::from_millis(20);

/// The reports that are under way.
#[derive(Debug, Default)]
pub struct Endings {
    under_way: AtomicUsize,
    /// For who calls.
    changed: Notify,
    /// For a call that waits.
    settled: Notify,
    /// For who calls: another run may begin.
    room: Notify,
}

/// One report, until it is dropped.
pub struct Ending<'a>(&'a Endings);

impl Endings {
    pub fn begin(&self) -> Ending<'_> {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
        Ending(self)
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

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.0.settled.notify_waiters();
        self.0.changed.notify_one();
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
}
