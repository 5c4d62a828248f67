//! `az ml datastore`

use serde_json::{Map, Value, json};

use super::{asset::put_flags, changed_tags, mount, tags};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            FILE, GENERIC, Group, MAX, NAME, PLACE, SET, THE_FILE, THE_NAME, YES, flag, verb,
        },
        ids,
    },
    document::Draft,
};
use api::{
    Error, Result,
    datastores::{
        CreateDatastore, Datastore, DatastoreType, DeleteDatastore, GetDatastore, ListDatastores,
        UpdateDatastore,
    },
    workspaces::Workspace,
};
use spec::overrides::Values;

pub const GROUP: Group = Group {
    path: "ml datastore",
    about: "Datastores: places of files",
    verbs: &[
        verb!(
            "create",
            "Create a datastore, or replace the one of that name",
            [PLACE, NAME, THE_FILE, SET],
            create
        ),
        verb!("show", "Show a datastore", [PLACE, THE_NAME], show),
        verb!("list", "List the datastores", [PLACE, MAX], list),
        verb!(
            "update",
            "Change a datastore",
            [
                PLACE,
                NAME,
                FILE,
                GENERIC,
                &[flag("default", "Make it the default one").maybe()]
            ],
            update
        ),
        verb!(
            "delete",
            "Forget a datastore; its files stay where they are",
            [PLACE, THE_NAME, YES],
            delete
        ),
        verb!(
            "mount",
            "Lay files of a datastore out in a folder",
            [PLACE, mount::FLAGS],
            mount::mount
        ),
    ],
};

/// Keys of the file that are fields of their own here.
const OWN: [&str; 6] = ["name", "type", "description", "tags", "credentials", "id"];

/// A datastore as Azure's command line shows it, without what opens it.
fn shown(workspace: &Workspace, datastore: &Datastore) -> Value {
    let mut all = ids::fields(json!({
        "credentials": {},
        "description": datastore.description,
        "id": format!("azureml:{}", ids::within(workspace, &format!("datastores/{}", datastore.name))),
        "is_default": datastore.is_default,
        "name": datastore.name,
        "resourceGroup": workspace.resource_group,
        "tags": datastore.tags,
        "type": datastore.kind,
    }));
    for (key, value) in &datastore.spec {
        all.insert(key.clone(), value.clone());
    }
    Value::Object(all)
}

pub fn request(workspace: &Workspace, fields: &Map<String, Value>) -> Result<CreateDatastore> {
    let kind = ids::text(fields, "type").unwrap_or_default();
    let kind = DatastoreType::parse(&kind)
        .ok_or_else(|| Error::invalid(format!("`{kind}` is no type of datastore")).at("type"))?;
    let credentials = fields.get("credentials").and_then(Value::as_object);
    let credentials = credentials.cloned().unwrap_or_default();
    let spec = fields
        .iter()
        .filter(|(key, _)| !OWN.contains(&key.as_str()));
    Ok(CreateDatastore {
        workspace: workspace.name.clone(),
        name: ids::text(fields, "name").unwrap_or_default(),
        kind,
        spec: spec
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        description: ids::text(fields, "description").unwrap_or_default(),
        tags: tags(fields),
        credentials: credentials
            .into_iter()
            .filter(|(_, value)| !value.is_null())
            .collect(),
    })
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = Draft::open(given.text("file"), &az.ctx.folder)?;
    put_flags(&mut draft, given, &["name"]);
    draft.edit(&given.edits()?, Values::Strings)?;
    let fields = draft.check("datastore")?;
    let workspace = az.this_workspace().await?;
    let made = az.call(&request(&workspace, &fields)?).await?;
    Ok(shown(&workspace, &made))
}

async fn get(az: &Az, workspace: &Workspace, name: &str, secrets: bool) -> Result<Datastore> {
    let get = GetDatastore {
        workspace: workspace.name.clone(),
        name: Some(name.to_owned()),
        secrets,
    };
    az.call(&get).await
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let found = get(az, &workspace, given.required("name")?, false).await?;
    Ok(shown(&workspace, &found))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    let name = workspace.name.clone();
    let mut all = az.call(&ListDatastores { workspace: name }).await?;
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    Ok(all
        .iter()
        .map(|datastore| shown(&workspace, datastore))
        .collect())
}

/// A file replaces what the datastore says; otherwise only what is named changes.
async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?;
    if given.has("file") {
        return create(az, given).await;
    }
    let found = get(az, &workspace, given.required("name")?, true).await?;
    let mut before = ids::fields(json!({
        "name": found.name,
        "type": found.kind,
        "description": found.description,
        "tags": found.tags,
    }));
    before.extend(found.spec.clone());
    if !found.credentials.is_empty() {
        before.insert(
            "credentials".to_owned(),
            Value::Object(found.credentials.clone()),
        );
    }
    let mut draft = Draft::of(&before, &az.ctx.folder);
    draft.edit(&given.edits()?, given.values())?;
    let after = request(&workspace, &draft.check("datastore")?)?;
    let same_place =
        after.spec == found.spec && after.kind == found.kind && after.name == found.name;
    let changed = if same_place {
        let fields = Map::from_iter([("tags".to_owned(), json!(after.tags))]);
        let request = UpdateDatastore {
            workspace: workspace.name.clone(),
            name: found.name.clone(),
            description: Some(after.description).filter(|text| *text != found.description),
            tags: changed_tags(&found.tags, &fields),
            credentials: Some(after.credentials).filter(|new| *new != found.credentials),
            make_default: given.truth("default")?.unwrap_or(false),
        };
        az.call(&request).await?
    } else {
        az.call(&after).await?
    };
    Ok(shown(&workspace, &changed))
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = DeleteDatastore {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}
