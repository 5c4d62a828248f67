//! One step of a pipeline, compiled.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value};

use super::{
    compile::{Scope, as_shown, defaults, pipeline_of},
    components::{FILES, HOLDER, REFERENCE, join},
    given::{Given, Inputs, is_data, known, misfit},
    graph::{Binding, Nested, Source, Step, Work},
    ports::{Asked, Output, outputs_of},
};
use crate::{Caller, Service, jobs::job_of};
use api::{
    Error, Result,
    environments::Environment,
    files::Hash,
    jobs::{CreateJob, Described, JobInput, StepFacts},
    runs::Job,
};
use spec::{
    expression::{Expression, Template},
    kinds::{environment::EnvironmentSource, job::CommandJob},
    shape::Described as _,
};

type Members = Map<String, Value>;
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
/// What a step may say in place of its component.
const COMMAND: [&str; 8] = [
    "command",
    "code",
    "environment",
    "environment_variables",
    "resources",
    "distribution",
    "queue_settings",
    "limits",
];

/// Compiles steps, and keeps what it has looked up.
pub struct Steps<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
    request: &'a CreateJob,
    pub errors: Vec<Error>,
    codes: HashMap<String, (Hash, Option<String>)>,
    environments: HashMap<String, (Environment, Option<String>)>,
}

/// What a step is given, sorted by when it is known.
#[derive(Default)]
struct Ports {
    inputs: BTreeMap<String, JobInput>,
    bindings: BTreeMap<String, Binding>,
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
        let component = step.get("component").and_then(Value::as_object);
        let kind = kind_of(&step, component);
        let ports = ports(&step, component, scope, names)?;
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
        let bindings = ports.bindings.clone();
        let work = match (kind, component) {
            ("command", component) => {
                let command = Command {
                    step: &step,
                    component,
                    scope,
                };
                let job = self.command(&command, ports.inputs, outputs).await?;
                Work::Command(Box::new(job))
            }
            ("pipeline", Some(component)) => {
                let nested = self
                    .nested(name, (&step, component), ports, outputs, scope)
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
            display_name: text("display_name"),
            tags: tags(&step),
            after,
            bindings,
            work,
        };
        Ok((step, parents))
    }

    async fn command(
        &mut self,
        command: &Command<'_>,
        inputs: BTreeMap<String, JobInput>,
        outputs: BTreeMap<String, Asked>,
    ) -> Result<Job> {
        let mut definition = command.definition()?;
        let written = CommandJob::read(Some(&Value::Object(definition.clone())));
        let written = written.map_err(|mismatch| {
            Error::invalid(format!("The step is not understood: {mismatch}"))
        })?;
        let holder = command.holder();
        let snapshot = match (&written.run.code, command.files()) {
            (_, Some(files)) => {
                let workspace = &self.request.workspace;
                self.service
                    .have_tree(self.caller, workspace, holder, files)
                    .await?;
                definition.remove("code");
                Some(files)
            }
            (Some(code), None) => {
                let (files, reference) = self.code(holder, code).await?;
                if let Some(reference) = reference {
                    definition.insert("code".to_owned(), Value::from(reference));
                }
                Some(files)
            }
            (None, None) => None,
        };
        let holder = command.holder_of("environment");
        let source = &written.run.environment;
        let (environment, reference) = self.environment(holder, source).await?;
        if let Some(reference) = reference {
            definition.insert("environment".to_owned(), Value::from(reference));
        }
        let mut job = job_of(&written, snapshot, environment)?;
        if let Some(described) = &mut job.described {
            let outputs = outputs.into_iter();
            described.inputs = inputs;
            described.outputs = outputs
                .map(|(name, asked)| (name, asked.into_output()))
                .collect();
            described.definition = definition;
            described.step = Some(Box::new(StepFacts {
                deterministic: command.is_deterministic(),
                ..StepFacts::default()
            }));
            self.check(described).await?;
        }
        Ok(job)
    }

    /// Looks at the ports as whoever asks: the worker that runs the step may do more.
    async fn check(&self, described: &Described) -> Result<()> {
        let placed = described
            .outputs
            .iter()
            .filter(|(_, output)| !output.path.is_empty());
        let known = Described {
            inputs: described.inputs.clone(),
            outputs: placed
                .map(|(name, output)| (name.clone(), output.clone()))
                .collect(),
            distribution: described.distribution,
            ..Described::default()
        };
        self.service
            .check_described(self.caller, &self.request.workspace, &known)
            .await
    }

