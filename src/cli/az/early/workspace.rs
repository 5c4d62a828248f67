//! `az ml workspace`, as it was in 2020.

use serde_json::{Value, json};

use super::{COMMON, METADATA, answer};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{Flag, Group, NO_WAIT, YES, flag, switch, verb},
        ids,
        ml::workspace::{self as today, taken},
    },
    workspace::parse_role,
};
use api::{
    Code, Result,
    access::AssignRole,
    resource_groups::GetResourceGroup,
    workspaces::{
        CreateWorkspace, DeleteWorkspace, Edition, ExistingResources, GetWorkspace, ListWorkspaces,
        UpdateWorkspace, UpgradeWorkspace, Workspace,
    },
};

const SETTINGS: &[Flag] = &[
    flag("friendly-name", "Name to show").short('f'),
    flag("tags", "Tags, as KEY=VALUE").many(),
];
const SKU: &[Flag] = &[flag("sku", "Edition").choices(&["basic", "enterprise"])];

pub const GROUP: Group = Group {
    path: "ml workspace",
    about: "Workspaces",
    verbs: &[
        verb!(
            "create",
            "Create a workspace of an edition",
            [
                &[
                    flag("workspace-name", "Name of the workspace")
                        .short('w')
                        .also('n')
                        .alias(&["name"])
                        .required(),
                    flag("resource-group", "Name of the resource group").short('g'),
                    flag("subscription-id", "Id of the subscription"),
                    flag("path", "Folder that was attached to a workspace"),
                    flag("location", "Location to record").short('l'),
                    switch("exist-ok", "One that is there already is no error"),
                    flag("storage-account", "Existing storage account"),
                    flag("keyvault", "Existing key vault"),
                    flag("application-insights", "Existing application insights"),
                    flag("container-registry", "Existing container registry"),
                    flag("cmk-keyvault", "Key vault of the key; recorded"),
                    flag("resource-cmk-uri", "The key; recorded"),
                    switch("hbi-workspace", "Of high business impact; recorded"),
                    flag("description", "Description"),
                ],
                METADATA,
                SETTINGS,
                SKU,
                YES
            ],
            create
        ),
        verb!("list", "List the workspaces", [COMMON, METADATA], list),
        verb!("show", "Show a workspace", [COMMON, METADATA], show),
        verb!(
            "update",
            "Change a workspace",
            [
                COMMON,
                METADATA,
                SETTINGS,
                SKU,
                &[
                    flag("description", "Description").short('d'),
                    flag("image-build-compute", "Compute that builds images"),
                ]
            ],
            update
        ),
        verb!(
            "delete",
            "Delete a workspace",
            [
                COMMON,
                NO_WAIT,
                YES,
                &[switch("all-resources", "Also what was made with it")]
            ],
            delete
        ),
        verb!(
            "share",
            "Give a user a role in a workspace",
            [
                COMMON,
                &[
                    flag("user", "User").required(),
                    flag(
                        "role",
                        "Owner, Contributor, Reader or AzureML Data Scientist"
                    )
                    .required(),
                ]
            ],
            share
        ),
        verb!(
            "sync-keys",
            "Not needed here: keys are never stale",
            [COMMON],
            sync_keys
        ),
    ],
};

/// A workspace with the keys of that time.
fn shown(workspace: &Workspace) -> Value {
    let now = today::shown(workspace);
    let sku = match workspace.edition {
        Edition::Basic => "Basic",
        Edition::Enterprise => "Enterprise",
    };
    json!({
        "applicationInsights": now["application_insights"],
        "containerRegistry": now["container_registry"],
        "creationTime": ids::time(workspace.created_at),
        "description": workspace.description,
        "discoveryUrl": now["discovery_url"],
        "friendlyName": workspace.display_name,
        "id": now["id"],
        "identityPrincipalId": workspace.id,
        "identityTenantId": ids::NO_ID,
        "identityType": "SystemAssigned",
        "keyVault": now["key_vault"],
        "location": workspace.location,
        "name": workspace.name,
        "resourceGroup": workspace.resource_group,
        "sku": sku,
        "storageAccount": now["storage_account"],
        "subscription": workspace.subscription,
        "tags": workspace.tags,
        "type": "Microsoft.MachineLearningServices/workspaces",
        "workspaceid": workspace.id,
    })
}

