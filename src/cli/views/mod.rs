//! How answers look to people: which columns a list has, which lines a thing has.

mod assets;
mod datastores;
mod exchange;
mod files;
mod graph;
mod metrics;
mod run_table;
mod runs;
mod serving;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use serde_json::Value;

pub use graph::drawn;
pub use run_table::RunTable;
pub use runs::{command, duration, git, number, size};

use api::{
    Time,
    access::{CreatedToken, Identity, RoleAssignment, User},
    workspaces::{Resource, ResourceState, Workspace, WorkspaceKeys},
};

/// What can be shown to people.
pub trait Show {
    fn view(&self) -> View;
}

/// The shape in which something is shown.
pub enum View {
    /// Columns and rows.
    List {
        columns: Vec<String>,
        rows: Vec<Vec<String>>,
    },
    /// Names and values, one a line.
    Record(Vec<(String, String)>),
    /// Text as it is.
    Text(String),
}

/// What names a thing that has nothing more to show: it was deleted, say.
#[derive(Debug, Default, Serialize)]
pub struct Named {
    pub name: String,
    /// One of it; none means the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
}

impl Named {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }
}

impl Show for Named {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Version", self.version.clone().unwrap_or_default()),
            ("Alias", self.alias.clone().unwrap_or_default()),
        ])
    }
}

