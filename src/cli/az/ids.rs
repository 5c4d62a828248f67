//! Resource ids and the other addresses and words by which Azure's answers name things.

use serde_json::{Map, Value, json};

pub use crate::job::entity::time;
use api::{Time, workspaces::Workspace};

/// The subscription and tenant of who has named none.
pub const NO_ID: &str = "00000000-0000-0000-0000-000000000000";
const PROVIDER: &str = "Microsoft.MachineLearningServices";

pub fn group(subscription: &str, group: &str) -> String {
    format!("/subscriptions/{subscription}/resourceGroups/{group}")
}

pub fn workspace(workspace: &Workspace) -> String {
    let group = group(&workspace.subscription, &workspace.resource_group);
    format!("{group}/providers/{PROVIDER}/workspaces/{}", workspace.name)
}

/// The id of something in a workspace, such as `computes/c`.
pub fn within(in_workspace: &Workspace, path: &str) -> String {
    format!("{}/{path}", workspace(in_workspace))
}

/// The id of a resource beside a workspace; one that was given as an id keeps it.
pub fn beside(workspace: &Workspace, kind: &str, name: &str) -> String {
    if name.is_empty() || name.starts_with('/') {
        return name.to_owned();
    }
    let group = group(&workspace.subscription, &workspace.resource_group);
    format!("{group}/providers/{kind}/{name}")
}

pub fn registry(subscription: &str, in_group: &str, name: &str) -> String {
    let group = group(subscription, in_group);
    format!("{group}/providers/{PROVIDER}/registries/{name}")
}

/// The address of an asset of a registry.
pub fn in_registry(registry: &str, kind: &str, name: &str, version: &str) -> String {
    format!("azureml://registries/{registry}/{kind}/{name}/versions/{version}")
}

/// Who made something and when, in Azure's words.
pub fn creation(
    (created_at, created_by): (Time, &str),
    (updated_at, updated_by): (Time, &str),
) -> Value {
    json!({
        "created_at": time(created_at),
        "created_by": created_by,
        "created_by_type": "User",
        "last_modified_at": time(updated_at),
        "last_modified_by": updated_by,
        "last_modified_by_type": "User",
    })
}

/// The text at a key of an object.
pub fn text(fields: &Map<String, Value>, key: &str) -> Option<String> {
    fields.get(key).and_then(Value::as_str).map(str::to_owned)
}

/// The fields of an object; none of anything else.
pub fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
