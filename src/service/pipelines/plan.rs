//! What a pipeline would do: its course, thought through with the very functions that take it, as if
//! every step completed.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{
    bound::{Bound, Thought},
    child::{Parent, name_of},
    compile,
    course::{Pipeline, as_child},
    graph::Work,
    reuse::{self, OF_JOBS},
};
use crate::{Action, Caller, Perform, Service, driven::PIPELINE};
use api::{
    Result, names,
    pipelines::{PlanPipeline, PlannedStep, StepChange},
    runs::{Job, RunStatus},
};
use store::NewRun;

/// Earlier pipelines in which a step is looked for.
const EARLIER: u32 = 20;

#[async_trait]
impl Perform for PlanPipeline {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<PlannedStep>> {
        let mut request = self.job;
        let row = service
            .enter(caller, &request.workspace, Action::Read)
            .await?;
        names::RUN.check(&request.name)?;
        let written = super::read(&request.definition).map_err(|error| {
            error.hint("What is planned are jobs of type pipeline; others just run")
        })?;
        let experiment = written.base.experiment_name;
        let experiment = experiment.unwrap_or_else(|| request.experiment.clone());
        let definition = std::mem::take(&mut request.definition);
        let compiled = compile::compile(service, caller, &request, definition, false).await?;
        let earlier = service
            .store
            .newest_driven(row.id, &experiment, PIPELINE, EARLIER)
            .await?;
        let mut planner = Planner {
            service,
            thought: Thought::default(),
            planned: Vec::new(),
            begun: BTreeMap::new(),
        };
        let parent = Parent {
            id: 0,
            workspace_id: row.id,
            workspace: &row.workspace.name,
            experiment: 0,
            name: &request.name,
            user: caller.name(),
            root: i64::MAX,
            now: service.now(),
        };
        let mut pipeline = Pipeline::new(compiled.graph);
        planner
            .pipeline(&mut pipeline, parent, "", &earlier)
            .await?;
        let Planner {
            planned, thought, ..
        } = planner;
        // It may be long, and nobody waits for it to be taken apart.
        tokio::task::spawn_blocking(move || drop((pipeline, thought)));
        Ok(planned)
    }
}

struct Planner<'a> {
    service: &'a Service,
    thought: Thought,
    planned: Vec<PlannedStep>,
    /// Runs that would be made and run, or something in them, with the steps they are of.
    begun: BTreeMap<String, String>,
}

