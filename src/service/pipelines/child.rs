//! The run of a step: what the step was compiled to, with what other steps have made.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    bound::{Bound, address},
    control::ITEMS,
    course::Pipeline,
    graph::{Graph, Nested, Step, SweepStep, Work, step_of_output},
    ports::is_of_run,
    reuse, rounds,
};
use crate::{
    driven::PIPELINE,
    job_places::place_of_output,
    run_create::source_tags,
    sweeps::{AUTOML_TAG, BEST_TAG, SCORE_TAG, seed_of, sweep_run},
};
use api::{
    Error, Result, Time,
    jobs::{Described, JobInput, JobOutput},
    names,
    runs::{Job, RunStatus},
};
use spec::expression::{Expression, Template};
use store::{ExperimentRef, NAME_TAG, NewDriven, NewRun, PARENT_TAG};

/// The tag that says which step of its pipeline a run is.
pub const STEP_TAG: &str = "aml.step";
/// The tag that names the run whose outputs a step has.
pub const REUSES_TAG: &str = "aml.reuses";
/// In the path of an output: the name of the whole pipeline.
pub const PIPELINE_NAME: &str = "pipeline_name";

/// What a step's run takes from its pipeline's.
#[derive(Debug, Clone, Copy)]
pub struct Parent<'a> {
    pub id: i64,
    pub workspace_id: i64,
    pub workspace: &'a str,
    pub experiment: i64,
    pub name: &'a str,
    pub user: &'a str,
    /// The run of the whole pipeline: what was made before it can be reused. What its own steps make
    /// cannot, or it would depend on chance which of two that are the same runs.
    pub root: i64,
    pub now: Time,
}

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

/// The run of a step that may begin: one that has the outputs of another when nothing has changed.
pub async fn of(bound: &Bound<'_>, pipeline: &Pipeline, at: usize) -> Result<NewRun> {
    let step = &pipeline.graph.steps[at];
    let parent = bound.parent;
    let name = name_of(parent.name, &step.name);
    let mut inputs = bound.inputs(pipeline, step).await?;
    let mut new = match &step.work {
        Work::Command(job) => {
            let mut job = if bound.thinks() {
                undescribed(job)
            } else {
                (**job).clone()
            };
            fill(&mut job, inputs);
            let (key, reuses) = bound.reused(&mut job, &pipeline.graph).await?;
            settle(&mut job, &name, &pipeline.graph, reuses.as_deref())?;
            // Of what is only thought of, nobody sees it.
            let written = |described: &&mut Box<Described>| !described.leaves_ports_out();
            let shown = job.described.as_mut().filter(|_| !bound.thinks());
            if let Some(described) = shown.filter(written) {
                described.show_ports();
            }
            let new = run_of(step, parent, at, name, job);
            let status = if reuses.is_some() {
                RunStatus::Completed
            } else {
                RunStatus::Queued
            };
            NewRun {
                reuse_key: key,
                status,
                reuses,
                ..new
            }
        }
        Work::Sweep(sweep) => {
            let (mut job, driven) = sweep_job(sweep, inputs, &name, &pipeline.graph)?;
            let (key, reuses) = bound.reused(&mut job, &pipeline.graph).await?;
            let mut new = NewRun {
                reuse_key: key,
                ..run_of(step, parent, at, name, job)
            };
            match reuses {
                Some(reuses) => bound.as_reused_sweep(&mut new, reuses).await?,
                None => new.driven = Some(driven),
            }
            new
        }
        Work::If(_) => return Err(Error::internal("A condition has no run")),
        Work::Loop(work) => {
            let late = bound.rounds(work, inputs.remove(ITEMS)).await?;
            let graph = rounds::graph_of(work, late, inputs, &pipeline.graph);
            let mut outputs = work.outputs.clone();
            for (output, made) in &mut outputs {
                made.path = address(&name, output);
            }
            let (job, driven) = pipeline_run(&graph, work.definition.clone(), outputs, &name)?;
            NewRun {
                driven: Some(driven),
                ..run_of(step, parent, at, name, job)
            }
        }
        Work::Pipeline(nested) => {
            let (job, driven) = nested_run(nested, inputs, &name)?;
            NewRun {
                driven: Some(driven),
                ..run_of(step, parent, at, name, job)
            }
        }
    };
    if let Some(reuses) = &new.reuses {
        new.tags.insert(REUSES_TAG.to_owned(), reuses.clone());
    }
    Ok(new)
}

