//! The rules that hold for every kind: each example, changed in one place in every possible way.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{examples, same};
use crate::{
    list::{self, Kind},
    load,
    shape::{Record, Shape},
};

/// Keys whose mappings hold keys of the user's own or of programs that read them, and kinds that do.
const FREE: [&str; 45] = [
    "additional_properties",
    "advanced_settings",
    "answer",
    "arguments",
    "batch_request_properties",
    "capabilities",
    "collections",
    "column_mapping",
    "conda_file",
    "conf",
    "custom_settings",
    "data_window_options",
    "dependencies",
    "distribution_properties",
    "environment_variables",
    "feature_type_override",
    "features",
    "flow",
    "flow-run",
    "headers",
    "hyperparameters",
    "inputs",
    "jobs",
    "managed_network",
    "metadata",
    "metric_thresholds",
    "mltable",
    "mirror_traffic",
    "monitoring_signals",
    "nodes",
    "outbound_rules",
    "outputs",
    "overrides",
    "parameters",
    "properties",
    "question",
    "read_delimited",
    "resources",
    "search_space",
    "secrets",
    "services",
    "settings",
    "tags",
    "traffic",
    "transformations",
];

/// What is said where a key is missing and another one is asked for, or its place is shown alone.
const OTHERWISE: [(&str, &str); 4] = [
    ("create_monitor", "`create_job` is missing"),
    ("import_data", "`create_job` is missing"),
    ("pattern", "`file` is missing"),
    ("values", "There is nothing to choose from"),
];

/// An example in its canonical form.
struct Example {
    name: String,
    kind: &'static Kind,
    value: Value,
}

fn canonical() -> Vec<Example> {
    let all = examples().into_iter().map(|(path, name)| {
        let document = load::open(&path, &name).unwrap();
        let kinds = list::candidates(&document.root);
        let (kind, value, _) = document.check_any(&kinds);
        Example {
            kind: kind.unwrap(),
            value: value.unwrap(),
            name,
        }
    });
    // What is in a file they name cannot stand in its place.
    all.filter(|example| example.read(&example.value).is_ok())
        .collect()
}

impl Example {
    /// The canonical form of a changed one, or what is wrong with it.
    fn read(&self, changed: &Value) -> Result<Value, Vec<String>> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/azureml/f.yml");
        let text = serde_json::to_string(changed).unwrap();
        let document = load::parse(text, folder.as_ref(), "f");
        let (value, report) = document.check_shape(&self.kind.shape, &[]);
        let said: Vec<String> = report.errors().map(|issue| issue.message.clone()).collect();
        match value {
            Some(value) if said.is_empty() => Ok(value),
            _ => Err(said),
        }
    }

    /// The example with another value at a place.
    fn with(&self, place: &[String], new: Value) -> Value {
        let mut changed = self.value.clone();
        *changed.pointer_mut(&pointer(place)).unwrap() = new;
        changed
    }

    fn places(&self) -> Vec<(Vec<String>, Value)> {
        let mut found = Vec::new();
        collect(&self.value, &mut Vec::new(), &mut found);
        found
    }
}

fn pointer(place: &[String]) -> String {
    let escaped = place
        .iter()
        .map(|key| key.replace('~', "~0").replace('/', "~1"));
    escaped.fold(String::new(), |path, key| path + "/" + &key)
}

