//! `az configure` and `az config`: defaults and other settings.

use serde_json::{Map, Value, json};

use super::{
    Az,
    given::Given,
    grammar::{Flag, Group, flag, switch, verb},
};
use crate::config::Setting;
use api::{Error, Result};

pub const FLAGS: &[Flag] = &[
    flag(
        "defaults",
        "Defaults to set, as group=G workspace=W location=L; NAME= removes one",
    )
    .short('d')
    .many(),
    switch("list-defaults", "List the defaults").short('l'),
    flag("scope", "Where they are kept").choices(&["global", "local"]),
];

const KEYS: &[Flag] = &[flag("key", "SECTION.NAME").positional()];

pub const CONFIG: Group = Group {
    path: "config",
    about: "Settings of the command line",
    verbs: &[
        verb!(
            "get",
            "Show settings",
            [KEYS, &[switch("local", "Of this folder")]],
            get
        ),
        verb!(
            "set",
            "Change settings",
            [KEYS, &[switch("local", "Of this folder")]],
            set
        ),
        verb!(
            "unset",
            "Remove settings",
            [KEYS, &[switch("local", "Of this folder")]],
            unset
        ),
    ],
};

pub async fn configure(az: &Az, given: &Given) -> anyhow::Result<Value> {
    if given.switch("list-defaults") {
        let defaults = az.config.all(Some("defaults"));
        return Ok(defaults.iter().map(shown).collect());
    }
    if !given.has("defaults") {
        return Err(Error::invalid("Nothing to configure was given")
            .hint("Set defaults: az configure --defaults group=NAME workspace=NAME location=NAME")
            .hint("List them: az configure --list-defaults")
            .into());
    }
    let mut settings = Vec::new();
    for word in given.words("defaults") {
        for pair in word.split_whitespace() {
            settings.push(setting("defaults", pair)?);
        }
    }
    az.config.set("defaults", &settings)?;
    Ok(Value::Null)
}

fn setting(section: &str, pair: &str) -> Result<(String, Option<String>)> {
    let Some((name, value)) = pair.split_once('=') else {
        return Err(Error::invalid(format!(
            "argument --{section}: `{pair}` is not NAME=VALUE"
        )));
    };
    Ok((
        name.to_owned(),
        Some(value.to_owned()).filter(|value| !value.is_empty()),
    ))
}

fn shown(setting: &Setting) -> Value {
    json!({"name": setting.name, "source": setting.source, "value": setting.value})
}

async fn get(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let Some(key) = given.words("key").into_iter().next() else {
        let mut sections = Map::new();
        for setting in az.config.all(None) {
            let section = sections
                .entry(setting.section.clone())
                .or_insert_with(|| json!([]));
            if let Value::Array(settings) = section {
                settings.push(shown(&setting));
            }
        }
        return Ok(Value::Object(sections));
    };
    match key.split_once('.') {
        None => Ok(az.config.all(Some(&key)).iter().map(shown).collect()),
        Some((section, name)) => match az.config.get(section, name) {
            Some(setting) => Ok(shown(&setting)),
            None => Err(Error::conflict(format!("Configuration '{key}' is not set.")).into()),
        },
    }
}

async fn set(az: &Az, given: &Given) -> anyhow::Result<Value> {
    for word in given.words("key") {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| Error::invalid(format!("argument KEY: `{word}` is not KEY=VALUE")))?;
        let (section, name) = in_section(key)?;
        az.config
            .set(section, &[(name.to_owned(), Some(value.to_owned()))])?;
    }
    Ok(Value::Null)
}

async fn unset(az: &Az, given: &Given) -> anyhow::Result<Value> {
    for key in given.words("key") {
        let (section, name) = in_section(&key)?;
        az.config.set(section, &[(name.to_owned(), None)])?;
    }
    Ok(Value::Null)
}

fn in_section(key: &str) -> Result<(&str, &str)> {
    key.split_once('.')
        .ok_or_else(|| Error::invalid(format!("argument KEY: `{key}` is not SECTION.NAME")))
}
