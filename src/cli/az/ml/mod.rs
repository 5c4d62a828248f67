//! `az ml`: the commands of Azure Machine Learning.

mod asset;
pub mod batch_deployment;
pub mod batch_endpoint;
pub mod component;
pub mod compute;
pub mod connection;
pub mod data;
pub mod datastore;
pub mod environment;
pub mod job;
pub mod model;
pub mod online_deployment;
pub mod online_endpoint;
pub mod outbound_rule;
pub mod registry;
pub mod schedule;
pub mod workspace;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Az, given::Given};
use crate::cli::asset::texts;
use api::Error;

/// The tags that a checked file gives.
pub fn tags(fields: &Map<String, Value>) -> BTreeMap<String, String> {
    texts(fields, "tags")
}

/// The tags that are other than they were; those that are gone are empty.
fn changed_tags(
    before: &BTreeMap<String, String>,
    fields: &Map<String, Value>,
) -> BTreeMap<String, String> {
    changed(before, fields, "tags")
}

fn changed(
    before: &BTreeMap<String, String>,
    fields: &Map<String, Value>,
    key: &str,
) -> BTreeMap<String, String> {
    let mut after = texts(fields, key);
    if !fields.contains_key(key) {
        return BTreeMap::new();
    }
    after.retain(|key, value| before.get(key) != Some(value));
    let still = texts(fields, key);
    let gone = before.keys().filter(|key| !still.contains_key(*key));
    after.extend(gone.map(|key| (key.clone(), String::new())));
    after
}

/// A command that means nothing here says so, and what to do instead.
pub async fn refuse(_az: &Az, _given: &Given, why: &str, instead: &str) -> anyhow::Result<Value> {
    Err(Error::unsupported(why).hint(instead).into())
}
