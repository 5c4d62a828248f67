//! The course of a pipeline: which steps have begun and ended, and which begin now.

use std::collections::BTreeMap;

use super::{
    bound::{Bound, Thought},
    child::{self, Parent},
    graph::{Graph, Work},
};
use crate::Service;
use api::{Error, Result, runs::RunStatus};
use serde::{Deserialize, Serialize};
use store::{Advance, Child, NewRun, RunRow};

/// Where a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// For others, or for its turn.
    Waiting,
    /// It has a run that has not ended.
    Open,
    Completed,
    /// It failed, or what it needs does not come: it never runs.
    Lost,
    /// A condition decided against it, or against what it needs.
    Skipped,
}

/// What is stored of the course of a pipeline.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct State {
    /// How conditions were decided.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    chosen: BTreeMap<usize, bool>,
    /// Steps that could not begin, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<usize, String>,
}

/// A pipeline that runs.
pub struct Pipeline {
    pub(super) graph: Graph,
    standing: Vec<Standing>,
    /// How many steps each one waits for still.
    left: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    /// The runs of steps that have begun.
    runs: Vec<Option<Child>>,
    /// Steps that may begin.
    ready: Vec<usize>,
    open: usize,
    /// Steps that failed themselves or were cancelled.
    failed: Vec<usize>,
    state: State,
    /// The state is another one than was stored.
    is_news: bool,
    /// What does not change while it runs.
    around: Option<(String, i64)>,
}

impl Pipeline {
    pub fn read(plan: &str, state: &str) -> Result<Self> {
        let damaged = |e: serde_json::Error| Error::internal(format!("A pipeline is damaged: {e}"));
        let graph = serde_json::from_str(plan).map_err(damaged)?;
        let state: State = serde_json::from_str(state).map_err(damaged)?;
        let mut pipeline = Self::new(graph);
        for (at, yes) in state.chosen {
            pipeline.choose(at, yes);
        }
        for (at, why) in state.failed {
            pipeline.fail(at, why);
        }
        pipeline.is_news = false;
        Ok(pipeline)
    }

    pub fn new(graph: Graph) -> Self {
        let count = graph.steps.len();
        let mut dependents = vec![Vec::new(); count];
        for (at, step) in graph.steps.iter().enumerate() {
            for before in &step.after {
                dependents[*before].push(at);
            }
        }
        let left: Vec<usize> = graph.steps.iter().map(|step| step.after.len()).collect();
        let ready = (0..count).filter(|at| left[*at] == 0).collect();
        Self {
            graph,
            standing: vec![Standing::Waiting; count],
            left,
            dependents,
            runs: vec![None; count],
            ready,
            open: 0,
            failed: Vec::new(),
            state: State::default(),
            is_news: false,
            around: None,
        }
    }

    /// Takes note of runs of steps.
    pub fn note(&mut self, children: &[Child]) {
        for child in children {
            let Ok(step) = usize::try_from(child.place) else {
                continue;
            };
            while step >= self.standing.len() && self.grow() {}
            let Some(before) = self.standing.get(step).copied() else {
                continue;
            };
            self.runs[step] = Some(child.clone());
            let now = match child.status {
                RunStatus::Completed => Standing::Completed,
                RunStatus::Failed | RunStatus::Canceled => Standing::Lost,
                _ => Standing::Open,
            };
            if before == now || matches!(before, Standing::Completed | Standing::Lost) {
                continue;
            }
            self.open += usize::from(now == Standing::Open);
            self.open -= usize::from(before == Standing::Open);
            self.standing[step] = now;
            match now {
                Standing::Completed => self.release(step),
                Standing::Lost => {
                    self.failed.push(step);
                    self.lose_dependents(step);
                }
                Standing::Waiting | Standing::Open | Standing::Skipped => {}
            }
        }
    }

    /// Decides a condition.
    fn choose(&mut self, at: usize, yes: bool) {
        let Some(Work::If(choice)) = self.graph.steps.get(at).map(|step| &step.work) else {
            return;
        };
        let against = if yes { &choice.no } else { &choice.yes };
        let against = against.clone();
        self.standing[at] = Standing::Completed;
        self.release(at);
        for step in against {
            self.skip(step);
        }
        self.state.chosen.insert(at, yes);
        self.is_news = true;
    }