impl Planner<'_> {
    /// Thinks a pipeline through. `earlier` are the runs that were the same part of earlier ones.
    async fn pipeline(
        &mut self,
        pipeline: &mut Pipeline,
        parent: Parent<'_>,
        path: &str,
        earlier: &[String],
    ) -> Result<()> {
        let begun_before = self.begun.len();
        loop {
            let bound = Bound {
                service: self.service,
                parent,
                thought: &self.thought,
            };
            let begun = pipeline.begin(&bound).await?;
            if begun.is_empty() {
                if pipeline.repeats(&bound).await? {
                    continue;
                }
                return self.gather(pipeline, parent, begun_before).await;
            }
            for new in begun {
                let outputs = new.job.as_ref().and_then(|job| job.described.as_ref());
                let outputs = outputs.map(|described| described.outputs.clone());
                let outputs = outputs.unwrap_or_default();
                self.thought.outputs.insert(new.name.clone(), outputs);
                let mut child = as_child(&new);
                self.step(pipeline, &new, parent, (path, earlier)).await?;
                child.status = RunStatus::Completed;
                pipeline.note(&[child]);
            }
        }
    }

    /// Says where the outputs of a loop would be that runs nothing.
    async fn gather(
        &mut self,
        pipeline: &Pipeline,
        parent: Parent<'_>,
        begun_before: usize,
    ) -> Result<()> {
        let is_loop = !pipeline.graph.gathers.is_empty();
        let last = pipeline.graph.repeat.is_some();
        if !is_loop || (self.begun.len() > begun_before && !last) {
            return Ok(());
        }
        let bound = Bound {
            service: self.service,
            parent,
            thought: &self.thought,
        };
        for (output, path) in bound.gathered(pipeline, false).await? {
            let key = (parent.name.to_owned(), output);
            self.thought.gathered.insert(key, path);
        }
        Ok(())
    }

    async fn step(
        &mut self,
        pipeline: &Pipeline,
        new: &NewRun,
        parent: Parent<'_>,
        (path, earlier): (&str, &[String]),
    ) -> Result<()> {
        let at = new.driver.map_or(0, |(_, place)| place);
        let at = usize::try_from(at).unwrap_or_default();
        let step = &pipeline.graph.steps[at];
        let path = super::components::join(path, &step.name);
        // Most are reused and ask for none.
        let before = || -> Vec<String> {
            let names = earlier.iter();
            names.map(|earlier| name_of(earlier, &step.name)).collect()
        };
        if let (Work::Pipeline(_) | Work::Loop(_), Some(driven)) = (&step.work, &new.driven) {
            let mut inner = Pipeline::read(&driven.plan, &driven.state)?;
            let parent = Parent {
                name: &new.name,
                ..parent
            };
            let begun_before = self.begun.len();
            Box::pin(self.pipeline(&mut inner, parent, &path, &before())).await?;
            if self.begun.len() > begun_before {
                self.begun.insert(new.name.clone(), path);
            }
            return Ok(());
        }
        let mut planned = PlannedStep {
            name: path,
            reuses: new.reuses.clone(),
            compared_with: None,
            because: None,
            changes: Vec::new(),
        };
        if let (None, Some(job)) = (&planned.reuses, &new.job) {
            self.begun.insert(new.name.clone(), planned.name.clone());
            self.explain(
                &mut planned,
                job,
                &before(),
                pipeline.graph.force_rerun,
                parent,
            )
            .await?;
        }
        if let (None, Some(condition)) = (&planned.reuses, pipeline.undecided(at)) {
            planned.because = Some(format!("if `{condition}` decides so"));
        }
        self.planned.push(planned);
        Ok(())
    }

    /// Says why a step runs.
    async fn explain(
        &self,
        planned: &mut PlannedStep,
        job: &Job,
        before: &[String],
        force_rerun: bool,
        parent: Parent<'_>,
    ) -> Result<()> {
        for name in before {
            let Some(found) = self.service.store.run(parent.workspace_id, name).await? else {
                continue;
            };
            let Some(old) = found.run.job.as_ref() else {
                continue;
            };
            planned.compared_with = Some(found.run.name.clone());
            planned.changes = self.changes(&reuse::facts(old), &reuse::facts(job));
            if planned.changes.is_empty() {
                planned.because = Some(match found.run.status {
                    RunStatus::Completed => String::new(),
                    status => format!("its last run {} is {status}", found.run.name),
                });
            }
            break;
        }
        if let Some(why) = reuse::why_not(job) {
            planned.because = Some(why);
        } else if force_rerun {
            planned.because = Some("settings.force_rerun is true".to_owned());
        } else if planned.compared_with.is_none() {
            planned.because = Some("it has not run in this experiment".to_owned());
        } else if planned.because.as_deref() == Some("") {
            planned.because = Some("the run that did the same is deleted".to_owned());
        }
        Ok(())
    }

    fn changes(
        &self,
        old: &BTreeMap<String, String>,
        new: &BTreeMap<String, String>,
    ) -> Vec<StepChange> {
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let differ = keys
            .into_iter()
            .filter(|key| old.get(*key) != new.get(*key));
        differ
            .map(|key| StepChange {
                what: key.clone(),
                old: old.get(key).cloned(),
                new: new
                    .get(key)
                    .map(|text| self.source(text).unwrap_or_else(|| text.clone())),
            })
            .collect()
    }

    /// What would make an input, where that is a run that is only thought of.
    fn source(&self, fact: &str) -> Option<String> {
        let (run, output) = fact.strip_prefix(OF_JOBS)?.split_once("/outputs/")?;
        let step = self.begun.get(run)?;
        let output = output.split([' ', '/']).next()?;
        Some(format!(
            "the output `{output}` of the step `{step}`, which runs"
        ))
    }
}
