//! What a step gets: the outputs of other steps, where they are kept, and the texts in them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    child::Parent,
    control::{CONDITION, ITEMS},
    course::Pipeline,
    given::misfit,
    graph::{Binding, Choice, Gather, Source, Step, Work},
    values::{Gathered, LONGEST, LONGEST_LIST, is_true},
};
use crate::Service;
use api::{
    Code, Error, Result,
    jobs::{InputMode, JobInput, JobOutput},
    paths::Location,
};

/// Outputs that lead to outputs, at most.
const LINKS: usize = 32;

/// What runs have made that are only thought of: run → its outputs.
#[derive(Debug, Default)]
pub struct Thought {
    pub outputs: BTreeMap<String, BTreeMap<String, JobOutput>>,
    /// Run of a loop and its output → where that is.
    pub gathered: BTreeMap<(String, String), String>,
}

/// Finds what a step gets.
pub struct Bound<'a> {
    pub service: &'a Service,
    pub parent: Parent<'a>,
    pub thought: &'a Thought,
}

impl Bound<'_> {
    /// The inputs of a step that had to wait. One that is not given is left out.
    pub async fn inputs(
        &self,
        pipeline: &Pipeline,
        step: &Step,
    ) -> Result<BTreeMap<String, JobInput>> {
        let mut inputs = BTreeMap::new();
        for (name, binding) in &step.bindings {
            let limit = if name == ITEMS { LONGEST_LIST } else { LONGEST };
            let found = match &binding.from {
                Source::Parent(input) => match pipeline.graph.inputs.get(input).cloned() {
                    Some(given) if binding.value => {
                        let what = format!("The input `{input}` of the pipeline");
                        Some(self.value_of(given, &what, limit).await?)
                    }
                    given => given,
                },
                Source::Output { step, output } => {
                    let made = self.made(pipeline, *step, output).await?;
                    Some(if binding.value {
                        let step = &pipeline.graph.steps[*step].name;
                        let what = format!("The output `{output}` of the step `{step}`");
                        self.value_of(made, &what, limit).await?
                    } else {
                        made
                    })
                }
            };
            let Some(found) = found else { continue };
            if let JobInput::Value { .. } = found
                && let Some(error) = misfit(name, &found, &binding.fits)
            {
                return Err(error);
            }
            inputs.insert(name.clone(), taken_as(found, binding));
        }
        Ok(inputs)
    }

    /// What a step has made.
    async fn made(&self, pipeline: &Pipeline, step: usize, output: &str) -> Result<JobInput> {
        let source = &pipeline.graph.steps[step];
        let Some(run) = pipeline.run_of(step) else {
            return Err(Error::internal(format!(
                "The step `{}` has not run",
                source.name
            )));
        };
        let known = source.outputs().and_then(|outputs| outputs.get(output));
        let path = match &source.work {
            Work::Command(_) | Work::Sweep(_) => {
                address(run.reuses.as_ref().unwrap_or(&run.name), output)
            }
            _ => self.place_of(&run.name, output).await?,
        };
        Ok(JobInput::Files {
            kind: known.map_or_else(|| "uri_folder".to_owned(), |output| output.kind.clone()),
            path,
            mode: InputMode::default(),
            path_on_compute: None,
        })
    }

    /// Where the output of a pipeline is: with the run that has made it, or gathered from several.
    async fn place_of(&self, run: &str, output: &str) -> Result<String> {
        let (mut run, mut output) = (run.to_owned(), output.to_owned());
        for _ in 0..LINKS {
            let (path, gathered) = self.leads_to(&run, &output).await?;
            match path.as_deref().map(Location::parse) {
                Some(Ok(Location::Run {
                    run: next,
                    output: Some(port),
                    ..
                })) if next != run => (run, output) = (next, port),
                Some(Ok(_)) if gathered => return Ok(path.unwrap_or_default()),
                _ => break,
            }
        }
        Ok(address(&run, &output))
    }

    /// The path of an output of a run, and whether a loop gathered it.
    async fn leads_to(&self, run: &str, output: &str) -> Result<(Option<String>, bool)> {
        let key = (run.to_owned(), output.to_owned());
        if let Some(path) = self.thought.gathered.get(&key) {
            return Ok((Some(path.clone()), true));
        }
        if let Some(outputs) = self.thought.outputs.get(run) {
            return Ok((outputs.get(output).map(|output| output.path.clone()), false));
        }
        let workspace = self.parent.workspace_id;
        let found = self.service.store.run(workspace, run).await?;
        let described = found.and_then(|found| found.run.job?.described);
        let Some(described) = described else {
            return Ok((None, false));
        };
        let kind = described.definition.get("type").and_then(Value::as_str);
        let gathered = matches!(kind, Some("do_while" | "parallel_for"));
        let output = described.outputs.get(output);
        Ok((output.map(|output| output.path.clone()), gathered))
    }

    /// The text that an output has; the address still where it is made only when things are done.
    async fn value_of(&self, made: JobInput, what: &str, limit: u64) -> Result<JobInput> {
        let JobInput::Files { path, .. } = &made else {
            return Ok(made);
        };
        if let Ok(Location::Run { run, .. }) = Location::parse(path)
            && self.thought.outputs.contains_key(&run)
        {
            return Ok(made);
        }
        let value = self.service.value_at(self.parent.workspace, path, limit);
        match value.await {
            Ok(value) => Ok(JobInput::Value { value, made: true }),
            Err(error) if error.code == Code::NotFound && self.thinks() => Ok(made),
            Err(error) => Err(Error {
                message: format!("{what}: {}", error.message),
                ..error
            }),
        }
    }

    /// Whether things are not done, only thought through.
    pub fn thinks(&self) -> bool {
        self.parent.id == 0
    }

    /// Whether a step needs what a step within another one was to make against which a condition
    /// decided.
    pub async fn never_comes(&self, pipeline: &Pipeline, step: &Step) -> Result<bool> {
        for binding in step.bindings.values() {
            let Source::Output { step, output } = &binding.from else {
                continue;
            };
            let source = &pipeline.graph.steps[*step].work;
            if !matches!(source, Work::Pipeline(_) | Work::Loop(_)) {
                continue;
            }
            let JobInput::Files { path, .. } = self.made(pipeline, *step, output).await? else {
                continue;
            };
            let Ok(Location::Run { run, .. }) = Location::parse(&path) else {
                continue;
            };
            let workspace = self.parent.workspace_id;
            if !self.thought.outputs.contains_key(&run)
                && self.service.store.run(workspace, &run).await?.is_none()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a condition holds; none while that is not known.
    pub async fn condition(&self, pipeline: &Pipeline, at: usize) -> Result<Option<bool>> {
        let step = &pipeline.graph.steps[at];
        if let Work::If(Choice {
            known: Some(known), ..
        }) = &step.work
        {
            return Ok(Some(*known));
        }
        let mut inputs = self.inputs(pipeline, step).await?;
        self.truth(inputs.remove(CONDITION))
    }

    /// Whether another round comes after a completed one; none while that is not known.
    pub async fn goes_on(
        &self,
        pipeline: &Pipeline,
        round: usize,
        output: &str,
    ) -> Result<Option<bool>> {
        let made = self.made(pipeline, round, output).await?;
        let name = &pipeline.graph.steps[round].name;
        let what = format!("The output `{output}` of the step `{name}`");
        let value = self.value_of(made, &what, LONGEST).await?;
        self.truth(Some(value)).map_err(|error| Error {
            message: format!("{what}: {}", error.message),
            ..error
        })
    }

    fn truth(&self, value: Option<JobInput>) -> Result<Option<bool>> {
        match value {
            Some(JobInput::Value { value, .. }) => is_true(&value).map(Some),
            _ if self.thinks() => Ok(None),
            _ => Err(Error::invalid("the condition is not given")
                .hint("Give the input that it is bound to: true or false")),
        }
    }

    /// Where the outputs of a loop are whose rounds have completed.
    pub async fn gathered(&self, pipeline: &Pipeline, keep: bool) -> Result<Vec<(String, String)>> {
        let mut gathered = Vec::new();
        let rounds = pipeline.graph.steps.len();
        for (output, how) in &pipeline.graph.gathers {
            let first = match how {
                Gather::Last => rounds.saturating_sub(1),
                _ => 0,
            };
            let (mut addresses, mut values) = (Vec::new(), Vec::new());
            for round in first..rounds {
                let JobInput::Files { path, .. } = self.made(pipeline, round, output).await? else {
                    continue;
                };
                if *how == Gather::Values {
                    values.push(
                        self.service
                            .value_at(self.parent.workspace, &path, LONGEST)
                            .await?,
                    );
                }
                addresses.push(path);
            }
            let made = match how {
                Gather::Last => {
                    gathered.extend(addresses.pop().map(|path| (output.clone(), path)));
                    continue;
                }
                Gather::Values => Gathered::Values(values),
                Gather::Files | Gather::Folders => Gathered::Places {
                    file: *how == Gather::Files,
                    addresses,
                },
            };
            let workspace = self.parent.workspace;
            let place = self
                .service
                .gathered(workspace, &pipeline.graph, &made, keep);
            gathered.push((output.clone(), place.await?));
        }
        Ok(gathered)
    }
}

pub fn address(run: &str, output: &str) -> String {
    ["azureml://jobs/", run, "/outputs/", output].concat()
}

fn taken_as(input: JobInput, binding: &Binding) -> JobInput {
    match input {
        value @ JobInput::Value { .. } => value,
        JobInput::Files {
            kind,
            path,
            mode,
            path_on_compute,
        } => JobInput::Files {
            kind: binding.kind.clone().unwrap_or(kind),
            path,
            mode: binding.mode.unwrap_or(mode),
            path_on_compute,
        },
    }
}
