//! The course of a sweep: which trials there are, which begin now, which are given up, and the best.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    plan::{Plan, Search},
    trial,
};
use crate::{
    Service,
    sampling::{Goal, Logged, Trial},
};
use api::{Error, Result, Time, runs::RunStatus};
use store::{Advance, Child, Place, RunRow};

/// By this tag Azure's clients find the best trial of a sweep.
pub const BEST_TAG: &str = "best_child_run_id";
/// And the best one of an AutoML job.
pub const AUTOML_TAG: &str = "automl_best_child_run_id";
/// Its metric.
pub const SCORE_TAG: &str = "score";
/// A search is tired of when so many trials have ended and so many after the best were not better: as
/// with Azure's AutoML.
const TRIED: usize = 30;
const WORSE: usize = 10;
/// An AutoML job of which the first so many trials have failed is wrong itself: its column, or its data.
const HOPELESS: usize = 3;
/// Values of a metric that are read at once.
const POINTS: usize = 10_000;

/// A sweep that runs.
pub struct Sweep {
    plan: Plan,
    search: Search,
    state: State,
    trials: BTreeMap<u64, Known>,
    /// The tags that say which is best, as they were set last.
    best: Option<(String, String)>,
    begun: Option<Time>,
}

/// What is stored of the course of a sweep.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct State {
    /// What each trial tries, by number.
    values: Vec<Vec<Value>>,
    /// How many values of each trial that goes on the policy has seen.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    seen: BTreeMap<u64, usize>,
}

impl State {
    fn read(text: &str) -> serde_json::Result<Self> {
        // Once there were only the values.
        if text.starts_with('[') {
            return Ok(Self {
                values: serde_json::from_str(text)?,
                ..Self::default()
            });
        }
        serde_json::from_str(text)
    }
}

/// What is known of a trial that has begun.
struct Known {
    child: Child,
    /// The lowest and the highest value of the metric.
    extremes: (Option<f64>, Option<f64>),
    /// What a policy compares.
    logged: Logged,
    /// The last value in that.
    last: Option<Place>,
    /// Something has happened to it since it was read last.
    is_news: bool,
}

impl Known {
    fn new(child: Child) -> Self {
        Self {
            child,
            extremes: (None, None),
            logged: Logged::default(),
            last: None,
            is_news: true,
        }
    }

    fn is_open(&self) -> bool {
        !self.child.status.ended()
    }

    /// Its best value.
    fn metric(&self, goal: Goal) -> Option<f64> {
        match goal {
            Goal::Minimize => self.extremes.0,
            Goal::Maximize => self.extremes.1,
        }
    }

    /// Reads what it has logged since it was read last.
    async fn read(&mut self, service: &Service, search: &Search) -> Result<()> {
        let count = self.read_on(service, search).await?;
        // Values that were logged for earlier steps are among those that were read.
        let behind = usize::try_from(count).is_ok_and(|count| self.logged.size() < count);
        if search.policy.is_some() && behind {
            self.logged = Logged::default();
            self.last = None;
            self.read_on(service, search).await?;
        }
        self.is_news = false;
        Ok(())
    }

    /// Reads on behind the last value; answers how many there are in all.
    async fn read_on(&mut self, service: &Service, search: &Search) -> Result<i64> {
        let limit = search.policy.as_ref().map_or(0, |_| POINTS);
        loop {
            let (run, key) = (self.child.id, &search.metric);
            let store = &service.store;
            let read = store.logged_behind(run, key, self.last, limit).await?;
            self.extremes = (read.min, read.max);
            for place in &read.points {
                self.logged.push(search.sampler.goal.loss(place.value()));
            }
            self.last = read.points.last().copied().or(self.last);
            if read.points.len() < limit || limit == 0 {
                return Ok(read.count);
            }
        }
    }
}

impl Sweep {
    pub fn read(plan: &str, state: &str) -> Result<Self> {
        let damaged = |e: serde_json::Error| Error::internal(format!("A sweep is damaged: {e}"));
        let plan: Plan = serde_json::from_str(plan).map_err(damaged)?;
        Ok(Self {
            search: Search::read(&plan.settings, plan.seed)?,
            state: State::read(state).map_err(damaged)?,
            plan,
            trials: BTreeMap::new(),
            best: None,
            begun: None,
        })
    }

