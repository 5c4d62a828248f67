//! Components that steps name: looked up and put in their place, so that a pipeline is one text.

use serde_json::{Map, Value};

use crate::{Caller, Perform, Service};
use api::{
    Error, Result,
    assets::{AssetKind, AssetRef, GetAsset, Holder},
};

/// Keys of a component that was looked up: no file can have such.
/// Where it is kept, in which what it names is looked up.
pub const HOLDER: &str = "@holder";
/// The files that came with it.
pub const FILES: &str = "@files";
/// What names it.
pub const REFERENCE: &str = "@reference";

/// Pipelines in pipelines, at most.
const DEPTH: usize = 16;

pub struct Lookup<'a> {
    pub service: &'a Service,
    pub caller: &'a Caller,
    pub errors: Vec<Error>,
    known: Vec<(String, Value)>,
}

impl<'a> Lookup<'a> {
    pub fn new(service: &'a Service, caller: &'a Caller) -> Self {
        Self {
            service,
            caller,
            errors: Vec::new(),
            known: Vec::new(),
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
        for (name, step) in steps {
            if let Value::Object(step) = step {
                let at = join(at, &format!("jobs.{name}"));
                self.component_of(step, holder, &at, depth).await;
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
                Box::pin(self.put_in(component, &holder, &at, depth + 1)).await;
            }
        }
    }

    async fn find(&mut self, reference: &str, holder: &str) -> Result<Value> {
        let key = format!("{holder} {reference}");
        if let Some((_, found)) = self.known.iter().find(|(known, _)| *known == key) {
            return Ok(found.clone());
        }
        let asset = AssetRef::parse(reference)?;
        let place = asset.holder.workspace(holder);
        let get = GetAsset {
            workspace: place.clone(),
            kind: AssetKind::Component,
            name: asset.name.clone(),
            version: asset.pick.version(),
            label: asset.pick.label(),
        };
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
        self.known.push((key, component.clone()));
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
