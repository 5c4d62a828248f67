//! What steps and pipelines make: where it is kept, and which of it is an output of the pipeline.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use api::{
    Error, Result,
    jobs::{JobOutput, OutputMode},
    paths::Location,
};
use spec::expression::Expression;

/// The output that every run has of itself.
const OWN: [&str; 2] = ["artifacts", "default"];

/// What is asked of an output; what is absent has a default.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    pub kind: Option<String>,
    pub path: Option<String>,
    pub mode: Option<OutputMode>,
    pub name: Option<String>,
    pub version: Option<String>,
}

/// What an output of a step is.
#[derive(Debug, Clone, Default)]
pub struct Output {
    pub asked: Asked,
    /// The output of the pipeline that it is.
    pub parent: Option<String>,
}

impl Asked {
    /// Reads an output as it was written: nothing, an expression, or a mapping.
    pub fn read(value: Option<&Value>) -> Result<Self> {
        let Some(Value::Object(members)) = value else {
            return Ok(Self::default());
        };
        let text = |key: &str| members.get(key).and_then(Value::as_str).map(str::to_owned);
        let mode = match members.get("mode") {
            None | Some(Value::Null) => None,
            Some(mode) => Some(
                serde_json::from_value(mode.clone()).map_err(|e| Error::invalid(e.to_string()))?,
            ),
        };
        let version = members.get("version").filter(|version| !version.is_null());
        Ok(Self {
            kind: text("type"),
            path: text("path"),
            mode,
            name: text("name"),
            version: version.map(spec::described::python_text),
        })
    }

    /// Without the address of what a run has made, which is what `show` prints of one without a place:
    /// what a new run makes has another.
    #[must_use]
    pub fn in_its_own_place(mut self) -> Self {
        self.path = self.path.filter(|path| !is_of_run(path));
        self
    }

    /// With what is asked elsewhere where this says nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            kind: self.kind.or(other.kind),
            path: self.path.or(other.path),
            mode: self.mode.or(other.mode),
            name: self.name.or(other.name),
            version: self.version.or(other.version),
        }
    }

    /// As a job's output; without a path it has a place of its own.
    pub fn into_output(self) -> JobOutput {
        let kind = self.kind.unwrap_or_else(|| "uri_folder".to_owned());
        let is_value = matches!(kind.as_str(), "string" | "number" | "integer" | "boolean");
        JobOutput {
            // A value is written to a file.
            kind: if is_value {
                "uri_file".to_owned()
            } else {
                kind
            },
            path: self.path.unwrap_or_default(),
            mode: self.mode.unwrap_or_default(),
            name: self.name,
            version: self.version,
        }
    }
}

/// Whether it is the address of what a run has made.
pub fn is_of_run(path: &str) -> bool {
    matches!(Location::parse(path), Ok(Location::Run { .. }))
}

/// The outputs of a step: those of its component and those that are written in the step.
pub fn outputs_of(
    step: &Map<String, Value>,
    component: Option<&Map<String, Value>>,
) -> Result<BTreeMap<String, Output>> {
    let mut outputs = BTreeMap::new();
    let members = |holder: &Map<String, Value>| match holder.get("outputs") {
        Some(Value::Object(outputs)) => outputs.clone(),
        _ => Map::new(),
    };
    for (name, port) in component.map(members).unwrap_or_default() {
        let mut asked = Asked::read(Some(&port)).map_err(|e| e.at(format!("outputs.{name}")))?;
        asked.path = None;
        outputs.insert(
            name,
            Output {
                asked,
                parent: None,
            },
        );
    }
    for (name, written) in members(step) {
        let asked = Asked::read(Some(&written)).map_err(|e| e.at(format!("outputs.{name}")))?;
        let text = match &written {
            Value::String(text) => Some(text.as_str()),
            _ => asked.path.as_deref(),
        };
        let parent = text.and_then(parent_output);
        let mut asked = asked;
        if parent.is_some() {
            asked.path = None;
        }
        let before: Output = outputs.remove(&name).unwrap_or_default();
        outputs.insert(
            name,
            Output {
                asked: asked.or(before.asked),
                parent,
            },
        );
    }
    outputs.retain(|name, _| !OWN.contains(&name.as_str()));
    Ok(outputs)
}

/// The output of the pipeline that `${{parent.outputs.NAME}}` names.
fn parent_output(text: &str) -> Option<String> {
    match Expression::only(text) {
        Some(Expression::ParentOutput(name)) => Some(name),
        _ => None,
    }
}
