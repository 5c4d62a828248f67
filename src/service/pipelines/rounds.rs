//! Loops as pipelines of their own: one step for each round.

use std::collections::BTreeMap;

use super::{
    given::fits,
    graph::{Binding, Gather, Graph, Items, Loop, LoopKind, Repeat, Source, Step},
    step::port_of,
};
use api::jobs::{InputMode, JobInput};

/// The pipeline that a loop is when its inputs are known; `late` are rounds that were not known before.
pub fn graph_of(
    work: &Loop,
    late: Vec<Step>,
    inputs: BTreeMap<String, JobInput>,
    outer: &Graph,
) -> Graph {
    let (steps, at_once, repeat) = match &work.kind {
        LoopKind::While {
            body,
            condition,
            mapping,
            most,
        } => {
            let repeat = Repeat {
                body: body.clone(),
                condition: condition.clone(),
                mapping: mapping.clone(),
                takes: work.takes.clone(),
                most: *most,
            };
            (vec![repeat.round(0)], None, Some(Box::new(repeat)))
        }
        LoopKind::Each { items, at_once } => {
            let steps = match items {
                Items::Known(rounds) => rounds.clone(),
                Items::Later(_) => late,
            };
            (steps, *at_once, None)
        }
    };
    let gather = |(name, output): (&String, &api::jobs::JobOutput)| {
        let how = match (&work.kind, output.kind.as_str()) {
            (LoopKind::While { .. }, _) => Gather::Last,
            _ if work.values.contains(name) => Gather::Values,
            _ => {
                let made = steps.first().and_then(|step| step.outputs()?.get(name));
                if made.is_some_and(|made| made.kind == "uri_file") {
                    Gather::Files
                } else {
                    Gather::Folders
                }
            }
        };
        (name.clone(), how)
    };
    Graph {
        name: outer.name.clone(),
        gathers: work.outputs.iter().map(gather).collect(),
        inputs,
        steps,
        datastore: outer.datastore.clone(),
        go_on: outer.go_on,
        force_rerun: outer.force_rerun,
        at_once,
        repeat,
    }
}

/// Gives an input to a step, or takes it away, whatever it had before.
pub fn give(step: &mut Step, name: &str, input: Option<JobInput>) {
    step.bindings.remove(name);
    if let Some(inputs) = step.inputs_mut() {
        inputs.remove(name);
        inputs.extend(input.map(|input| (name.to_owned(), input)));
    }
}

impl Repeat {
    /// A round by its number; those after the first get what the one before has made.
    pub fn round(&self, number: usize) -> Step {
        let mut step = self.body.clone();
        step.name = format!("{}_{number}", self.body.name);
        let Some(before) = number.checked_sub(1) else {
            return step;
        };
        for (input, (output, value)) in &self.mapping {
            let (kind, mode) = taken_as(&step, input);
            give(&mut step, input, None);
            let binding = Binding {
                from: Source::Output {
                    step: before,
                    output: output.clone(),
                },
                kind,
                mode,
                value: *value,
                fits: fits(port_of(&self.takes, input)),
            };
            step.bindings.insert(input.clone(), binding);
        }
        step.after = vec![before];
        step
    }
}

/// The type and mode that a step takes an input as.
fn taken_as(step: &Step, input: &str) -> (Option<String>, Option<InputMode>) {
    if let Some(own) = step.bindings.get(input) {
        return (own.kind.clone(), own.mode);
    }
    match step.inputs().and_then(|given| given.get(input)) {
        Some(JobInput::Files { kind, mode, .. }) => (Some(kind.clone()), Some(*mode)),
        _ => (None, None),
    }
}