    /// A step that cannot begin has failed.
    fn fail(&mut self, at: usize, why: String) {
        while at >= self.standing.len() && self.grow() {}
        if self.standing.get(at) != Some(&Standing::Waiting) {
            return;
        }
        self.standing[at] = Standing::Lost;
        self.failed.push(at);
        self.lose_dependents(at);
        self.state.failed.insert(at, why);
        self.is_news = true;
    }

    /// What is wrong with one step is its failure alone, unless it may pass or all is only thought of.
    fn fail_by(&mut self, at: usize, error: Error, bound: &Bound<'_>) -> Result<()> {
        if error.code.retryable() || bound.thinks() {
            return Err(error);
        }
        self.fail(at, error.explained());
        Ok(())
    }

    /// A step that is not to run, and those that need what it would make.
    fn skip(&mut self, step: usize) {
        self.spread(vec![step], Standing::Skipped);
    }

    /// Whether a step could not begin.
    pub(super) fn could_not_begin(&self, at: usize) -> bool {
        self.state.failed.contains_key(&at)
    }

    /// Whether a condition was decided.
    pub(super) fn is_chosen(&self, at: usize) -> bool {
        self.state.chosen.contains_key(&at)
    }

    /// Whether it depends on a condition that was not decided whether a step runs.
    pub(super) fn undecided(&self, at: usize) -> Option<&str> {
        let conditions = self.graph.steps[at].when.iter();
        let mut open = conditions.filter(|(condition, _)| !self.is_chosen(*condition));
        open.next()
            .map(|(condition, _)| self.graph.steps[*condition].name.as_str())
    }

    /// Adds the next round of a loop; false where there is none.
    fn grow(&mut self) -> bool {
        let number = self.graph.steps.len();
        let Some(repeat) = self
            .graph
            .repeat
            .as_ref()
            .filter(|repeat| number < repeat.most)
        else {
            return false;
        };
        let step = repeat.round(number);
        self.graph.steps.push(step);
        let before = number.checked_sub(1);
        let waits = before.is_some_and(|before| self.standing[before] != Standing::Completed);
        self.standing.push(Standing::Waiting);
        self.runs.push(None);
        self.left.push(usize::from(waits));
        self.dependents.push(Vec::new());
        if let Some(before) = before {
            self.dependents[before].push(number);
        }
        if !waits {
            self.ready.push(number);
        }
        true
    }

    /// Adds another round when the last one has completed and says so.
    pub(super) async fn repeats(&mut self, bound: &Bound<'_>) -> Result<bool> {
        let Some(repeat) = &self.graph.repeat else {
            return Ok(false);
        };
        let last = self.graph.steps.len() - 1;
        if self.standing[last] != Standing::Completed || last + 1 >= repeat.most {
            return Ok(false);
        }
        let more = match repeat.condition.clone() {
            Some(output) => bound.goes_on(self, last, &output).await?,
            None => Some(true),
        };
        Ok(more == Some(true) && self.grow())
    }

    /// Counts a step as done for those that wait for it.
    fn release(&mut self, step: usize) {
        for dependent in &self.dependents[step] {
            let left = &mut self.left[*dependent];
            *left = left.saturating_sub(1);
            if *left == 0 && self.standing[*dependent] == Standing::Waiting {
                self.ready.push(*dependent);
            }
        }
    }

    /// What a step was to give does not come.
    fn lose_dependents(&mut self, step: usize) {
        self.spread(self.dependents[step].clone(), Standing::Lost);
    }

    /// Lets steps that wait stand so, and those that wait for them.
    fn spread(&mut self, mut steps: Vec<usize>, standing: Standing) {
        while let Some(step) = steps.pop() {
            if self.standing.get(step) == Some(&Standing::Waiting) {
                self.standing[step] = standing;
                steps.extend(&self.dependents[step]);
            }
        }
    }