    async fn code(&mut self, holder: &str, code: &str) -> Result<(Hash, Option<String>)> {
        let key = format!("{holder} {code}");
        if let Some(known) = self.codes.get(&key) {
            return Ok(known.clone());
        }
        let workspace = &self.request.workspace;
        let found = self
            .service
            .resolve_code(self.caller, workspace, holder, code);
        let found = found.await?;
        self.codes.insert(key, found.clone());
        Ok(found)
    }

    async fn environment(
        &mut self,
        holder: &str,
        source: &EnvironmentSource,
    ) -> Result<(Environment, Option<String>)> {
        let key = format!("{holder} {}", source.write().unwrap_or_default());
        if let Some(known) = self.environments.get(&key) {
            return Ok(known.clone());
        }
        let found = self
            .service
            .resolve_environment(self.caller, holder, source);
        let (environment, reference) = found.await?;
        let found = match &self.request.search_path {
            Some(path) => (environment.found_in(path), reference),
            None => (environment, reference),
        };
        self.environments.insert(key, found.clone());
        Ok(found)
    }

    /// A step that is a pipeline.
    async fn nested(
        &mut self,
        name: &str,
        (step, component): (&Members, &Members),
        ports: Ports,
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

/// A step that runs a command.
struct Command<'a> {
    step: &'a Members,
    component: Option<&'a Members>,
    scope: &'a Scope,
}

impl Command<'_> {
    /// As the description of a job without ports.
    fn definition(&self) -> Result<Members> {
        let mut definition = Members::new();
        definition.insert("type".to_owned(), Value::from("command"));
        if let Some(component) = self.component {
            let reference = component.get(REFERENCE);
            let shown = reference.or_else(|| component.get("name")).cloned();
            definition.extend(shown.map(|shown| ("component".to_owned(), shown)));
        }
        for key in COMMAND {
            let own = self.step.get(key).filter(|value| !value.is_null());
            let inherited = self.component.and_then(|component| component.get(key));
            let value = match (own, inherited.filter(|value| !value.is_null())) {
                (Some(Value::Object(own)), Some(Value::Object(inherited)))
                    if key == "environment_variables" =>
                {
                    let mut both = inherited.clone();
                    both.extend(own.clone());
                    Value::Object(both)
                }
                (Some(own), _) => own.clone(),
                (None, Some(inherited)) => inherited.clone(),
                (None, None) => continue,
            };
            definition.insert(key.to_owned(), value);
        }
        // Steps and components cannot be read as jobs where they name what only they have.
        if let Some(code) = definition.get("code").and_then(Value::as_str)
            && self.files().is_some()
            && !code.starts_with("azureml:")
        {
            definition.shift_remove("code");
        }
        definition.extend(self.compute()?.map(|value| ("compute".to_owned(), value)));
        for key in ["services", "identity"] {
            let own = self.step.get(key).filter(|value| !value.is_null());
            definition.extend(own.map(|value| (key.to_owned(), value.clone())));
        }
        Ok(definition)
    }

    fn compute(&self) -> Result<Option<Value>> {
        let own = self.step.get("compute").filter(|value| !value.is_null());
        let compute = own.or(self.scope.compute.as_ref());
        match compute {
            Some(compute) => Ok(Some(compute.clone())),
            None => Err(Error::invalid("The step has no compute")
                .at("compute")
                .hint("Give it a `compute`, or all steps one: settings: {default_compute: azureml:serverless}")),
        }
    }

    /// Where what the component names is looked up.
    fn holder(&self) -> &str {
        let own = self.component.and_then(|component| component.get(HOLDER));
        own.and_then(Value::as_str).unwrap_or(&self.scope.holder)
    }

    /// The same of what either the step or its component says.
    fn holder_of(&self, key: &str) -> &str {
        if self.step.get(key).is_some_and(|value| !value.is_null()) {
            return &self.scope.holder;
        }
        self.holder()
    }

    /// The same inputs give the same outputs, unless the component says otherwise.
    fn is_deterministic(&self) -> bool {
        let said = self
            .component
            .and_then(|component| component.get("is_deterministic"));
        said.and_then(Value::as_bool) != Some(false)
    }

    /// The files that came with the component.
    fn files(&self) -> Option<Hash> {
        let files = self.component?.get(FILES)?.as_str()?;
        Hash::parse(files).ok()
    }
}

fn kind_of<'a>(step: &'a Members, component: Option<&'a Members>) -> &'a str {
    let own = |members: &'a Members| members.get("type").and_then(Value::as_str);
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
            None if optional => {}
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
