//! One step of a pipeline, compiled.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{
    command::Command,
    compile::{Scope, as_shown, defaults, pipeline_of},
    components::{HOLDER, join},
    given::{Given, Inputs, is_data, known, misfit},
    graph::{Binding, Nested, Source, Step, Work},
    ports::{Asked, Output, outputs_of},
};
use crate::{Caller, Service};
use api::{
    Error, Result,
    environments::Environment,
    files::Hash,
    jobs::{CreateJob, JobInput},
};
use spec::expression::{Expression, Template};

pub(super) type Members = Map<String, Value>;
/// Output of the step → output of the pipeline.
type Parents = Vec<(String, String)>;

/// Keys of a step that are not the pipeline's to fill.
const OWN: [&str; 7] = [
    "component",
    "trial",
    "command",
    "task",
    "outputs",
    "inputs",
    "jobs",
];
/// Keys below which texts that are numbers become numbers.
const NUMBERS: [&str; 3] = ["resources", "distribution", "limits"];

/// Compiles steps, and keeps what it has looked up.
pub struct Steps<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
    pub(super) request: &'a CreateJob,
    pub errors: Vec<Error>,
    pub(super) codes: HashMap<String, (Hash, Option<String>)>,
    pub(super) environments: HashMap<String, (Environment, Option<String>)>,
}

/// What a step is given, sorted by when it is known.
#[derive(Default)]
pub(super) struct Ports {
    pub inputs: BTreeMap<String, JobInput>,
    pub bindings: BTreeMap<String, Binding>,
}

impl<'a> Steps<'a> {
    pub fn new(service: &'a Service, caller: &'a Caller, request: &'a CreateJob) -> Self {
        Self {
            service,
            caller,
            request,
            errors: Vec::new(),
            codes: HashMap::new(),
            environments: HashMap::new(),
        }
    }

    /// Compiles a step; none when something is wrong with it.
    pub async fn step(
        &mut self,
        name: &str,
        step: &Members,
        scope: &Scope,
        names: &BTreeMap<&str, usize>,
    ) -> Option<(Step, Parents)> {
        let made = self.made(name, step, scope, names).await;
        made.map_err(|error| {
            let at = join(&scope.at, &format!("jobs.{name}"));
            let at = match &error.target {
                Some(target) => join(&at, target),
                None => at,
            };
            let message = format!("Step `{name}`: {}", error.message);
            self.errors.push(Error { message, ..error }.at(at));
        })
        .ok()
    }

    async fn made(
        &mut self,
        name: &str,
        step: &Members,
        scope: &Scope,
        names: &BTreeMap<&str, usize>,
    ) -> Result<(Step, Parents)> {
        let step = filled(step, &scope.inputs)?;
        let component = step.get("component").or_else(|| step.get("trial"));
        let component = component.and_then(Value::as_object);
        let kind = kind_of(&step, component);
        let mut ports = ports(&step, component, scope, names)?;
        let outputs = outputs_of(&step, component)?;
        let parents: Parents = outputs
            .iter()
            .filter_map(|(name, output)| Some((name.clone(), output.parent.clone()?)))
            .collect();
        let outputs = with_parents(outputs, scope);
        let mut after: Vec<usize> = ports
            .bindings
            .values()
            .filter_map(|binding| match &binding.from {
                Source::Output { step, .. } => Some(*step),
                Source::Parent(_) => None,
            })
            .collect();
        after.sort_unstable();
        after.dedup();
        let work = match (kind, component) {
            ("command", component) => {
                let command = Command {
                    step: &step,
                    component,
                    scope,
                };
                let job = self
                    .command(&command, ports.inputs.clone(), outputs)
                    .await?;
                Work::Command(Box::new(job))
            }
            ("parallel", component) => {
                let ports = &mut ports;
                let job = self.parallel(&step, component, scope, ports, outputs);
                Work::Command(Box::new(job.await?))
            }
            ("sweep", _) => {
                let sweep = self
                    .sweep(&step, scope, ports.inputs.clone(), outputs)
                    .await?;
                Work::Sweep(Box::new(sweep))
            }
            ("pipeline", Some(component)) => {
                let nested = self
                    .nested(name, (&step, component), &ports, outputs, scope)
                    .await;
                Work::Pipeline(Box::new(nested))
            }
            (other, _) => {
                return Err(Error::unsupported(format!(
                    "Steps of type `{other}` are not run here"
                ))
                .at("type"));
            }
        };
        let text = |key: &str| step.get(key).and_then(Value::as_str).map(str::to_owned);
        let step = Step {
            name: name.to_owned(),
            written: (kind == "parallel").then(|| kind.to_owned()),
            display_name: text("display_name"),
            tags: tags(&step),
            after,
            bindings: ports.bindings,
            work,
        };
        Ok((step, parents))
    }