    /// Whether what a step needs does not come.
    pub(super) fn is_skipped(&self, step: usize) -> bool {
        let never = matches!(self.standing[step], Standing::Lost | Standing::Skipped);
        never && self.runs[step].is_none() && !self.could_not_begin(step)
    }

    /// The run of a step that has begun.
    pub(super) fn run_of(&self, step: usize) -> Option<&Child> {
        self.runs.get(step)?.as_ref()
    }

    /// The workspace's name, and the run of the whole pipeline.
    async fn around(&mut self, service: &Service, run: &RunRow) -> Result<(String, i64)> {
        if let Some(around) = &self.around {
            return Ok(around.clone());
        }
        let workspace = service.store.workspace_name(run.workspace_id).await?;
        let root = service.store.run_id(run.workspace_id, &self.graph.name);
        let root = root.await?.unwrap_or(run.id);
        let around = (workspace.unwrap_or_default(), root);
        Ok(self.around.insert(around).clone())
    }

    pub async fn decide(&mut self, service: &Service, run: &RunRow) -> Result<Advance> {
        let status = run.run.status;
        if status == RunStatus::CancelRequested {
            return Ok(self.stop(RunStatus::Canceled, None, "The pipeline was cancelled"));
        }
        if !self.graph.go_on && !self.failed.is_empty() {
            let reason = self.why_failed();
            return Ok(self.stop(RunStatus::Failed, reason, "Another step failed"));
        }
        let (workspace, root) = self.around(service, run).await?;
        let parent = Parent {
            id: run.id,
            workspace_id: run.workspace_id,
            workspace: &workspace,
            experiment: run.run.experiment_id.parse().unwrap_or_default(),
            name: &run.run.name,
            user: &run.run.user,
            root,
            now: service.now(),
        };
        let thought = Thought::default();
        let bound = Bound {
            service,
            parent,
            thought: &thought,
        };
        let mut create = Vec::new();
        let begun = loop {
            create.extend(self.begin(&bound).await?);
            let begun = create.iter().any(|new: &NewRun| new.reuses.is_none());
            if begun || self.open > 0 || !self.repeats(&bound).await? {
                break begun;
            }
        };
        if !self.graph.go_on && !self.failed.is_empty() {
            let reason = self.why_failed();
            let stop = self.stop(RunStatus::Failed, reason, "Another step failed");
            let state = self.news()?;
            return Ok(Advance { state, ..stop });
        }
        let mut step = Advance {
            create,
            state: self.news()?,
            ..Advance::default()
        };
        if self.open == 0 && !begun {
            let reason = self.why_failed().or_else(|| self.why_stuck());
            if reason.is_none() {
                step.outputs = bound.gathered(self, true).await?;
            }
            let ended = reason
                .as_ref()
                .map_or(RunStatus::Completed, |_| RunStatus::Failed);
            step.status = Some((ended, reason));
        } else if status < RunStatus::Running {
            step.status = Some((RunStatus::Running, None));
        }
        Ok(step)
    }

    /// Which steps wait for each other when nothing runs any more.
    fn why_stuck(&self) -> Option<String> {
        let steps = self.graph.steps.iter().zip(&self.standing);
        let waiting = steps.filter(|(_, standing)| **standing == Standing::Waiting);
        let names: Vec<&str> = waiting.map(|(step, _)| step.name.as_str()).collect();
        (!names.is_empty()).then(|| {
            format!(
                "These steps wait for each other and never begin: {}",
                names.join(", ")
            )
        })
    }

    /// What is to be stored of its course, when that has changed.
    fn news(&mut self) -> Result<Option<String>> {
        if !std::mem::take(&mut self.is_news) {
            return Ok(None);
        }
        let state = serde_json::to_string(&self.state);
        state.map(Some).map_err(|e| Error::internal(e.to_string()))
    }