    /// Takes note of trials.
    pub fn note(&mut self, children: &[Child]) {
        for child in children {
            let Ok(number) = u64::try_from(child.place) else {
                continue;
            };
            let trial = self.trials.entry(number);
            let known = trial.or_insert_with(|| Known::new(child.clone()));
            known.child = child.clone();
            known.is_news = true;
        }
    }

    pub async fn decide(&mut self, service: &Service, run: &RunRow) -> Result<Advance> {
        for known in self.trials.values_mut().filter(|known| known.is_news) {
            known.read(service, &self.search).await?;
        }
        let mut step = Advance {
            tags: self.tags_of_best(),
            ..Advance::default()
        };
        let now = service.now();
        let until = self.until(run, now);
        if run.run.status == RunStatus::CancelRequested {
            self.stop(&mut step, None, "The sweep was cancelled");
            return Ok(step);
        }
        if until.is_some_and(|until| until <= now) {
            let seconds = self.search.timeout.unwrap_or_default();
            let reason = format!("The sweep's timeout of {seconds} seconds has passed");
            self.stop(&mut step, Some(reason.clone()), &reason);
            return Ok(step);
        }
        step.wake_at = until;
        let before = self.state.clone();
        self.give_up(&mut step);
        self.begin(&mut step, run, now)?;
        if self.state != before {
            let state = serde_json::to_string(&self.state);
            step.state = Some(state.map_err(|e| Error::internal(e.to_string()))?);
        }
        let open = self.trials.values().any(Known::is_open);
        if !open && step.create.is_empty() {
            step.wake_at = None;
            step.status = Some(self.outcome(service, run).await?);
        } else if run.run.status < RunStatus::Running {
            step.status = Some((RunStatus::Running, None));
        }
        Ok(step)
    }

    /// When the time of the sweep is over.
    fn until(&mut self, run: &RunRow, now: Time) -> Option<Time> {
        let begun = run.run.started_at.or(self.begun).unwrap_or(now);
        self.begun = Some(begun);
        let ms = i64::try_from(self.search.timeout?.saturating_mul(1000)).unwrap_or(i64::MAX);
        Some(begun.plus_ms(ms))
    }

    /// The best trial so far.
    fn best(&self) -> Option<(&Known, f64)> {
        let goal = self.search.sampler.goal;
        let ended = self.trials.values().filter(|known| {
            // One that was given up has shown what it can; one that failed has made nothing.
            known.child.status == RunStatus::Completed
        });
        ended
            .filter_map(|known| Some((known, known.metric(goal)?)))
            .reduce(|best, next| {
                if goal.is_better(next.1, best.1) {
                    next
                } else {
                    best
                }
            })
    }

