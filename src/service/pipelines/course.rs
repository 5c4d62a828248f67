//! The course of a pipeline: which steps have begun and ended, and which begin now.

use std::collections::BTreeMap;

use super::{
    child::{self, Parent, Thought},
    graph::Graph,
};
use crate::Service;
use api::{Error, Result, runs::RunStatus};
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
}

/// A pipeline that runs.
pub struct Pipeline {
    pub(super) graph: Graph,
    standing: Vec<Standing>,
    /// How many steps each one waits for still.
    left: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    /// The runs of steps that have begun.
    runs: BTreeMap<usize, Child>,
    /// Steps that may begin.
    ready: Vec<usize>,
    open: usize,
    /// Steps whose own run failed or was cancelled.
    failed: Vec<usize>,
}

impl Pipeline {
    pub fn read(plan: &str, _state: &str) -> Result<Self> {
        let graph = serde_json::from_str(plan);
        let graph = graph.map_err(|e| Error::internal(format!("A pipeline is damaged: {e}")))?;
        Ok(Self::new(graph))
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
            runs: BTreeMap::new(),
            ready,
            open: 0,
            failed: Vec::new(),
        }
    }

    /// Takes note of runs of steps.
    pub fn note(&mut self, children: &[Child]) {
        for child in children {
            let Ok(step) = usize::try_from(child.place) else {
                continue;
            };
            let Some(before) = self.standing.get(step).copied() else {
                continue;
            };
            self.runs.insert(step, child.clone());
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
                Standing::Waiting | Standing::Open => {}
            }
        }
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
        let mut lost = self.dependents[step].clone();
        while let Some(step) = lost.pop() {
            if self.standing[step] == Standing::Waiting {
                self.standing[step] = Standing::Lost;
                lost.extend(&self.dependents[step]);
            }
        }
    }

    /// Whether what a step needs does not come.
    pub(super) fn is_skipped(&self, step: usize) -> bool {
        self.standing[step] == Standing::Lost && !self.runs.contains_key(&step)
    }

    /// The run of a step that has begun.
    pub(super) fn run_of(&self, step: usize) -> Option<&Child> {
        self.runs.get(&step)
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
        let workspace = service.store.workspace_name(run.workspace_id).await?;
        let workspace = workspace.unwrap_or_default();
        let root = service.store.run_id(run.workspace_id, &self.graph.name);
        let root = root.await?;
        let parent = Parent {
            id: run.id,
            workspace_id: run.workspace_id,
            workspace: &workspace,
            experiment: run.run.experiment_id.parse().unwrap_or_default(),
            name: &run.run.name,
            user: &run.run.user,
            root: root.unwrap_or(run.id),
            now: service.now(),
        };
        let create = self.begin(service, parent, &Thought::default()).await?;
        let begun = create.iter().any(|new| new.reuses.is_none());
        let mut step = Advance {
            create,
            ..Advance::default()
        };
        if self.open == 0 && !begun {
            step.status = Some(match self.why_failed() {
                None => (RunStatus::Completed, None),
                reason => (RunStatus::Failed, reason),
            });
        } else if status < RunStatus::Running {
            step.status = Some((RunStatus::Running, None));
        }
        Ok(step)
    }

    /// The runs of the steps that may begin, in order. One that has the outputs of another run has
    /// ended by that, and those that waited for it may begin.
    pub async fn begin(
        &mut self,
        service: &Service,
        parent: Parent<'_>,
        thought: &Thought,
    ) -> Result<Vec<NewRun>> {
        let mut begun = Vec::new();
        while !self.ready.is_empty() {
            let mut ready = std::mem::take(&mut self.ready);
            ready.retain(|at| self.standing[*at] == Standing::Waiting);
            ready.sort_unstable();
            ready.dedup();
            for at in ready {
                let new = child::of(service, self, parent, at, thought).await?;
                if new.reuses.is_some() {
                    self.note(&[as_child(&new)]);
                }
                begun.push(new);
            }
        }
        Ok(begun)
    }

    /// Stops what runs; ends when nothing does.
    fn stop(&self, status: RunStatus, reason: Option<String>, why: &str) -> Advance {
        let open = self
            .runs
            .iter()
            .filter(|(at, _)| self.standing[**at] == Standing::Open);
        let open: Vec<i64> = open.map(|(_, child)| child.id).collect();
        Advance {
            status: open.is_empty().then_some((status, reason)),
            cancel: open,
            cancel_reason: why.to_owned(),
            ..Advance::default()
        }
    }

    fn why_failed(&self) -> Option<String> {
        let is_failed = |at: &usize| self.runs[at].status == RunStatus::Failed;
        let mut failed: Vec<usize> = self.failed.iter().copied().filter(is_failed).collect();
        if failed.is_empty() {
            // Somebody cancelled steps.
            failed.clone_from(&self.failed);
        }
        failed.sort_unstable();
        let mut names = failed.iter().map(|at| {
            let name = &self.graph.steps[*at].name;
            match self.runs.get(at).map(|run| run.status) {
                Some(RunStatus::Canceled) => format!("the step `{name}` was cancelled"),
                _ => format!("the step `{name}` failed"),
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
        reuses: new.reuses.clone(),
        started_at: None,
        ended_at: None,
    }
}
