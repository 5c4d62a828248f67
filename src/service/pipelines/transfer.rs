//! Steps that copy data: from inputs to an output, from a path, or to one. They become commands.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    command::Command,
    compile::{Scope, as_shown},
    ports::Asked,
    step::{Members, Ports, Steps},
};
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
        let inputs: Vec<String> = ports
            .inputs
            .iter()
            .filter(|(_, input)| matches!(input, JobInput::Files { .. }))
            .map(|(name, _)| name.clone())
            .chain(
                ports
                    .bindings
                    .iter()
                    .filter(|(_, binding)| !binding.value)
                    .map(|(name, _)| name.clone()),
            )
            .collect();
        let command = copying(&inputs, &outputs, word("data_copy_mode"))?;
        let mut like = Members::new();
        like.insert("command".to_owned(), Value::from(command));
        like.insert(
            "environment".to_owned(),
            serde_json::json!({"image": "python"}),
        );
        let compute = step.get("compute").cloned();
        like.extend(compute.map(|compute| ("compute".to_owned(), compute)));
        let command = Command {
            step: &like,
            component: None,
            scope,
        };
        let mut job = self
            .command(&command, ports.inputs.clone(), outputs)
            .await?;
        if let Some(described) = &mut job.described {
            let mut definition = as_shown(step);
            definition.insert("type".to_owned(), Value::from("data_transfer"));
            let compute = described.definition.get("compute").cloned();
            definition.extend(compute.map(|compute| ("compute".to_owned(), compute)));
            described.definition = definition;
        }
        Ok(job)
    }
}

/// The path of a source or sink; what is behind a connection is not reached from here.
fn path_of(step: &Members, key: &str) -> Result<String> {
    let place = step.get(key).and_then(Value::as_object);
    let word = |name: &str| place.and_then(|place| place.get(name)?.as_str());
    if word("type") == Some("database") {
        return Err(Error::unsupported("Databases are not read or written here")
            .at(key)
            .hint("Let a command step do it, with the connection's secret as a variable"));
    }
    let Some(path) = word("path") else {
        return Err(Error::invalid(format!("The {key} has no path")).at(format!("{key}.path")));
    };
    if !path.starts_with("azureml:") && !path.contains("://") {
        return Err(Error::unsupported(format!(
            "`{path}` is a path behind a connection, which is not reached from here"
        ))
        .at(format!("{key}.path"))
        .hint("Name a place of a datastore: azureml://datastores/NAME/paths/PATH"));
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
