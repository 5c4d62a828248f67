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
mod mount;
pub mod online_deployment;
pub mod online_endpoint;
pub mod outbound_rule;
mod package;
pub mod registry;
pub mod schedule;
pub mod workspace;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{
    Az,
    given::{Given, missing},
};
use crate::{asset::texts, document::Draft};
use api::{Error, Result};

/// What a new thing is told by a file and by flags, of which one must name it.
fn named_draft(az: &Az, given: &Given) -> Result<Draft> {
    let named = given.has("file") || given.has("name") || !given.words("set").is_empty();
    if !named {
        return Err(missing(&["name/-n"]).hint("Or describe it by a file: --file"));
    }
    Draft::open(given.text("file"), &az.ctx.folder)
}

/// The one word that answers write with a capital.
fn spell_access(all: &mut Map<String, Value>) {
    if let Some(access) = all.get_mut("public_network_access") {
        let is_open = access
            .as_str()
            .is_some_and(|access| access.eq_ignore_ascii_case("enabled"));
        *access = Value::from(if is_open { "Enabled" } else { "Disabled" });
    }
}

/// The tags that a checked file gives.
pub fn tags(fields: &Map<String, Value>) -> BTreeMap<String, String> {
    texts(fields, "tags")
}

/// The tags that are other than they were; those that are gone are empty. Fields without tags have none:
/// where a file says only a part, it is asked before.
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
