//! The items of a loop: one round for each.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{
    body::{known_input, not_given},
    bound::Bound,
    control::{ITEM, ROUNDS, STEPS},
    given::{known, misfit},
    graph::{Items, Loop, LoopKind, Source, Step},
    rounds::give,
    step::{Members, port_of},
};
use crate::Caller;
use api::{
    Error, Result,
    jobs::{Described, JobInput},
};

impl Bound<'_> {
    /// The rounds of a loop whose items were not known before; none where they were.
    pub async fn rounds(&self, work: &Loop, items: Option<JobInput>) -> Result<Vec<Step>> {
        let LoopKind::Each {
            items: Items::Later(body),
            ..
        } = &work.kind
        else {
            return Ok(Vec::new());
        };
        let items = match items {
            Some(JobInput::Value { value, .. }) => items_of(&Value::from(value))?,
            // What a step would write is not known: any round.
            _ if self.thinks() => {
                let name = format!("{}_0", body.name);
                return Ok(vec![Step {
                    name,
                    ..body.clone()
                }]);
            }
            _ => return Err(Error::invalid("The items of the loop are no value")),
        };
        if items.len().saturating_mul(body.size()) > STEPS {
            return Err(too_many());
        }
        let mut rounds = Vec::with_capacity(items.len());
        for (key, item) in items {
            let round = self.round(work, body, &key, &item).await;
            rounds.push(round.map_err(|error| Error {
                message: format!("The item `{key}`: {}", error.message),
                ..error
            })?);
        }
        Ok(rounds)
    }

    /// A round with what an item gives, which a step wrote: it may be anything.
    async fn round(&self, work: &Loop, body: &Step, key: &str, item: &Members) -> Result<Step> {
        let mut round = body.clone();
        round.name = format!("{}_{key}", body.name);
        let mut given = BTreeMap::new();
        for (name, value) in item {
            if work.closed {
                known_input(&work.takes, name)?;
            }
            let port = port_of(&work.takes, name);
            let mut input = known(value, port)?;
            let takes = port.and_then(Value::as_object);
            if let Some(misfit) = takes.and_then(|port| misfit(name, &input, port)) {
                return Err(misfit);
            }
            if let JobInput::Value { made, .. } = &mut input {
                *made = true;
            }
            given.insert(name.clone(), input);
        }
        self.check_given(&given).await?;
        let open: Vec<&String> = open_inputs(body).collect();
        for name in open {
            let inside = format!("{name}.");
            if given.contains_key(name) || given.keys().any(|given| given.starts_with(&inside)) {
                continue;
            }
            let port = work.takes.get(name);
            let default = port.and_then(|port| port.get("default"));
            let default = default.filter(|default| !default.is_null());
            let optional = port.and_then(|port| port.get("optional")) == Some(&Value::Bool(true));
            match default {
                Some(default) => give(&mut round, name, Some(known(default, port)?)),
                None if optional => give(&mut round, name, None),
                None => return Err(not_given(name)),
            }
        }
        for (name, input) in given {
            give(&mut round, &name, Some(input));
        }
        Ok(round)
    }

    /// Looks at what an item gives as the pipeline's own run, which reaches its workspace alone: who
    /// created the pipeline is not there to be asked, and the worker may do more.
    async fn check_given(&self, given: &BTreeMap<String, JobInput>) -> Result<()> {
        let caller = Caller::Run {
            workspace: self.parent.workspace_id,
            run: self.parent.id,
        };
        let described = Described {
            inputs: given.clone(),
            ..Described::default()
        };
        self.service
            .check_described(&caller, self.parent.workspace, &described)
            .await
            .map_err(|error| {
                let place = error.target.clone().unwrap_or_default();
                Error {
                    message: format!("{} ({place})", error.message),
                    target: None,
                    hints: vec!["An item that a step wrote names data of the pipeline's own workspace; give other data to the body as an input of the pipeline".to_owned()],
                    ..error
                }
            })
    }
}

/// The inputs of a body that come with each item.
fn open_inputs(body: &Step) -> impl Iterator<Item = &String> {
    let bindings = body.bindings.iter();
    let open = bindings.filter(
        |(_, binding)| matches!(&binding.from, Source::Parent(parent) if parent.starts_with(ITEM)),
    );
    open.map(|(name, _)| name)
}

pub fn too_many() -> Error {
    Error::invalid(format!(
        "The rounds of its loops have more than {STEPS} steps in all"
    ))
    .hint("Give the loops fewer items, or split the pipeline")
}

/// The items of a loop by what they are called: their number, or their key.
pub fn items_of(value: &Value) -> Result<Vec<(String, Members)>> {
    let parsed;
    let value = match value {
        Value::String(text) => {
            parsed = serde_json::from_str(text)
                .map_err(|e| Error::invalid(format!("The items are no JSON: {e}")))?;
            &parsed
        }
        other => other,
    };
    let named: Vec<(String, &Value)> = match value {
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, item)| (at.to_string(), item))
            .collect(),
        Value::Object(items) => {
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            let plain = |key: &String| !key.is_empty() && key.len() <= 60 && key.chars().all(good);
            // A number could be the key of another one.
            let named = items.keys().all(plain);
            let name = |(at, (key, item)): (usize, (&String, _))| {
                (if named { key.clone() } else { at.to_string() }, item)
            };
            items.iter().enumerate().map(name).collect()
        }
        _ => {
            return Err(Error::invalid("The items are no list")
                .hint("Write a list of mappings: items: [{rate: 0.1}, {rate: 0.2}]"));
        }
    };
    if named.len() > ROUNDS {
        let error = format!(
            "There are {} items; a loop has at most {ROUNDS}",
            named.len()
        );
        return Err(Error::invalid(error));
    }
    named
        .into_iter()
        .map(|(key, item)| match item {
            Value::Object(item) => Ok((key, item.clone())),
            _ => Err(
                Error::invalid(format!("The item `{key}` is no mapping of inputs"))
                    .hint("Each item gives values to inputs of the body: {rate: 0.1}"),
            ),
        })
        .collect()
}
