//! Steps that copy data: from inputs to an output, from a path, or to one. They become commands.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    command::Command,
    compile::{Scope, show_as_written},
    components::join,
    ports::Asked,
    step::{Members, Ports, Steps},
};
use crate::connected::{self, Connected};
use api::{
    Error, Result,
    jobs::{InputMode, JobInput},
    runs::Job,
};

/// The port that a source or sink becomes which is a path.
const OTHER: &str = "aml_other";

impl Steps<'_> {
    pub(super) async fn transfer(
        &mut self,
        step: &Members,
        component: Option<&Members>,
        scope: &Scope,
        ports: &mut Ports,
        mut outputs: BTreeMap<String, Asked>,
    ) -> Result<Job> {
        let word = |key: &str| {
            let own = step.get(key).and_then(Value::as_str);
            own.or_else(|| component.and_then(|component| component.get(key)?.as_str()))
        };
        let task = word("task").unwrap_or("copy_data");
        let side = if task == "export_data" {
            "sink"
        } else {
            "source"
        };
        let place = step.get(side).and_then(Value::as_object);
        if let Some(place) = place.filter(|_| task != "copy_data") {
            let makes = outputs.values().next();
            let makes = makes.and_then(|output| output.kind.as_deref());
            let makes = makes.unwrap_or("uri_folder").to_owned();
            let workspace = &self.request.workspace;
            let found = self
                .service
                .connected(self.caller, workspace, (task, place), &makes);
            let found = found.await.map_err(|error| {
                let key = error.target.clone().unwrap_or_default();
                error.at(join(side, &key))
            })?;
            if let Some(connected) = found {
                return self.connected(step, scope, ports, outputs, connected).await;
            }
        }
        match task {
            "import_data" => {
                let input = JobInput::Files {
                    kind: "uri_folder".to_owned(),
                    path: path_of(step, "source")?,
                    mode: InputMode::default(),
                    path_on_compute: None,
                };
                ports.inputs.insert(OTHER.to_owned(), input);
            }
            "export_data" => {
                let sink = Asked {
                    path: Some(path_of(step, "sink")?),
                    ..Asked::default()
                };
                outputs.clear();
                outputs.insert(OTHER.to_owned(), sink);
            }
            _ => {}
        }
        let inputs = files_of(ports);
        let command = copying(&inputs, &outputs, word("data_copy_mode"))?;
        let mut like = Members::new();
        like.insert("command".to_owned(), Value::from(command));
        like.insert("environment".to_owned(), json!({"image": "python"}));
        let mut job = self.command_like(like, step, scope, ports, outputs).await?;
        show_as_written(&mut job, step, "data_transfer", &["compute"]);
        Ok(job)
    }

    /// Copies from or to what is behind a connection.
    async fn connected(
        &mut self,
        step: &Members,
        scope: &Scope,
        ports: &Ports,
        outputs: BTreeMap<String, Asked>,
        connected: Connected,
    ) -> Result<Job> {
        let imports = connected.order["task"] == "import_data";
        let (port, names): (_, Vec<String>) = if imports {
            ("outputs", outputs.keys().cloned().collect())
        } else {
            ("inputs", files_of(ports))
        };
        if imports && names.len() != 1 {
            let count = names.len();
            let error = format!("Data is imported to one output; the step has {count}");
            return Err(Error::invalid(error).at("outputs"));
        }
        if names.is_empty() {
            return Err(Error::invalid("The step has nothing to copy").at("inputs"));
        }
        let places = names
            .iter()
            .map(|name| format!("\"${{{{{port}.{name}}}}}\""));
        let places = places.collect::<Vec<_>>().join(" ");
        let line = format!("python {} {}", connected::DRIVER.path, places);
        let dependencies = json!(["python", "pip", {"pip": connected.packages}]);
        let mut like = Members::new();
        like.insert("command".to_owned(), Value::from(line));
        like.insert(
            "environment".to_owned(),
            json!({"name": "data-transfer", "conda_file": {"dependencies": dependencies}}),
        );
        let variables = json!({connected::VARIABLE: connected.order.to_string()});
        like.insert("environment_variables".to_owned(), variables);
        let mut job = self.command_like(like, step, scope, ports, outputs).await?;
        job.snapshot = Some(self.with_driver(None, &connected::DRIVER).await?);
        let secrets = format!("{}{}", connected::SECRETS, connected.name);
        job.secrets = [(connected::LETS_IN.to_owned(), secrets)].into();
        if let Some(facts) = job.described.as_mut().and_then(|d| d.step.as_mut()) {
            // What is there may be other data tomorrow.
            facts.deterministic = false;
        }
        show_as_written(&mut job, step, "data_transfer", &["compute"]);
        Ok(job)
    }

    /// The job of a command that does what a step asks for, on the compute that the step names.
    async fn command_like(
        &mut self,
        mut like: Members,
        step: &Members,
        scope: &Scope,
        ports: &Ports,
        outputs: BTreeMap<String, Asked>,
    ) -> Result<Job> {
        let compute = step.get("compute").cloned();
        like.extend(compute.map(|compute| ("compute".to_owned(), compute)));
        // It is no command of the user's, and what it needs is here.
        let scope = &Scope {
            container: Some(Value::from(false)),
            ..scope.clone()
        };
        let command = Command {
            step: &like,
            component: None,
            scope,
        };
        self.command(&command, ports.inputs.clone(), outputs).await
    }
}