    /// The runs of the steps that may begin, in order. One that has the outputs of another run has
    /// ended by that, and those that waited for it may begin.
    pub async fn begin(&mut self, bound: &Bound<'_>) -> Result<Vec<NewRun>> {
        let mut begun = Vec::new();
        let mut running = self.open;
        while !self.ready.is_empty() {
            let mut ready = std::mem::take(&mut self.ready);
            ready.retain(|at| self.standing[*at] == Standing::Waiting);
            ready.sort_unstable();
            ready.dedup();
            let mut later = Vec::new();
            for at in ready {
                if matches!(self.graph.steps[at].work, Work::If(_)) {
                    self.decide_condition(bound, at).await?;
                    continue;
                }
                if self.graph.at_once.is_some_and(|most| running >= most) {
                    later.push(at);
                    continue;
                }
                let Some(new) = self.begin_one(bound, at).await? else {
                    continue;
                };
                if new.reuses.is_some() {
                    self.note(&[as_child(&new)]);
                } else {
                    running += 1;
                }
                begun.push(new);
            }
            if !later.is_empty() {
                self.ready.extend(later);
                break;
            }
        }
        Ok(begun)
    }

    async fn decide_condition(&mut self, bound: &Bound<'_>, at: usize) -> Result<()> {
        let decided = match bound.never_comes(self, &self.graph.steps[at]).await {
            Ok(true) => {
                self.skip(at);
                return Ok(());
            }
            Ok(false) => bound.condition(self, at).await,
            Err(error) => Err(error),
        };
        match decided {
            Ok(Some(yes)) => self.choose(at, yes),
            Ok(None) => {
                // Thought of: either may come.
                self.standing[at] = Standing::Completed;
                self.release(at);
            }
            Err(error) => self.fail_by(at, error, bound)?,
        }
        Ok(())
    }

    /// The run of a step; none when what it needs does not come or it cannot begin.
    async fn begin_one(&mut self, bound: &Bound<'_>, at: usize) -> Result<Option<NewRun>> {
        let made = match bound.never_comes(self, &self.graph.steps[at]).await {
            Ok(true) => {
                self.skip(at);
                return Ok(None);
            }
            Ok(false) => child::of(bound, self, at).await,
            Err(error) => Err(error),
        };
        match made {
            Ok(new) => Ok(Some(new)),
            Err(error) => self.fail_by(at, error, bound).map(|()| None),
        }
    }

    /// Stops what runs; ends when nothing does.
    fn stop(&self, status: RunStatus, reason: Option<String>, why: &str) -> Advance {
        let runs = self.runs.iter().zip(&self.standing);
        let open = runs.filter(|(_, standing)| **standing == Standing::Open);
        let open: Vec<i64> = open.flat_map(|(run, _)| run).map(|run| run.id).collect();
        Advance {
            status: open.is_empty().then_some((status, reason)),
            cancel: open,
            cancel_reason: why.to_owned(),
            ..Advance::default()
        }
    }

    fn why_failed(&self) -> Option<String> {
        let is_failed = |at: &usize| {
            let run = self.run_of(*at);
            run.is_none_or(|run| run.status == RunStatus::Failed)
        };
        let mut failed: Vec<usize> = self.failed.iter().copied().filter(is_failed).collect();
        if failed.is_empty() {
            // Somebody cancelled steps.
            failed.clone_from(&self.failed);
        }
        failed.sort_unstable();
        let mut names = failed.iter().map(|at| {
            let name = &self.graph.steps[*at].name;
            match self.run_of(*at).map(|run| run.status) {
                Some(RunStatus::Canceled) => format!("the step `{name}` was cancelled"),
                _ => match self.state.failed.get(at) {
                    Some(why) => format!("the step `{name}` failed: {why}"),
                    None => format!("the step `{name}` failed"),
                },
            }
        });
        let first = names.next()?;
        let more = names.count();
        let mut reason = first;
        if let Some(initial) = reason.get_mut(..1) {
            initial.make_ascii_uppercase();
        }
        Some(match more {
            0 => reason,
            1 => format!("{reason}, and another one"),
            more => format!("{reason}, and {more} others"),
        })
    }
}

/// A run that is to be made, as it will stand.
pub fn as_child(new: &NewRun) -> Child {
    Child {
        id: 0,
        place: new.driver.map_or(0, |(_, place)| place),
        name: new.name.clone(),
        status: new.status,
        reason: None,
        reuses: new.reuses.clone(),
        started_at: None,
        ended_at: None,
    }
}
