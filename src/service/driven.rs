//! Driven runs: runs that no worker executes, because they consist of other runs.
//!
//! Whoever changes something that may matter to one leaves a wake for it in the same transaction, and
//! then calls [`Service::advance_due`]: its next step is decided from what is stored and written in
//! one transaction, unless another process was faster. There is no process that drives, and nothing
//! is lost when one is killed: the wakes stay until a step has taken them into account.
//!
//! A kind of driven run is a [`Course`]: what its plan means, what is decided from what has happened.

use std::{
    collections::{HashMap, HashSet},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use super::{Service, pipelines::Pipeline, sweeps::Sweep};
use api::{Error, Result, Time, runs::RunStatus};
use store::{Advance, Advanced, Child, Driven, Head, Orders, RunRow, Sync};

/// The kind of pipelines.
pub(super) const PIPELINE: &str = "pipeline";
/// The kind of sweeps.
pub(super) const SWEEP: &str = "sweep";

/// Courses that are kept in memory, at most; they are read again when they are needed.
const KEPT: usize = 64;
/// When a step is tried again that could not be decided; twice as long each time, but for so often.
const BACK_OFF_SECONDS: i64 = 10;
const DOUBLED: u32 = 5;
/// How long whoever has caused steps waits for them.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of a driven run. Only a copy of what is stored: see [`Head::revision`].
pub(super) struct Known {
    pub head: Head,
    pub row: RunRow,
    /// Or why it cannot be read.
    course: Result<Course>,
}

impl Known {
    /// Why it is to end although what it has made is still open.
    fn failing(&self) -> Option<String> {
        let cancelled = self.head.status == RunStatus::CancelRequested;
        self.row.run.reason.clone().filter(|_| !cancelled)
    }

    fn note(&mut self, children: &[Child]) {
        if let Ok(course) = &mut self.course {
            course.note(children);
        }
    }
}

/// The kinds of driven runs.
pub(super) enum Course {
    Pipeline(Box<Pipeline>),
    Sweep(Box<Sweep>),
}

/// The courses of runs, by number.
#[derive(Default)]
pub(super) struct Courses {
    kept: HashMap<i64, Known>,
    /// Those whose next step is being decided: another one would decide the same and be too late.
    busy: HashSet<i64>,
    /// How often in turn no step could be decided.
    failures: HashMap<i64, u32>,
    /// Those for which not even a time to look again could be written, with that time.
    aside: HashMap<i64, Time>,
}

/// A worker that is given runs with the steps of driven runs.
#[derive(Default)]
struct Filling {
    /// As long as it was given nothing.
    worker: Option<Sync>,
    orders: Orders,
    tried: bool,
}

/// The turn of one run, until it is dropped.
struct Turn<'a> {
    service: &'a Service,
    run: i64,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.service.courses().busy.remove(&self.run);
    }
}

impl Course {
    fn read(driven: &Driven) -> Result<Self> {
        match driven.kind.as_str() {
            PIPELINE => Pipeline::read(&driven.plan, &driven.state)
                .map(Box::new)
                .map(Course::Pipeline),
            SWEEP => Sweep::read(&driven.plan, &driven.state)
                .map(Box::new)
                .map(Course::Sweep),
            other => Err(Error::internal(format!(
                "There is no kind `{other}` of driven runs"
            ))),
        }
    }

    /// Takes note of how children stand: of all of them at first, then of those that have changed, and
    /// of those that were made in a step.
    fn note(&mut self, children: &[Child]) {
        match self {
            Course::Pipeline(pipeline) => pipeline.note(children),
            Course::Sweep(sweep) => sweep.note(children),
        }
    }

    /// What to do now. It may not count on being carried out.
    async fn decide(&mut self, service: &Service, run: &RunRow) -> Result<Advance> {
        match self {
            Course::Pipeline(pipeline) => pipeline.decide(service, run).await,
            Course::Sweep(sweep) => sweep.decide(service, run).await,
        }
    }
}

impl Service {
    /// Keeps the course of a run that was just made, so that it need not be read for the first step.
    pub(super) fn begin_course(&self, made: &mut RunRow, course: Course) {
        // What it was made of is long, and in the course.
        let job = made.run.job.take();
        let row = made.clone();
        made.run.job = job;
        let known = Known {
            head: Head::of_new(row.run.status),
            course: Ok(course),
            row,
        };
        self.courses().keep(made.id, known);
    }

