//! What webhooks are told when models and prompts change, with the fields that MLflow gives each
//! event.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use api::{
    models::Model,
    registered_models::{PROMPT_TAG, RegisteredModel, is_prompt},
    webhooks::Event,
};
use store::{ModelRow, Occurred};

/// The text of a prompt's version.
const TEXT_TAG: &str = "mlflow.prompt.text";
/// Whether it is one text or the turns of a chat.
const TYPE_TAG: &str = "_mlflow_prompt_type";

type Tags = BTreeMap<String, String>;

fn one(event: Event, data: Value) -> Occurred {
    Occurred { event, data }
}

fn or_null(text: &str) -> Value {
    match text {
        "" => Value::Null,
        text => text.into(),
    }
}

/// The tags that people have set on a prompt.
fn own_tags(tags: &Tags) -> Tags {
    let mut tags = tags.clone();
    tags.retain(|key, _| ![PROMPT_TAG, TEXT_TAG, TYPE_TAG].contains(&key.as_str()));
    tags
}

/// A registered model was made.
pub fn of_new_model(name: &str, description: &str, tags: &Tags) -> Occurred {
    let (event, tags) = if is_prompt(tags) {
        (Event::PromptCreated, own_tags(tags))
    } else {
        (Event::RegisteredModelCreated, tags.clone())
    };
    let description = or_null(description);
    one(
        event,
        json!({"name": name, "tags": tags, "description": description}),
    )
}

/// A version was registered; `made` when its model was made for it.
pub fn of_registration(row: &ModelRow, made: bool) -> Vec<Occurred> {
    let model = &row.model;
    let mut occurred = Vec::new();
    if made {
        occurred.push(of_new_model(&model.name, "", &Tags::new()));
    }
    let version = model.version.to_string();
    let description = or_null(&model.description);
    occurred.push(if row.of_prompt || is_prompt(&model.tags) {
        let data = json!({
            "name": model.name,
            "version": version,
            "template": model.tags.get(TEXT_TAG),
            "tags": own_tags(&model.tags),
            "description": description,
        });
        one(Event::PromptVersionCreated, data)
    } else {
        let data = json!({
            "name": model.name,
            "version": version,
            "source": source(model),
            "run_id": model.lineage.run,
            "tags": model.tags,
            "description": description,
        });
        one(Event::ModelVersionCreated, data)
    });
    occurred
}

/// Where the files came from, as whoever registered them calls it.
fn source(model: &Model) -> Option<String> {
    let of_run = || {
        let lineage = &model.lineage;
        Some(format!(
            "runs:/{}/{}",
            lineage.run.as_ref()?,
            lineage.path.as_ref()?
        ))
    };
    model
        .source
        .clone()
        .or_else(of_run)
        .or_else(|| model.location.clone())
        .or_else(|| model.lineage.path.clone())
}

/// Tags of a registered model were changed; MLflow tells of those of prompts only.
pub fn of_model_tags(model: &RegisteredModel, set: &Tags, removed: &[String]) -> Vec<Occurred> {
    if !is_prompt(&model.tags) {
        return Vec::new();
    }
    let name = &model.name;
    let set = set.iter().map(|(key, value)| {
        one(
            Event::PromptTagSet,
            json!({"name": name, "key": key, "value": value}),
        )
    });
    let removed = removed
        .iter()
        .map(|key| one(Event::PromptTagDeleted, json!({"name": name, "key": key})));
    set.chain(removed).collect()
}

/// Tags of a version were changed.
pub fn of_version_tags(
    model: &RegisteredModel,
    version: u64,
    set: &Tags,
    removed: &[String],
) -> Vec<Occurred> {
    let (on_set, on_removed) = if is_prompt(&model.tags) {
        (Event::PromptVersionTagSet, Event::PromptVersionTagDeleted)
    } else {
        (Event::ModelVersionTagSet, Event::ModelVersionTagDeleted)
    };
    let (name, version) = (&model.name, version.to_string());
    let set = set.iter().map(|(key, value)| {
        one(
            on_set,
            json!({"name": name, "version": version, "key": key, "value": value}),
        )
    });
    let removed = removed.iter().map(|key| {
        one(
            on_removed,
            json!({"name": name, "version": version, "key": key}),
        )
    });
    set.chain(removed).collect()
}

/// An alias was given to a version.
pub fn of_alias(model: &RegisteredModel, version: u64, alias: &str) -> Occurred {
    let event = if is_prompt(&model.tags) {
        Event::PromptAliasCreated
    } else {
        Event::ModelVersionAliasCreated
    };
    let version = version.to_string();
    one(
        event,
        json!({"name": model.name, "alias": alias, "version": version}),
    )
}

/// An alias was taken away.
pub fn of_no_alias(model: &RegisteredModel, alias: &str) -> Occurred {
    let event = if is_prompt(&model.tags) {
        Event::PromptAliasDeleted
    } else {
        Event::ModelVersionAliasDeleted
    };
    one(event, json!({"name": model.name, "alias": alias}))
}

/// What is told of an event when somebody tries a webhook.
pub fn example(event: Event) -> Value {
    let name = if event.parts().0.starts_with("prompt") {
        "example_prompt"
    } else {
        "example_model"
    };
    let (tags, key) = (json!({"example_key": "example_value"}), "example_key");
    match event {
        Event::RegisteredModelCreated | Event::PromptCreated => {
            json!({"name": name, "tags": tags, "description": "An example"})
        }
        Event::ModelVersionCreated => json!({
            "name": name, "version": "1", "source": "models:/123", "run_id": "abcd1234abcd5678",
            "tags": tags, "description": "An example",
        }),
        Event::PromptVersionCreated => json!({
            "name": name, "version": "1", "template": "Hello {{name}}!", "tags": tags,
            "description": "An example",
        }),
        Event::ModelVersionTagSet | Event::PromptVersionTagSet => {
            json!({"name": name, "version": "1", "key": key, "value": "example_value"})
        }
        Event::ModelVersionTagDeleted | Event::PromptVersionTagDeleted => {
            json!({"name": name, "version": "1", "key": key})
        }
        Event::PromptTagSet => json!({"name": name, "key": key, "value": "example_value"}),
        Event::PromptTagDeleted => json!({"name": name, "key": key}),
        Event::ModelVersionAliasCreated | Event::PromptAliasCreated => {
            json!({"name": name, "alias": "example_alias", "version": "1"})
        }
        Event::MonitorAlerted => json!({
            "name": "example_monitor", "run": null, "data": "iris-ep/blue/model_inputs",
            "reference": "iris-training:1",
            "alerts": [{"feature": "sepal_length", "metric": "population_stability_index",
                        "value": 0.31, "threshold": 0.2}],
        }),
        Event::ModelVersionAliasDeleted | Event::PromptAliasDeleted => {
            json!({"name": name, "alias": "example_alias"})
        }
    }
}
