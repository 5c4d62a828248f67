//! Pipelines in the YAML of the first Azure ML command line, brought into today's.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::words::quoted;
use api::{Error, Result};

type Members = Map<String, Value>;

/// What runs where a step names no environment.
const IMAGE: &str = "python";

/// A pipeline as it is written today, and what could not be kept.
#[derive(Debug)]
pub struct Converted {
    pub pipeline: Value,
    pub notes: Vec<String>,
}

/// Reads another file that the pipeline names, such as a run configuration.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Value>;

/// Whether a file is a pipeline of the first command line.
pub fn is_v1(file: &Value) -> bool {
    let pipeline = file.get("pipeline");
    pipeline.is_some_and(|pipeline| pipeline.get("steps").is_some_and(Value::is_object))
}

/// Converts a pipeline: parameters and data references become inputs, each step a command, and where
/// the destination of one step is the source of another, that one gets its output.
pub fn converted(file: &Value, read: ReadFile<'_>) -> Result<Converted> {
    let old = file.get("pipeline").and_then(Value::as_object);
    let steps = old.and_then(|old| old.get("steps")?.as_object());
    let (Some(old), Some(steps)) = (old, steps) else {
        return Err(Error::invalid("The file has no `pipeline` with `steps`")
            .hint("A pipeline of today's command line is created as it is: aml job create -f"));
    };
    let mut converter = Converter {
        read,
        sources: BTreeMap::new(),
        notes: Vec::new(),
    };
    let inputs = converter.inputs(old)?;
    for (key, step) in steps {
        for (name, output) in members(step, "outputs") {
            let to = output.get("destination").and_then(Value::as_str);
            let expression = format!("${{{{parent.jobs.{}.outputs.{}}}}}", word(key), word(name));
            converter
                .sources
                .insert(to.unwrap_or(name).to_owned(), Value::from(expression));
        }
    }
    let mut jobs = Members::new();
    for (key, step) in steps {
        let converted = converter.step(key, step, old);
        let converted = converted.map_err(|error| {
            let target = error
                .target
                .as_deref()
                .map_or(String::new(), |at| format!(".{at}"));
            error.at(format!("pipeline.steps.{key}{target}"))
        })?;
        add(&mut jobs, key, converted).map_err(|error| error.at("pipeline.steps"))?;
    }
    let mut pipeline = Members::new();
    pipeline.insert("type".to_owned(), json!("pipeline"));
    let name = old.get("name").cloned();
    pipeline.extend(name.map(|name| ("display_name".to_owned(), name)));
    if let Some(compute) = old.get("default_compute").and_then(Value::as_str) {
        let compute = format!("azureml:{compute}");
        pipeline.insert("settings".to_owned(), json!({"default_compute": compute}));
    }
    if !inputs.is_empty() {
        pipeline.insert("inputs".to_owned(), Value::Object(inputs));
    }
    pipeline.insert("jobs".to_owned(), Value::Object(jobs));
    Ok(Converted {
        pipeline: Value::Object(pipeline),
        notes: converter.notes,
    })
}

struct Converter<'a> {
    read: ReadFile<'a>,
    /// What steps may name as a source → what it is now.
    sources: BTreeMap<String, Value>,
    notes: Vec<String>,
}

