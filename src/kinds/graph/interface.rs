//! What a step's component takes and gives, as far as it is known here.

use serde_json::{Map as Object, Value};

use crate::{
    described::python_text,
    expression::Template,
    shape::{Fault, Wrong},
};
use api::names;

type Members = Object<String, Value>;

/// The ports of a step, as far as they are known here.
pub struct Interface<'a> {
    step: &'a Members,
    /// Its component, where that is here.
    component: Option<&'a Members>,
    /// The step has outputs which only the workspace knows.
    open: bool,
}

impl<'a> Interface<'a> {
    pub fn of(step: &'a Members) -> Self {
        let component = step.get("component").or_else(|| step.get("trial"));
        let open = match component {
            Some(component) => !component.is_object(),
            None => ["if_else", "do_while", "parallel_for", "automl"]
                .iter()
                .any(|kind| step.get("type").is_some_and(|t| t == kind)),
        };
        Self {
            step,
            component: component.and_then(Value::as_object),
            open,
        }
    }

    /// The names of the outputs; none where they are not known.
    pub fn outputs(&self) -> Option<Vec<String>> {
        let holder = self.component.unwrap_or(self.step);
        (!self.open).then(|| names_of(holder, self.step))
    }

    /// What is wrong with what the step gives to its component, with paths inside of the step.
    pub fn check(&self) -> Vec<Wrong> {
        let mut wrong = Vec::new();
        let Some(component) = self.component else {
            return wrong;
        };
        let (step, known) = (self.step, ports_of(component, "inputs"));
        let given = ports_of(step, "inputs");
        for (name, value) in given {
            let path = ["inputs", name];
            let first = name.split('.').next().unwrap_or(name);
            match known.get(name).or_else(|| known.get(first)) {
                // Azure ML leaves it out, and so do we.
                None => wrong.push(Wrong {
                    harmless: true,
                    ..Wrong::at(path, unknown_input(name, known))
                }),
                Some(port) => {
                    if let Some(fault) = misfit(name, port, value) {
                        wrong.push(Wrong::at(path, fault));
                    } else if let Some(fault) = unlisted(name, port, value) {
                        // Azure ML takes it without a word.
                        wrong.push(Wrong {
                            harmless: true,
                            ..Wrong::at(path, fault)
                        });
                    }
                }
            }
        }
        for (name, port) in known {
            let optional = port.get("optional") == Some(&Value::Bool(true));
            let has_default = port.get("default").is_some();
            let is_given = given.contains_key(name) || is_searched(step, name);
            if !optional && !has_default && !is_given {
                let fault = Fault::new(format!("The input `{name}` of the component is not given"))
                    .hint(format!("Add it to the step's inputs, or give the component's input a `default` or `optional: true`; it is {}", kind_of(port)));
                wrong.push(Wrong::at(["inputs"], fault));
            }
        }
        wrong.extend(unknown_outputs(component, step));
        wrong
    }
}

/// Outputs that the step names and its component does not make.
fn unknown_outputs(component: &Members, step: &Members) -> Vec<Wrong> {
    let Some(known) = makes(component) else {
        return Vec::new();
    };
    let named = step.get("outputs").and_then(Value::as_object);
    let named = named.into_iter().flat_map(Object::keys);
    let unknown =
        named.filter(|name| !known.contains_key(*name) && !STORES.contains(&name.as_str()));
    unknown
        .map(|name| {
            let message = format!("The component has no output `{name}`");
            let fault = with_known(Fault::new(message), name, "outputs", known);
            Wrong::at(["outputs", name.as_str()], fault)
        })
        .collect()
}

static EMPTY: std::sync::LazyLock<Members> = std::sync::LazyLock::new(Object::new);

/// Every job has its default store, by two names.
const STORES: [&str; 2] = ["artifacts", "default"];

/// What a component says that it makes; a flow does not say it.
fn makes(component: &Members) -> Option<&Members> {
    let kind = component.get("type").and_then(Value::as_str)?;
    let says = ["command", "parallel", "pipeline", "spark"].contains(&kind);
    says.then(|| ports_of(component, "outputs"))
}

fn ports_of<'a>(holder: &'a Members, side: &str) -> &'a Members {
    let ports = holder.get(side).and_then(Value::as_object);
    ports.unwrap_or(&EMPTY)
}

/// A sweep gives its component the values of the search space.
fn is_searched(step: &Members, name: &str) -> bool {
    let space = step.get("search_space").and_then(Value::as_object);
    space.is_some_and(|space| space.contains_key(name))
}