    /// Takes the next step of every driven run to which something has happened, and of those to which
    /// something happens by that. Whoever asks has done what it was asked already: that one run cannot
    /// go on is no error of it, and matters to that run alone.
    pub(super) async fn advance_due(&self) {
        self.advance_and_fill(None).await;
    }

    /// The same; a worker that has room is given what is queued by that, or was before, in the same
    /// transaction. What the answer cannot say any more the worker hears with its regular call.
    pub(super) async fn advance_and_fill(&self, worker: Option<Sync>) -> Orders {
        let due = self.due_drivers().await.unwrap_or_default();
        let filling = Filling {
            worker,
            ..Filling::default()
        };
        if due.is_empty() {
            return self.fill(filling).await;
        }
        let service = self.clone();
        let advance = Box::pin(async move { service.advance_all(due, filling).await });
        // What takes long goes on by itself: workers that wait must renew their leases.
        match tokio::time::timeout(PATIENCE, tokio::spawn(advance)).await {
            Ok(Ok(orders)) => orders,
            _ => Orders::default(),
        }
    }

    async fn advance_all(&self, mut due: Vec<i64>, mut filling: Filling) -> Orders {
        let mut made = false;
        while !due.is_empty() {
            for run in due {
                if let Some(_turn) = self.turn(run) {
                    made |= self.advance(run, &mut filling).await;
                }
            }
            due = self.due_drivers().await.unwrap_or_default();
        }
        if made {
            self.ring();
        }
        self.logs.notify_waiters();
        self.fill(filling).await
    }

    /// Gives a worker runs for which no step was taken.
    async fn fill(&self, filling: Filling) -> Orders {
        match filling.worker {
            Some(worker) if !filling.tried => {
                self.store.fill_worker(worker).await.unwrap_or_default()
            }
            _ => filling.orders,
        }
    }

    /// Driven runs that are to be looked at and that nobody looks at already. Cheap.
    pub(super) async fn due_drivers(&self) -> Result<Vec<i64>> {
        let now = self.now();
        let due = self.store.due_drivers(now).await?;
        Ok(self.undecided(due, now))
    }

    /// Those of some driven runs that are to be looked at and that nobody looks at already.
    pub(super) fn undecided(&self, mut due: Vec<i64>, now: Time) -> Vec<i64> {
        let courses = self.courses();
        due.retain(|run| {
            let aside = courses.aside.get(run).is_some_and(|until| *until > now);
            !aside && !courses.busy.contains(run)
        });
        due
    }

    /// Whether a driven run is to be looked at later, whatever happens.
    pub async fn has_later_steps(&self) -> Result<bool> {
        Ok(self.store.next_wake().await?.is_some())
    }

