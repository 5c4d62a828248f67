//! What steps are given: values that are known when a pipeline is compiled, and what comes later.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::graph::{Binding, Source};
use crate::jobs::input;
use api::{
    Error, Result,
    jobs::{InputMode, JobInput},
};
use spec::{
    described::python_text,
    expression::{Expression, Template, is_open},
    kinds::io::JobInput as Written,
    shape::Described as _,
};

/// The inputs of a pipeline while it is compiled.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Values and data that are known, as they were written.
    pub known: BTreeMap<String, Value>,
    /// What another pipeline gives when it runs.
    pub later: BTreeSet<String>,
}

/// What an input of a step is.
#[derive(Debug, Clone)]
pub enum Given {
    /// As it was written.
    Known(Value),
    Later(Binding),
    /// An optional input that nobody gives.
    Nothing,
}

impl Inputs {
    /// Puts what is known in the place of `${{parent.inputs.NAME}}`. Data has no place in a text.
    pub fn put_in(&self, value: &Value) -> Value {
        match value {
            Value::String(text) if is_open(text) => self.put_in_text(text),
            Value::Array(items) => items.iter().map(|item| self.put_in(item)).collect(),
            Value::Object(members) => {
                let pairs = members
                    .iter()
                    .map(|(key, value)| (key.clone(), self.put_in(value)));
                Value::Object(pairs.collect())
            }
            other => other.clone(),
        }
    }

    fn put_in_text(&self, text: &str) -> Value {
        if Expression::step_output(text).is_some() {
            return Value::from(text);
        }
        match Expression::only(text) {
            Some(Expression::ParentInput(name)) => {
                return match self.known.get(&name) {
                    Some(value) if !value.is_object() => value.clone(),
                    _ => Value::from(text),
                };
            }
            Some(other) => return Value::from(other.to_string()),
            None => {}
        }
        let filled = Template::parse(text).fill(&mut |expression| -> std::result::Result<_, ()> {
            match expression {
                Expression::ParentInput(name) => match self.known.get(name) {
                    Some(value) if !value.is_object() => Ok(Some(python_text(value))),
                    Some(_) => Err(()),
                    None if self.later.contains(name) => Err(()),
                    None => Ok(None),
                },
                other => Ok(Some(other.to_string())),
            }
        });
        filled.map_or_else(|()| Value::from(text), Value::from)
    }

    /// What an input of a step is that was written as `value`.
    pub fn given(
        &self,
        value: &Value,
        steps: &dyn Fn(&str) -> Option<usize>,
        port: Option<&Value>,
    ) -> Result<Given> {
        let (text, around) = match value {
            Value::String(text) => (text.as_str(), None),
            Value::Object(members) => match members.get("path").and_then(Value::as_str) {
                Some(path) => (path, Some(members)),
                None => return Ok(Given::Known(value.clone())),
            },
            other => return Ok(Given::Known(other.clone())),
        };
        if !is_open(text) {
            return Ok(Given::Known(value.clone()));
        }
        let from = match Expression::only(text) {
            Some(Expression::ParentInput(name)) => match self.known.get(&name) {
                Some(known) => return Ok(Given::Known(taken_as(known, around))),
                None if self.later.contains(&name) => Source::Parent(name),
                None => return Ok(Given::Nothing),
            },
            Some(Expression::StepOutput { step, output }) => match steps(&step) {
                Some(step) => Source::Output { step, output },
                // In the words of the check of the file: it is one mistake.
                None => {
                    let error = format!("`{text}`: there is no step `{step}`");
                    return Err(Error::invalid(error));
                }
            },
            Some(other) => {
                return Err(
                    Error::invalid(format!("`{other}` cannot be the input of a step")).hint(
                        "Write ${{parent.inputs.NAME}} or ${{parent.jobs.STEP.outputs.NAME}}",
                    ),
                );
            }
            None => {
                return Err(Error::invalid(format!(
                    "`{text}` has expressions among other text, whose values are known only when the pipeline runs"
                ))
                .hint("Give the values as inputs of their own"));
            }
        };
        let word = |key: &str| {
            let own = around.and_then(|members| members.get(key));
            let own = own.or_else(|| port?.get(key)).and_then(Value::as_str);
            own.map(str::to_owned)
        };
        Ok(Given::Later(Binding {
            from,
            kind: word("type").filter(|kind| is_data(kind)),
            fits: fits(port),
            mode: word("mode").and_then(|mode| mode_of(&mode)),
            value: false,
        }))
    }
}

