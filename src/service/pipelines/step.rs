//! One step of a pipeline, compiled.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::{
    command::Command,
    compile::{Scope, as_shown, container_of, defaults, pipeline_of, together},
    components::{HOLDER, join},
    control::{Around, STEPS, after},
    given::{Given, Inputs, is_data, known, misfit},
    graph::{Binding, Nested, Source, Step, Work},
    items::too_many,
    ports::{Asked, Output, outputs_of},
};
use crate::{Caller, Service, automl};
use api::{
    Error, Result,
    environments::Environment,
    files::Hash,
    jobs::{CreateJob, JobInput},
};
use spec::{
    expression::{Expression, Template},
    graph::of_step,
};

pub(super) type Members = Map<String, Value>;
/// Output of the step → output of the pipeline.
pub(super) type Parents = Vec<(String, String)>;

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

static NONE: std::sync::LazyLock<Members> = std::sync::LazyLock::new(Members::new);

/// Compiles steps, and keeps what it has looked up.
pub struct Steps<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
    pub(super) request: &'a CreateJob,
    /// Whether what the steps need besides is stored; not where they are only planned.
    pub(super) stores: bool,
    pub errors: Vec<Error>,
    /// Steps so far, with the rounds of loops.
    count: usize,
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
    pub fn new(
        service: &'a Service,
        caller: &'a Caller,
        request: &'a CreateJob,
        stores: bool,
    ) -> Self {
        Self {
            service,
            caller,
            request,
            stores,
            errors: Vec::new(),
            count: 0,
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
        around: &Around<'_>,
    ) -> Option<(Step, Parents)> {
        let kind = step.get("type").and_then(Value::as_str);
        let made = match kind {
            Some("if_else") => {
                let made = self.if_else(name, step, scope, around);
                made.map(|step| (step, Parents::new()))
            }
            Some("do_while" | "parallel_for") => {
                Box::pin(self.looped(name, step, scope, around)).await
            }
            _ => self.made(name, step, scope, around).await,
        };
        made.map_err(|mut error| {
            let more = std::mem::take(&mut error.others);
            for error in std::iter::once(error).chain(more) {
                let at = join(&scope.at, &format!("jobs.{name}"));
                let at = match &error.target {
                    Some(target) => join(&at, target),
                    None => at,
                };
                let message = of_step(name) + &error.message;
                self.errors.push(Error { message, ..error }.at(at));
            }
        })
        .ok()
    }

    pub(super) async fn made(
        &mut self,
        name: &str,
        step: &Members,
        scope: &Scope,
        around: &Around<'_>,
    ) -> Result<(Step, Parents)> {
        self.count += 1;
        if self.count > STEPS {
            return Err(too_many());
        }
        let written = (step.get("type").is_some_and(|kind| kind == automl::TYPE)).then_some(step);
        let mut step = match written {
            Some(job) => filled(&automl::with_inputs(job), &scope.inputs)?,
            None => filled(step, &scope.inputs)?,
        };
        let search = match written {
            Some(_) => {
                let sweep = automl::as_step(&step)?;
                Some(std::mem::replace(&mut step, sweep))
            }
            None => None,
        };
        let component = step.get("component").or_else(|| step.get("trial"));
        let component = component.and_then(Value::as_object);
        let kind = kind_of(&step, component);
        let mut wrong = unknown_component(&step);
        let mut ports = ports(&step, component, scope, around, &mut wrong);
        let outputs = outputs_of(&step, component)?;
        let parents: Parents = outputs
            .iter()
            .filter_map(|(name, output)| Some((name.clone(), output.parent.clone()?)))
            .collect();
        let outputs = with_parents(outputs, scope);
        let after = after(&ports.bindings);
        let anywhere;
        let mut scope = scope;
        if !matches!(kind, "pipeline" | "spark") {
            let command = Command {
                step: &step,
                component,
                scope,
            };
            if let Err(error) = command.compute() {
                wrong.push(error);
                // What else is wrong is seen all the same.
                anywhere = Scope {
                    compute: Some(Value::from("azureml:any")),
                    ..scope.clone()
                };
                scope = &anywhere;
            }
        }
        let work = self.work((name, kind), (&step, component), &mut ports, outputs, scope);
        let mut work = match work.await {
            Ok(work) if wrong.is_empty() => work,
            Ok(_) => return Err(together(wrong)),
            Err(error) if wrong.contains(&error) || !unknown_component(&step).is_empty() => {
                return Err(together(wrong));
            }
            Err(error) => {
                wrong.push(error);
                return Err(together(wrong));
            }
        };
        if let (Work::Sweep(sweep), Some(search), Some(written)) = (&mut work, &search, written) {
            let driver = self.with_driver(None, &automl::DRIVER).await?;
            automl::complete(&mut sweep.plan, search, driver);
            let compute = sweep.definition.shift_remove("compute");
            sweep.definition = automl::shown(as_shown(written), search);
            let compute = compute.map(|compute| ("compute".to_owned(), compute));
            sweep.definition.extend(compute);
        }
        let text = |key: &str| step.get(key).and_then(Value::as_str).map(str::to_owned);
        let step = Step {
            name: name.to_owned(),
            written: match kind {
                "parallel" | "data_transfer" | "spark" => Some(kind.to_owned()),
                _ => written.map(|_| automl::TYPE.to_owned()),
            },
            display_name: text("display_name"),
            tags: tags(&step),
            after,
            when: Vec::new(),
            bindings: ports.bindings,
            work,
        };
        Ok((step, parents))
    }

    /// What a step does.
    async fn work(
        &mut self,
        (name, kind): (&str, &str),
        (step, component): (&Members, Option<&Members>),
        ports: &mut Ports,
        outputs: BTreeMap<String, Asked>,
        scope: &Scope,
    ) -> Result<Work> {
        let work = match (kind, component) {
            ("command", component) => {
                let command = Command {
                    step,
                    component,
                    scope,
                };
                let job = self
                    .command(&command, ports.inputs.clone(), outputs)
                    .await?;
                Work::Command(Box::new(job))
            }
            ("parallel", component) => {
                let job = self.parallel(step, component, scope, ports, outputs);
                Work::Command(Box::new(job.await?))
            }
            ("data_transfer", component) => {
                let job = self.transfer(step, component, scope, ports, outputs);
                Work::Command(Box::new(job.await?))
            }
            ("spark", component) => {
                let job = self.spark(step, component, scope, ports, outputs);
                Work::Command(Box::new(job.await?))
            }
            ("sweep", _) => {
                let sweep = self
                    .sweep(step, scope, ports.inputs.clone(), outputs)
                    .await?;
                Work::Sweep(Box::new(sweep))
            }
            ("pipeline", Some(component)) => {
                let nested = self
                    .nested(name, (step, component), ports, outputs, scope)
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
        Ok(work)
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
        let bound = ports.bindings.keys();
        let mut inputs = Inputs {
            later: bound.chain(&scope.late).cloned().collect(),
            ..Inputs::default()
        };
        let (late, known): (Vec<_>, Vec<_>) = ports
            .inputs
            .iter()
            .partition(|(name, _)| scope.late.contains(*name));
        for (name, input) in known {
            let value = match input {
                JobInput::Value { value, .. } => Value::from(value.clone()),
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
            container: container_of(step)
                .or_else(|| container_of(component))
                .or_else(|| scope.container.clone()),
            at: join(&scope.at, &format!("jobs.{name}.component")),
            holder: holder.unwrap_or(&scope.holder).to_owned(),
            late: BTreeSet::new(),
            ..scope.clone()
        };
        let mut compiled = Box::pin(pipeline_of(self, component, inner)).await;
        // What they are in the first round.
        let late = late.into_iter();
        let late = late.map(|(name, input)| (name.clone(), input.clone()));
        compiled.graph.inputs.extend(late);
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
pub(super) fn filled(step: &Members, inputs: &Inputs) -> Result<Members> {
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
    kind.is_some_and(|kind| matches!(kind, "if_else" | "do_while" | "parallel_for"))
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
fn ports<'a>(
    step: &'a Members,
    component: Option<&'a Members>,
    scope: &Scope,
    around: &Around<'_>,
    wrong: &mut Vec<Error>,
) -> Ports {
    let inputs_of = |holder: &'a Members| holder.get("inputs").and_then(Value::as_object);
    let takes = component.map(|component| inputs_of(component).unwrap_or(&NONE));
    let given = inputs_of(step).unwrap_or(&NONE);
    let position = |name: &str| around.positions.get(name).copied();
    let mut ports = Ports::default();
    for (name, value) in given {
        let port = takes.map(|takes| port_of(takes, name));
        if port == Some(None) {
            continue;
        }
        let port = port.flatten();
        // Of thousands most are nothing but an output of another step.
        let output = value.as_str().and_then(Expression::step_output);
        if let (None, Some((step, output))) = (port, output)
            && let Some(at) = position(step)
        {
            let binding = Binding {
                from: Source::Output {
                    step: at,
                    output: output.to_owned(),
                },
                kind: None,
                mode: None,
                value: around.is_value(step, output),
                fits: Members::new(),
            };
            ports.bindings.insert(name.clone(), binding);
            continue;
        }
        let given = scope.inputs.given(value, &position, port);
        let taken = given.and_then(|given| match given {
            Given::Known(value) => {
                let input = known(&value, port)?;
                let takes = port.and_then(Value::as_object);
                let misfit = takes.and_then(|port| misfit(name, &input, port));
                ports.inputs.insert(name.clone(), input);
                misfit.map_or(Ok(()), Err)
            }
            Given::Later(mut binding) => {
                binding.value = is_value(value, around, port);
                ports.bindings.insert(name.clone(), binding);
                around.misfit(name, value, port).map_or(Ok(()), Err)
            }
            Given::Nothing => Ok(()),
        });
        wrong.extend(taken.err().map(|error| error.at(format!("inputs.{name}"))));
    }
    for (name, port) in takes.unwrap_or(&NONE) {
        let taken = ports.inputs.contains_key(name) || ports.bindings.contains_key(name);
        let said = format!("inputs.{name}");
        if taken
            || wrong
                .iter()
                .any(|error| error.target.as_ref() == Some(&said))
        {
            continue;
        }
        let default = port.get("default").filter(|default| !default.is_null());
        let optional = port.get("optional") == Some(&Value::Bool(true));
        match default.map(|default| known(default, Some(port))) {
            Some(Ok(input)) => {
                ports.inputs.insert(name.clone(), input);
            }
            Some(Err(error)) => wrong.push(error.at(said)),
            None if optional || is_searched(step, name) => {}
            None => {
                let prefix = format!("{name}.");
                if !given.keys().any(|given| given.starts_with(&prefix)) {
                    let kind = port.get("type").and_then(Value::as_str).unwrap_or("string");
                    let error = Error::invalid(format!(
                        "The input `{name}` of the component is not given; it is of type `{kind}`"
                    ));
                    wrong.push(error.at(said));
                }
            }
        }
    }
    ports
}

/// That a component was not found was said already; what it takes is not known.
fn unknown_component(step: &Members) -> Vec<Error> {
    let named = ["component", "trial"].map(|key| (key, step.get(key)));
    let named = named
        .into_iter()
        .find(|(_, value)| value.is_some_and(Value::is_string));
    let error = named.map(|(key, _)| Error::not_found("The component was not found").at(key));
    error.into_iter().collect()
}

/// Whether what is given is the text that another step wrote, not the file.
fn is_value(given: &Value, around: &Around<'_>, port: Option<&Value>) -> bool {
    let text = given.as_str().or_else(|| given.get("path")?.as_str());
    let takes_data = port.and_then(|port| port.get("type")?.as_str());
    match Expression::only(text.unwrap_or_default()) {
        Some(Expression::StepOutput { step, output }) => {
            !takes_data.is_some_and(is_data) && around.is_value(&step, &output)
        }
        _ => false,
    }
}

/// Whether a sweep gives the input its values.
fn is_searched(step: &Members, name: &str) -> bool {
    let space = step.get("search_space").and_then(Value::as_object);
    space.is_some_and(|space| space.contains_key(name))
}

/// What a component says of an input; none when it has no such one.
pub(super) fn port_of<'a>(takes: &'a Members, name: &str) -> Option<&'a Value> {
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
