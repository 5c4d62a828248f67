//! What must hold between the parts of a file: expressions lead somewhere, steps are wired, no step
//! waits for itself.
//!
//! Works on the canonical form, so it can be asked again where no file is.

mod interface;

#[cfg(test)]
mod tests;

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap, HashSet},
};

use serde_json::{Map as Object, Value};

use super::{
    expression::{Expression, Template, is_open},
    shape::{Fault, Wrong},
};
use api::names;
use interface::Interface;
pub use interface::check_ports;

type Members = Object<String, Value>;

/// How messages about something begin that has a name.
pub fn called_by(what: &str, name: &str) -> String {
    format!("{what} `{name}`: ")
}

/// How messages about a step begin.
pub fn of_step(name: &str) -> String {
    called_by("Step", name)
}

/// A command with inputs and outputs of its own: every expression names one of them.
pub fn check_command(members: &Members) -> Vec<Wrong> {
    let scope = Scope {
        inputs: keys(members, "inputs"),
        outputs: keys(members, "outputs"),
        search_space: keys(members, "search_space"),
    };
    let mut wrong = Vec::new();
    let path = if members.contains_key("trial") {
        vec!["trial", "command"]
    } else {
        vec!["command"]
    };
    let command = path
        .iter()
        .try_fold(None, |found: Option<&Value>, key| match found {
            None => members.get(*key).map(Some),
            Some(value) => value.get(*key).map(Some),
        });
    if let Some(text) = command.flatten().and_then(Value::as_str) {
        let own: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        scope.check(text, &own, &mut wrong);
    }
    wrong
}

/// The steps of a pipeline job that do not say where they run, nor does the job. A flag may say it yet.
pub fn without_compute(job: &Members) -> Vec<Wrong> {
    let settings = job.get("settings").and_then(Value::as_object);
    let said = settings.is_some_and(|settings| settings.contains_key("default_compute"));
    if said || job.contains_key("compute") {
        return Vec::new();
    }
    let steps = job.get("jobs").and_then(Value::as_object);
    let steps = steps.into_iter().flatten();
    steps.filter_map(step_without_compute).collect()
}

/// That nothing says where a step runs.
pub fn no_compute() -> Fault {
    Fault::new("The step has no compute").hint(
        "Give it a `compute`, or all steps one: settings: {default_compute: azureml:serverless}",
    )
}

fn step_without_compute((name, step): (&String, &Value)) -> Option<Wrong> {
    let members = step.as_object()?;
    let of_component = || members.get("component")?.get("type");
    let kind = members.get("type").or_else(of_component);
    let kind = kind.map_or(Some("command"), Value::as_str)?;
    let runs = ["command", "sweep", "parallel"].contains(&kind);
    // The workspace knows what else it may be.
    let is_named = members.get("component").is_some_and(Value::is_string);
    if !runs || is_named || members.contains_key("compute") {
        return None;
    }
    let mut fault = no_compute();
    fault.message.insert_str(0, &of_step(name));
    Some(Wrong {
        harmless: true,
        ..Wrong::at(["jobs", name.as_str()], fault)
    })
}

/// A pipeline job or component: its steps are wired.
pub fn check(members: &Members) -> Vec<Wrong> {
    let Some(Value::Object(steps)) = members.get("jobs") else {
        return Vec::new();
    };
    let mut graph = Graph {
        inputs: members.get("inputs").and_then(Value::as_object),
        outputs: members.get("outputs").and_then(Value::as_object),
        steps,
        made_by: made_by(steps),
        bodies: bodies(steps),
        written: BTreeMap::new(),
        waits: BTreeMap::new(),
        wrong: Vec::new(),
    };
    for (name, step) in steps {
        graph.step(name, step);
    }
    graph.cycles();
    graph.unwritten();
    graph.wrong
}

fn made_by(steps: &Members) -> HashMap<&str, Option<Vec<String>>> {
    let steps = steps.iter();
    let known = steps.filter_map(|(name, step)| {
        let interface = Interface::of(step.as_object()?);
        Some((name.as_str(), interface.outputs()))
    });
    known.collect()
}

/// Body → its loop.
fn bodies(steps: &Members) -> BTreeMap<String, String> {
    let named = steps.iter().filter_map(|(name, step)| {
        if !["do_while", "parallel_for"].contains(&step.get("type")?.as_str()?) {
            return None;
        }
        Some((step_named(step.get("body")?.as_str()?)?, name.clone()))
    });
    named.collect()
}