/// The inputs that are files.
fn files_of(ports: &Ports) -> Vec<String> {
    let known = ports.inputs.iter();
    let known = known.filter(|(_, input)| matches!(input, JobInput::Files { .. }));
    let bound = ports.bindings.iter().filter(|(_, binding)| !binding.value);
    let known = known.map(|(name, _)| name.clone());
    known.chain(bound.map(|(name, _)| name.clone())).collect()
}

/// The path of a source or sink that is behind no connection.
fn path_of(step: &Members, key: &str) -> Result<String> {
    let place = step.get(key).and_then(Value::as_object);
    let word = |name: &str| place.and_then(|place| place.get(name)?.as_str());
    if word("type") == Some("database") {
        return Err(Error::invalid(format!("The {key} names no connection"))
            .at(format!("{key}.connection"))
            .hint("Name one of the workspace: connection: azureml:NAME"));
    }
    let Some(path) = word("path") else {
        return Err(Error::invalid(format!("The {key} has no path")).at(format!("{key}.path")));
    };
    if !path.starts_with("azureml:") && !path.contains("://") {
        return Err(Error::invalid(format!(
            "`{path}` is a path behind a connection, and none is named"
        ))
        .at(format!("{key}.connection"))
        .hint("Name one (connection: azureml:NAME), or a place of a datastore: azureml://datastores/NAME/paths/PATH"));
    }
    Ok(path.to_owned())
}

/// The line that copies all inputs into the output.
fn copying(
    inputs: &[String],
    outputs: &BTreeMap<String, Asked>,
    mode: Option<&str>,
) -> Result<String> {
    if inputs.is_empty() {
        return Err(Error::invalid("The step has nothing to copy").at("inputs"));
    }
    let mut names = outputs.keys();
    let (Some(output), None) = (names.next(), names.next()) else {
        return Err(Error::invalid(format!(
            "Data is copied to one output; the step has {}",
            outputs.len()
        ))
        .at("outputs"));
    };
    let careful = mode != Some("merge_with_overwrite");
    let mut lines = vec![format!("set -e; to=\"${{{{outputs.{output}}}}}\"")];
    for input in inputs {
        lines.push(format!("from=\"${{{{inputs.{input}}}}}\""));
        if careful {
            lines.push(
                "if [ -d \"$from\" ]; then (cd \"$from\" && find -L . -type f) | while IFS= read -r file; do \
                 if [ -e \"$to/$file\" ]; then echo \"$file is there already; data_copy_mode is fail_if_conflict\" >&2; exit 1; fi; done; \
                 elif [ -f \"$to\" ] || [ -e \"$to/${from##*/}\" ]; then echo \"${from##*/} is there already; data_copy_mode is fail_if_conflict\" >&2; exit 1; fi"
                    .to_owned(),
            );
        }
        lines.push(
            // What was there already may be another's.
            "if [ -d \"$from\" ]; then mkdir -p \"$to\"; cp -RL \"$from/.\" \"$to/\"; \
             (cd \"$from\" && find -L . -mindepth 1 -print0) | (cd \"$to\" && xargs -0 chmod u+w .); \
             elif [ -d \"$to\" ]; then cp -L \"$from\" \"$to/\"; chmod u+w \"$to/${from##*/}\"; \
             else cp -L \"$from\" \"$to\"; chmod u+w \"$to\"; fi"
                .to_owned(),
        );
    }
    Ok(lines.join("\n"))
}