fn run_of(step: &Step, parent: Parent<'_>, at: usize, name: String, job: Job) -> NewRun {
    let mut tags = step.tags.clone();
    tags.insert(PARENT_TAG.to_owned(), parent.name.to_owned());
    tags.insert(STEP_TAG.to_owned(), step.name.clone());
    let display_name = step.display_name.clone();
    let display_name = display_name.unwrap_or_else(|| step.name.clone());
    tags.insert(NAME_TAG.to_owned(), display_name.clone());
    NewRun {
        workspace: parent.workspace_id,
        experiment: ExperimentRef::Id(parent.experiment),
        display_name,
        status: RunStatus::Queued,
        user: parent.user.to_owned(),
        tags: source_tags(tags, parent.user, &job),
        job: Some(job),
        created_at: parent.now,
        started_at: None,
        driver: Some((parent.id, i64::try_from(at).unwrap_or(i64::MAX))),
        driven: None,
        reuse_key: None,
        reuses: None,
        name,
    }
}

impl Bound<'_> {
    /// Gives the run of a sweep the outputs of another one, with its best trial.
    async fn as_reused_sweep(&self, new: &mut NewRun, reuses: String) -> Result<()> {
        let workspace = self.parent.workspace_id;
        let found = self.service.store.run(workspace, &reuses).await?;
        let tags = found.map(|row| row.run.tags).unwrap_or_default();
        for tag in [BEST_TAG, SCORE_TAG, AUTOML_TAG] {
            let value = tags.get(tag).cloned();
            new.tags.extend(value.map(|value| (tag.to_owned(), value)));
        }
        let described = new.job.as_mut().and_then(|job| job.described.as_mut());
        if let Some(described) = described {
            for (name, output) in &mut described.outputs {
                output.path = address(&reuses, name);
            }
            described.show_ports();
        }
        new.status = RunStatus::Completed;
        new.reuses = Some(reuses);
        Ok(())
    }

    /// What decides whether the step runs, and the run that did the same.
    async fn reused(
        &self,
        job: &mut Job,
        graph: &Graph,
    ) -> Result<(Option<api::files::Hash>, Option<String>)> {
        let Some(described) = &mut job.described else {
            return Ok((None, None));
        };
        if let Some(step) = described.step.as_mut().filter(|step| step.deterministic) {
            step.stamps = reuse::stamps(self.service, &self.parent, &described.inputs).await?;
        }
        let Some(key) = reuse::key(job) else {
            return Ok((None, None));
        };
        if graph.force_rerun {
            return Ok((Some(key), None));
        }
        let Parent {
            workspace_id, root, ..
        } = self.parent;
        let found = self.service.store.reusable(workspace_id, key, root);
        Ok((Some(key), found.await?))
    }
}

/// A job without the words by which it is shown, which are long and decide nothing.
fn undescribed(job: &Job) -> Job {
    let described = job.described.as_deref().map(|described| Described {
        definition: Map::new(),
        inputs: described.inputs.clone(),
        outputs: described.outputs.clone(),
        distribution: described.distribution,
        services: described.services.clone(),
        step: described.step.clone(),
    });
    Job {
        described: described.map(Box::new),
        command: job.command.clone(),
        snapshot: job.snapshot,
        environment: job.environment.clone(),
        environment_variables: job.environment_variables.clone(),
        params: job.params.clone(),
        secrets: job.secrets.clone(),
        timeout_seconds: job.timeout_seconds,
        git: job.git.clone(),
        container: job.container,
    }
}

/// Puts in what had to wait, and keeps what was asked of the outputs.
fn fill(job: &mut Job, inputs: BTreeMap<String, JobInput>) {
    let Some(described) = &mut job.described else {
        return;
    };
    if described.inputs.is_empty() {
        described.inputs = inputs;
    } else {
        described.inputs.extend(inputs);
    }
    let step = described.step.get_or_insert_with(Box::default);
    let placed = described
        .outputs
        .iter()
        .filter(|(_, output)| !output.path.is_empty());
    step.places = placed
        .map(|(name, output)| (name.clone(), output.path.clone()))
        .collect();
}

/// Says where outputs are kept: in places of their own, or where another run has put them.
fn settle(job: &mut Job, run: &str, graph: &Graph, reuses: Option<&str>) -> Result<()> {
    let Some(described) = &mut job.described else {
        return Ok(());
    };
    for (name, output) in &mut described.outputs {
        output.path = match reuses {
            Some(maker) => address(maker, name),
            None => place(output, name, run, graph)?,
        };
    }
    Ok(())
}

