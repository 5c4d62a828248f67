//! How datastores and their files look to people.

use serde_json::Value;

use super::{Show, View, list, pairs, record, runs::size, time};
use api::datastores::{Datastore, StoredFile};

fn place(datastore: &Datastore) -> String {
    let parts: Vec<String> = datastore
        .spec
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "endpoint" | "protocol"))
        .map(|(_, value)| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect();
    parts.join("/")
}

impl Show for Datastore {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Type", self.kind.to_string()),
            ("Place", place(self)),
            ("Opened by", self.credential_type.clone()),
            (
                "Credentials",
                pairs(
                    &self
                        .credentials
                        .iter()
                        .map(|(key, value)| {
                            (key.clone(), value.as_str().unwrap_or_default().to_owned())
                        })
                        .collect::<std::collections::BTreeMap<_, _>>(),
                ),
            ),
            (
                "Default",
                if self.is_default { "yes" } else { "" }.to_owned(),
            ),
            ("Description", self.description.clone()),
            ("Tags", pairs(&self.tags)),
            (
                "Created",
                format!("{} by {}", time(self.created_at), self.created_by),
            ),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Datastore> {
    fn view(&self) -> View {
        list(
            ["name", "type", "place", "default", "description"],
            self.iter().map(|datastore| {
                [
                    datastore.name.clone(),
                    datastore.kind.to_string(),
                    place(datastore),
                    if datastore.is_default { "yes" } else { "" }.to_owned(),
                    datastore.description.clone(),
                ]
            }),
        )
    }
}

impl Show for Vec<StoredFile> {
    fn view(&self) -> View {
        list(
            ["path", "size", "modified"],
            self.iter()
                .map(|file| [file.path.clone(), size(file.size), time(file.modified_at)]),
        )
    }
}