fn collect(value: &Value, place: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    found.push((place.clone(), value.clone()));
    let below: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(at, value)| (at.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (key, value) in below {
        place.push(key);
        collect(value, place, found);
        place.pop();
    }
}

#[test]
fn a_key_that_is_not_known_is_an_error_wherever_keys_are_not_the_user_s_own() {
    let (mut refused, mut accepted) = (0, BTreeSet::new());
    for example in canonical() {
        for (place, value) in example.places() {
            let Value::Object(mut members) = value else {
                continue;
            };
            let last = place.iter().rev().find(|key| key.parse::<u32>().is_err());
            let last = last.map_or(example.kind.name, String::as_str).to_owned();
            members.insert("frobnicated".to_owned(), json!("x"));
            match example.read(&example.with(&place, Value::Object(members))) {
                Ok(_) => _ = accepted.insert(last),
                // What the user calls by names may still have to be of some form.
                Err(_) if FREE.contains(&last.as_str()) => {}
                Err(said) => {
                    let named = said.iter().any(|said| said.contains("`frobnicated`"));
                    assert!(named, "{} {place:?}: {said:?}", example.name);
                    refused += 1;
                }
            }
        }
    }
    let unexpected: Vec<&String> = accepted
        .iter()
        .filter(|key| !FREE.contains(&key.as_str()))
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
    assert!(refused > 100 && accepted.contains("tags"), "{refused}");
}

#[test]
fn choices_are_matched_in_any_case_and_style() {
    let mut choices = BTreeMap::new();
    for example in canonical() {
        for (place, value) in example.places() {
            let Value::String(word) = value else { continue };
            // Only a choice says which words are possible.
            let other = example.read(&example.with(&place, json!("frobnicated")));
            let is_choice = other.is_err_and(|said| {
                said.iter()
                    .any(|said| said.starts_with("`frobnicated` is not"))
            });
            if !is_choice || word.starts_with("azureml:") {
                continue;
            }
            for style in styles(&word) {
                let read = example.read(&example.with(&place, json!(style)));
                let read = read
                    .unwrap_or_else(|said| panic!("{} {place:?} {style}: {said:?}", example.name));
                assert!(
                    same(&read, &example.value),
                    "{} {place:?} {style}",
                    example.name
                );
            }
            choices.insert(place.last().cloned().unwrap_or_default(), word);
        }
    }
    assert!(
        choices.len() > 15 && choices.contains_key("type"),
        "{choices:?}"
    );
}

fn styles(word: &str) -> [String; 3] {
    let camel = word.split('_').map(|part| {
        let (first, rest) = part.split_at(part.len().min(1));
        first.to_uppercase() + rest
    });
    [word.to_uppercase(), camel.collect(), word.replace('_', "-")]
}

#[test]
fn truths_are_those_of_yaml_1_1() {
    let mut seen = 0;
    for example in canonical() {
        for (place, value) in example.places() {
            let Value::Bool(truth) = value else { continue };
            let mark = "frobnicated";
            let text = serde_json::to_string(&example.with(&place, json!(mark))).unwrap();
            for word in if truth {
                ["yes", "On", "TRUE", "'True'"]
            } else {
                ["no", "Off", "FALSE", "'False'"]
            } {
                let text = text.replace(&format!("\"{mark}\""), word);
                let document = load::parse(text, "/f.yml".as_ref(), "f");
                let (read, report) = document.check_shape(&example.kind.shape, &[]);
                let at = format!("{} {place:?} {word}", example.name);
                let wrong = report
                    .errors()
                    .find(|issue| issue.message.contains("boolean"));
                assert!(wrong.is_none(), "{at}: {wrong:?}");
                if let Some(read) = read {
                    let read = read.pointer(&pointer(&place)).cloned();
                    assert!(
                        matches!(&read, Some(Value::Bool(read)) if *read == truth),
                        "{at}: {read:?}"
                    );
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 20, "{seen}");
}

#[test]
fn what_only_the_service_sets_is_dropped() {
    let mut kinds = BTreeSet::new();
    for example in canonical() {
        for record in records(&example.kind.shape, &example.value) {
            for key in read_only(record) {
                let mut changed = example.value.clone();
                if changed.get(key).is_some() || record.field(key).is_some() {
                    continue;
                }
                changed[key] = json!({"any": ["thing", 1]});
                let read = example.read(&changed);
                let read = read.unwrap_or_else(|said| panic!("{} {key}: {said:?}", example.name));
                assert!(same(&read, &example.value), "{} {key}", example.name);
                kinds.insert(example.kind.name);
            }
        }
    }
    assert!(kinds.len() > 15, "{kinds:?}");
}

#[test]
fn what_must_be_said_is_asked_for_by_its_name() {
    let mut asked = 0;
    for example in canonical() {
        for (place, value) in example.places() {
            let Value::Object(members) = value else {
                continue;
            };
            for key in members.keys() {
                let mut rest: Map<String, Value> = members.clone();
                rest.shift_remove(key);
                let Err(said) = example.read(&example.with(&place, Value::Object(rest))) else {
                    continue;
                };
                asked += 1;
                // Without its type it is another thing, and without a part what names the part is wrong.
                let stem = key.trim_end_matches('s');
                let whole = place.last().map_or(stem, String::as_str);
                let names = |said: &String| {
                    let other = OTHERWISE
                        .iter()
                        .any(|(own, other)| own == key && said.starts_with(other));
                    let said = said.to_lowercase();
                    other || said.contains(stem) || said.contains(whole)
                };
                let named = said.iter().any(names);
                assert!(
                    named || key == "type" || key == "credentials",
                    "{} {place:?} without {key}: {said:?}",
                    example.name
                );
            }
        }
    }
    assert!(asked > 100, "{asked}");
}

/// The records that a file of this shape may be.
fn records(shape: &Shape, value: &Value) -> Vec<&'static Record> {
    match shape {
        Shape::Record(record) => vec![record()],
        Shape::Union(union) => {
            let kind = value.get("type").and_then(Value::as_str);
            let all = union.flat().into_iter();
            let all = all.filter_map(|shape| match shape {
                Shape::Record(record) => Some(record()),
                _ => None,
            });
            let is = |record: &&'static Record| match record.choice("type") {
                Some((choice, _)) => kind.is_some_and(|kind| choice.find(kind).is_some()),
                None => true,
            };
            let found: Vec<_> = all.filter(is).collect();
            match found.as_slice() {
                [one] => vec![*one],
                // Several of one type are told apart by more than can be seen here.
                _ => Vec::new(),
            }
        }
        _ => Vec::new(),
    }
}

fn read_only(record: &'static Record) -> Vec<&'static str> {
    let bases = record.bases.iter().flat_map(|base| read_only(base()));
    bases.chain(record.read_only.iter().copied()).collect()
}