/// What a port says of the values that it takes, where not every text is one.
pub fn fits(port: Option<&Value>) -> Map<String, Value> {
    let port = port.and_then(Value::as_object);
    let kind = |port: &&Map<String, Value>| {
        let kind = port.get("type").and_then(Value::as_str);
        kind.is_some_and(is_parsed)
    };
    let said = |port: &Map<String, Value>| {
        let all = ["type", "min", "max"].into_iter();
        let each = |key: &str| Some((key.to_owned(), port.get(key)?.clone()));
        all.filter_map(each).collect()
    };
    port.filter(kind).map(said).unwrap_or_default()
}

/// Whether a value of that type is read from its text, so that not every text is one.
pub fn is_parsed(kind: &str) -> bool {
    matches!(kind, "integer" | "number" | "boolean")
}

/// The mode of an input that a word stands for.
pub fn mode_of(word: &str) -> Option<InputMode> {
    let word = if word == "mount" { "ro_mount" } else { word };
    serde_json::from_value(json!(word)).ok()
}

/// Whether a type is one of data or a model rather than of a value.
pub fn is_data(kind: &str) -> bool {
    !matches!(
        kind,
        "string" | "number" | "integer" | "boolean" | "path" | ""
    )
}

/// Known data with the type and mode of who takes it.
fn taken_as(known: &Value, around: Option<&Map<String, Value>>) -> Value {
    let (Value::Object(known), Some(around)) = (known, around) else {
        return known.clone();
    };
    let mut taken = known.clone();
    for key in ["type", "mode"] {
        if let Some(own) = around.get(key).filter(|own| !own.is_null()) {
            taken.insert(key.to_owned(), own.clone());
        }
    }
    Value::Object(taken)
}

/// A known input in the words of jobs; `port` says what the component takes.
pub fn known(value: &Value, port: Option<&Value>) -> Result<JobInput> {
    let kind = port
        .and_then(|port| port.get("type"))
        .and_then(Value::as_str);
    let mut value = value.clone();
    if let (Value::String(path), Some(kind)) = (&value, kind.filter(|kind| is_data(kind))) {
        value = json!({"type": kind, "path": path});
    }
    if let (Value::Object(members), Some(port)) = (&mut value, port) {
        for key in ["type", "mode"] {
            let own = members.get(key).is_some_and(|own| !own.is_null());
            if let Some(word) = port.get(key).filter(|_| !own)
                && (key == "mode" || word.as_str().is_some_and(is_data))
            {
                members.insert(key.to_owned(), word.clone());
            }
        }
    }
    if let Some(members) = value
        .as_object()
        .filter(|members| members.contains_key("path"))
    {
        return data(members);
    }
    let written = Written::read(Some(&value)).map_err(|m| Error::invalid(m.to_string()))?;
    input(&written)
}

fn data(members: &Map<String, Value>) -> Result<JobInput> {
    let text = |key: &str| members.get(key).and_then(Value::as_str);
    let Some(path) = text("path") else {
        return Err(Error::invalid("The input has no path"));
    };
    Ok(JobInput::Files {
        kind: text("type").unwrap_or("uri_folder").to_owned(),
        path: path.to_owned(),
        mode: text("mode").and_then(mode_of).unwrap_or_default(),
        path_on_compute: text("path_on_compute").map(str::to_owned),
    })
}

/// Why a known input is not what its component takes.
pub fn misfit(name: &str, input: &JobInput, port: &Map<String, Value>) -> Option<Error> {
    let kind = port.get("type").and_then(Value::as_str)?;
    let error = |shown: &str| {
        Some(Error::invalid(format!(
            "The input `{name}` is of type `{kind}`; {shown} is not"
        )))
    };
    let value = match input {
        JobInput::Files { .. } if is_data(kind) || kind == "path" => return None,
        JobInput::Files { .. } => return error("data"),
        JobInput::Value { value, .. } => value,
    };
    let number = value.trim().parse::<f64>().ok();
    let fits = match kind {
        "integer" => value.trim().parse::<i64>().is_ok(),
        "number" => number.is_some(),
        "boolean" => matches!(value.to_lowercase().as_str(), "true" | "false"),
        "string" => true,
        _ => false,
    };
    if !fits {
        return error(&format!("`{value}`"));
    }
    let limit = |key: &str| {
        let limit = port.get(key)?;
        limit
            .as_f64()
            .or_else(|| limit.as_str()?.trim().parse().ok())
    };
    if let Some(number) = number
        && (limit("min").is_some_and(|min| number < min)
            || limit("max").is_some_and(|max| number > max))
    {
        let show = |key: &str| port.get(key).map_or("…".to_owned(), python_text);
        return Some(Error::invalid(format!(
            "The input `{name}` is {value}, which is not from {} to {}",
            show("min"),
            show("max")
        )));
    }
    None
}
