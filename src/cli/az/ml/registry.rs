//! `az ml registry`

use serde_json::{Map, Value, json};

use super::{asset::put_flags, changed_tags, named_draft, tags};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            FILE, Flag, GENERIC, GROUP as IN_GROUP, Group, MAX, NAME, NO_WAIT, SET, THE_NAME, YES,
            flag, verb,
        },
        ids,
    },
    document::Draft,
};
use api::{
    Code,
    registries::{
        CreateRegistry, DeleteRegistry, GetRegistry, ListRegistries, Registry, UpdateRegistry,
    },
};
use spec::overrides::Values;

const SETTINGS: &[Flag] = &[
    flag("display-name", "Name to show"),
    flag("public-network-access", "Enabled or Disabled"),
    flag("tags", "Tags, as KEY=VALUE").many(),
    flag("location", "Location to record").short('l'),
    flag("description", "Description"),
];

pub const GROUP: Group = Group {
    path: "ml registry",
    about: "Registries: assets for all workspaces",
    verbs: &[
        verb!(
            "create",
            "Create a registry",
            [IN_GROUP, NAME, FILE, SET, NO_WAIT, SETTINGS],
            create
        ),
        verb!("show", "Show a registry", [IN_GROUP, THE_NAME], show),
        verb!("list", "List the registries", [IN_GROUP, MAX], list),
        verb!(
            "update",
            "Change a registry",
            [IN_GROUP, NAME, FILE, GENERIC, NO_WAIT, SETTINGS],
            update
        ),
        verb!(
            "delete",
            "Delete a registry with all assets in it",
            [IN_GROUP, THE_NAME, NO_WAIT, YES],
            delete
        ),
    ],
};

/// Keys of the file that are fields of their own here.
const OWN: [&str; 5] = ["name", "display_name", "location", "description", "tags"];

/// Where it is kept in which resource group one was created, and the group of those of which nobody said.
const KEPT_GROUP: &str = "resourceGroup";
const NO_GROUP: &str = "default";

fn shown(az: &Az, registry: &Registry) -> anyhow::Result<Value> {
    let group = ids::text(&registry.spec, KEPT_GROUP).unwrap_or_else(|| NO_GROUP.to_owned());
    let mut all = ids::fields(json!({
        "description": registry.description,
        "display_name": registry.display_name,
        "id": ids::registry(&az.subscription()?, &group, &registry.name),
        "location": registry.location,
        "name": registry.name,
        "public_network_access": "Enabled",
        "replication_locations": [{"location": registry.location}],
        "resourceGroup": group,
        "tags": registry.tags,
    }));
    all.extend(registry.spec.clone());
    super::spell_access(&mut all);
    Ok(Value::Object(all))
}

fn rest(fields: Map<String, Value>) -> Map<String, Value> {
    let rest = fields.into_iter();
    rest.filter(|(key, value)| !OWN.contains(&key.as_str()) && !value.is_null())
        .collect()
}

const FLAGS: [&str; 5] = [
    "name",
    "public-network-access",
    "tags",
    "location",
    "description",
];

/// One that is there already is changed, as Azure does it.
async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    put_flags(&mut draft, given, &FLAGS);
    if !draft.has("location") {
        let location = az.config.default("location");
        draft.put(
            "location",
            location.unwrap_or_else(|| "local".to_owned()),
            "--location",
        );
    }
    draft.edit(&given.edits()?, Values::Strings)?;
    let mut fields = draft.check("registry")?;
    let mut spec = rest(fields.clone());
    if let Some(group) = &az.group {
        spec.insert(KEPT_GROUP.to_owned(), json!(group));
    }
    let request = CreateRegistry {
        name: ids::text(&fields, "name").unwrap_or_default(),
        description: ids::text(&fields, "description").unwrap_or_default(),
        display_name: given.owned("display-name"),
        location: ids::text(&fields, "location"),
        tags: tags(&fields),
        spec,
    };
    match az.call(&request).await {
        Err(error) if error.code == Code::Conflict => {
            let get = GetRegistry {
                registry: request.name,
            };
            let found = az.call(&get).await?;
            fields.entry("tags").or_insert_with(|| json!(found.tags));
            change(az, request.display_name, found, fields).await
        }
        made => shown(az, &made?),
    }
}

async fn change(
    az: &Az,
    display_name: Option<String>,
    found: Registry,
    fields: Map<String, Value>,
) -> anyhow::Result<Value> {
    let request = UpdateRegistry {
        registry: found.name,
        description: ids::text(&fields, "description"),
        display_name,
        tags: changed_tags(&found.tags, &fields),
        spec: rest(fields),
    };
    shown(az, &az.call(&request).await?)
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let registry = given.required("name")?.to_owned();
    shown(az, &az.call(&GetRegistry { registry }).await?)
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListRegistries {}).await?;
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    all.iter().map(|registry| shown(az, registry)).collect()
}

async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let file = Draft::open(given.text("file"), &az.ctx.folder)?;
    let name = given
        .owned("name")
        .or_else(|| file.text("name").map(str::to_owned));
    let registry = name.ok_or_else(|| crate::az::given::missing(&["name/-n"]))?;
    let found = az.call(&GetRegistry { registry }).await?;
    let mut before = ids::fields(json!({
        "name": found.name,
        "display_name": found.display_name,
        "location": found.location,
        "description": found.description,
        "tags": found.tags,
    }));
    let kept = found.spec.clone().into_iter();
    before.extend(kept.filter(|(key, _)| key != KEPT_GROUP));
    let mut draft = Draft::of(&before, &az.ctx.folder);
    for (key, value) in file.unchecked()? {
        if key != "$schema" {
            draft.put(&key, value, "--file");
        }
    }
    put_flags(&mut draft, given, &FLAGS[1..]);
    if let Some(display_name) = given.text("display-name") {
        draft.put("display_name", display_name, "--display-name");
    }
    draft.edit(&given.edits()?, given.values())?;
    // One that is shown by no other name is shown by its own.
    let display_name = draft.text("display_name").unwrap_or(&found.name).to_owned();
    let mut fields = draft.check("registry")?;
    if !found.description.is_empty() {
        fields.entry("description").or_insert_with(|| json!(""));
    }
    let display_name = Some(display_name).filter(|name| *name != found.display_name);
    change(az, display_name, found, fields).await
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let registry = given.required("name")?.to_owned();
    az.call(&DeleteRegistry { registry }).await?;
    Ok(Value::Null)
}
