//! Sweeps: jobs that try one command with many values and find the best.
//!
//! A sweep is a driven run: its [`plan`] is what every trial executes and how the values are searched,
//! its [`course`] says which trials begin and which are given up, and [`trial`] makes their runs.

mod course;
mod plan;
mod trial;

pub use course::{AUTOML_TAG, BEST_TAG, SCORE_TAG, Sweep};
pub use plan::{Plan, Search, seed_of};

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    Caller, Perform, Service, automl,
    deployment_settings::CONTAINER,
    driven::SWEEP,
    jobs::{inputs, job_of},
    pipelines::{Asked, is_of_one_run},
    run_create::Heading,
};
use api::{
    Error, Result,
    datastores::GetDatastore,
    jobs::{CreateJob, Described, JobInput, JobOutput},
    runs::{Job, Run},
};
use plan::SETTINGS;
use spec::{
    kinds::{job::CommandJob, sweep::SweepJob},
    shape::Described as _,
};
use store::NewDriven;

type Members = Map<String, Value>;

/// Keys of a sweep that its trials have, too.
const SHARED: [&str; 6] = [
    "inputs",
    "outputs",
    "compute",
    "identity",
    "resources",
    "queue_settings",
];

impl Service {
    /// Creates a sweep and begins with its first trials.
    pub(super) async fn create_sweep(
        &self,
        caller: &Caller,
        mut request: CreateJob,
    ) -> Result<Run> {
        let row = self.may_submit(caller, &request.workspace).await?;
        let mut shown = None;
        if request
            .definition
            .get("type")
            .is_some_and(|kind| kind == automl::TYPE)
        {
            let sweep = automl::as_sweep(&automl::with_inputs(&request.definition))?;
            shown = Some(std::mem::replace(&mut request.definition, sweep));
        }
        let written = SweepJob::read(Some(&Value::Object(request.definition.clone())));
        let written = written.map_err(|mismatch| {
            Error::invalid(format!("The sweep is not understood: {mismatch}"))
        })?;
        let heading = Heading::read(row.id, &request, &written.base)?;
        let mut plan = self.plan_of_sweep(caller, &request).await?;
        let definition = match shown {
            Some(written) => {
                let driver = self.with_driver(caller, &request.workspace, None, &automl::DRIVER);
                automl::complete(&mut plan, &written, driver.await?);
                automl::shown(written.clone(), &written)
            }
            None => request.definition,
        };
        let (job, driven) = sweep_run(&plan, definition, &request.name)?;
        self.create_driven(caller, heading, job, driven, None).await
    }

    /// What a sweep comes to, with everything looked up that it names.
    async fn plan_of_sweep(&self, caller: &Caller, request: &CreateJob) -> Result<Plan> {
        let settings = settings_of(&request.definition);
        let search = Search::read(&settings, 0)?;
        let mut definition = trial_of(&request.definition, &search)?;
        let written = CommandJob::read(Some(&Value::Object(definition.clone())));
        let written = written.map_err(|mismatch| {
            Error::invalid(format!("The trial is not understood: {mismatch}"))
        })?;
        let workspace = &request.workspace;
        let in_trial = |error: Error| match error.target.clone() {
            Some(target) => error.at(format!("trial.{target}")),
            None => error.at("trial"),
        };
        let mut snapshot = None;
        if let Some(code) = &written.run.code {
            let found = self.resolve_code(caller, workspace, workspace, code).await;
            let (files, reference) = found.map_err(in_trial)?;
            snapshot = Some(files);
            if let Some(reference) = reference {
                definition.insert("code".to_owned(), Value::from(reference));
            }
        }
        let source = &written.run.environment;
        let found = self.resolve_environment(caller, workspace, source).await;
        let (environment, reference) = found.map_err(in_trial)?;
        if let Some(reference) = reference {
            definition.insert("environment".to_owned(), Value::from(reference));
        }
        let environment = match &request.search_path {
            Some(path) => environment.found_in(path),
            None => environment,
        };
        let mut job = job_of(&written, snapshot, environment).map_err(in_trial)?;
        job.git.clone_from(&request.git);
        let get = GetDatastore {
            workspace: workspace.clone(),
            name: None,
            secrets: false,
        };
        let datastore = get.perform(self, caller).await?.name;
        let ports = Described {
            inputs: inputs(&written)?,
            outputs: outputs(&definition, search.most)?,
            ..Described::default()
        };
        let mut placed = ports.clone();
        for (name, output) in &mut placed.outputs {
            output.path = trial::place(output, name, &request.name, &datastore)?;
        }
        self.check_described(caller, workspace, &placed).await?;
        if let Some(described) = &mut job.described {
            described.inputs = ports.inputs;
            described.outputs = ports.outputs;
            described.definition = definition;
        }
        super::run_create::check_job(&job).map_err(in_trial)?;
        Ok(Plan {
            job,
            settings,
            seed: seed_of(&request.name),
            datastore,
            tags: BTreeMap::new(),
            as_inputs: false,
            first: Vec::new(),
            enough: None,
            tires: false,
        })
    }
}

