//! Parallel steps: a script over mini-batches of data. They become commands, whose code has the driver
//! of mini-batches beside the script.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    command::Command,
    compile::{Scope, show_as_written},
    components::{FILES, HOLDER, REFERENCE},
    given::is_data,
    ports::Asked,
    step::{Members, Ports, Steps},
};
use crate::{
    minibatch::{DRIVER, Driver, OutputAction, Settings, VARIABLE, positive},
    spark::settings_over,
};
use api::{
    Error, Result,
    files::Hash,
    jobs::{InputMode, JobInput},
    runs::Job,
};
use spec::{
    expression::{Expression, Template},
    kinds::step::{BatchSize, LoggingLevel, ParallelSettings, check_batch_numbers},
    shape::Described as _,
};

/// What a parallel step may say in place of its component.
const SETTINGS: [&str; 11] = [
    "task",
    "input_data",
    "mini_batch_size",
    "partition_keys",
    "resources",
    "max_concurrency_per_instance",
    "retry_settings",
    "error_threshold",
    "mini_batch_error_threshold",
    "logging_level",
    "environment_variables",
];
/// The file in a folder in which rows are collected.
const ROWS: &str = "parallel_run_step.txt";
/// What Azure takes where nothing is said.
const FILES_OF_BATCH: i64 = 10;
const BYTES_OF_BATCH: i64 = 1 << 20;
const RETRIES: i64 = 2;
const TIMEOUT: i64 = 60;
/// The input that a model becomes which the task names itself.
const MODEL: &str = "aml_model";

impl Steps<'_> {
    pub(super) async fn parallel(
        &mut self,
        step: &Members,
        component: Option<&Members>,
        scope: &Scope,
        ports: &mut Ports,
        outputs: BTreeMap<String, Asked>,
    ) -> Result<Job> {
        let settings = settings_over(step, component, &SETTINGS, |key| key != "task");
        let written = ParallelSettings::read(Some(&Value::Object(settings.clone())));
        let written = written.map_err(|mismatch| {
            Error::invalid(format!("The step is not understood: {mismatch}"))
        })?;
        let task = settings.get("task").and_then(Value::as_object);
        let Some(task) = task else {
            let error = Error::invalid("The parallel step has no task").at("task");
            return Err(error.hint("Give it a script: task: {type: run_function, code: ./src, entry_script: score.py, environment: …}"));
        };
        let parallel = Parallel {
            settings: &settings,
            written: &written,
            task,
        };
        if let Some(Value::Object(settings)) = written.write()
            && let Some(wrong) = check_batch_numbers(&settings).into_iter().next()
        {
            return Err(wrong.into_error());
        }
        let data = parallel.data(ports)?;
        let model = parallel.model(ports)?;
        let driver = parallel.driver(&data, &outputs)?;
        let command = parallel.command(&data.name, model.as_deref(), &outputs)?;
        let from_component = component.is_some_and(|component| component.contains_key("task"));
        let (step_like, component_like) = parallel.as_command(
            step,
            component.filter(|_| from_component),
            &command,
            &driver,
        );
        let command = Command {
            step: &step_like,
            component: component_like.as_ref(),
            scope,
        };
        let mut job = self
            .command(&command, ports.inputs.clone(), outputs)
            .await?;
        job.snapshot = Some(self.with_driver(job.snapshot, &DRIVER).await?);
        show_as_written(&mut job, step, "parallel", &["compute", "resources"]);
        Ok(job)
    }

    /// The hash of code with a driver beside it. Who only plans may not store it.
    pub(super) async fn with_driver(&self, code: Option<Hash>, driver: &Driver) -> Result<Hash> {
        let (service, caller, workspace) = (self.service, self.caller, &self.request.workspace);
        if self.stores {
            return service.with_driver(caller, workspace, code, driver).await;
        }
        let tree = service.tree_with_driver(caller, workspace, code, driver);
        Ok(Hash::of(&tree.await?.encode()))
    }
}

/// The input that is cut into mini-batches.
struct Data {
    name: String,
    /// `uri_folder`, `mltable`, …, where it is known.
    kind: Option<String>,
}

struct Parallel<'a> {
    settings: &'a Members,
    written: &'a ParallelSettings,
    task: &'a Members,
}

