//! A pipeline as it is compiled: its steps, what they wait for and what they get. It never changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::sweeps::Plan;
use api::{
    jobs::{InputMode, JobInput, JobOutput},
    runs::Job,
};

/// The steps of a pipeline. They are known by their position.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Graph {
    /// The name of the run of the whole pipeline.
    pub name: String,
    /// What the steps get as `${{parent.inputs.NAME}}`.
    pub inputs: BTreeMap<String, JobInput>,
    pub steps: Vec<Step>,
    /// The name of the datastore of outputs that do not say another place.
    pub datastore: String,
    /// Steps go on that do not depend on one that failed.
    pub go_on: bool,
    /// Steps run although nothing has changed.
    pub force_rerun: bool,
    /// Steps at once, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_once: Option<usize>,
    /// After its last step comes another one while that is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Box<Repeat>>,
    /// Of a loop: how each output comes from those of its rounds.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gathers: BTreeMap<String, Gather>,
}

/// What comes after the last step of a graph.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Repeat {
    pub body: Step,
    /// The output of the last round that says whether another one comes; none is always.
    pub condition: Option<String>,
    /// Input → the output of the round before that it is, and whether that is a value.
    pub mapping: BTreeMap<String, (String, bool)>,
    /// What is said of the inputs of the body.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub takes: Map<String, Value>,
    /// Rounds, at most.
    pub most: usize,
}

/// What an output of a loop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gather {
    /// That of the last round.
    Last,
    /// The list of the values of all rounds.
    Values,
    /// A table that names the files of all rounds.
    Files,
    /// A table that names their folders.
    Folders,
}

/// One step.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Step {
    pub name: String,
    /// What it was written as, where its work does not tell: `parallel`, …
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub written: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
    /// The steps whose outputs it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<usize>,
    /// The conditions of which it depends whether it runs, with what they must be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<(usize, bool)>,
    /// Inputs that are known when it begins.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub bindings: BTreeMap<String, Binding>,
    pub work: Work,
}

/// Where an input of a step comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub from: Source,
    /// The type the step takes it as; what the source says when absent.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<InputMode>,
    /// It is the text that the output has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub value: bool,
    /// What a value must be, in the words of the port that takes it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fits: Map<String, Value>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An input of the pipeline.
    Parent(String),
    Output {
        step: usize,
        output: String,
    },
}

/// What a step does.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Runs a command. Its outputs have no path where they are kept in a place of their own.
    Command(Box<Job>),
    /// Tries a command with many values. Its outputs are those of the best trial.
    Sweep(Box<SweepStep>),
    /// Is a pipeline itself.
    Pipeline(Box<Nested>),
    /// Decides which of two blocks of steps run; it has no run.
    If(Choice),
    /// Runs a step several times.
    Loop(Box<Loop>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Choice {
    /// The condition, when it is known before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<bool>,
    pub yes: Vec<usize>,
    pub no: Vec<usize>,
}

/// A loop: it becomes a pipeline whose steps are its rounds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Loop {
    pub kind: LoopKind,
    pub outputs: BTreeMap<String, JobOutput>,
    /// Those that are values.
    pub values: Vec<String>,
    /// As it is shown.
    pub definition: Map<String, Value>,
    /// What is said of the inputs of its body.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub takes: Map<String, Value>,
    /// The body has no others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoopKind {
    While {
        body: Step,
        condition: Option<String>,
        mapping: BTreeMap<String, (String, bool)>,
        most: usize,
    },
    Each {
        items: Items,
        at_once: Option<usize>,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Items {
    /// A step for each.
    Known(Vec<Step>),
    /// The step that is run with each, once they are known.
    Later(Step),
}

/// A step that is a sweep.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SweepStep {
    pub plan: Plan,
    /// As it is shown.
    pub definition: Map<String, Value>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Nested {
    pub graph: Graph,
    /// As it is shown.
    pub definition: Map<String, Value>,
    /// What it makes: see [`output_of_step`].
    pub outputs: BTreeMap<String, JobOutput>,
}

/// How the path of an output begins that another step of the pipeline makes.
const STEP: &str = "step:";

/// The path of an output that a step makes, until that step has a name.
pub fn output_of_step(step: usize, output: &str) -> String {
    format!("{STEP}{step}:{output}")
}

/// The step and its output that such a path names.
pub fn step_of_output(path: &str) -> Option<(usize, &str)> {
    let (step, output) = path.strip_prefix(STEP)?.split_once(':')?;
    Some((step.parse().ok()?, output))
}

impl LoopKind {
    /// What it runs.
    pub fn body(&self) -> Option<&Step> {
        match self {
            LoopKind::While { body, .. } => Some(body),
            LoopKind::Each { items, .. } => match items {
                Items::Known(rounds) => rounds.first(),
                Items::Later(body) => Some(body),
            },
        }
    }

    /// Whether there may be several rounds.
    pub fn repeats(&self) -> bool {
        match self {
            LoopKind::While { most, .. } => *most > 1,
            LoopKind::Each { items, .. } => match items {
                Items::Known(rounds) => rounds.len() > 1,
                Items::Later(_) => true,
            },
        }
    }
}

impl Step {
    /// How many steps are written in it, with itself.
    pub fn size(&self) -> usize {
        let all = |steps: &[Step]| steps.iter().map(Step::size).sum::<usize>();
        1 + match &self.work {
            Work::Pipeline(nested) => all(&nested.graph.steps),
            Work::Loop(work) => match &work.kind {
                LoopKind::Each {
                    items: Items::Known(rounds),
                    ..
                } => all(rounds),
                kind => kind.body().map_or(0, Step::size),
            },
            Work::Command(_) | Work::Sweep(_) | Work::If(_) => 0,
        }
    }

    /// What it makes.
    pub fn outputs(&self) -> Option<&BTreeMap<String, JobOutput>> {
        match &self.work {
            Work::Command(job) => Some(&job.described.as_ref()?.outputs),
            Work::Sweep(sweep) => Some(&sweep.plan.job.described.as_ref()?.outputs),
            Work::Pipeline(nested) => Some(&nested.outputs),
            Work::Loop(work) => Some(&work.outputs),
            Work::If(_) => None,
        }
    }

    /// What it is given besides its bindings.
    pub fn inputs(&self) -> Option<&BTreeMap<String, JobInput>> {
        match &self.work {
            Work::Command(job) => Some(&job.described.as_ref()?.inputs),
            Work::Sweep(sweep) => Some(&sweep.plan.job.described.as_ref()?.inputs),
            Work::Pipeline(nested) => Some(&nested.graph.inputs),
            Work::If(_) | Work::Loop(_) => None,
        }
    }

    pub fn inputs_mut(&mut self) -> Option<&mut BTreeMap<String, JobInput>> {
        match &mut self.work {
            Work::Command(job) => Some(&mut job.described.as_mut()?.inputs),
            Work::Sweep(sweep) => Some(&mut sweep.plan.job.described.as_mut()?.inputs),
            Work::Pipeline(nested) => Some(&mut nested.graph.inputs),
            Work::If(_) | Work::Loop(_) => None,
        }
    }

    pub fn kind(&self) -> &str {
        if let Some(written) = &self.written {
            return written;
        }
        match &self.work {
            Work::Command(_) => "command",
            Work::Sweep(_) => "sweep",
            Work::Pipeline(_) => "pipeline",
            Work::If(_) => "if_else",
            Work::Loop(work) => match work.kind {
                LoopKind::While { .. } => "do_while",
                LoopKind::Each { .. } => "parallel_for",
            },
        }
    }
}