/// Where an output is kept.
fn place(output: &JobOutput, name: &str, run: &str, graph: &Graph) -> Result<String> {
    let datastore = &graph.datastore;
    if output.path.is_empty() {
        return Ok(place_of_output(datastore, run, name));
    }
    Template::parse(&output.path).fill(&mut |expression| match expression {
        Expression::Name => Ok(Some(run.to_owned())),
        Expression::Other(word) if word == "default_datastore" => Ok(Some(datastore.clone())),
        Expression::Other(word) if word == PIPELINE_NAME => Ok(Some(graph.name.clone())),
        other => Err(Error::invalid(format!(
            "`{other}` means nothing in the path of an output"
        ))),
    })
}

/// A step that is a sweep: its run says what its trials execute, by which it can be compared.
fn sweep_job(
    sweep: &SweepStep,
    inputs: BTreeMap<String, JobInput>,
    name: &str,
    graph: &Graph,
) -> Result<(Job, NewDriven)> {
    let mut plan = sweep.plan.clone();
    plan.seed = seed_of(name);
    fill(&mut plan.job, inputs);
    let step = plan.job.described.as_ref().and_then(|d| d.step.clone());
    if let Some(described) = &mut plan.job.described {
        described.step = None;
        for output in described.outputs.values_mut() {
            output.path = with_name_of_pipeline(&output.path, graph)?;
        }
        described.show_ports();
    }
    let (mut job, driven) = sweep_run(&plan, sweep.definition.clone(), name)?;
    job.command = plan.job.command;
    job.snapshot = plan.job.snapshot;
    job.environment = plan.job.environment;
    job.environment_variables = plan.job.environment_variables;
    if let Some(described) = &mut job.described {
        described.step = step;
        described.show_ports();
    }
    Ok((job, driven))
}

fn with_name_of_pipeline(path: &str, graph: &Graph) -> Result<String> {
    Template::parse(path).fill(&mut |expression| {
        Ok(Some(match expression {
            Expression::Other(word) if word == PIPELINE_NAME => graph.name.clone(),
            other => other.to_string(),
        }))
    })
}

/// A step that is a pipeline, as a run that is driven in turn.
fn nested_run(
    nested: &Nested,
    inputs: BTreeMap<String, JobInput>,
    name: &str,
) -> Result<(Job, NewDriven)> {
    let mut graph = nested.graph.clone();
    graph.inputs.extend(inputs);
    let outputs = nested.outputs.clone();
    pipeline_run(&graph, nested.definition.clone(), outputs, name)
}

/// A pipeline as a run.
pub fn pipeline_run(
    graph: &Graph,
    definition: Map<String, Value>,
    mut outputs: BTreeMap<String, JobOutput>,
    name: &str,
) -> Result<(Job, NewDriven)> {
    for output in outputs.values_mut() {
        if let Some((step, port)) = step_of_output(&output.path) {
            output.path = address(&name_of(name, &graph.steps[step].name), port);
        }
    }
    let given = given_places(&definition, name);
    let plan = serde_json::to_string(graph).map_err(|e| Error::internal(e.to_string()))?;
    let mut described = Described {
        definition,
        inputs: graph.inputs.clone(),
        outputs,
        ..Described::default()
    };
    described.show_ports();
    // Where its steps put what they make, rather than which of them.
    let shown = described.definition.get_mut("outputs");
    if let Some(shown) = shown.and_then(Value::as_object_mut) {
        for (output, place) in given {
            if let Some(output) = shown.get_mut(&output) {
                output["path"] = Value::from(place);
            }
        }
    }
    let job = Job {
        described: Some(Box::new(described)),
        ..Job::default()
    };
    let driven = NewDriven {
        kind: PIPELINE.to_owned(),
        plan,
        state: "{}".to_owned(),
        watches: None,
    };
    Ok((job, driven))
}

/// The outputs of a pipeline that are given a place, with that.
fn given_places(definition: &Map<String, Value>, name: &str) -> Vec<(String, String)> {
    let outputs = definition.get("outputs").and_then(Value::as_object);
    let places = outputs.into_iter().flatten().filter_map(|(output, given)| {
        let path = given.get("path").and_then(Value::as_str)?;
        let filled = Template::parse(path).fill(&mut |expression| match expression {
            Expression::Name => Ok(Some(name.to_owned())),
            other => Err(other.clone()),
        });
        let filled = filled.ok().filter(|path| !is_of_run(path))?;
        Some((output.clone(), filled))
    });
    places.collect()
}
