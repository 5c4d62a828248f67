//! The run of a step: what the step was compiled to, with what other steps have made.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    course::Pipeline,
    graph::{Binding, Graph, Nested, Source, Step, Work, step_of_output},
};
use crate::{driven::PIPELINE, run_create::source_tags};
use api::{
    Error, Result, Time,
    jobs::{Described, JobInput, JobOutput},
    names,
    runs::{Job, RunStatus},
};
use spec::expression::{Expression, Template};
use store::{ExperimentRef, NAME_TAG, NewDriven, NewRun, PARENT_TAG, RunRow};

/// The tag that says which step of its pipeline a run is.
pub const STEP_TAG: &str = "aml.step";

/// The name of the run of a step. Steps have no `-` in their names.
pub fn name_of(pipeline: &str, step: &str) -> String {
    let name = format!("{pipeline}-{step}");
    if names::RUN.check(&name).is_ok() {
        return name;
    }
    let hash = blake3::hash(name.as_bytes()).to_hex();
    let kept: String = pipeline.chars().take(200).collect();
    format!("{kept}-{}", &hash[..16])
}

/// The run of a step that may begin.
pub fn of(pipeline: &Pipeline, parent: &RunRow, at: usize, now: Time) -> Result<NewRun> {
    let step = &pipeline.graph.steps[at];
    let name = name_of(&parent.run.name, &step.name);
    let inputs = bound(pipeline, step)?;
    let place = i64::try_from(at).unwrap_or(i64::MAX);
    let (job, driven) = match &step.work {
        Work::Command(job) => {
            let mut job = (**job).clone();
            if let Some(described) = &mut job.described {
                fill(described, inputs, &name, &pipeline.graph.datastore)?;
            }
            (job, None)
        }
        Work::Pipeline(nested) => {
            let (job, driven) = nested_run(nested, inputs, &name)?;
            (job, Some(driven))
        }
    };
    let mut tags = step.tags.clone();
    tags.insert(PARENT_TAG.to_owned(), parent.run.name.clone());
    tags.insert(STEP_TAG.to_owned(), step.name.clone());
    let display_name = step.display_name.clone();
    let display_name = display_name.unwrap_or_else(|| step.name.clone());
    tags.insert(NAME_TAG.to_owned(), display_name.clone());
    Ok(NewRun {
        workspace: parent.workspace_id,
        experiment: ExperimentRef::Id(parent.run.experiment_id.parse().unwrap_or_default()),
        display_name,
        status: RunStatus::Queued,
        user: parent.run.user.clone(),
        tags: source_tags(tags, &parent.run.user, &job),
        job: Some(job),
        created_at: now,
        started_at: None,
        driver: Some((parent.id, place)),
        driven,
        name,
    })
}

/// The inputs of a step that had to wait. One that is not given is left out.
fn bound(pipeline: &Pipeline, step: &Step) -> Result<BTreeMap<String, JobInput>> {
    let mut inputs = BTreeMap::new();
    for (name, binding) in &step.bindings {
        let found = match &binding.from {
            Source::Parent(input) => pipeline.graph.inputs.get(input).cloned(),
            Source::Output { step, output } => Some(made(pipeline, *step, output)?),
        };
        if let Some(found) = found {
            inputs.insert(name.clone(), taken_as(found, binding));
        }
    }
    Ok(inputs)
}

/// What a step has made.
fn made(pipeline: &Pipeline, step: usize, output: &str) -> Result<JobInput> {
    let source = &pipeline.graph.steps[step];
    let Some(run) = pipeline.run_of(step) else {
        return Err(Error::internal(format!(
            "The step `{}` has not run",
            source.name
        )));
    };
    let known = source.outputs().and_then(|outputs| outputs.get(output));
    Ok(JobInput::Files {
        kind: known.map_or_else(|| "uri_folder".to_owned(), |output| output.kind.clone()),
        path: format!("azureml://jobs/{}/outputs/{output}", run.name),
        mode: api::jobs::InputMode::default(),
        path_on_compute: None,
    })
}

fn taken_as(input: JobInput, binding: &Binding) -> JobInput {
    match input {
        JobInput::Value { value } => JobInput::Value { value },
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

/// Puts in what had to wait, and says where outputs are kept.
fn fill(
    described: &mut Described,
    inputs: BTreeMap<String, JobInput>,
    run: &str,
    datastore: &str,
) -> Result<()> {
    described.inputs.extend(inputs);
    for (name, output) in &mut described.outputs {
        output.path = place(output, name, run, datastore)?;
    }
    show_ports(described);
    Ok(())
}

/// Where an output is kept.
fn place(output: &JobOutput, name: &str, run: &str, datastore: &str) -> Result<String> {
    if output.path.is_empty() {
        return Ok(format!(
            "azureml://datastores/{datastore}/paths/azureml/{run}/{name}/"
        ));
    }
    Template::parse(&output.path).fill(&mut |expression| match expression {
        Expression::Name => Ok(Some(run.to_owned())),
        Expression::Other(word) if word == "default_datastore" => Ok(Some(datastore.to_owned())),
        other => Err(Error::invalid(format!(
            "`{other}` means nothing in the path of an output"
        ))),
    })
}

/// Shows the ports as they are.
fn show_ports(described: &mut Described) {
    let inputs: Map<String, Value> = described
        .inputs
        .iter()
        .map(|(name, input)| {
            let shown = match input {
                JobInput::Value { value } => json!(value),
                files @ JobInput::Files { .. } => json!(files),
            };
            (name.clone(), shown)
        })
        .collect();
    let definition = &mut described.definition;
    if !inputs.is_empty() {
        definition.insert("inputs".to_owned(), Value::Object(inputs));
    }
    if !described.outputs.is_empty() {
        definition.insert("outputs".to_owned(), json!(described.outputs));
    }
}

/// A step that is a pipeline, as a run that is driven in turn.
fn nested_run(
    nested: &Nested,
    inputs: BTreeMap<String, JobInput>,
    name: &str,
) -> Result<(Job, NewDriven)> {
    let mut graph = nested.graph.clone();
    graph.inputs.extend(inputs);
    pipeline_run(
        graph,
        nested.definition.clone(),
        nested.outputs.clone(),
        name,
    )
}

/// A pipeline as a run.
pub fn pipeline_run(
    graph: Graph,
    definition: Map<String, Value>,
    mut outputs: BTreeMap<String, JobOutput>,
    name: &str,
) -> Result<(Job, NewDriven)> {
    for output in outputs.values_mut() {
        if let Some((step, port)) = step_of_output(&output.path) {
            let step = name_of(name, &graph.steps[step].name);
            output.path = format!("azureml://jobs/{step}/outputs/{port}");
        }
    }
    let plan = serde_json::to_string(&graph).map_err(|e| Error::internal(e.to_string()))?;
    let mut described = Described {
        definition,
        inputs: graph.inputs,
        outputs,
        ..Described::default()
    };
    show_ports(&mut described);
    let job = Job {
        described: Some(Box::new(described)),
        ..Job::default()
    };
    let driven = NewDriven {
        kind: PIPELINE.to_owned(),
        plan,
        state: "{}".to_owned(),
    };
    Ok((job, driven))
}
