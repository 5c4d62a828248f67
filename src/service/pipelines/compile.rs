//! From the description of a pipeline to its graph, with all that is wrong with it at once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::{
    child::PIPELINE_NAME,
    components::{HOLDER, Lookup, join, shown},
    control::Around,
    given::Inputs,
    graph::{Graph, Step, Work, output_of_step},
    ports::Asked,
    step::Steps,
};
use crate::{
    Caller, Service,
    deployment_settings::{CONTAINER, yes_or_no},
};
use api::{
    Error, Result,
    jobs::{CreateJob, JobInput, JobOutput},
    runs::Job,
};
use spec::{
    expression::{Expression, Template},
    graph,
};

/// A pipeline that can run.
pub struct Compiled {
    pub graph: Graph,
    pub outputs: BTreeMap<String, JobOutput>,
}

/// What holds for all steps of a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// The name of the whole pipeline's run.
    pub name: String,
    pub inputs: Inputs,
    pub outputs: BTreeMap<String, Asked>,
    pub compute: Option<Value>,
    /// What is said of containers for all steps that do not say it themselves.
    pub container: Option<Value>,
    pub datastore: String,
    pub go_on: bool,
    pub force_rerun: bool,
    /// The keys that lead to the pipeline in what was sent.
    pub at: String,
    /// Where what it names is looked up.
    pub holder: String,
    /// Inputs of the step that is compiled which a loop may replace.
    pub late: BTreeSet<String>,
}

/// Compiles the definition of a pipeline job. What its steps need besides is stored if it `stores`.
pub async fn compile(
    service: &Service,
    caller: &Caller,
    request: &CreateJob,
    mut definition: Map<String, Value>,
    stores: bool,
) -> Result<Compiled> {
    let mut lookup = Lookup::new(service, caller);
    lookup
        .pipeline(&mut definition, &request.workspace, "")
        .await;
    let mut errors = std::mem::take(&mut lookup.errors);
    let Some((pipeline, at)) = parts(&definition, &mut errors) else {
        return Err(together(errors));
    };
    let holder = text(pipeline, HOLDER).unwrap_or(&request.workspace);
    let mut scope_errors = Vec::new();
    let scope = scope_of(
        service,
        caller,
        request,
        (&definition, pipeline),
        &mut scope_errors,
    );
    let scope = Scope {
        at,
        holder: holder.to_owned(),
        ..scope.await?
    };
    errors.extend(scope_errors);
    let mut steps = Steps::new(service, caller, request, stores);
    let compiled = pipeline_of(&mut steps, pipeline, scope).await;
    add_new(&mut errors, steps.errors);
    if !errors.is_empty() {
        return Err(together(errors));
    }
    Ok(compiled)
}

/// Adds what was not said already: of how steps are wired some is seen twice.
fn add_new(errors: &mut Vec<Error>, more: Vec<Error>) {
    let known = errors.len();
    for error in more {
        let said = errors[..known].iter().any(|known| {
            let inside = error.target.as_ref().zip(known.target.as_ref());
            let inside = inside.is_some_and(|(error, known)| error.starts_with(known.as_str()));
            error.target == known.target
                || (inside && error.message.starts_with(known.message.as_str()))
        });
        if !said {
            errors.push(error);
        }
    }
}

/// What has the steps: the job itself, or the component that it names; and the keys that lead there.
/// Sees what is wrong with its wiring.
fn parts<'a>(
    definition: &'a Map<String, Value>,
    errors: &mut Vec<Error>,
) -> Option<(&'a Map<String, Value>, String)> {
    let component = definition.get("component").and_then(Value::as_object);
    let (pipeline, at) = match component {
        Some(component) => (component, "component".to_owned()),
        None => (definition, String::new()),
    };
    wiring(pipeline, &at, errors);
    let steps = pipeline.get("jobs").and_then(Value::as_object);
    if steps.is_some_and(|steps| !steps.is_empty()) {
        return Some((pipeline, at));
    }
    if errors.is_empty() {
        errors.push(
            Error::invalid("The pipeline has no steps")
                .at("jobs")
                .hint("Write at least one below `jobs`"),
        );
    }
    None
}

/// What is wrong with how steps are wired, in pipelines below this one as well.
fn wiring(pipeline: &Map<String, Value>, at: &str, errors: &mut Vec<Error>) {
    for wrong in graph::check(pipeline).into_iter().filter(|w| !w.harmless) {
        let place = join(at, &wrong.path.join("."));
        let mut error = Error::invalid(wrong.fault.message).at(place);
        error.hints.extend(wrong.fault.hint);
        errors.push(error);
    }
    let steps = pipeline.get("jobs").and_then(Value::as_object);
    for (name, step) in steps.into_iter().flatten() {
        let component = step.get("component").and_then(Value::as_object);
        if let Some(component) = component.filter(|component| component.contains_key("jobs")) {
            wiring(
                component,
                &join(at, &format!("jobs.{name}.component")),
                errors,
            );
        }
    }
}