    /// A step that is a pipeline.
    async fn nested(
        &mut self,
        name: &str,
        (step, component): (&Members, &Members),
        ports: &Ports,
        outputs: BTreeMap<String, Asked>,
        scope: &Scope,
    ) -> Nested {
        let mut inputs = Inputs {
            later: ports.bindings.keys().cloned().collect(),
            ..Inputs::default()
        };
        for (name, input) in &ports.inputs {
            let value = match input {
                JobInput::Value { value } => Value::from(value.clone()),
                files @ JobInput::Files { .. } => serde_json::json!(files),
            };
            inputs.known.insert(name.clone(), value);
        }
        defaults(&mut inputs, component);
        let own = |key: &str| {
            let setting = step.get("settings").and_then(|settings| settings.get(key));
            setting.filter(|setting| !setting.is_null()).cloned()
        };
        let holder = component.get(HOLDER).and_then(Value::as_str);
        let inner = Scope {
            inputs,
            outputs,
            compute: own("default_compute").or_else(|| scope.compute.clone()),
            at: join(&scope.at, &format!("jobs.{name}.component")),
            holder: holder.unwrap_or(&scope.holder).to_owned(),
            ..scope.clone()
        };
        let compiled = Box::pin(pipeline_of(self, component, inner)).await;
        let mut definition = as_shown(step);
        definition.insert("type".to_owned(), Value::from("pipeline"));
        Nested {
            graph: compiled.graph,
            definition,
            outputs: compiled.outputs,
        }
    }
}

fn kind_of<'a>(step: &'a Members, component: Option<&'a Members>) -> &'a str {
    let own = |members: &'a Members| members.get("type").and_then(Value::as_str);
    if step.contains_key("trial") && own(step).is_none() {
        return "sweep";
    }
    // A step is a command unless it says otherwise; its component knows better.
    match component.and_then(own) {
        Some(kind) if own(step).is_none_or(|own| own == "command") => kind,
        _ => own(step).unwrap_or("command"),
    }
}

fn tags(step: &Members) -> BTreeMap<String, String> {
    let tags = step.get("tags").and_then(Value::as_object);
    tags.into_iter()
        .flatten()
        .map(|(key, value)| (key.clone(), spec::described::python_text(value)))
        .collect()
}

/// The step with what is known of the pipeline's inputs.
fn filled(step: &Members, inputs: &Inputs) -> Result<Members> {
    let mut filled = Members::new();
    for (key, value) in step {
        let value = match key.as_str() {
            "inputs" => inputs.put_in(value),
            own if OWN.contains(&own) => value.clone(),
            key => {
                let mut value = inputs.put_in(value);
                let left = left_open(&value);
                if let Some(expression) = left.filter(|_| !is_control(step)) {
                    return Err(Error::invalid(format!(
                        "`{expression}` is not known before the pipeline runs"
                    ))
                    .at(key)
                    .hint("Only inputs of a step can come from other steps"));
                }
                if NUMBERS.contains(&key) {
                    make_numbers(&mut value);
                }
                value
            }
        };
        filled.insert(key.clone(), value);
    }
    Ok(filled)
}

/// Steps whose expressions are looked at when they run.
fn is_control(step: &Members) -> bool {
    let kind = step.get("type").and_then(Value::as_str);
    kind.is_some_and(|kind| matches!(kind, "if_else" | "do_while" | "parallel_for" | "parallel"))
}

