//! `az ml connection`

use serde_json::{Value, json};

use super::asset::put_flags;
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            Flag, GENERIC, Group, MAX, NAME, PLACE, SET, THE_FILE, THE_NAME, YES, flag, verb,
        },
        ids,
    },
    connection::{AT_THE_TOP, described},
    document::Draft,
};
use api::{
    Result,
    connections::{Connection, DeleteConnection, GetConnection, ListConnections},
    workspaces::Workspace,
};
use spec::overrides::{Edit, Values};

const SECRETS: &[Flag] = &[flag("populate-secrets", "Show the secrets")
    .short('p')
    .maybe()];
const CREDENTIALS: &[Flag] = &[flag("credentials", "Credentials, as KEY=VALUE").many()];

pub const GROUP: Group = Group {
    path: "ml connection",
    about: "Connections: services outside, with what lets one in",
    verbs: &[
        verb!(
            "create",
            "Create a connection, or replace the one of that name",
            [PLACE, NAME, THE_FILE, SET, SECRETS, CREDENTIALS],
            create
        ),
        verb!(
            "show",
            "Show a connection",
            [PLACE, THE_NAME, SECRETS],
            show
        ),
        verb!(
            "list",
            "List the connections",
            [
                PLACE,
                MAX,
                SECRETS,
                &[flag("type", "Of one type alone").short('t')]
            ],
            list
        ),
        verb!(
            "update",
            "Change a connection",
            [PLACE, THE_NAME, GENERIC, SECRETS],
            update
        ),
        verb!(
            "delete",
            "Forget a connection",
            [PLACE, THE_NAME, YES],
            delete
        ),
    ],
};

/// A connection as Azure's command line shows it. Without its secrets only their kind is said.
fn shown(workspace: &Workspace, connection: &Connection) -> Value {
    let mut all = ids::fields(json!({
        "creation_context": ids::creation(
            (connection.created_at, &connection.created_by),
            (connection.updated_at, &connection.created_by),
        ),
        "description": connection.description,
        "id": ids::within(workspace, &format!("connections/{}", connection.name)),
        "name": connection.name,
        "resourceGroup": workspace.resource_group,
        "tags": connection.tags,
        "target": connection.target,
        "type": connection.kind,
    }));
    all.extend(connection.spec.clone());
    let mut credentials = connection.credentials.clone();
    for key in AT_THE_TOP {
        if let Some(secret) = credentials.shift_remove(key) {
            all.insert(key.to_owned(), secret);
        }
    }
    credentials
        .entry("type")
        .or_insert_with(|| json!(connection.credential_type));
    all.insert("credentials".to_owned(), Value::Object(credentials));
    Value::Object(all)
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name"]);
    let edits = given
        .pairs("credentials")
        .into_iter()
        .map(|(key, value)| Edit::Set {
            path: format!("credentials.{key}"),
            value,
        });
    draft.edit(&edits.collect::<Vec<_>>(), Values::Strings)?;
    draft.edit(&given.edits()?, Values::Strings)?;
    save(az, given, draft).await
}

async fn save(az: &Az, given: &Given, draft: Draft) -> anyhow::Result<Value> {
    let fields = draft.check("connection")?;
    let workspace = az.this_workspace().await?;
    let mut made = az.call(&described(&workspace.name, &fields)).await?;
    if secrets(given)? {
        made = get(az, &made.name, true).await?;
    }
    Ok(shown(&workspace, &made))
}

fn secrets(given: &Given) -> Result<bool> {
    Ok(given.truth("populate-secrets")?.unwrap_or(false))
}

async fn get(az: &Az, name: &str, secrets: bool) -> Result<Connection> {
    let request = GetConnection {
        workspace: az.here().await?,
        name: name.to_owned(),
        secrets,
    };
    az.call(&request).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given.required("name")?, secrets(given)?).await?;
    Ok(shown(&az.this_workspace().await?, &found))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let request = ListConnections {
        workspace: workspace.name.clone(),
        kind: given.owned("type"),
        secrets: secrets(given)?,
    };
    let mut all = az.call(&request).await?;
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    Ok(all
        .iter()
        .map(|connection| shown(&workspace, connection))
        .collect())
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given.required("name")?, true).await?;
    let mut before = ids::fields(json!({
        "name": found.name,
        "type": found.kind,
        "target": found.target,
        "description": found.description,
        "tags": found.tags,
    }));
    before.extend(found.spec.clone());
    let mut credentials = found.credentials;
    for key in AT_THE_TOP {
        if let Some(secret) = credentials.shift_remove(key) {
            before.insert(key.to_owned(), secret);
        }
    }
    credentials
        .entry("type")
        .or_insert_with(|| json!(found.credential_type));
    before.insert("credentials".to_owned(), Value::Object(credentials));
    let mut draft = Draft::of(&before, &az.ctx.folder);
    draft.edit(&given.edits()?, given.values())?;
    save(az, given, draft).await
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = given.required("name")?.to_owned();
    let question = format!("Delete the connection {name}?");
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let workspace = az.here().await?;
    az.call(&DeleteConnection { workspace, name }).await?;
    Ok(Value::Null)
}