    /// The tags that say which is best, when they are not set already.
    fn tags_of_best(&mut self) -> Vec<(String, String)> {
        let best = self.best().map(|(known, metric)| {
            let score = crate::sampling::text(&Value::from(metric));
            (known.child.name.clone(), score)
        });
        if best.is_none() || best == self.best {
            return Vec::new();
        }
        self.best.clone_from(&best);
        let Some((name, score)) = best else {
            return Vec::new();
        };
        let mut tags = vec![(BEST_TAG, name.clone()), (SCORE_TAG, score)];
        if self.plan.tires || !self.plan.first.is_empty() {
            tags.push((AUTOML_TAG, name));
        }
        tags.into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Asks trials to stop that the policy gives up.
    fn give_up(&mut self, step: &mut Advance) {
        let Some(policy) = &self.search.policy else {
            return;
        };
        let goal = self.search.sampler.goal;
        let mut given_up = Vec::new();
        let mut seen = BTreeMap::new();
        for (number, known) in &self.trials {
            let can_stop = known.is_open() && known.child.status != RunStatus::CancelRequested;
            let before = self.state.seen.get(number).copied().unwrap_or_default();
            // What the policy has let pass once is not judged by what came later.
            if can_stop && known.logged.size() > 0 {
                seen.insert(*number, known.logged.size());
            }
            if !can_stop || before >= known.logged.size() {
                continue;
            }
            let others = self.trials.iter().filter(|(other, _)| *other != number);
            let others: Vec<&Logged> = others.map(|(_, known)| &known.logged).collect();
            if policy.gives_up(&known.logged, before, &others, goal) {
                given_up.push(known.child.id);
            }
        }
        self.state.seen = seen;
        if !given_up.is_empty() {
            step.cancel = given_up;
            let policy = &self.search.policy_name;
            step.cancel_reason = format!("Given up by the {policy} policy of the sweep");
        }
    }

    /// Whether nothing better is needed, or to be expected.
    fn has_enough(&self) -> bool {
        let Some((best, metric)) = self.best() else {
            return self.is_hopeless();
        };
        let goal = self.search.sampler.goal;
        let reached = |enough: f64| !goal.is_better(enough, metric);
        let ended = |known: &&Known| known.child.status == RunStatus::Completed;
        let count = self.trials.values().filter(ended).count();
        let since = self.trials.values().filter(ended);
        let since = since.filter(|known| known.child.place > best.child.place);
        let tired = self.plan.tires && count >= TRIED && since.count() >= WORSE;
        tired || self.plan.enough.is_some_and(reached)
    }

    fn is_hopeless(&self) -> bool {
        let failed = |known: &Known| known.child.status == RunStatus::Failed;
        !self.plan.first.is_empty()
            && self.trials.values().filter(|known| failed(known)).count() >= HOPELESS
            && self
                .trials
                .values()
                .all(|known| failed(known) || known.is_open())
    }

    /// Begins as many trials as may run.
    fn begin(&mut self, step: &mut Advance, run: &RunRow, now: Time) -> Result<()> {
        if self.has_enough() {
            return Ok(());
        }
        let open = self.trials.values().filter(|known| known.is_open()).count() as u64;
        let room = self.search.at_once.saturating_sub(open);
        // Not those that are known: one may be deleted, and no number is given twice.
        let begun = self.state.values.len() as u64;
        let left = self.search.most.saturating_sub(begun).min(room);
        let mut known = self.known();
        for number in begun..begun + left {
            let first = usize::try_from(number).ok();
            let first = first
                .and_then(|number| self.plan.first.get(number))
                .cloned();
            let next = || self.search.sampler.trial(number, &known);
            let Some(values) = first.or_else(next) else {
                break;
            };
            let space = &self.search.sampler.space;
            let new = trial::of(&self.plan, space, run, (number, &values), now)?;
            step.create.push(new);
            known.push(Trial {
                values: values.clone(),
                metric: None,
            });
            self.state.values.push(values);
        }
        Ok(())
    }

    /// What the sampler is told of the trials so far.
    fn known(&self) -> Vec<Trial> {
        let goal = self.search.sampler.goal;
        let trials = self.trials.iter();
        trials
            .filter_map(|(number, known)| {
                let values = self.state.values.get(usize::try_from(*number).ok()?)?;
                let ended = known.child.status.ended();
                Some(Trial {
                    values: values.clone(),
                    metric: ended.then(|| known.metric(goal).unwrap_or(f64::NAN)),
                })
            })
            .collect()
    }

    /// Stops what runs; ends when nothing does.
    fn stop(&self, step: &mut Advance, reason: Option<String>, why: &str) {
        let open = self.trials.values().filter(|known| known.is_open());
        step.cancel = open.map(|known| known.child.id).collect();
        why.clone_into(&mut step.cancel_reason);
        if step.cancel.is_empty() {
            step.status = Some((RunStatus::Canceled, reason));
        }
    }

    /// How it has ended: it needs one trial that has completed and logged the metric.
    async fn outcome(
        &self,
        service: &Service,
        run: &RunRow,
    ) -> Result<(RunStatus, Option<String>)> {
        if self.best().is_some() {
            return Ok((RunStatus::Completed, None));
        }
        let metric = &self.search.metric;
        let completed = self
            .trials
            .values()
            .find(|known| known.child.status == RunStatus::Completed);
        let Some(completed) = completed else {
            let count = self.trials.len();
            let first = self
                .trials
                .values()
                .find(|known| known.child.status == RunStatus::Failed);
            let first = first.map(|known| format!(", see {}", known.child.name));
            let reason = format!(
                "None of the {count} trials has completed{}",
                first.unwrap_or_default()
            );
            return Ok((RunStatus::Failed, Some(reason)));
        };
        let row = service.store.run(run.workspace_id, &completed.child.name);
        let logged = row.await?.map(|row| row.run.metrics);
        let logged: Vec<String> = logged.into_iter().flatten().map(|(key, _)| key).collect();
        let logged = match logged.as_slice() {
            [] => "they have logged no metric".to_owned(),
            keys => format!("what was logged is {}", keys.join(", ")),
        };
        let reason = format!("No trial has logged the primary metric `{metric}`: {logged}");
        Ok((RunStatus::Failed, Some(reason)))
    }
}
