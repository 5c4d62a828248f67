//! Steps that run a command, and sweeps of one.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    compile::{Scope, as_shown, container_of, together},
    components::{FILES, HOLDER, REFERENCE},
    graph::SweepStep,
    ports::Asked,
    step::{Members, Steps},
};
use crate::{deployment_settings::CONTAINER, jobs::job_of, sweeps};
use api::{
    Error, Result,
    environments::Environment,
    files::Hash,
    jobs::{Described, JobInput, StepFacts},
    names,
    runs::Job,
};
use spec::{
    graph::no_compute,
    kinds::{environment::EnvironmentSource, job::CommandJob},
    shape::Described as _,
};

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

impl Steps<'_> {
    pub(super) async fn command(
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
        let snapshot = self.snapshot(command, &written, &mut definition).await;
        let holder = command.holder_of("environment");
        let source = &written.run.environment;
        let environment = self.environment(holder, source).await;
        let (snapshot, (environment, reference)) = match (snapshot, environment) {
            (Err(code), Err(environment)) => return Err(together(vec![code, environment])),
            (snapshot, environment) => (snapshot?, environment?),
        };
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

    /// The files of its code, which the workspace has from now on.
    async fn snapshot(
        &mut self,
        command: &Command<'_>,
        written: &CommandJob,
        definition: &mut Members,
    ) -> Result<Option<Hash>> {
        let holder = command.holder();
        match (&written.run.code, command.files()) {
            (_, Some(files)) => {
                let workspace = &self.request.workspace;
                self.service
                    .have_tree(self.caller, workspace, holder, files)
                    .await?;
                definition.remove("code");
                Ok(Some(files))
            }
            (Some(code), None) => {
                let (files, reference) = self.code(holder, code).await?;
                if let Some(reference) = reference {
                    definition.insert("code".to_owned(), Value::from(reference));
                }
                Ok(Some(files))
            }
            (None, None) => Ok(None),
        }
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

    /// A step that tries a command with many values. Its trials get the values as inputs.
    pub(super) async fn sweep(
        &mut self,
        step: &Members,
        scope: &Scope,
        inputs: BTreeMap<String, JobInput>,
        outputs: BTreeMap<String, Asked>,
    ) -> Result<SweepStep> {
        let Some(Value::Object(trial)) = step.get("trial") else {
            return Err(Error::invalid("The sweep has no trial")
                .at("trial")
                .hint("Name the component whose inputs are searched: trial: ./train.yml"));
        };
        let settings = sweeps::settings_of(step);
        let search = sweeps::Search::read(&settings, 0)?;
        searched_are_inputs(&search, trial)?;
        // The limits of a sweep are not those of a trial.
        let mut own = step.clone();
        own.shift_remove("limits");
        if let Some(seconds) = search.trial_timeout {
            own.insert("limits".to_owned(), json!({"timeout": seconds}));
        }
        let command = Command {
            step: &own,
            component: Some(trial),
            scope,
        };
        let job = self.command(&command, inputs, outputs).await?;
        if let Some(described) = &job.described {
            for (name, output) in &described.outputs {
                sweeps::check_output(name, output, search.most)?;
            }
        }
        let mut definition = as_shown(step);
        definition.insert("type".to_owned(), Value::from("sweep"));
        let compute = command.compute()?;
        definition.extend(compute.map(|compute| ("compute".to_owned(), compute)));
        Ok(SweepStep {
            plan: sweeps::Plan {
                job,
                settings,
                seed: 0,
                datastore: scope.datastore.clone(),
                tags: BTreeMap::new(),
                as_inputs: true,
                first: Vec::new(),
                enough: None,
                tires: false,
            },
            definition,
        })
    }
}

/// What is tried is given to the trial by its inputs.
fn searched_are_inputs(search: &sweeps::Search, trial: &Members) -> Result<()> {
    let none = Members::new();
    let takes = trial.get("inputs").and_then(Value::as_object);
    let takes = takes.unwrap_or(&none);
    for dimension in &search.sampler.space.dimensions {
        let name = &dimension.name;
        let used = || {
            let command = trial.get("command").and_then(Value::as_str);
            command.is_some_and(|command| command.contains(&format!("search_space.{name}")))
        };
        if !takes.contains_key(name) && !used() {
            let nearest = names::nearest(name, takes.keys().map(String::as_str));
            return Err(Error::unknown("input", name, " of the trial", nearest)
                .at(format!("search_space.{name}")));
        }
    }
    Ok(())
}

/// A step that runs a command.
pub(super) struct Command<'a> {
    pub step: &'a Members,
    pub component: Option<&'a Members>,
    pub scope: &'a Scope,
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
        // Of all that they say of themselves only this is how they run.
        let asked = container_of(self.step).or_else(|| self.component.and_then(container_of));
        if let Some(asked) = asked.or_else(|| self.scope.container.clone()) {
            definition.insert("properties".to_owned(), json!({ CONTAINER: asked }));
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

    pub fn compute(&self) -> Result<Option<Value>> {
        let own = self.step.get("compute").filter(|value| !value.is_null());
        let compute = own.or(self.scope.compute.as_ref());
        match compute {
            Some(compute) => Ok(Some(compute.clone())),
            None => Err(no_compute().into_error().at("compute")),
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