async fn scope_of(
    service: &Service,
    caller: &Caller,
    request: &CreateJob,
    (definition, pipeline): (&Map<String, Value>, &Map<String, Value>),
    errors: &mut Vec<Error>,
) -> Result<Scope> {
    let settings = definition.get("settings").and_then(Value::as_object);
    let setting = |key: &str| settings.and_then(|settings| settings.get(key));
    let named = |key: &str| setting(key).and_then(Value::as_str);
    // A slip that Azure ML takes without a word, and files have.
    let datastore = named("default_datastore").or_else(|| named("default_datestore"));
    let datastore = datastore.map(|name| name.trim_start_matches("azureml:").to_owned());
    let datastore = service
        .datastore_named(caller, &request.workspace, datastore)
        .await
        .map_err(|error| error.at("settings.default_datastore"));
    let datastore = match datastore {
        Err(error) if error.code.retryable() => return Err(error),
        Err(error) => {
            errors.push(error);
            String::new()
        }
        Ok(datastore) => datastore,
    };
    let mut inputs = Inputs::default();
    let given = definition.get("inputs").and_then(Value::as_object);
    for (name, value) in given.into_iter().flatten() {
        inputs.known.insert(name.clone(), value.clone());
    }
    defaults(&mut inputs, pipeline);
    let mut outputs = BTreeMap::new();
    for holder in [pipeline, definition] {
        let written = holder.get("outputs").and_then(Value::as_object);
        for (name, value) in written.into_iter().flatten() {
            let mut asked = match Asked::read(Some(value)) {
                Ok(asked) => asked,
                Err(error) => {
                    errors.push(error.at(format!("outputs.{name}")));
                    continue;
                }
            };
            asked = asked.in_its_own_place();
            asked.path = asked.path.map(|path| of_pipeline(&path));
            let before = outputs.remove(name).unwrap_or_default();
            outputs.insert(name.clone(), asked.or(before));
        }
    }
    let container = container_of(definition).or_else(|| container_of(pipeline));
    let container = match container.as_ref().map(yes_or_no).transpose() {
        Ok(_) => container,
        Err(error) => {
            errors.push(error);
            None
        }
    };
    Ok(Scope {
        name: request.name.clone(),
        inputs,
        outputs,
        compute: setting("default_compute")
            .or_else(|| definition.get("compute"))
            .filter(|compute| !compute.is_null())
            .cloned(),
        container,
        datastore,
        go_on: setting("continue_on_step_failure").and_then(Value::as_bool) != Some(false),
        force_rerun: setting("force_rerun").and_then(Value::as_bool) == Some(true),
        ..Scope::default()
    })
}

/// What the properties of a pipeline or a step, or the settings of a pipeline, say of containers.
pub fn container_of(members: &Map<String, Value>) -> Option<Value> {
    let mut said = ["properties", "settings"].into_iter();
    said.find_map(|key| {
        let said = members.get(key)?.get(CONTAINER)?;
        (!said.is_null()).then(|| said.clone())
    })
}

/// Fills in the defaults of the inputs of a pipeline component.
pub fn defaults(inputs: &mut Inputs, component: &Map<String, Value>) {
    let ports = component.get("inputs").and_then(Value::as_object);
    for (name, port) in ports.into_iter().flatten() {
        let default = port.get("default").filter(|default| !default.is_null());
        if let Some(default) = default
            && !inputs.later.contains(name)
        {
            let default = || default.clone();
            inputs.known.entry(name.clone()).or_insert_with(default);
        }
    }
}

/// The path of an output of the pipeline, for the steps that make it.
fn of_pipeline(path: &str) -> String {
    let filled = Template::parse(path).fill(&mut |expression| -> Result<_> {
        Ok(Some(match expression {
            Expression::Name => Expression::Other(PIPELINE_NAME.to_owned()).to_string(),
            other => other.to_string(),
        }))
    });
    filled.unwrap_or_else(|_| path.to_owned())
}

