//! Loops as pipelines of their own: one step for each round.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    control::{ITEMS, items_of},
    given,
    graph::{Binding, Gather, Graph, Items, Loop, LoopKind, Repeat, Source, Step, Work},
};
use api::{Error, Result, jobs::JobInput};

/// The pipeline that a loop is when its inputs are known.
pub fn graph_of(
    work: &Loop,
    mut inputs: BTreeMap<String, JobInput>,
    outer: &Graph,
) -> Result<Graph> {
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
                most: *most,
            };
            (vec![repeat.round(0)], None, Some(Box::new(repeat)))
        }
        LoopKind::Each { items, at_once } => {
            let steps = match items {
                Items::Known(rounds) => rounds.clone(),
                Items::Later(body) => with_items(body, inputs.remove(ITEMS))?,
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
    Ok(Graph {
        name: outer.name.clone(),
        gathers: work.outputs.iter().map(gather).collect(),
        inputs,
        steps,
        datastore: outer.datastore.clone(),
        go_on: outer.go_on,
        force_rerun: outer.force_rerun,
        at_once,
        repeat,
    })
}

fn with_items(body: &Step, items: Option<JobInput>) -> Result<Vec<Step>> {
    let Some(JobInput::Value { value }) = items else {
        return Err(Error::invalid("The items of the loop are no value"));
    };
    let mut steps = Vec::new();
    for (key, item) in items_of(&Value::from(value))? {
        let mut round = body.clone();
        round.name = format!("{}_{key}", body.name);
        for (name, value) in item {
            let input = given::known(&value, None).map_err(|error| Error {
                message: format!("The item `{key}`: {}", error.message),
                ..error
            })?;
            give(&mut round, &name, Some(input));
        }
        steps.push(round);
    }
    Ok(steps)
}

/// Gives an input to a step, or takes it away, whatever it had before.
fn give(step: &mut Step, name: &str, input: Option<JobInput>) {
    step.bindings.remove(name);
    let described = |job: &mut api::runs::Job, input: Option<JobInput>| {
        if let Some(described) = &mut job.described {
            described.inputs.remove(name);
            let input = input.map(|input| (name.to_owned(), input));
            described.inputs.extend(input);
        }
    };
    match &mut step.work {
        Work::Command(job) => described(job, input),
        Work::Sweep(sweep) => described(&mut sweep.plan.job, input),
        Work::Pipeline(nested) => {
            nested.graph.inputs.remove(name);
            let input = input.map(|input| (name.to_owned(), input));
            nested.graph.inputs.extend(input);
        }
        Work::If(_) | Work::Loop(_) => {}
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
            let own = step.bindings.get(input).cloned();
            let (kind, mode) = own.map_or((None, None), |own| (own.kind, own.mode));
            give(&mut step, input, None);
            let binding = Binding {
                from: Source::Output {
                    step: before,
                    output: output.clone(),
                },
                kind,
                mode,
                value: *value,
            };
            step.bindings.insert(input.clone(), binding);
        }
        step.after = vec![before];
        step
    }
}