impl Converter<'_> {
    fn inputs(&mut self, old: &Members) -> Result<Members> {
        let mut inputs = Members::new();
        let old = Value::Object(old.clone());
        for (name, parameter) in members(&old, "parameters") {
            let default = parameter.get("default").cloned().unwrap_or(Value::Null);
            let is_path = parameter.get("type").is_some_and(|kind| kind == "datapath");
            let input = if is_path { data(&default)? } else { default };
            if input.is_null() {
                self.notes.push(format!(
                    "The parameter {name} has no default: give it a value with --set inputs.{}=…",
                    word(name)
                ));
            }
            add(&mut inputs, name, input).map_err(|error| error.at("pipeline.parameters"))?;
        }
        for (name, reference) in members(&old, "data_references") {
            let added = add(&mut inputs, name, data(reference)?);
            added.map_err(|error| error.at("pipeline.data_references"))?;
        }
        for name in inputs.keys() {
            let expression = format!("${{{{parent.inputs.{name}}}}}");
            self.sources.insert(name.clone(), Value::from(expression));
        }
        let named = members(&old, "parameters").chain(members(&old, "data_references"));
        let named: Vec<String> = named.map(|(name, _)| name.clone()).collect();
        for name in named {
            let expression = format!("${{{{parent.inputs.{}}}}}", word(&name));
            self.sources.insert(name, Value::from(expression));
        }
        Ok(inputs)
    }

    fn step(&mut self, key: &str, step: &Value, old: &Members) -> Result<Value> {
        let text = |name: &str| step.get(name).and_then(Value::as_str);
        let kind = text("type").unwrap_or("PythonScriptStep");
        if kind != "PythonScriptStep" {
            return Err(
                Error::unsupported(format!("Steps of type {kind} are not converted"))
                    .at("type")
                    .hint("Write it as a command, sweep, parallel or data transfer step"),
            );
        }
        let Some(script) = text("script_name") else {
            return Err(Error::invalid("The step has no script").at("script_name"));
        };
        let mut inputs = Members::new();
        for (name, input) in members(step, "inputs") {
            let source = input.get("source").and_then(Value::as_str).unwrap_or(name);
            let found = self.sources.get(source).cloned().ok_or_else(|| {
                Error::invalid(format!(
                    "`{source}` is no parameter, data reference or destination of a step"
                ))
                .at(format!("inputs.{name}.source"))
            })?;
            add(&mut inputs, name, found).map_err(|error| error.at("inputs"))?;
        }
        for (name, parameter) in members(step, "parameters") {
            let source = parameter.get("source").and_then(Value::as_str);
            let value = match source {
                Some(source) => self.sources.get(source).cloned().ok_or_else(|| {
                    Error::invalid(format!("There is no parameter `{source}`"))
                        .at(format!("parameters.{name}.source"))
                })?,
                None => parameter.clone(),
            };
            add(&mut inputs, name, value).map_err(|error| error.at("parameters"))?;
        }
        let mut made = Members::new();
        made.insert("type".to_owned(), json!("command"));
        let shown = text("name").unwrap_or(key);
        made.insert("display_name".to_owned(), json!(shown));
        made.insert("command".to_owned(), json!(command(script, step)));
        if let Some(code) = text("source_directory") {
            made.insert("code".to_owned(), json!(code));
        }
        let environment = self.environment(key, step)?;
        made.insert("environment".to_owned(), environment);
        if let Some(compute) = text("compute").or_else(|| text("compute_target"))
            && old.get("default_compute").and_then(Value::as_str) != Some(compute)
        {
            made.insert("compute".to_owned(), json!(format!("azureml:{compute}")));
        }
        if !inputs.is_empty() {
            made.insert("inputs".to_owned(), Value::Object(inputs));
        }
        let outputs = outputs(step)?;
        if !outputs.is_empty() {
            made.insert("outputs".to_owned(), Value::Object(outputs));
        }
        if step.get("allow_reuse") == Some(&Value::Bool(false)) {
            self.notes.push(format!(
                "The step {key} is not to be reused: make a component of it with is_deterministic: false"
            ));
        }
        Ok(Value::Object(made))
    }

    /// The environment of a step's run configuration.
    fn environment(&mut self, key: &str, step: &Value) -> Result<Value> {
        let Some(file) = step.get("runconfig").and_then(Value::as_str) else {
            return Ok(json!({"image": IMAGE}));
        };
        let config = (self.read)(file).map_err(|error| error.at("runconfig"))?;
        let found = config.get("environment");
        let image = found.and_then(|found| found.get("docker")?.get("baseImage")?.as_str());
        let mut environment = Members::new();
        environment.insert("image".to_owned(), json!(image.unwrap_or(IMAGE)));
        let python = found.and_then(|found| found.get("python"));
        let conda = python.and_then(|python| {
            let file = python
                .get("condaDependenciesFile")
                .filter(|file| file.is_string());
            python.get("condaDependencies").or(file).cloned()
        });
        if conda.is_none() {
            self.notes.push(format!(
                "The run configuration of the step {key} names no packages"
            ));
        }
        environment.extend(conda.map(|conda| ("conda_file".to_owned(), conda)));
        Ok(Value::Object(environment))
    }
}

fn outputs(step: &Value) -> Result<Members> {
    let mut outputs = Members::new();
    for (name, output) in members(step, "outputs") {
        let mode = output.get("bind_mode").and_then(Value::as_str);
        let mode = if mode == Some("upload") {
            "upload"
        } else {
            "rw_mount"
        };
        let output = json!({"type": "uri_folder", "mode": mode});
        add(&mut outputs, name, output).map_err(|error| error.at("outputs"))?;
    }
    Ok(outputs)
}

/// Adds something under the name it has today. Two that would have the same are an error.
fn add(to: &mut Members, name: &str, value: Value) -> Result<()> {
    let new = word(name);
    if to.contains_key(&new) {
        let message = format!("`{name}` would be called `{new}`, as another one is");
        return Err(Error::invalid(message).hint("Give it another name, wherever the file says it"));
    }
    to.insert(new, value);
    Ok(())
}

/// The command line of a script with what its arguments stand for, a word each. Paths are one word
/// whatever is in them.
fn command(script: &str, step: &Value) -> String {
    let mut words = vec![format!("python {}", quoted(script))];
    let arguments = step.get("arguments").and_then(Value::as_array);
    for argument in arguments.into_iter().flatten() {
        let text = crate::described::python_text(argument);
        let (kind, name) = text.split_once(':').unwrap_or(("", ""));
        words.push(match kind {
            "output" => format!("${{{{outputs.{}}}}}", word(name)),
            "input" => format!("${{{{inputs.{}}}}}", word(name)),
            "parameter" => format!("\"${{{{inputs.{}}}}}\"", word(name)),
            _ => quoted(&text),
        });
    }
    words.join(" ")
}

/// What is at a place of a datastore, or registered.
fn data(reference: &Value) -> Result<Value> {
    let text = |key: &str| reference.get(key).and_then(Value::as_str);
    if let Some(dataset) = text("dataset_name").or_else(|| text("dataset_id")) {
        return Ok(json!({"type": "uri_folder", "path": format!("azureml:{dataset}@latest")}));
    }
    let (Some(datastore), Some(path)) = (text("datastore"), text("path_on_datastore")) else {
        return Err(Error::invalid(
            "Data is a datastore with a path_on_datastore, or a dataset_name",
        ));
    };
    let file = path
        .rsplit('/')
        .next()
        .is_some_and(|name| name.contains('.'));
    let kind = if file { "uri_file" } else { "uri_folder" };
    let path = format!("azureml://datastores/{datastore}/paths/{path}");
    Ok(json!({"type": kind, "path": path}))
}

fn members<'a>(holder: &'a Value, key: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    let found = holder.get(key).and_then(Value::as_object);
    found.into_iter().flatten()
}

/// A name as those of steps and ports may be: `TrainModel` becomes `train_model`.
fn word(name: &str) -> String {
    let mut made = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && made.ends_with(|c: char| c.is_ascii_lowercase()) {
            made.push('_');
        }
        made.push(if letter.is_ascii_alphanumeric() {
            letter.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    made
}