/// Compiles the steps of a pipeline. What is wrong is kept by `steps`.
pub async fn pipeline_of(
    steps: &mut Steps<'_>,
    pipeline: &Map<String, Value>,
    scope: Scope,
) -> Compiled {
    let none = Map::new();
    let jobs = pipeline.get("jobs").and_then(Value::as_object);
    let jobs = jobs.unwrap_or(&none);
    let mut wrong = Vec::new();
    let around = Around::of(jobs, &mut wrong);
    steps.errors.extend(wrong.into_iter().map(|error| {
        let at = join(&scope.at, error.target.as_deref().unwrap_or_default());
        error.at(at)
    }));
    let mut compiled: Vec<Option<Step>> = Vec::with_capacity(jobs.len());
    let mut outputs = BTreeMap::new();
    let own = jobs
        .iter()
        .filter(|(name, _)| !around.bodies.contains_key(name.as_str()));
    for (at, (name, step)) in own.enumerate() {
        let made = match step.as_object() {
            Some(step) => Box::pin(steps.step(name, step, &scope, &around)).await,
            None => None,
        };
        let Some((made, parents)) = made else {
            compiled.push(None);
            continue;
        };
        for (output, parent) in parents {
            let known = made.outputs().and_then(|outputs| outputs.get(&output));
            if let Some(known) = known {
                let path = output_of_step(at, &output);
                outputs.insert(
                    parent,
                    JobOutput {
                        path,
                        name: None,
                        version: None,
                        ..known.clone()
                    },
                );
            }
        }
        compiled.push(Some(made));
    }
    check_outputs(&compiled, &scope, &mut steps.errors);
    let compiled = with_conditions(compiled.into_iter().flatten().collect());
    let inputs = scope.inputs.known.iter();
    let inputs = inputs.filter_map(|(name, value)| {
        let port = pipeline.get("inputs").and_then(|ports| ports.get(name));
        let port = port.filter(|_| !scope.at.is_empty());
        Some((name.clone(), super::given::known(value, port).ok()?))
    });
    let inputs: BTreeMap<String, JobInput> = inputs.collect();
    Compiled {
        graph: Graph {
            name: scope.name,
            inputs,
            steps: compiled,
            datastore: scope.datastore,
            go_on: scope.go_on,
            force_rerun: scope.force_rerun,
            ..Graph::default()
        },
        outputs,
    }
}

/// Lets the steps of blocks wait for what decides about them.
fn with_conditions(mut steps: Vec<Step>) -> Vec<Step> {
    for at in 0..steps.len() {
        let Work::If(choice) = &steps[at].work else {
            continue;
        };
        let choice = choice.clone();
        for (block, wanted) in [(choice.yes, true), (choice.no, false)] {
            for step in block {
                if let Some(step) = steps.get_mut(step) {
                    step.when.push((at, wanted));
                    step.after.push(at);
                    step.after.sort_unstable();
                    step.after.dedup();
                }
            }
        }
    }
    steps
}

/// Sees that every output that a step waits for is made, which files alone cannot tell.
fn check_outputs(steps: &[Option<Step>], scope: &Scope, errors: &mut Vec<Error>) {
    use super::graph::Source;
    for step in steps.iter().flatten() {
        for (input, binding) in &step.bindings {
            let Source::Output { step: from, output } = &binding.from else {
                continue;
            };
            let Some(Some(source)) = steps.get(*from) else {
                continue;
            };
            let made = source.outputs().is_some_and(|o| o.contains_key(output));
            if !made && output != "artifacts" {
                let all: Vec<&str> = source
                    .outputs()
                    .into_iter()
                    .flat_map(|outputs| outputs.keys().map(String::as_str))
                    .collect();
                let nearest = api::names::nearest(output, all.iter().copied());
                let place = format!(" of the step `{}`", source.name);
                let key = match input.strip_prefix('@') {
                    Some(own) => own.to_owned(),
                    None => format!("inputs.{input}"),
                };
                let at = join(&scope.at, &format!("jobs.{}.{key}", step.name));
                errors.push(Error::unknown("output", output, &place, nearest).at(at));
            }
        }
    }
}

fn text<'a>(members: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    members.get(key).and_then(Value::as_str)
}

/// All errors as one.
pub fn together(mut errors: Vec<Error>) -> Error {
    let mut first = errors.remove(0);
    first.others.append(&mut errors);
    first
}

/// A definition as it is shown, with the names of the components that were looked up.
pub fn as_shown(step: &Map<String, Value>) -> Map<String, Value> {
    let show = |(key, value): (&String, &Value)| {
        let value = match value {
            Value::Object(component) if key == "component" => shown(component),
            other => other.clone(),
        };
        (key.clone(), value)
    };
    step.iter().map(show).collect()
}

/// Shows a step that became a command as it was written, with these of what the command was found
/// to be.
pub fn show_as_written(job: &mut Job, step: &Map<String, Value>, kind: &str, found: &[&str]) {
    if let Some(described) = &mut job.described {
        let mut definition = as_shown(step);
        definition.insert("type".to_owned(), Value::from(kind));
        for key in found {
            let value = described.definition.get(*key).cloned();
            definition.extend(value.map(|value| ((*key).to_owned(), value)));
        }
        described.definition = definition;
    }
}
