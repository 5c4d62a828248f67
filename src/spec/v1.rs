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
/// Where outputs are kept anyway.
const DATASTORE: &str = "workspaceblobstore";

/// What of a step its component has, when it is made one.
const PARTS: [&str; 12] = [
    "type",
    "command",
    "code",
    "environment",
    "input_data",
    "mini_batch_size",
    "partition_keys",
    "error_threshold",
    "logging_level",
    "max_concurrency_per_instance",
    "retry_settings",
    "task",
];

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
        kinds: BTreeMap::new(),
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
    /// The types of the pipeline's inputs, by the expressions that stand for them.
    kinds: BTreeMap<String, String>,
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
            let mut input = data(reference)?;
            if let (Some(mode), Some(input)) = (mode(reference), input.as_object_mut()) {
                input.insert("mode".to_owned(), json!(mode));
            }
            let added = add(&mut inputs, name, input);
            added.map_err(|error| error.at("pipeline.data_references"))?;
        }
        for (name, input) in &inputs {
            let expression = format!("${{{{parent.inputs.{name}}}}}");
            let kind = input.get("type").and_then(Value::as_str);
            let kind = kind.map(|kind| (expression.clone(), kind.to_owned()));
            self.kinds.extend(kind);
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
        if kind == "ParallelRunStep" {
            return self.parallel(key, step, old);
        }
        if kind != "PythonScriptStep" {
            let error = Error::unsupported(format!("Steps of type {kind} are not converted"));
            let hint = "Write it as a command, sweep, parallel or data transfer step";
            return Err(error.at("type").hint(hint));
        }
        let Some(script) = text("script_name") else {
            return Err(Error::invalid("The step has no script").at("script_name"));
        };
        let config = self.config(step, "runconfig")?;
        let inputs = self.step_inputs(step)?;
        let mut made = Members::new();
        made.insert("type".to_owned(), json!("command"));
        let shown = text("name").unwrap_or(key);
        made.insert("display_name".to_owned(), json!(shown));
        made.insert("command".to_owned(), json!(command(script, step)));
        if let Some(code) = text("source_directory") {
            made.insert("code".to_owned(), json!(code));
        }
        let environment = self.environment(key, &config);
        made.insert("environment".to_owned(), environment);
        if let Some(variables) = variables(&config) {
            made.insert("environment_variables".to_owned(), variables);
        }
        let nodes = config.get("nodeCount").and_then(Value::as_i64);
        if let Some(nodes) = nodes.filter(|nodes| *nodes > 1) {
            made.insert("resources".to_owned(), json!({"instance_count": nodes}));
        }
        let communicator = config.get("communicator").and_then(Value::as_str);
        if let Some(name) = communicator.filter(|name| !name.eq_ignore_ascii_case("none")) {
            self.notes.push(format!(
                "The communicator {name} of the step {key} is not kept: give it a `distribution`"
            ));
        }
        place(&mut made, step, old);
        let outputs = outputs(step)?;
        if step.get("allow_reuse") == Some(&Value::Bool(false)) {
            self.not_reused(&mut made, &inputs, &outputs);
        }
        put(&mut made, "inputs", inputs);
        put(&mut made, "outputs", outputs);
        Ok(Value::Object(made))
    }

    /// A step that runs a script over batches; what it needs is in a file of its own or in the step.
    fn parallel(&mut self, key: &str, step: &Value, old: &Members) -> Result<Value> {
        let config = self.config(step, "parallel_run_config")?;
        let of = |name: &str| config.get(name).or_else(|| step.get(name)).cloned();
        let inputs = self.step_inputs(step)?;
        let outputs = outputs(step)?;
        let Some(script) = of("entry_script").or_else(|| of("script_name")) else {
            let error = Error::invalid("The step has no entry_script");
            return Err(error.at("parallel_run_config"));
        };
        let data = members(step, "inputs").next();
        let Some((data, _)) = data else {
            return Err(Error::invalid("The step has no data").at("inputs"));
        };
        let mut task = Members::new();
        task.insert("type".to_owned(), json!("run_function"));
        let code = of("source_directory");
        task.extend(code.map(|code| ("code".to_owned(), code)));
        task.insert("entry_script".to_owned(), script);
        let environment = self.environment(key, &config);
        task.insert("environment".to_owned(), environment);
        let words = arguments(step);
        if !words.is_empty() {
            task.insert("program_arguments".to_owned(), json!(words.join(" ")));
        }
        let appends = of("output_action").is_none_or(|action| action == "append_row");
        if let Some((output, _)) = members(step, "outputs").next().filter(|_| appends) {
            let output = format!("${{{{outputs.{}}}}}", word(output));
            task.insert("append_row_to".to_owned(), json!(output));
        }
        let mut made = Members::new();
        made.insert("type".to_owned(), json!("parallel"));
        let shown = step.get("name").and_then(Value::as_str).unwrap_or(key);
        made.insert("display_name".to_owned(), json!(shown));
        made.insert(
            "input_data".to_owned(),
            json!(format!("${{{{inputs.{}}}}}", word(data))),
        );
        for (name, today) in [
            ("mini_batch_size", "mini_batch_size"),
            ("partition_keys", "partition_keys"),
            ("error_threshold", "error_threshold"),
            ("logging_level", "logging_level"),
            ("process_count_per_node", "max_concurrency_per_instance"),
            ("environment_variables", "environment_variables"),
        ] {
            made.extend(of(name).map(|value| (today.to_owned(), value)));
        }
        if let Some(nodes) = of("node_count") {
            made.insert("resources".to_owned(), json!({"instance_count": nodes}));
        }
        let mut retries = Members::new();
        for (name, today) in [
            ("run_invocation_timeout", "timeout"),
            ("run_max_try", "max_retries"),
        ] {
            retries.extend(of(name).map(|value| (today.to_owned(), value)));
        }
        put(&mut made, "retry_settings", retries);
        made.insert("task".to_owned(), Value::Object(task));
        let compute = of("compute_target").or_else(|| of("compute"));
        place(&mut made, &json!({"compute": compute}), old);
        if of("append_row_file_name").is_some() {
            self.notes.push(format!(
                "The step {key} names the file of its rows: that is not kept"
            ));
        }
        if step.get("allow_reuse") == Some(&Value::Bool(false)) {
            self.not_reused(&mut made, &inputs, &outputs);
        }
        put(&mut made, "inputs", inputs);
        put(&mut made, "outputs", outputs);
        Ok(Value::Object(made))
    }

    /// Makes what a step runs a component of its own, which says that it is not to be reused.
    fn not_reused(&self, made: &mut Members, inputs: &Members, outputs: &Members) {
        let mut component = Members::new();
        for key in PARTS {
            let value = if key == "type" {
                made.get(key).cloned()
            } else {
                made.remove(key)
            };
            component.extend(value.map(|value| (key.to_owned(), value)));
        }
        component.insert("is_deterministic".to_owned(), json!(false));
        let ports = inputs.iter().map(|(name, input)| {
            let kind = self.kind(input);
            (name.clone(), json!({"type": kind}))
        });
        put(&mut component, "inputs", ports.collect());
        let ports = outputs
            .keys()
            .map(|name| (name.clone(), json!({"type": "uri_folder"})));
        put(&mut component, "outputs", ports.collect());
        made.insert("component".to_owned(), Value::Object(component));
    }

    /// The type of the port for what a step is given.
    fn kind(&self, input: &Value) -> String {
        let input = input.get("path").unwrap_or(input);
        let known = input.as_str().and_then(|text| self.kinds.get(text));
        known.cloned().unwrap_or_else(|| {
            let output = input
                .as_str()
                .is_some_and(|text| text.starts_with("${{parent.jobs."));
            if output { "uri_folder" } else { "string" }.to_owned()
        })
    }

    fn step_inputs(&self, step: &Value) -> Result<Members> {
        let mut inputs = Members::new();
        for (name, input) in members(step, "inputs") {
            let source = input.get("source").and_then(Value::as_str).unwrap_or(name);
            let found = self.sources.get(source).cloned().ok_or_else(|| {
                Error::invalid(format!(
                    "`{source}` is no parameter, data reference or destination of a step"
                ))
                .at(format!("inputs.{name}.source"))
            })?;
            let found = match mode(input) {
                Some(mode) => json!({"path": found, "mode": mode}),
                None => found,
            };
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
        Ok(inputs)
    }

    /// The file that a step names for it, or what stands there itself.
    fn config(&self, step: &Value, key: &str) -> Result<Value> {
        match step.get(key) {
            Some(Value::String(file)) => (self.read)(file).map_err(|error| error.at(key)),
            Some(written) => Ok(written.clone()),
            None => Ok(Value::Null),
        }
    }

    /// The environment of a step's run configuration.
    fn environment(&mut self, key: &str, config: &Value) -> Value {
        if config.is_null() {
            return json!({"image": IMAGE});
        }
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
        Value::Object(environment)
    }
}

