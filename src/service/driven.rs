//! Driven runs: runs that no worker executes, because they consist of other runs.
//!
//! Whoever changes something that may matter to one leaves a wake for it in the same transaction, and
//! then calls [`Service::advance_due`]: its next step is decided from what is stored and written in
//! one transaction, unless another process was faster. There is no process that drives, and nothing
//! is lost when one is killed: the wakes stay until a step has taken them into account.
//!
//! A kind of driven run is a [`Course`]: what its plan means, what is decided from what has happened.

use std::collections::HashMap;

use super::{Service, pipelines::Pipeline, sweeps::Sweep};
use api::{Error, Result, runs::RunStatus};
use store::{Advance, Advanced, Child, Driven, Head, RunRow};

/// The kind of pipelines.
pub(super) const PIPELINE: &str = "pipeline";
/// The kind of sweeps.
pub(super) const SWEEP: &str = "sweep";

/// Courses that are kept in memory, at most; they are read again when they are needed.
const KEPT: usize = 64;

/// What is known of a driven run. Only a copy of what is stored: see [`Head::revision`].
pub(super) struct Known {
    pub head: Head,
    pub row: RunRow,
    course: Course,
}

/// The kinds of driven runs.
enum Course {
    Pipeline(Box<Pipeline>),
    Sweep(Box<Sweep>),
}

/// The courses of runs, by number.
#[derive(Default)]
pub(super) struct Courses(HashMap<i64, Known>);

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
    /// Takes the next step of every driven run to which something has happened, and of those to which
    /// something happens by that.
    pub(super) async fn advance_due(&self) -> Result<()> {
        if self.store.due_drivers(self.now()).await?.is_empty() {
            return Ok(());
        }
        // One at a time: others would decide the same and be too late.
        let mut courses = self.courses.lock().await;
        let mut made = false;
        loop {
            let due = self.store.due_drivers(self.now()).await?;
            if due.is_empty() {
                break;
            }
            for run in due {
                made |= self.advance(&mut courses, run).await?;
            }
        }
        drop(courses);
        if made {
            self.ring();
        }
        self.logs.notify_waiters();
        Ok(())
    }

    /// Takes one step of a driven run; answers whether there may be something to do for workers.
    async fn advance(&self, courses: &mut Courses, run: i64) -> Result<bool> {
        let Some(mut known) = self.know(courses, run).await? else {
            self.store.forget_wakes(run).await?;
            return Ok(false);
        };
        if known.head.status.ended() {
            self.store.forget_wakes(run).await?;
            return Ok(false);
        }
        known.row.run.status = known.head.status;
        let decided = known.course.decide(self, &known.row).await;
        let decided = decided.or_else(|error| failed(&known, error))?;
        let step = Advance {
            revision: known.head.revision,
            last_wake: known.head.last_wake,
            ..decided
        };
        let news = !step.create.is_empty() || !step.cancel.is_empty();
        let ended = matches!(&step.status, Some((status, _)) if status.ended());
        let advanced = self.store.advance_driven(run, step, self.now()).await;
        let advanced = match advanced {
            Err(error) if !error.code.retryable() => {
                let step = Advance {
                    revision: known.head.revision,
                    last_wake: known.head.last_wake,
                    ..failed(&known, error)?
                };
                self.store.advance_driven(run, step, self.now()).await?
            }
            advanced => advanced?,
        };
        match advanced {
            Advanced::Done(children) if !ended => {
                known.course.note(&children);
                known.head.revision += 1;
                courses.keep(run, known);
            }
            // Read again when it is needed again.
            Advanced::Done(_) | Advanced::Stale => {}
        }
        Ok(news)
    }

    /// What is known of a driven run now: what was kept of it with what has happened since, or
    /// everything.
    async fn know(&self, courses: &mut Courses, run: i64) -> Result<Option<Known>> {
        if let Some(mut known) = courses.0.remove(&run) {
            let Some(news) = self.store.driven_news(run).await? else {
                return Ok(None);
            };
            if news.head.revision == known.head.revision {
                known.course.note(&news.children);
                known.head = news.head;
                return Ok(Some(known));
            }
        }
        let Some(driven) = self.store.driven(run).await? else {
            return Ok(None);
        };
        let mut course = Course::read(&driven)?;
        course.note(&driven.children);
        Ok(Some(Known {
            head: driven.head,
            row: driven.row,
            course,
        }))
    }
}

/// Ends a driven run that cannot go on. What may be better later is answered as an error.
fn failed(known: &Known, error: Error) -> Result<Advance> {
    if error.code.retryable() {
        return Err(error);
    }
    let cancelled = known.head.status == RunStatus::CancelRequested;
    let status = if cancelled {
        RunStatus::Canceled
    } else {
        RunStatus::Failed
    };
    Ok(Advance {
        status: Some((status, Some(error.explained()))),
        ..Advance::default()
    })
}

impl Courses {
    fn keep(&mut self, run: i64, known: Known) {
        if self.0.len() >= KEPT {
            self.0.clear();
        }
        self.0.insert(run, known);
    }
}