/// A list with fixed columns.
pub fn list<const N: usize>(
    columns: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> View {
    View::List {
        columns: columns.map(str::to_owned).to_vec(),
        rows: rows.into_iter().map(Vec::from).collect(),
    }
}

/// A record; lines with an empty value are left out.
pub fn record<'a>(lines: impl IntoIterator<Item = (&'a str, String)>) -> View {
    let lines = lines.into_iter().filter(|(_, value)| !value.is_empty());
    View::Record(
        lines
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

/// The text of a view, at most `width` columns wide on a terminal.
pub fn render(view: View, width: Option<u16>) -> String {
    match view {
        View::Text(text) => text,
        View::Record(lines) => {
            let column = lines
                .iter()
                .map(|(name, _)| name.chars().count())
                .max()
                .unwrap_or(0);
            let line = |(name, value): &(String, String)| {
                let indented = value.replace('\n', &format!("\n{:column$}  ", ""));
                format!("{name:column$}  {indented}\n")
            };
            lines.iter().map(line).collect()
        }
        View::List { rows, .. } if rows.is_empty() => String::new(),
        View::List { columns, rows } => {
            let mut table = Table::new();
            table.load_style(presets::NOTHING);
            if let Some(width) = width {
                table
                    .set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(width);
            }
            table.set_header(columns.iter().map(|name| name.to_uppercase()));
            table.add_rows(rows);
            for column in table.column_iter_mut() {
                column.set_padding((0, 2));
            }
            table
                .lines()
                .map(|line| line.trim_end().to_owned() + "\n")
                .collect()
        }
    }
}

/// A view of any JSON, for `--query` with `-o table`.
pub fn of_value(value: &Value) -> View {
    match value {
        Value::Array(items) if items.iter().any(Value::is_object) => {
            let columns = columns(items);
            let row = |item: &Value| columns.iter().map(|column| cell(&item[column])).collect();
            let rows = items.iter().map(row).collect();
            View::List { columns, rows }
        }
        Value::Array(items) => View::List {
            columns: vec!["result".to_owned()],
            rows: items.iter().map(|item| vec![cell(item)]).collect(),
        },
        Value::Object(fields) => View::Record(
            fields
                .iter()
                .map(|(key, value)| (key.clone(), cell(value)))
                .collect(),
        ),
        other => View::Text(cell(other) + "\n"),
    }
}

/// The keys of all objects among `items`, in the order in which they first appear.
fn columns(items: &[Value]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for key in items
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|item| item.keys())
    {
        if !columns.contains(key) {
            columns.push(key.clone());
        }
    }
    columns
}

/// Rows of tab-separated values: a column for each key that any object of a list has, and each row
/// on one line. A text alone is printed as it is.
pub fn tsv(value: &Value) -> String {
    let items = match value {
        Value::Null => return String::new(),
        Value::Array(items) => items.as_slice(),
        Value::Object(_) => std::slice::from_ref(value),
        other => return cell(other) + "\n",
    };
    let columns = columns(items);
    let line = |cells: Vec<String>| cells.join("\t") + "\n";
    let row = |item: &Value| match item {
        Value::Array(items) => line(items.iter().map(field).collect()),
        Value::Object(_) => line(columns.iter().map(|key| field(&item[key])).collect()),
        other => line(vec![field(other)]),
    };
    items.iter().map(row).collect()
}

/// A cell that stays in its column and on its line.
fn field(value: &Value) -> String {
    cell(value)
        .replace('\t', "\\t")
        .replace("\r\n", "\\n")
        .replace(['\n', '\r'], "\\n")
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items)
            if items
                .iter()
                .all(|item| !item.is_object() && !item.is_array()) =>
        {
            items.iter().map(cell).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A time in local form, to the second.
pub fn time(time: Time) -> String {
    time.datetime()
        .with_timezone(&chrono::Local)
        .format("%Y-%m-%d %H:%M:%S")
        .to_string()
}

/// `key=value` pairs on one line.
pub fn pairs<'a, V: std::fmt::Display + 'a>(
    map: impl IntoIterator<Item = (&'a String, &'a V)>,
) -> String {
    map.into_iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(" ")
}

impl Show for Workspace {
    fn view(&self) -> View {
        let resource = |resource: &Resource| match resource.state {
            ResourceState::Ready if resource.owned => resource.name.clone(),
            ResourceState::Ready => format!("{} (existing)", resource.name),
            ResourceState::Pending => {
                format!("{} (pending: made when first needed)", resource.name)
            }
        };
        record([
            ("Name", self.name.clone()),
            ("Edition", self.edition.to_string()),
            ("Description", self.description.clone()),
            ("Resource group", self.resource_group.clone()),
            ("Subscription", self.subscription.clone()),
            ("Location", self.location.clone()),
            ("Tags", pairs(&self.tags)),
            ("Storage account", resource(&self.resources.storage_account)),
            ("Key vault", resource(&self.resources.key_vault)),
            (
                "Application insights",
                resource(&self.resources.application_insights),
            ),
            (
                "Container registry",
                resource(&self.resources.container_registry),
            ),
            (
                "MLflow tracking URI",
                self.mlflow_tracking_uri
                    .clone()
                    .unwrap_or_else(|| "none while no server runs: aml serve".to_owned()),
            ),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Workspace> {
    fn view(&self) -> View {
        list(
            ["name", "edition", "location", "created", "description"],
            self.iter().map(|w| {
                [
                    w.name.clone(),
                    w.edition.to_string(),
                    w.location.clone(),
                    time(w.created_at),
                    w.description.clone(),
                ]
            }),
        )
    }
}

impl Show for WorkspaceKeys {
    fn view(&self) -> View {
        let key = |key: &Option<String>| {
            let elsewhere = "not known here: it existed before the workspace";
            key.clone().unwrap_or_else(|| elsewhere.to_owned())
        };
        record([
            ("Storage account", self.storage_account.clone()),
            ("Storage key", key(&self.storage_key)),
            (
                "Instrumentation key",
                key(&self.application_insights_instrumentation_key),
            ),
        ])
    }
}

impl Show for RoleAssignment {
    fn view(&self) -> View {
        record([("User", self.user.clone()), ("Role", self.role.to_string())])
    }
}

impl Show for Vec<RoleAssignment> {
    fn view(&self) -> View {
        list(
            ["user", "role", "since"],
            self.iter()
                .map(|a| [a.user.clone(), a.role.to_string(), time(a.created_at)]),
        )
    }
}

impl Show for Vec<User> {
    fn view(&self) -> View {
        list(
            ["name", "admin", "created"],
            self.iter().map(|u| {
                [
                    u.name.clone(),
                    if u.admin { "yes" } else { "no" }.to_owned(),
                    time(u.created_at),
                ]
            }),
        )
    }
}

impl Show for CreatedToken {
    fn view(&self) -> View {
        record([
            ("User", self.user.name.clone()),
            ("Token", self.token.clone()),
        ])
    }
}

impl Show for Identity {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Admin", if self.admin { "yes" } else { "no" }.to_owned()),
            ("Server version", self.version.clone()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::tsv;

    #[test]
    fn rows_of_tsv_have_the_same_columns_and_a_line_each() {
        let rows = json!([{"a": 1, "b": "x\ty"}, {"a": 2, "c": "two\nlines"}, {"b": null}]);
        assert_eq!(tsv(&rows), "1\tx\\ty\t\n2\t\ttwo\\nlines\n\t\t\n");
        assert_eq!(tsv(&json!([[1, "a\nb"], [2]])), "1\ta\\nb\n2\n");
        assert_eq!(tsv(&json!({"a": 1, "b": "c\nd"})), "1\tc\\nd\n");
        assert_eq!(tsv(&json!("a\nb")), "a\nb\n");
        assert_eq!(tsv(&json!(null)), "");
    }
}
