//! `az group`: resource groups.

use serde_json::{Value, json};

use super::{
    Az,
    given::{Given, is_tagged},
    grammar::{Flag, Group, NO_WAIT, YES, flag, verb},
    ids,
    wait::{self, Wait},
};
use api::resource_groups::{
    CreateResourceGroup, DeleteResourceGroup, GetResourceGroup, ListResourceGroups, ResourceGroup,
};

/// The group by name; a default stands for it where none is given.
const NAME: &[Flag] = &[flag("name", "Name of the group")
    .short('n')
    .alias(&["resource-group"])];

pub const GROUP: Group = Group {
    path: "group",
    about: "Resource groups",
    verbs: &[
        verb!(
            "create",
            "Create a resource group, or change the one of that name",
            [
                NAME,
                &[
                    flag("location", "Location to record").short('l'),
                    flag("tags", "Tags, as KEY=VALUE").many(),
                    flag("managed-by", "Who manages it"),
                ]
            ],
            create
        ),
        verb!("show", "Show a resource group", [NAME], show),
        verb!(
            "exists",
            "Whether there is a resource group",
            [NAME],
            exists
        ),
        verb!(
            "list",
            "List the resource groups",
            [&[flag("tag", "Those with this tag, as KEY=VALUE or KEY")]],
            list
        ),
        verb!(
            "delete",
            "Delete a resource group with the workspaces and registries in it",
            [
                NAME,
                NO_WAIT,
                YES,
                &[flag("force-deletion-types", "Not needed here").short('f')]
            ],
            delete
        ),
        verb!(
            "wait",
            "Wait until a resource group is as it should be",
            [NAME, wait::FLAGS],
            wait_for
        ),
    ],
};

fn name<'a>(az: &'a Az, given: &'a Given) -> anyhow::Result<&'a str> {
    match given.text("name") {
        Some(name) => Ok(name),
        None => Ok(az.group()?),
    }
}

fn shown(az: &Az, group: &ResourceGroup) -> anyhow::Result<Value> {
    Ok(json!({
        "id": ids::group(&az.subscription()?, &group.name),
        "location": group.location,
        "managedBy": null,
        "name": group.name,
        "properties": {"provisioningState": "Succeeded"},
        "tags": group.tags,
        "type": "Microsoft.Resources/resourceGroups",
    }))
}

async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let location = given.owned("location");
    let request = CreateResourceGroup {
        name: name(az, given)?.to_owned(),
        location: location.or_else(|| az.config.default("location")),
        tags: given.has("tags").then(|| given.pairs("tags")),
    };
    shown(az, &az.call(&request).await?)
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = name(az, given)?.to_owned();
    shown(az, &az.call(&GetResourceGroup { name }).await?)
}

async fn wait_for(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let wait = Wait::of(given)?;
    wait.until(async || show(az, given).await).await?;
    Ok(Value::Null)
}

async fn exists(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = name(az, given)?;
    let all = az.call(&ListResourceGroups {}).await?;
    Ok(all
        .iter()
        .any(|group| group.name.eq_ignore_ascii_case(name))
        .into())
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListResourceGroups {}).await?;
    if let Some(tag) = given.text("tag") {
        all.retain(|group| is_tagged(&group.tags, tag));
    }
    all.iter().map(|group| shown(az, group)).collect()
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let name = name(az, given)?.to_owned();
    let question =
        format!("Delete the resource group {name} with the workspaces and registries in it?");
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    az.call(&DeleteResourceGroup { name }).await?;
    Ok(Value::Null)
}