/// The step of `${{parent.jobs.STEP}}`; its name alone does, too.
pub fn step_named(text: &str) -> Option<String> {
    match Expression::only(text) {
        Some(Expression::Step(name)) => Some(name),
        Some(_) => None,
        None => Some(text.to_owned()),
    }
}

/// The names that expressions of a command may use.
struct Scope<'a> {
    inputs: Vec<&'a str>,
    outputs: Vec<&'a str>,
    search_space: Vec<&'a str>,
}

impl Scope<'_> {
    fn check(&self, text: &str, path: &[String], wrong: &mut Vec<Wrong>) {
        for expression in Template::parse(text).expressions() {
            let (what, name, known) = match expression {
                Expression::Input(name) => ("input", name, &self.inputs),
                Expression::Output(name) => ("output", name, &self.outputs),
                Expression::SearchSpace(name) => ("search space", name, &self.search_space),
                _ => continue,
            };
            if !has(known.iter().copied(), name) {
                let fault = unknown(expression, what, name, known.iter().copied());
                wrong.push(Wrong::at(path.iter().cloned(), fault));
            }
        }
    }
}

struct Graph<'a> {
    inputs: Option<&'a Members>,
    outputs: Option<&'a Members>,
    steps: &'a Members,
    /// What each step makes, as far as it is known here.
    made_by: HashMap<&'a str, Option<Vec<String>>>,
    /// Steps that run in a loop only, with that loop.
    bodies: BTreeMap<String, String>,
    /// Which step writes an output of the pipeline.
    written: BTreeMap<String, String>,
    /// The steps whose outputs a step needs.
    waits: BTreeMap<&'a str, Vec<&'a str>>,
    wrong: Vec<Wrong>,
}

/// The keys that lead to a value.
type Way<'a> = Vec<Cow<'a, str>>;

impl<'a> Graph<'a> {
    fn step(&mut self, name: &'a str, step: &'a Value) {
        self.check_name(name);
        self.waits.entry(name).or_default();
        let before = self.wrong.len();
        self.inside(name, step);
        for wrong in &mut self.wrong[before..] {
            let message = &wrong.fault.message;
            wrong.fault.message = format!("{}{message}", of_step(name));
        }
    }

    fn inside(&mut self, name: &'a str, step: &'a Value) {
        let Some(members) = step.as_object() else {
            return;
        };
        for (key, value) in members {
            match key.as_str() {
                // Other files, with expressions of their own.
                "component" | "trial" | "command" | "task" | "type" => {}
                "outputs" => self.step_outputs(name, value),
                _ => self.expressions(
                    name,
                    value,
                    &mut vec!["jobs".into(), name.into(), key.into()],
                ),
            }
        }
        self.blocks(name, members);
        // Items give the body of a loop inputs that are not written in it.
        let each = |step: &String| self.steps.get(step)?.get("type")?.as_str();
        let open = self.bodies.get(name).and_then(each) == Some("parallel_for");
        if !open {
            self.own_command(name, members);
        }
        let interface = Interface::of(members);
        for mut wrong in interface.check() {
            if open && wrong.path == ["inputs"] {
                continue;
            }
            wrong
                .path
                .splice(0..0, ["jobs".to_owned(), name.to_owned()]);
            self.wrong.push(wrong);
        }
    }