fn edition(given: &Given) -> Option<Edition> {
    let sku = given.text("sku")?;
    let enterprise = sku.eq_ignore_ascii_case("enterprise");
    Some(if enterprise {
        Edition::Enterprise
    } else {
        Edition::Basic
    })
}

/// One that is there is an error unless that was said to be right; then it stays as it is.
async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let group = az.group.clone();
    let mut location = given
        .owned("location")
        .or_else(|| az.config.default("location"));
    if let (None, Some(name)) = (&location, &group) {
        let get = GetResourceGroup { name: name.clone() };
        location = az.call(&get).await.ok().map(|group| group.location);
    }
    let recorded = ["cmk-keyvault", "resource-cmk-uri"]
        .into_iter()
        .filter_map(|flag| Some((flag.replace('-', "_"), json!(given.text(flag)?))));
    let mut spec: serde_json::Map<String, Value> = recorded.collect();
    if given.switch("hbi-workspace") {
        spec.insert("hbi_workspace".to_owned(), json!(true));
    }
    let request = CreateWorkspace {
        name: given.required("workspace-name")?.to_owned(),
        edition: edition(given).unwrap_or_default(),
        description: given.owned("description").unwrap_or_default(),
        display_name: given.owned("friendly-name"),
        location,
        resource_group: group,
        subscription: Some(az.subscription()?),
        tags: given.pairs("tags"),
        existing: ExistingResources {
            storage_account: given.owned("storage-account"),
            key_vault: given.owned("keyvault"),
            application_insights: given.owned("application-insights"),
            container_registry: given.owned("container-registry"),
        },
        spec,
    };
    let made = az.call(&request).await;
    let made = match made {
        Err(error) if error.code == Code::Conflict && given.switch("exist-ok") => {
            existing(az, &request).await?
        }
        made => made?,
    };
    answer(az, given, shown(&made))
}

async fn existing(az: &Az, wanted: &CreateWorkspace) -> Result<Workspace> {
    let workspace = wanted.name.clone();
    let found = az.call(&GetWorkspace { workspace }).await?;
    match &az.asked_group {
        Some(group) if !group.eq_ignore_ascii_case(&found.resource_group) => {
            Err(taken(&found, group))
        }
        _ => Ok(found),
    }
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    if let Some(group) = &az.asked_group {
        all.retain(|workspace| workspace.resource_group.eq_ignore_ascii_case(group));
    }
    answer(az, given, all.iter().map(shown).collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    answer(az, given, shown(&az.this_workspace().await?))
}

/// An edition can only be raised.
async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut found = az.this_workspace().await?;
    let edition = edition(given);
    if let Some(edition) = edition.filter(|edition| *edition != found.edition) {
        let workspace = found.name.clone();
        found = az.call(&UpgradeWorkspace { workspace, edition }).await?;
    }
    let others = [
        "description",
        "friendly-name",
        "tags",
        "image-build-compute",
    ];
    if edition.is_some() && !others.iter().any(|flag| given.has(flag)) {
        return answer(az, given, shown(&found));
    }
    let image_builder = given.text("image-build-compute");
    let spec = image_builder.map(|name| ("image_build_compute".to_owned(), json!(name)));
    let request = UpdateWorkspace {
        workspace: found.name.clone(),
        description: given.owned("description"),
        display_name: given.owned("friendly-name"),
        tags: given.pairs("tags"),
        spec: spec.into_iter().collect(),
        ..UpdateWorkspace::default()
    };
    answer(az, given, shown(&az.call(&request).await?))
}

/// Without a question, as it was then, but only one that the line names.
async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.this_workspace().await?.name;
    if !given.has("workspace-name") {
        let question = format!("Delete the workspace {workspace} with all that is in it?");
        az.ctx.ui.confirm(given.switch("yes"), &question)?;
    }
    let request = DeleteWorkspace {
        workspace,
        if_empty: false,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn share(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let assign = AssignRole {
        workspace: az.here().await?,
        user: given.required("user")?.to_owned(),
        role: parse_role(given.required("role")?)?,
    };
    az.call(&assign).await?;
    Ok(Value::Null)
}

async fn sync_keys(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    az.this_workspace().await?;
    Ok(Value::Null)
}