fn names_of(holder: &Members, step: &Members) -> Vec<String> {
    let outputs = |of: &Members| -> Vec<String> {
        let outputs = of.get("outputs").and_then(Value::as_object);
        outputs
            .into_iter()
            .flat_map(Object::keys)
            .cloned()
            .collect()
    };
    let mut names = outputs(holder);
    names.extend(outputs(step));
    names.push(STORES[0].to_owned());
    names
}

fn unknown_input(name: &str, known: &Members) -> Fault {
    let message = format!("The component has no input `{name}`; it is left out");
    with_known(Fault::new(message), name, "inputs", known)
}

/// Adds which port is meant, or which there are.
fn with_known(fault: Fault, name: &str, side: &str, known: &Members) -> Fault {
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    match names::nearest(name, names.iter().copied()) {
        Some(nearest) => fault.hint(format!("Did you mean `{nearest}`?")),
        None if names.is_empty() => fault,
        None => fault.hint(format!("Its {side} are {}", names.join(", "))),
    }
}

fn kind_of(port: &Value) -> String {
    let kind = port
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("a value");
    format!("of type `{kind}`")
}

/// That a value is none of those that the port names.
fn unlisted(name: &str, port: &Value, value: &Value) -> Option<Fault> {
    let words = port.get("enum").and_then(Value::as_array)?;
    let words: Vec<String> = words.iter().map(python_text).collect();
    let is_open = value.as_str().is_some_and(|text| text.contains("${{"));
    let value = python_text(value);
    (!words.is_empty() && !is_open && !words.contains(&value)).then(|| {
        Fault::new(format!(
            "The input `{name}` is `{value}`, which is none of {}",
            words.join(", ")
        ))
    })
}

/// What is wrong with how a component's inputs and outputs are described.
pub fn check_ports(component: &Members) -> Vec<Wrong> {
    let ports = |side: &str| {
        let ports = component.get(side).and_then(Value::as_object);
        ports.unwrap_or(&EMPTY)
    };
    let mut wrong = Vec::new();
    for side in ["inputs", "outputs"] {
        for name in ports(side).keys() {
            let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            let rest = |c: char| letter(c) || c.is_ascii_digit();
            if !name.starts_with(letter) || !name.chars().all(rest) {
                let fault = Fault::new(format!(
                    "The name `{name}` may only have letters, digits and underscores, and begins with a letter or underscore"
                ));
                wrong.push(Wrong::at([side, name], fault));
            }
        }
    }
    let inputs = ports("inputs");
    for (at, (name, port)) in inputs.iter().enumerate() {
        let mut before = inputs.keys().take(at);
        if let Some(same) = before.find(|other| other.eq_ignore_ascii_case(name)) {
            let fault = Fault::new(format!(
                "The inputs `{same}` and `{name}` differ in case alone"
            ));
            wrong.push(Wrong::at(["inputs", name], fault));
        }
        if let Some(fault) = unfit_default(name, port) {
            wrong.push(Wrong::at(["inputs", name, "default"], fault));
        }
    }
    wrong
}

/// Why a port cannot have its default.
fn unfit_default(name: &str, port: &Value) -> Option<Fault> {
    let default = port.get("default").filter(|value| !value.is_null())?;
    match port.get("type").and_then(Value::as_str)? {
        // Both are numbers to Azure ML.
        "integer" if default.is_number() => None,
        "integer" | "number" | "boolean" | "string" => misfit(name, port, default),
        kind => Some(
            Fault::new(format!(
                "The input `{name}` is of type `{kind}`, which has no default"
            ))
            .hint("Let it be left out instead: optional: true"),
        ),
    }
}

/// Why a value cannot be what the port wants. Expressions can be anything until the graph is known.
fn misfit(name: &str, port: &Value, value: &Value) -> Option<Fault> {
    let kind = port.get("type").and_then(Value::as_str)?;
    let text = match value {
        Value::String(text) if text.contains("${{") => return None,
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    let parses = |test: fn(&str) -> bool| text.is_some_and(test);
    let fits = match kind {
        "integer" => value.is_i64() || parses(|text| text.trim().parse::<i64>().is_ok()),
        "number" => value.is_number() || parses(|text| text.trim().parse::<f64>().is_ok()),
        "boolean" => {
            value.is_boolean()
                || parses(|text| matches!(text.to_lowercase().as_str(), "true" | "false"))
        }
        "string" => !value.is_object(),
        _ => value.is_object() || text.is_some(),
    };
    let value_inside = value.get("value").is_some();
    let bound = value
        .get("path")
        .and_then(Value::as_str)
        .is_some_and(|path| Template::parse(path).expressions().next().is_some());
    if fits || value_inside || bound {
        return None;
    }
    let shown = if value.is_object() {
        "data".to_owned()
    } else {
        format!("`{value}`")
    };
    Some(Fault::new(format!(
        "The input `{name}` is of type `{kind}`; {shown} is not"
    )))
}
