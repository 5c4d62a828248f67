//! `aml connection`

mod create;
mod delete;
mod list;
mod show;

use clap::Subcommand;
use serde_json::{Map, Value};

use super::{
    asset::texts,
    context::Context,
    views::{Show, View, list as columns, pairs, record, time},
};
use api::connections::{Connection, CreateConnection};

/// Keep how services outside are reached, with what lets one in
#[derive(Debug, Subcommand)]
pub enum ConnectionCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Delete(delete::DeleteArgs),
}

pub async fn run(ctx: &Context, command: ConnectionCommand) -> anyhow::Result<()> {
    match command {
        ConnectionCommand::Create(args) => create::create(ctx, args).await,
        ConnectionCommand::List(args) => list::list(ctx, args).await,
        ConnectionCommand::Show(args) => show::show(ctx, args).await,
        ConnectionCommand::Delete(args) => delete::delete(ctx, args).await,
    }
}

/// Keys of the file that are fields of their own here.
const OWN: [&str; 7] = [
    "name",
    "type",
    "target",
    "credentials",
    "description",
    "tags",
    "id",
];
/// Secrets that some types have at the top.
pub const AT_THE_TOP: [&str; 1] = ["api_key"];

/// What creates the connection that a checked file describes.
pub fn described(workspace: &str, fields: &Map<String, Value>) -> CreateConnection {
    let text = |key: &str| fields.get(key).and_then(Value::as_str).unwrap_or_default();
    let credentials = fields.get("credentials").and_then(Value::as_object);
    let mut credentials = credentials.cloned().unwrap_or_default();
    let mut spec = fields.clone();
    for key in AT_THE_TOP {
        if let Some(secret) = spec.shift_remove(key).filter(|secret| !secret.is_null()) {
            credentials.insert(key.to_owned(), secret);
        }
    }
    let target = ["target", "azure_endpoint", "endpoint", "api_base", "url"];
    let target = target
        .iter()
        .map(|key| text(key))
        .find(|text| !text.is_empty());
    spec.retain(|key, value| !OWN.contains(&key.as_str()) && !value.is_null());
    credentials.retain(|_, value| !value.is_null());
    CreateConnection {
        workspace: workspace.to_owned(),
        name: text("name").to_owned(),
        kind: text("type").to_owned(),
        target: target.unwrap_or_default().to_owned(),
        spec,
        credentials,
        description: text("description").to_owned(),
        tags: texts(fields, "tags"),
    }
}

impl Show for Connection {
    fn view(&self) -> View {
        let secrets = self.credentials.iter().map(|(key, value)| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (key.clone(), text)
        });
        let secrets: std::collections::BTreeMap<_, _> = secrets.collect();
        record([
            ("Name", self.name.clone()),
            ("Type", self.kind.clone()),
            ("Target", self.target.clone()),
            ("Opened by", self.credential_type.clone()),
            ("Credentials", pairs(&secrets)),
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

impl Show for Vec<Connection> {
    fn view(&self) -> View {
        columns(
            ["name", "type", "target", "opened by"],
            self.iter().map(|connection| {
                [
                    connection.name.clone(),
                    connection.kind.clone(),
                    connection.target.clone(),
                    connection.credential_type.clone(),
                ]
            }),
        )
    }
}
