//! What is measured of a deployment, and told to the store now and then.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use super::{Shared, target::Target, usage::Usage};
use api::endpoint_metrics::{Measured, ReportMeasured, SPANS, span};

/// How often what was measured is told.
const TELL: Duration = Duration::from_secs(1);
/// How often the processes are looked at.
const LOOK: Duration = Duration::from_secs(10);
/// Statuses of HTTP are below.
const STATUSES: usize = 600;

/// Counts without a lock: nothing is written while a request is answered.
#[derive(Debug)]
pub struct Recorder {
    statuses: Box<[AtomicU64]>,
    times: Box<[AtomicU64]>,
    took: AtomicU64,
    longest: AtomicU64,
    /// Requests that wait for a process now.
    waiting: AtomicU64,
    queued: AtomicU64,
    waited: AtomicU64,
    most_queued: AtomicU64,
    uncopied: AtomicU64,
}

impl Default for Recorder {
    fn default() -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            statuses: zeros(STATUSES),
            times: zeros(usize::from(SPANS)),
            took: AtomicU64::new(0),
            longest: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            queued: AtomicU64::new(0),
            waited: AtomicU64::new(0),
            most_queued: AtomicU64::new(0),
            uncopied: AtomicU64::new(0),
        }
    }
}

/// A request that waits for a process, until dropped.
pub struct Waiting<'a>(&'a Recorder, Instant);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
        self.0.waited.fetch_add(micros(self.1.elapsed()), Relaxed);
    }
}

impl Recorder {
    pub fn count(&self, status: u16, took: Duration) {
        let took = micros(took);
        self.statuses[usize::from(status).min(STATUSES - 1)].fetch_add(1, Relaxed);
        self.times[usize::from(span(took))].fetch_add(1, Relaxed);
        self.took.fetch_add(took, Relaxed);
        self.longest.fetch_max(took, Relaxed);
    }

    pub fn wait(&self) -> Waiting<'_> {
        let now = self.waiting.fetch_add(1, Relaxed) + 1;
        self.most_queued.fetch_max(now, Relaxed);
        self.queued.fetch_add(1, Relaxed);
        Waiting(self, Instant::now())
    }

    /// Counts a request of which it gets no copy.
    pub fn leave_out(&self) {
        self.uncopied.fetch_add(1, Relaxed);
    }

    /// What was counted since this was asked last.
    pub fn take(&self) -> Measured {
        let counts = |counts: &[AtomicU64]| -> BTreeMap<u16, u64> {
            let taken = counts.iter().map(|count| match count.load(Relaxed) {
                0 => 0,
                _ => count.swap(0, Relaxed),
            });
            let numbered = (0..).zip(taken);
            numbered.filter(|(_, count)| *count > 0).collect()
        };
        Measured {
            statuses: counts(&self.statuses),
            times: counts(&self.times),
            took: self.took.swap(0, Relaxed),
            longest: self.longest.swap(0, Relaxed),
            queued: self.queued.swap(0, Relaxed),
            waited: self.waited.swap(0, Relaxed),
            most_queued: self.most_queued.swap(0, Relaxed),
            uncopied: self.uncopied.swap(0, Relaxed),
            ..Measured::default()
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Tells the store what was measured, while there is something, and looks at the processes.
pub(super) async fn keep(shared: Arc<Shared>) {
    let mut looked: Option<Instant> = None;
    loop {
        let look = looked.is_none_or(|looked| looked.elapsed() >= LOOK);
        if look {
            looked = Some(Instant::now());
        }
        tell(&shared, look).await;
        tokio::time::sleep(TELL).await;
    }
}

/// What is to be known for the next time.
#[derive(Debug, Default)]
pub(super) struct Known {
    usages: BTreeMap<i64, Usage>,
    /// What could not be told.
    left: BTreeMap<i64, Measured>,
}

/// Tells what was measured until now; with how much of the machine the processes have used if `look`.
pub(super) async fn tell(shared: &Shared, look: bool) {
    let mut known = shared.measured.lock().await;
    let targets = shared.front.targets();
    let mut measured = std::mem::take(&mut known.left);
    for target in &targets {
        measured
            .entry(target.id)
            .or_default()
            .add(&target.recorder.take());
    }
    if look {
        let usages = std::mem::take(&mut known.usages);
        known.usages = used(&targets, &mut measured, usages).await;
    }
    measured.retain(|_, measured| *measured != Measured::default());
    if measured.is_empty() {
        return;
    }
    let report = ReportMeasured {
        endpoint: shared.settings.endpoint,
        deployments: measured,
    };
    if shared.aside(report.clone()).await.is_err() {
        // It is told with the next.
        known.left = report.deployments;
    }
}

/// Adds how much of the machine the processes of deployments have used since they were looked at last.
async fn used(
    targets: &[Arc<Target>],
    measured: &mut BTreeMap<i64, Measured>,
    mut usages: BTreeMap<i64, Usage>,
) -> BTreeMap<i64, Usage> {
    let processes: Vec<(i64, Vec<u32>)> = targets
        .iter()
        .map(|target| {
            let pool = target.current();
            let pids = pool.map_or_else(|_| Vec::new(), |pool| pool.processes());
            (target.id, pids)
        })
        .collect();
    let looked = spawn_blocking(move || {
        let mut found = Vec::new();
        for (id, pids) in processes {
            let usage: &mut Usage = usages.entry(id).or_default();
            found.push((id, pids.len() as u64, usage.look(&pids)));
        }
        (usages, found)
    });
    let Ok((usages, found)) = looked.await else {
        return BTreeMap::new();
    };
    for (id, count, used) in found {
        if let Some(measured) = measured.get_mut(&id)
            && count > 0
        {
            measured.cpu += used.cpu;
            measured.memory = measured.memory.max(used.memory);
            measured.instances = count;
            measured.lived += used.watched * count;
        }
    }
    usages
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Measured, Recorder};

    #[test]
    fn what_was_taken_is_not_counted_again() {
        let recorder = Recorder::default();
        recorder.count(200, Duration::from_millis(2));
        recorder.count(503, Duration::from_millis(8));
        let (first, second) = (recorder.wait(), recorder.wait());
        drop((first, second));
        let taken = recorder.take();
        assert_eq!((taken.requests(), taken.errors()), (2, 1));
        assert_eq!((taken.took, taken.longest), (10_000, 8_000));
        assert_eq!((taken.queued, taken.most_queued), (2, 2));
        assert_eq!(recorder.take(), Measured::default());
        // Whoever waits on is told of once.
        let waiting = recorder.wait();
        assert_eq!(recorder.take().queued, 1);
        drop(waiting);
        assert_eq!(recorder.take().queued, 0);
    }
}