    /// The steps of a block wait for what decides about them.
    fn blocks(&mut self, name: &'a str, members: &Members) {
        if members.get("type").is_none_or(|kind| kind != "if_else") {
            return;
        }
        for key in ["true_block", "false_block"] {
            let named: Vec<&str> = match members.get(key) {
                Some(Value::String(text)) => vec![text],
                Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            for other in named.into_iter().filter_map(step_named) {
                if let Some((other, _)) = self.steps.get_key_value(&other) {
                    self.waits.entry(other).or_default().push(name);
                }
            }
        }
    }

    fn check_name(&mut self, name: &str) {
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
        let all = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if !begins || !name.chars().all(all) {
            let fault = Fault::new(format!(
                "The step name `{name}` may only have small letters, digits and underscores, and begins with a letter"
            ));
            self.wrong.push(Wrong::at(["jobs", name], fault));
        }
    }

    /// All expressions of a value that is the pipeline's to fill.
    fn expressions(&mut self, step: &'a str, value: &'a Value, path: &mut Way<'a>) {
        match value {
            Value::String(text) => self.text(step, text, path),
            Value::Array(items) => {
                for (at, item) in items.iter().enumerate() {
                    path.push(at.to_string().into());
                    self.expressions(step, item, path);
                    path.pop();
                }
            }
            Value::Object(members) => {
                for (key, value) in members {
                    path.push(key.into());
                    self.expressions(step, value, path);
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn text(&mut self, step: &'a str, text: &str, path: &[Cow<'_, str>]) {
        if let Some((other, output)) = Expression::step_output(text)
            && self.waits_for(step, other, output)
        {
            return;
        }
        if !is_open(text) {
            return;
        }
        if let Some(expression) = Expression::only(text) {
            self.expression(step, &expression, path);
            return;
        }
        for expression in Template::parse(text).expressions() {
            self.expression(step, expression, path);
        }
    }

    /// Notes that a step needs what another one makes, if that makes it as far as it is known.
    fn waits_for(&mut self, step: &'a str, other: &str, output: &str) -> bool {
        let Some((&other, made)) = self.made_by.get_key_value(other) else {
            return false;
        };
        let makes = |made: &Vec<String>| has(made.iter().map(String::as_str), output);
        let fits = made.as_ref().is_none_or(makes);
        if fits {
            self.waits.entry(step).or_default().push(other);
        }
        fits
    }

    fn expression(&mut self, step: &'a str, expression: &Expression, path: &[Cow<'_, str>]) {
        let fault = match expression {
            Expression::ParentInput(name) => {
                let known = || {
                    self.inputs
                        .into_iter()
                        .flat_map(Object::keys)
                        .map(String::as_str)
                };
                (!has(known(), name))
                    .then(|| unknown(expression, "input of the pipeline", name, known()))
            }
            Expression::StepOutput {
                step: other,
                output,
            } => {
                // One that is not there keeps nobody waiting.
                if let Some((other, _)) = self.steps.get_key_value(other) {
                    self.waits.entry(step).or_default().push(other);
                }
                self.step_output(expression, other, output)
            }
            Expression::Step(other) => self.known_step(expression, other),
            _ => None,
        };
        if let Some(fault) = fault {
            let path = path.iter().map(ToString::to_string);
            self.wrong.push(Wrong::at(path, fault));
        }
    }

    fn known_step(&self, expression: &Expression, name: &str) -> Option<Fault> {
        let known = || self.steps.keys().map(String::as_str);
        (!has(known(), name)).then(|| unknown(expression, "step", name, known()))
    }

    fn step_output(&self, expression: &Expression, step: &str, output: &str) -> Option<Fault> {
        if !self.made_by.contains_key(step) {
            return self.known_step(expression, step);
        }
        let known = self.made_by.get(step)?.as_ref()?;
        let names = || known.iter().map(String::as_str);
        if has(names(), output) {
            return None;
        }
        let what = format!("output of the step `{step}`");
        Some(unknown(expression, &what, output, names()))
    }

    /// `${{parent.outputs.x}}`, or a mapping with that `path`.
    fn step_outputs(&mut self, step: &'a str, outputs: &'a Value) {
        for (name, value) in outputs.as_object().into_iter().flatten() {
            let (text, inside) = match value {
                Value::String(text) => (text.as_str(), None),
                Value::Object(members) => match members.get("path").and_then(Value::as_str) {
                    Some(text) => (text, Some("path")),
                    None => continue,
                },
                _ => continue,
            };
            let path = ["jobs", step, "outputs", name].into_iter().chain(inside);
            let template = Template::parse(text);
            let Some(Expression::ParentOutput(target)) = template.only() else {
                self.text(step, text, &path.map(Cow::from).collect::<Way<'_>>());
                continue;
            };
            let known = || {
                self.outputs
                    .into_iter()
                    .flat_map(Object::keys)
                    .map(String::as_str)
            };
            let expression = Expression::ParentOutput(target.clone());
            if !has(known(), target) {
                let fault = unknown(&expression, "output of the pipeline", target, known());
                self.wrong.push(Wrong::at(path, fault));
            } else if let Some(other) = self.written.insert(target.clone(), step.to_owned()) {
                let fault = Fault::new(format!(
                    "The pipeline's output `{target}` is written by `{other}` as well"
                ));
                self.wrong.push(Wrong::at(path, fault));
            }
        }
    }

    /// A command written in the step uses the step's own inputs and outputs.
    fn own_command(&mut self, name: &str, members: &Members) {
        let text = match members.get("command") {
            Some(Value::String(text)) if !members.contains_key("component") => text,
            _ => return,
        };
        let scope = Scope {
            inputs: keys(members, "inputs"),
            outputs: keys(members, "outputs"),
            search_space: keys(members, "search_space"),
        };
        let path = vec!["jobs".to_owned(), name.to_owned(), "command".to_owned()];
        scope.check(text, &path, &mut self.wrong);
    }

    /// Outputs of the pipeline that stay empty. Azure ML takes them without a word.
    fn unwritten(&mut self) {
        for name in self.outputs.into_iter().flat_map(Object::keys) {
            if !self.written.contains_key(name) {
                let fault = Fault::new(format!("No step writes the pipeline's output `{name}`"))
                    .hint(format!(
                        "Let a step's output be it: outputs: {{OUTPUT: ${{{{parent.outputs.{name}}}}}}}"
                    ));
                self.wrong.push(Wrong {
                    harmless: true,
                    ..Wrong::at(["outputs", name.as_str()], fault)
                });
            }
        }
    }

    /// Steps that wait for themselves, each circle once.
    fn cycles(&mut self) {
        let waits = self.whole_waits();
        let mut done: HashSet<&str> = HashSet::new();
        let mut wrong = Vec::new();
        for name in waits.keys().copied() {
            if let Some(circle) = circle_from(name, &waits, &mut done) {
                let first = circle[0].to_owned();
                let fault = Fault::new(format!(
                    "These steps wait for each other: {}",
                    circle.join(" → ")
                ));
                wrong.push(Wrong::at(
                    ["jobs".to_owned(), first, "inputs".to_owned()],
                    fault,
                ));
            }
        }
        self.wrong.extend(wrong);
    }

    /// What waits for what when the body of a loop is a part of it.
    fn whole_waits(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut whole: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (step, others) in &self.waits {
            let in_loop = self.bodies.get(*step).map(String::as_str);
            let waits = whole.entry(in_loop.unwrap_or(step)).or_default();
            for other in others {
                let its_loop = self.bodies.get(*other).map(String::as_str);
                // A loop looks at what its own body has made.
                if its_loop.is_none_or(|its| its != *step) {
                    waits.push(its_loop.unwrap_or(other));
                }
            }
        }
        whole
    }
}

/// The steps of a circle that can be reached from `step`, the first one at both ends.
fn circle_from<'a>(
    step: &'a str,
    waits: &'a BTreeMap<&'a str, Vec<&'a str>>,
    done: &mut HashSet<&'a str>,
) -> Option<Vec<&'a str>> {
    // The steps on the way, each with those it waits for that were not followed yet.
    let mut way: Vec<(&str, std::slice::Iter<'_, &str>)> = Vec::new();
    let mut on_way: HashMap<&str, usize> = HashMap::new();
    let mut next = Some(step);
    loop {
        if let Some(step) = next
            && !done.contains(step)
        {
            if let Some(at) = on_way.get(step) {
                let circle = way[*at..].iter().map(|(step, _)| *step);
                done.extend(way.iter().map(|(step, _)| *step));
                return Some(circle.chain([step]).collect());
            }
            let others = waits.get(step).map_or(&[][..], Vec::as_slice);
            on_way.insert(step, way.len());
            way.push((step, others.iter()));
        }
        let (step, others) = way.last_mut()?;
        next = others.next().copied();
        if next.is_none() {
            done.insert(step);
            on_way.remove(step);
            way.pop();
        }
    }
}

fn keys<'a>(members: &'a Members, side: &str) -> Vec<&'a str> {
    let side = members.get(side).and_then(Value::as_object);
    side.into_iter()
        .flat_map(Object::keys)
        .map(String::as_str)
        .collect()
}

/// `group.x` is there when `group` or `group.x` is.
fn has<'a>(mut known: impl Iterator<Item = &'a str>, name: &str) -> bool {
    known.any(|known| {
        known == name
            || name
                .strip_prefix(known)
                .is_some_and(|rest| rest.starts_with('.'))
    })
}

fn unknown<'a>(
    expression: &Expression,
    what: &str,
    name: &str,
    known: impl Iterator<Item = &'a str>,
) -> Fault {
    let known: Vec<&str> = known.collect();
    let fault = Fault::new(format!("`{expression}`: there is no {what} `{name}`"));
    match (
        names::nearest(name, known.iter().copied()),
        known.is_empty(),
    ) {
        (Some(nearest), _) => fault.hint(format!("Did you mean `{nearest}`?")),
        (None, true) => fault,
        (None, false) => fault.hint(format!("There are {}", known.join(", "))),
    }
}
