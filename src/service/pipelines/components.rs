//! Components that steps name: looked up and put in their place, so that a pipeline is one text.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::{Caller, Perform, Service};
use api::{
    Error, Result,
    assets::{AssetKind, AssetRef, GetAsset, Holder},
};
use spec::graph::of_step;

/// Keys of a component that was looked up: no file can have such.
/// Where it is kept, in which what it names is looked up.
pub const HOLDER: &str = "@holder";
/// The files that came with it.
pub const FILES: &str = "@files";
/// What names it.
pub const REFERENCE: &str = "@reference";

/// Pipelines in pipelines, at most.
const DEPTH: usize = 16;
/// Steps of a pipeline and of all the pipelines in it, at most.
const STEPS: usize = 100_000;

pub struct Lookup<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
    pub errors: Vec<Error>,
    known: HashMap<String, Value>,
    /// The components that are being put in, each in the one before, with where they are kept.
    way: Vec<(String, String)>,
    steps: usize,
}

impl<'a> Lookup<'a> {
    pub fn new(service: &'a Service, caller: &'a Caller) -> Self {
        Self {
            service,
            caller,
            errors: Vec::new(),
            known: HashMap::new(),
            way: Vec::new(),
            steps: 0,
        }
    }

    /// Puts in the components that the steps of a pipeline name, and the components of those.
    pub async fn pipeline(&mut self, pipeline: &mut Map<String, Value>, holder: &str, at: &str) {
        Box::pin(self.put_in(pipeline, holder, at, 0)).await;
    }

    async fn put_in(
        &mut self,
        pipeline: &mut Map<String, Value>,
        holder: &str,
        at: &str,
        depth: usize,
    ) {
        if depth > DEPTH {
            let error = format!("Pipelines are nested more than {DEPTH} deep");
            self.errors.push(Error::invalid(error).at(at));
            return;
        }
        self.component_of(pipeline, holder, at, depth).await;
        let Some(Value::Object(steps)) = pipeline.get_mut("jobs") else {
            return;
        };
        let before = self.steps;
        self.steps += steps.len();
        if self.steps > STEPS {
            // Once: nothing more is put in.
            if before <= STEPS {
                let error = format!("The pipeline has more than {STEPS} steps in all");
                let error = Error::invalid(error).at(at);
                self.errors.push(error.hint("Split it into several jobs"));
            }
            return;
        }
        for (name, step) in steps {
            if let Value::Object(step) = step {
                let at = join(at, &format!("jobs.{name}"));
                let before = self.errors.len();
                self.component_of(step, holder, &at, depth).await;
                for error in &mut self.errors[before..] {
                    if !error.message.starts_with("Step `") {
                        error.message.insert_str(0, &of_step(name));
                    }
                }
            }
        }
    }

    async fn component_of(
        &mut self,
        step: &mut Map<String, Value>,
        holder: &str,
        at: &str,
        depth: usize,
    ) {
        for key in ["component", "trial"] {
            let at = join(at, key);
            if self.steps > STEPS {
                return;
            }
            if let Some(Value::String(reference)) = step.get(key) {
                match self.find(reference, holder).await {
                    Ok(found) => step.insert(key.to_owned(), found),
                    Err(error) => {
                        self.errors.push(error.at(at.clone()));
                        continue;
                    }
                };
            }
            if let Some(Value::Object(component)) = step.get_mut(key)
                && component.contains_key("jobs")
            {
                let own = component.get(HOLDER).and_then(Value::as_str);
                let holder = own.unwrap_or(holder).to_owned();
                let reference = component.get(REFERENCE).and_then(Value::as_str);
                let named = reference.map(|reference| (holder.clone(), reference.to_owned()));
                if let Some(error) = self.within_itself(named.as_ref()) {
                    self.errors.push(error.at(at));
                    continue;
                }
                self.way.extend(named.clone());
                Box::pin(self.put_in(component, &holder, &at, depth + 1)).await;
                self.way
                    .truncate(self.way.len() - usize::from(named.is_some()));
            }
        }
    }

    /// What is wrong with a component that is being put in already.
    fn within_itself(&self, component: Option<&(String, String)>) -> Option<Error> {
        let at = self.way.iter().position(|other| Some(other) == component)?;
        let circle = self.way[at..].iter().chain(component);
        let circle: Vec<&str> = circle.map(|(_, reference)| reference.as_str()).collect();
        let error = format!("A component contains itself: {}", circle.join(" → "));
        Some(Error::invalid(error).hint("Let one of them name another version"))
    }

    async fn find(&mut self, reference: &str, holder: &str) -> Result<Value> {
        let key = format!("{holder} {reference}");
        if let Some(found) = self.known.get(&key) {
            return Ok(found.clone());
        }
        let asset = AssetRef::parse(reference)?;
        let place = asset.holder.workspace(holder);
        let get = GetAsset::of(&asset, AssetKind::Component, &place);
        let found = get.perform(self.service, self.caller).await?;
        let reference = match &asset.holder {
            Holder::Registry(registry) => format!(
                "azureml://registries/{registry}/components/{}/versions/{}",
                found.name, found.version
            ),
            Holder::Here | Holder::Workspace(_) => {
                format!("azureml:{}:{}", found.name, found.version)
            }
        };
        let mut component = found.spec;
        component.insert(HOLDER.to_owned(), Value::from(place));
        component.insert(REFERENCE.to_owned(), Value::from(reference));
        if let Some(files) = found.files {
            component.insert(FILES.to_owned(), Value::from(files.hash.hex()));
        }
        let component = Value::Object(component);
        self.known.insert(key, component.clone());
        Ok(component)
    }
}

/// A path of keys with one more.
pub fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}

/// A component as it is shown: by what names it, when it was looked up.
pub fn shown(component: &Map<String, Value>) -> Value {
    match component.get(REFERENCE) {
        Some(reference) => reference.clone(),
        None => Value::Object(component.clone()),
    }
}
