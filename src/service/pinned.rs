//! Labels in components: a version of a component goes on meaning what it meant when it was made.

use serde_json::{Map, Value};

use super::{Caller, Perform, Service};
use api::assets::{AssetKind, AssetRef, GetAsset};

/// What components, their tasks and their steps name by references.
const NAMED: [(&str, AssetKind); 3] = [
    ("environment", AssetKind::Environment),
    ("component", AssetKind::Component),
    ("trial", AssetKind::Component),
];

impl Service {
    /// Puts versions in the place of labels. What is not there is left: it may come before it is used.
    pub(super) async fn pin_labels(
        &self,
        caller: &Caller,
        workspace: &str,
        component: &mut Map<String, Value>,
    ) {
        for (key, kind) in NAMED {
            let text = component.get(key).and_then(Value::as_str);
            let labelled = text.filter(|text| text.contains('@') || text.contains("/labels/"));
            let Some(asset) = labelled.and_then(|text| AssetRef::parse(text).ok()) else {
                continue;
            };
            let get = GetAsset::of(&asset, kind, workspace);
            if let Ok(found) = get.perform(self, caller).await {
                let pinned = asset
                    .holder
                    .reference(kind.plural(), &found.name, &found.version);
                component.insert(key.to_owned(), Value::from(pinned));
            }
        }
        for (key, value) in component.iter_mut() {
            let within: Vec<&mut Value> = match key.as_str() {
                "task" => vec![value],
                "jobs" => value
                    .as_object_mut()
                    .map_or_else(Vec::new, |steps| steps.values_mut().collect()),
                _ => continue,
            };
            for part in within.into_iter().filter_map(Value::as_object_mut) {
                Box::pin(self.pin_labels(caller, workspace, part)).await;
            }
        }
    }
}