fn left_open(value: &Value) -> Option<Expression> {
    match value {
        Value::String(text) if text.contains("${{parent.") => {
            Template::parse(text).expressions().next().cloned()
        }
        Value::Array(items) => items.iter().find_map(left_open),
        Value::Object(members) => members.values().find_map(left_open),
        _ => None,
    }
}

fn make_numbers(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(number) = text.trim().parse::<i64>() {
                *value = Value::from(number);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_numbers),
        Value::Object(members) => members.values_mut().for_each(make_numbers),
        _ => {}
    }
}

/// What the step is given, as its component takes it.
fn ports(
    step: &Members,
    component: Option<&Members>,
    scope: &Scope,
    names: &BTreeMap<&str, usize>,
) -> Result<Ports> {
    let none = Members::new();
    let members = |holder: &Members| match holder.get("inputs") {
        Some(Value::Object(inputs)) => inputs.clone(),
        _ => Members::new(),
    };
    let takes = component.map(members);
    let takes = takes.as_ref();
    let given = members(step);
    let position = |name: &str| names.get(name).copied();
    let mut ports = Ports::default();
    for (name, value) in &given {
        let port = takes.map(|takes| port_of(takes, name));
        if port == Some(None) {
            continue;
        }
        let port = port.flatten();
        let at = |error: Error| error.at(format!("inputs.{name}"));
        match scope.inputs.given(value, &position, port).map_err(at)? {
            Given::Known(value) => {
                let input = known(&value, port).map_err(at)?;
                if let Some(error) = port.and_then(|port| misfit(name, &input, port)) {
                    return Err(at(error));
                }
                ports.inputs.insert(name.clone(), input);
            }
            Given::Later(binding) => {
                ports.bindings.insert(name.clone(), binding);
            }
            Given::Nothing => {}
        }
    }
    for (name, port) in takes.unwrap_or(&none) {
        if ports.inputs.contains_key(name) || ports.bindings.contains_key(name) {
            continue;
        }
        let at = |error: Error| error.at(format!("inputs.{name}"));
        let default = port.get("default").filter(|default| !default.is_null());
        let optional = port.get("optional") == Some(&Value::Bool(true));
        match default {
            Some(default) => {
                let input = known(default, Some(port)).map_err(at)?;
                ports.inputs.insert(name.clone(), input);
            }
            None if optional || is_searched(step, name) => {}
            None => {
                let prefix = format!("{name}.");
                if !given.keys().any(|given| given.starts_with(&prefix)) {
                    let kind = port.get("type").and_then(Value::as_str).unwrap_or("string");
                    return Err(at(Error::invalid(format!(
                        "The input `{name}` of the component is not given; it is of type `{kind}`"
                    ))));
                }
            }
        }
    }
    Ok(ports)
}

/// Whether a sweep gives the input its values.
fn is_searched(step: &Members, name: &str) -> bool {
    let space = step.get("search_space").and_then(Value::as_object);
    space.is_some_and(|space| space.contains_key(name))
}

/// What a component says of an input; none when it has no such one.
fn port_of<'a>(takes: &'a Members, name: &str) -> Option<&'a Value> {
    let first = name.split('.').next().unwrap_or(name);
    takes.get(name).or_else(|| takes.get(first))
}

/// The outputs of a step with what its pipeline asks of those that are its own.
fn with_parents(outputs: BTreeMap<String, Output>, scope: &Scope) -> BTreeMap<String, Asked> {
    let asked = |(name, output): (String, Output)| {
        let parent = output.parent.and_then(|parent| scope.outputs.get(&parent));
        let asked = match parent.cloned() {
            Some(mut parent) => {
                // What the step makes is of its own type.
                let kind = output.asked.kind.clone().filter(|kind| is_data(kind));
                parent.kind = kind.or(parent.kind);
                parent.or(output.asked)
            }
            None => output.asked,
        };
        (name, asked)
    };
    outputs.into_iter().map(asked).collect()
}