impl Parallel<'_> {
    /// The input that is cut; its files are brought whatever its mode is.
    fn data(&self, ports: &mut Ports) -> Result<Data> {
        let missing = |error: Error| {
            error
                .at("input_data")
                .hint("Name one of the step's inputs: input_data: ${{inputs.NAME}}")
        };
        let Some(text) = &self.written.input_data else {
            return Err(missing(Error::invalid("The parallel step has no data")));
        };
        let template = Template::parse(text);
        let Some(Expression::Input(name)) = template.only() else {
            return Err(missing(Error::invalid(format!("`{text}` names no input"))));
        };
        // The driver reads the `MLTable` itself.
        let brought = |mode: InputMode| match mode {
            InputMode::Direct | InputMode::EvalMount => InputMode::RoMount,
            InputMode::EvalDownload => InputMode::Download,
            mode @ (InputMode::RoMount | InputMode::Download) => mode,
        };
        let kind = match (ports.inputs.get_mut(name), ports.bindings.get_mut(name)) {
            (Some(JobInput::Files { kind, mode, .. }), _) => {
                *mode = brought(*mode);
                Some(kind.clone())
            }
            (Some(JobInput::Value { .. }), _) => {
                let error = format!("The input `{name}` is a value, no data");
                return Err(Error::invalid(error).at("input_data"));
            }
            (None, Some(binding)) => {
                // What it is bound to may have a mode of its own.
                binding.mode = Some(brought(binding.mode.unwrap_or_default()));
                binding.kind.clone()
            }
            (None, None) => {
                return Err(missing(Error::invalid(format!(
                    "The step is not given an input `{name}`"
                ))));
            }
        };
        Ok(Data {
            name: name.clone(),
            kind: kind.filter(|kind| is_data(kind)),
        })
    }

    fn word(&self, key: &str) -> Option<&str> {
        self.task.get(key).and_then(Value::as_str)
    }

    fn script(&self) -> Result<Option<&str>> {
        let script = self.word("entry_script");
        if script.is_none() && self.word("type") != Some("model") {
            return Err(Error::invalid("The task has no script")
                .at("task.entry_script")
                .hint("It is a file of the task's code with init() and run(mini_batch)"));
        }
        Ok(script)
    }

    /// What stands for the model on the command line.
    fn model(&self, ports: &mut Ports) -> Result<Option<String>> {
        let Some(model) = self.word("model") else {
            if self.word("type") == Some("model") && self.word("entry_script").is_none() {
                return Err(Error::invalid("The task has no model").at("task.model"));
            }
            return Ok(None);
        };
        if let Some(Expression::Input(_)) = Expression::only(model) {
            return Ok(Some(model.to_owned()));
        }
        let script = self.word("entry_script").is_some();
        let input = JobInput::Files {
            kind: if script {
                "custom_model"
            } else {
                "mlflow_model"
            }
            .to_owned(),
            path: model.to_owned(),
            mode: InputMode::default(),
            path_on_compute: None,
        };
        ports.inputs.insert(MODEL.to_owned(), input);
        Ok(Some(format!("${{{{inputs.{MODEL}}}}}")))
    }

    /// The output that collects what `run` answers.
    fn collects(&self, outputs: &BTreeMap<String, Asked>) -> Result<Option<String>> {
        let Some(text) = self.word("append_row_to") else {
            return Ok(None);
        };
        match Expression::only(text) {
            Some(Expression::Output(name)) if outputs.contains_key(&name) => Ok(Some(name)),
            _ => {
                let names: Vec<&str> = outputs.keys().map(String::as_str).collect();
                let error = Error::invalid(format!("`{text}` names no output of the step"));
                let error = error.at("task.append_row_to");
                Err(if names.is_empty() {
                    error.hint("Give the step an output: outputs: {rows: {type: uri_file}}")
                } else {
                    error.hint(format!("Its outputs are {}", names.join(", ")))
                })
            }
        }
    }

    fn driver(&self, data: &Data, outputs: &BTreeMap<String, Asked>) -> Result<String> {
        let written = self.written;
        let keys: Vec<&str> = written.partition_keys.iter().map(String::as_str).collect();
        let table = data.kind.as_deref().map(|kind| kind == "mltable");
        let size = written.mini_batch_size.as_ref().map(|size| size.0.as_str());
        let size = size.map(BatchSize::parse).transpose();
        let size = size.map_err(|fault| fault.into_error().at("mini_batch_size"))?;
        let tabular = match (&table, size) {
            (_, _) if !keys.is_empty() => Some(true),
            (table, _) => *table,
        };
        let (count, bytes) = match (size, tabular) {
            _ if !keys.is_empty() => (None, None),
            (Some(BatchSize::Count(count)), _) => (Some(count), None),
            (Some(BatchSize::Bytes(bytes)), _) => (None, Some(bytes)),
            (None, Some(true)) => (None, Some(BYTES_OF_BATCH)),
            (None, Some(false)) => (Some(FILES_OF_BATCH), None),
            // The driver takes the one that fits what it finds.
            (None, None) => (Some(FILES_OF_BATCH), Some(BYTES_OF_BATCH)),
        };
        let collects = self.collects(outputs)?;
        let kind = collects
            .as_ref()
            .and_then(|name| outputs[name].kind.as_deref());
        let nodes = written.resources.as_ref().and_then(|r| r.instance_count);
        let nodes = nodes.map_or(1, |nodes| nodes.0);
        let retries = written.retry_settings.as_ref();
        let level = LoggingLevel::write(&written.logging_level);
        let level = level.as_ref().and_then(Value::as_str).unwrap_or("INFO");
        let settings = Settings {
            script: self.script()?,
            model_name: None,
            step: true,
            tabular,
            mini_batch_size: count,
            mini_batch_bytes: bytes,
            partition_keys: keys,
            concurrency: positive(nodes, "resources.instance_count")?
                .saturating_mul(written.max_concurrency_per_instance),
            output_action: match collects {
                Some(_) => OutputAction::AppendRow,
                None => OutputAction::SummaryOnly,
            },
            output_file_name: ROWS,
            output_is_file: kind == Some("uri_file"),
            separator: " ",
            max_retries: retries.and_then(|r| r.max_retries).unwrap_or(RETRIES),
            timeout: retries.and_then(|r| r.timeout).unwrap_or(TIMEOUT),
            error_threshold: written.error_threshold,
            mini_batch_error_threshold: written.mini_batch_error_threshold,
            logging_level: level,
        };
        settings.to_text()
    }

    fn command(
        &self,
        data: &str,
        model: Option<&str>,
        outputs: &BTreeMap<String, Asked>,
    ) -> Result<String> {
        let mut command = vec![format!(
            "python {} --input \"${{{{inputs.{data}}}}}\"",
            DRIVER.path
        )];
        command.extend(model.map(|model| format!("--model \"{model}\"")));
        let output = self.collects(outputs)?;
        command.extend(output.map(|output| format!("--output \"${{{{outputs.{output}}}}}\"")));
        if let Some(arguments) = self.word("program_arguments") {
            command.push("--".to_owned());
            // In a file they may be on several lines.
            command.extend(arguments.split_whitespace().map(str::to_owned));
        }
        Ok(command.join(" "))
    }

    /// The step and its component as those of a command.
    fn as_command(
        &self,
        step: &Members,
        component: Option<&Members>,
        command: &str,
        driver: &str,
    ) -> (Members, Option<Members>) {
        let mut own = Members::new();
        for key in ["compute", "identity", "properties", "services"] {
            let value = step.get(key).cloned();
            own.extend(value.map(|value| (key.to_owned(), value)));
        }
        own.insert("command".to_owned(), Value::from(command));
        let mut variables = match self.settings.get("environment_variables") {
            Some(Value::Object(variables)) => variables.clone(),
            _ => Members::new(),
        };
        variables.insert(VARIABLE.to_owned(), Value::from(driver));
        own.insert("environment_variables".to_owned(), json!(variables));
        let resources = self.settings.get("resources").cloned();
        own.extend(resources.map(|resources| ("resources".to_owned(), resources)));
        let mut parts = Members::new();
        for key in ["code", "environment"] {
            let value = self.task.get(key).filter(|value| !value.is_null());
            parts.extend(value.map(|value| (key.to_owned(), value.clone())));
        }
        if let Some(environment) = step.get("environment").filter(|value| !value.is_null()) {
            own.insert("environment".to_owned(), environment.clone());
        }
        let Some(component) = component else {
            for (key, value) in parts {
                own.entry(key).or_insert(value);
            }
            return (own, None);
        };
        for key in [
            HOLDER,
            FILES,
            REFERENCE,
            "name",
            "is_deterministic",
            "properties",
        ] {
            let value = component.get(key).cloned();
            parts.extend(value.map(|value| (key.to_owned(), value)));
        }
        (own, Some(parts))
    }
}
