//! How assets look to people.

use serde_json::Value;

use super::{Show, View, list, pairs, record, runs::size, time};
use crate::asset::Shown;
use api::{
    assets::{Asset, AssetKind},
    registries::Registry,
};

impl Show for Shown {
    fn view(&self) -> View {
        let asset = &self.0;
        let spec = asset
            .spec
            .iter()
            .map(|(key, value)| (title(key), text(value)));
        let View::Record(mut lines) = record([
            ("Name", asset.name.clone()),
            ("Version", asset.version.clone()),
            ("Labels", asset.labels.join(", ")),
            ("Description", asset.description.clone()),
            ("Tags", pairs(&asset.tags)),
            ("Properties", pairs(&asset.properties)),
            ("Files", files(asset)),
            (
                "Archived",
                if asset.archived { "yes" } else { "" }.to_owned(),
            ),
            (
                "Created",
                format!("{} by {}", time(asset.created_at), asset.created_by),
            ),
            (
                "Updated",
                format!("{} by {}", time(asset.updated_at), asset.updated_by),
            ),
        ]) else {
            return View::Text(String::new());
        };
        lines.splice(2..2, spec.filter(|(_, value)| !value.is_empty()));
        View::Record(lines)
    }
}

impl Show for Vec<Shown> {
    fn view(&self) -> View {
        list(
            [
                "name",
                "version",
                "labels",
                what(self),
                "files",
                "created",
                "description",
            ],
            self.iter().map(|Shown(asset)| {
                [
                    asset.name.clone(),
                    asset.version.clone(),
                    asset.labels.join(", "),
                    asset
                        .text(what(self))
                        .map_or_else(String::new, str::to_owned),
                    files(asset),
                    time(asset.created_at),
                    asset.description.clone(),
                ]
            }),
        )
    }
}

/// The field that tells most about assets of a kind.
fn what(assets: &[Shown]) -> &'static str {
    match assets.first().map(|shown| shown.0.kind) {
        Some(AssetKind::Environment) => "image",
        Some(AssetKind::Code) => "path",
        Some(AssetKind::Data | AssetKind::Component) | None => "type",
    }
}

fn files(asset: &Asset) -> String {
    asset.files.as_ref().map_or_else(String::new, |files| {
        format!("{} ({})", files.files, size(files.size))
    })
}

fn title(key: &str) -> String {
    let words = key.replace('_', " ");
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => words,
    }
}

/// A field as YAML when it is more than a word.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.trim_end().to_owned(),
        Value::Object(_) | Value::Array(_) => serde_saphyr::to_string(value)
            .map_or_else(|_| value.to_string(), |yaml| yaml.trim_end().to_owned()),
        other => other.to_string(),
    }
}

impl Show for Registry {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Description", self.description.clone()),
            ("Location", self.location.clone()),
            ("Tags", pairs(&self.tags)),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Registry> {
    fn view(&self) -> View {
        list(
            ["name", "location", "created", "description"],
            self.iter().map(|registry| {
                [
                    registry.name.clone(),
                    registry.location.clone(),
                    time(registry.created_at),
                    registry.description.clone(),
                ]
            }),
        )
    }
}