/// How a sweep is searched.
pub fn settings_of(definition: &Members) -> Members {
    let own = definition.iter();
    own.filter(|(key, value)| SETTINGS.contains(&key.as_str()) && !value.is_null())
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

/// The trials of a sweep as the description of a job.
fn trial_of(definition: &Members, search: &Search) -> Result<Members> {
    let Some(Value::Object(trial)) = definition.get("trial") else {
        return Err(Error::invalid("The sweep has no trial").at("trial"));
    };
    let mut job = Members::new();
    job.insert("type".to_owned(), Value::from("command"));
    for key in SHARED {
        let shared = definition.get(key).filter(|value| !value.is_null());
        job.extend(shared.map(|value| (key.to_owned(), value.clone())));
    }
    let own = trial.iter().filter(|(_, value)| !value.is_null());
    job.extend(own.map(|(key, value)| (key.clone(), value.clone())));
    let properties = definition.get("properties");
    if let Some(asked) = properties.and_then(|all| all.get(CONTAINER)) {
        job.insert("properties".to_owned(), json!({ CONTAINER: asked }));
    }
    if let Some(seconds) = search.trial_timeout {
        job.insert("limits".to_owned(), json!({"timeout": seconds}));
    }
    Ok(job)
}

/// The outputs of every trial, each in a place of its own.
fn outputs(definition: &Members, trials: u64) -> Result<BTreeMap<String, JobOutput>> {
    let mut outputs = BTreeMap::new();
    let written = definition.get("outputs").and_then(Value::as_object);
    for (name, output) in written.into_iter().flatten() {
        let at = format!("outputs.{name}");
        let asked = Asked::read(Some(output)).map_err(|error| error.at(at.clone()))?;
        let asked = asked.in_its_own_place().into_output();
        check_output(name, &asked, trials)?;
        outputs.insert(name.clone(), asked);
    }
    Ok(outputs)
}

/// Sees that trials do not write over each other's outputs.
pub fn check_output(name: &str, asked: &JobOutput, trials: u64) -> Result<()> {
    let at = format!("outputs.{name}");
    if asked.name.is_some() {
        return Err(
            Error::invalid("Every trial would register this output, not the best alone")
                .at(format!("{at}.name"))
                .hint(format!(
                    "Leave the name out, and register azureml://jobs/SWEEP/outputs/{name} when the sweep has ended"
                )),
        );
    }
    if trials > 1 && !asked.path.is_empty() && !is_of_one_run(&asked.path) {
        return Err(Error::invalid("Every trial would write to the same place")
            .at(format!("{at}.path"))
            .hint("Put ${{name}} into the path: it is the name of the trial"));
    }
    Ok(())
}

/// A sweep as a run. Its outputs are those of its best trial.
pub fn sweep_run(plan: &Plan, mut definition: Members, name: &str) -> Result<(Job, NewDriven)> {
    let described = plan.job.described.as_deref().cloned().unwrap_or_default();
    let mut outputs = described.outputs;
    for (output, written) in &mut outputs {
        written.path = format!("azureml://jobs/{name}/outputs/{output}");
    }
    if !outputs.is_empty() {
        definition.insert("outputs".to_owned(), json!(outputs));
    }
    if let Some(Value::Object(trial)) = definition.get_mut("trial") {
        for key in ["code", "environment"] {
            let found = described.definition.get(key);
            trial.extend(found.map(|found| (key.to_owned(), found.clone())));
        }
    }
    let inputs: BTreeMap<String, JobInput> = described.inputs;
    let job = Job {
        described: Some(Box::new(Described {
            definition,
            inputs,
            outputs,
            ..Described::default()
        })),
        ..Job::default()
    };
    let search = Search::read(&plan.settings, plan.seed)?;
    let watched = search.policy.is_some().then_some(search.metric);
    let driven = NewDriven {
        kind: SWEEP.to_owned(),
        plan: serde_json::to_string(plan).map_err(|e| Error::internal(e.to_string()))?,
        state: r#"{"values":[]}"#.to_owned(),
        watches: watched,
    };
    Ok((job, driven))
}