fn variables(config: &Value) -> Option<Value> {
    let inner = config.get("environment");
    let variables = inner.and_then(|inner| inner.get("environmentVariables"));
    let variables = variables.or_else(|| config.get("environmentVariables"));
    let variables =
        variables.filter(|variables| variables.as_object().is_some_and(|all| !all.is_empty()));
    variables.cloned()
}

/// Says where a step runs, unless that is where all do.
fn place(made: &mut Members, step: &Value, old: &Members) {
    let text = |name: &str| step.get(name).and_then(Value::as_str);
    if let Some(compute) = text("compute").or_else(|| text("compute_target"))
        && old.get("default_compute").and_then(Value::as_str) != Some(compute)
    {
        made.insert("compute".to_owned(), json!(format!("azureml:{compute}")));
    }
}

fn put(to: &mut Members, key: &str, members: Members) {
    if !members.is_empty() {
        to.insert(key.to_owned(), Value::Object(members));
    }
}

fn outputs(step: &Value) -> Result<Members> {
    let mut outputs = Members::new();
    for (name, written) in members(step, "outputs") {
        let mode = written.get("bind_mode").and_then(Value::as_str);
        let mode = if mode == Some("upload") {
            "upload"
        } else {
            "rw_mount"
        };
        let mut output = json!({"type": "uri_folder", "mode": mode});
        let datastore = written.get("datastore").and_then(Value::as_str);
        if let Some(datastore) = datastore.filter(|name| *name != DATASTORE) {
            let path = format!(
                "azureml://datastores/{datastore}/paths/azureml/${{{{name}}}}/{}/",
                word(name)
            );
            output["path"] = json!(path);
        }
        add(&mut outputs, name, output).map_err(|error| error.at("outputs"))?;
    }
    Ok(outputs)
}

/// How data comes to a step where that is not what happens anyway.
fn mode(input: &Value) -> Option<&'static str> {
    let mode = input.get("bind_mode").and_then(Value::as_str);
    (mode == Some("download")).then_some("download")
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
    words.extend(arguments(step));
    words.join(" ")
}

fn arguments(step: &Value) -> Vec<String> {
    let mut words = Vec::new();
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
    words
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

/// A name as those of steps and ports may be: `TrainModel` becomes `train_model`, and `MAX_LR` `max_lr`.
fn word(name: &str) -> String {
    let mut made = String::new();
    let mut after_lower = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_lower {
            made.push('_');
        }
        after_lower = letter.is_ascii_lowercase();
        made.push(if letter.is_ascii_alphanumeric() {
            letter.to_ascii_lowercase()
        } else {
            '_'
        });
    }
    made
}