    fn courses(&self) -> MutexGuard<'_, Courses> {
        self.courses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, run: i64) -> Option<Turn<'_>> {
        let begins = self.courses().busy.insert(run);
        begins.then_some(Turn { service: self, run })
    }

    /// Takes one step of a driven run; answers whether there may be something to do for workers.
    async fn advance(&self, run: i64, filling: &mut Filling) -> bool {
        let known = match self.know(run).await {
            Ok(Some(known)) if !known.head.status.ended() => known,
            Ok(_) => {
                let forgotten = self.store.forget_wakes(run).await;
                self.written(run, &forgotten);
                return false;
            }
            Err(error) => {
                self.written::<()>(run, &Err(error));
                return false;
            }
        };
        let head = known.head;
        match self.step(run, known, filling).await {
            Ok(news) => {
                self.courses().failures.remove(&run);
                news
            }
            Err(error) => {
                let postponed = self.postpone(run, head, &error).await;
                self.written(run, &postponed);
                false
            }
        }
    }

    /// Keeps a run from being looked at all the time of which nothing can be written.
    fn written<T>(&self, run: i64, result: &Result<T>) {
        let until = self.now().plus_ms(BACK_OFF_SECONDS * 1000);
        let mut courses = self.courses();
        match result {
            Ok(_) => courses.aside.remove(&run),
            Err(_) => courses.aside.insert(run, until),
        };
    }

    async fn step(&self, run: i64, mut known: Known, filling: &mut Filling) -> Result<bool> {
        known.row.run.status = known.head.status;
        let mut goes_on = true;
        let decided = match (known.failing(), &mut known.course) {
            (Some(reason), _) => {
                goes_on = false;
                self.give_up(run, &known.head, reason).await
            }
            (None, Ok(course)) => course.decide(self, &known.row).await,
            (None, Err(error)) => Err(error.clone()),
        };
        let step = match decided {
            Err(error) if !error.code.retryable() => {
                goes_on = false;
                self.give_up(run, &known.head, error.explained()).await?
            }
            decided => decided?,
        };
        // What has the outputs of another run has ended before anybody can do it.
        let begun = step.create.iter().any(|new| !new.status.ended());
        let mut news = begun || !step.cancel.is_empty();
        goes_on &= !matches!(&step.status, Some((status, _)) if status.ended());
        let (head, now) = (known.head, self.now());
        let worker = filling.worker.clone();
        let stepped = self.store.advance_and_fill(run, head, step, worker, now);
        let advanced = match stepped.await {
            Err(error) if !error.code.retryable() => {
                goes_on = false;
                let step = self.give_up(run, &head, error.explained()).await?;
                news |= !step.cancel.is_empty();
                self.store.advance_driven(run, head, step, now).await?
            }
            stepped => {
                let (advanced, orders) = stepped?;
                filling.note(&advanced, orders);
                advanced
            }
        };
        match advanced {
            Advanced::Done(children) if goes_on => {
                known.note(&children);
                known.head.revision += 1;
                self.courses().keep(run, known);
            }
            // Read again when it is needed again.
            Advanced::Done(_) | Advanced::Stale => {}
        }
        Ok(news)
    }

    /// Stops what a driven run has made that cannot go on, and ends it when nothing of that is open.
    async fn give_up(&self, run: i64, head: &Head, reason: String) -> Result<Advance> {
        let driven = self.store.driven(run).await?;
        let children = driven.into_iter().flat_map(|driven| driven.children);
        let open = children.filter(|child| !child.status.ended());
        let cancel: Vec<i64> = open.map(|child| child.id).collect();
        let mut step = Advance {
            cancel,
            cancel_reason: "The run that it is a part of cannot go on".to_owned(),
            ..Advance::default()
        };
        let cancelled = head.status == RunStatus::CancelRequested;
        match (step.cancel.is_empty(), cancelled) {
            (true, true) => step.status = Some((RunStatus::Canceled, Some(reason))),
            (true, false) => step.status = Some((RunStatus::Failed, Some(reason))),
            (false, true) => {}
            (false, false) => step.failing = Some(reason),
        }
        Ok(step)
    }

    /// Looks at a run again later for which no step could be decided, or at once when something
    /// happens to it. Its history says why it waits.
    pub(super) async fn postpone(&self, run: i64, head: Head, error: &Error) -> Result<Advanced> {
        let before = {
            let mut courses = self.courses();
            let failures = courses.failures.entry(run).or_default();
            *failures += 1;
            *failures - 1
        };
        let seconds = BACK_OFF_SECONDS << before.min(DOUBLED);
        let why = format!("Its next step waits and is tried again: {error}");
        let step = Advance {
            wake_at: Some(self.now().plus_ms(seconds * 1000)),
            status: (before == 0).then_some((head.status, Some(why))),
            ..Advance::default()
        };
        self.store.advance_driven(run, head, step, self.now()).await
    }

    /// What is known of a driven run now: what was kept of it with what has happened since, or
    /// everything.
    async fn know(&self, run: i64) -> Result<Option<Known>> {
        let kept = self.courses().kept.remove(&run);
        if let Some(mut known) = kept {
            let Some(news) = self.store.driven_news(run).await? else {
                return Ok(None);
            };
            if news.head.revision == known.head.revision {
                known.note(&news.children);
                known.head = news.head;
                return Ok(Some(known));
            }
        }
        let Some(driven) = self.store.driven(run).await? else {
            return Ok(None);
        };
        let mut known = Known {
            course: Course::read(&driven),
            head: driven.head,
            row: driven.row,
        };
        known.note(&driven.children);
        Ok(Some(known))
    }
}

impl Filling {
    fn note(&mut self, advanced: &Advanced, orders: Orders) {
        self.tried |= matches!(advanced, Advanced::Done(_));
        if !orders.take.is_empty() {
            self.worker = None;
            self.orders = orders;
        }
    }
}

impl Courses {
    fn keep(&mut self, run: i64, known: Known) {
        if self.kept.len() >= KEPT {
            self.kept.clear();
        }
        self.kept.insert(run, known);
    }
}
