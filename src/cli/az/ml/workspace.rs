//! `az ml workspace`

use serde_json::{Map, Value, json};

use super::named_draft;
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{
            FILE, Flag, GENERIC, GROUP as IN_GROUP, Group, MAX, NAME, NO_WAIT, SET, THE_NAME, YES,
            flag, switch, verb,
        },
        ids,
    },
    document::Draft,
    workspace::must_be_in,
};
use api::{
    Code, Error, Result,
    resource_groups::{GetResourceGroup, ResourceGroup},
    workspaces::{
        CreateWorkspace, DeleteWorkspace, ExistingResources, GetWorkspace, ListWorkspaceKeys,
        ListWorkspaces, UpdateWorkspace, Workspace,
    },
};
use spec::overrides::Values;

pub const GROUP: Group = Group {
    path: "ml workspace",
    about: "Workspaces",
    verbs: &[
        verb!(
            "create",
            "Create a workspace",
            [IN_GROUP, NAME, FILE, SET, NO_WAIT, SETTINGS, NEW],
            create
        ),
        verb!("show", "Show a workspace", [IN_GROUP, NAMED], show),
        verb!(
            "list",
            "List the workspaces of a resource group, or of the subscription",
            [IN_GROUP, MAX, &[flag("filtered-kinds", "Kinds to list")]],
            list
        ),
        verb!(
            "update",
            "Change a workspace",
            [IN_GROUP, NAMED, FILE, GENERIC, NO_WAIT, SETTINGS],
            update
        ),
        verb!(
            "delete",
            "Delete a workspace",
            [
                IN_GROUP,
                THE_NAME,
                NO_WAIT,
                YES,
                &[
                    switch("all-resources", "Also what was made with it"),
                    switch("permanently-delete", "So that it cannot come back").short('p'),
                ]
            ],
            delete
        ),
        verb!(
            "list-keys",
            "Show the keys of what belongs to the workspace",
            [IN_GROUP, NAMED],
            list_keys
        ),
        verb!(
            "sync-keys",
            "Not needed here: keys are never stale",
            [IN_GROUP, NAMED, NO_WAIT],
            nothing_to_do
        ),
        verb!(
            "diagnose",
            "Check what belongs to the workspace",
            [IN_GROUP, NAMED, NO_WAIT],
            diagnose
        ),
        verb!(
            "provision-network",
            "Not needed here: there is no network of its own",
            [
                IN_GROUP,
                NAMED,
                NO_WAIT,
                &[switch("include-spark", "Also for Spark")]
            ],
            nothing_to_do
        ),
    ],
};

/// The workspace by name; the default one where none is given.
const NAMED: &[Flag] = &[flag("name", "Name of the workspace")
    .short('n')
    .alias(&["workspace-name"])];

/// Flags that are keys of the YAML file, with dashes.
const SETTINGS: &[Flag] = &[
    flag("description", "Description"),
    flag("display-name", "Name to show"),
    flag("tags", "Tags, as KEY=VALUE").many(),
    flag("application-insights", "Existing application insights").short('a'),
    flag("container-registry", "Existing container registry").short('c'),
    flag("image-build-compute", "Compute that builds images").short('i'),
    flag(
        "primary-user-assigned-identity",
        "Identity of the workspace",
    )
    .short('p'),
    flag("public-network-access", "Enabled or Disabled"),
    flag("managed-network", "How it is shut off").short('m'),
    flag("network-acls", "Addresses that are let in"),
    flag(
        "system-datastores-auth-mode",
        "How its datastores are opened",
    )
    .short('d'),
    flag("allow-roleassignment-on-rg", "Recorded")
        .short('r')
        .maybe(),
    flag(
        "update-dependent-resources",
        "Change what belongs to it too",
    )
    .short('u')
    .maybe(),
];

const NEW: &[Flag] = &[
    flag("location", "Location to record").short('l'),
    flag("key-vault", "Existing key vault").short('k'),
    flag("storage-account", "Existing storage account").short('s'),
    flag("kind", "default, hub or project"),
    flag("hub-id", "Hub of a project"),
    flag("default-resource-group", "Resource group of projects"),
    flag("enable-data-isolation", "Recorded").short('e').maybe(),
    flag("provision-network-now", "Recorded").maybe(),
];

/// Keys of the file that are fields of their own here.
const OWN: [&str; 10] = [
    "name",
    "location",
    "display_name",
    "description",
    "tags",
    "resource_group",
    "storage_account",
    "key_vault",
    "application_insights",
    "container_registry",
];

impl Az {
    /// The workspace that is named, or the one to work in.
    async fn named_workspace(&self, given: &Given) -> Result<Workspace> {
        let workspace = match given.owned("name") {
            Some(name) => name,
            None => self.workspace()?,
        };
        self.in_asked_group(workspace).await
    }

    /// The workspace to work in, with all that is known of it.
    pub async fn this_workspace(&self) -> Result<Workspace> {
        let workspace = self.workspace()?;
        self.in_asked_group(workspace).await
    }

    /// The name of the workspace to work in, which must be in the resource group of the command line, if
    /// it says one.
    pub async fn here(&self) -> Result<String> {
        match self.asked_group {
            Some(_) => Ok(self.this_workspace().await?.name),
            None => self.workspace(),
        }
    }

    /// The workspace of a name, which must be in the resource group of the command line, if it says one.
    async fn in_asked_group(&self, workspace: String) -> Result<Workspace> {
        let found = self.call(&GetWorkspace { workspace }).await?;
        must_be_in(&found, None, self.asked_group.as_deref())?;
        Ok(found)
    }
}

/// A workspace as Azure's command line shows it.
pub fn shown(workspace: &Workspace) -> Value {
    let resources = &workspace.resources;
    let beside = |kind, name| ids::beside(workspace, kind, name);
    let id = ids::workspace(workspace);
    let mut all = json!({
        "application_insights": beside("Microsoft.Insights/components", &resources.application_insights.name),
        "container_registry": beside("Microsoft.ContainerRegistry/registries", &resources.container_registry.name),
        "description": workspace.description,
        "discovery_url": workspace.mlflow_tracking_uri.as_ref().and_then(|uri| uri.split("/ws/").next()).map(|url| format!("{url}/discovery")),
        "display_name": workspace.display_name,
        "enable_data_isolation": false,
        "hbi_workspace": false,
        "id": id,
        "identity": {"principal_id": workspace.id, "tenant_id": ids::NO_ID, "type": "system_assigned"},
        "key_vault": beside("Microsoft.KeyVault/vaults", &resources.key_vault.name),
        "kind": "default",
        "location": workspace.location,
        "mlflow_tracking_uri": workspace.mlflow_tracking_uri,
        "name": workspace.name,
        "provisioning_state": "Succeeded",
        "public_network_access": "Enabled",
        "resourceGroup": workspace.resource_group,
        "resource_group": workspace.resource_group,
        "storage_account": beside("Microsoft.Storage/storageAccounts", &resources.storage_account.name),
        "tags": workspace.tags,
        "workspace_id": workspace.id,
        "sku": workspace.edition,
    });
    if let Value::Object(all) = &mut all {
        all.extend(workspace.spec.clone());
        super::spell_access(all);
    }
    all
}

/// Puts the flags of a command into what its file says.
fn put_flags(draft: &mut Draft, given: &Given) -> Result<()> {
    for flag in SETTINGS.iter().chain(NEW) {
        let key = flag.long.replace('-', "_");
        let shown = format!("--{}", flag.long);
        match flag.long {
            "update-dependent-resources" => {}
            "tags" if given.has("tags") => draft.put(&key, json!(given.pairs("tags")), &shown),
            "managed-network" => {
                if let Some(mode) = given.text("managed-network") {
                    draft.put(&key, json!({"isolation_mode": mode}), &shown);
                }
            }
            "allow-roleassignment-on-rg" | "enable-data-isolation" | "provision-network-now" => {
                if let Some(truth) = given.truth(flag.long)? {
                    draft.put(&key, truth, &shown);
                }
            }
            long => {
                if let Some(text) = given.text(long) {
                    draft.put(&key, text, &shown);
                }
            }
        }
    }
    Ok(())
}

fn rest(fields: Map<String, Value>) -> Map<String, Value> {
    let rest = fields.into_iter();
    rest.filter(|(key, _)| !OWN.contains(&key.as_str()))
        .collect()
}

/// One that is there already is changed, as Azure does it.
async fn create(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut draft = named_draft(az, given)?;
    if let Some(name) = given.text("name") {
        draft.put("name", name, "--name");
    }
    put_flags(&mut draft, given)?;
    draft.edit(&given.edits()?, Values::Strings)?;
    let mut fields = draft.check("workspace")?;
    let group = az.group.clone();
    let mut location = ids::text(&fields, "location").or_else(|| az.config.default("location"));
    if let (None, Some(name)) = (&location, &group) {
        let get = GetResourceGroup { name: name.clone() };
        let found: Option<ResourceGroup> = az.call(&get).await.ok();
        location = found.map(|group| group.location);
    }
    let request = CreateWorkspace {
        name: ids::text(&fields, "name").unwrap_or_default(),
        description: ids::text(&fields, "description").unwrap_or_default(),
        display_name: ids::text(&fields, "display_name"),
        location,
        resource_group: ids::text(&fields, "resource_group").or(group),
        subscription: Some(az.subscription()?),
        tags: super::tags(&fields),
        existing: ExistingResources {
            storage_account: ids::text(&fields, "storage_account"),
            key_vault: ids::text(&fields, "key_vault"),
            application_insights: ids::text(&fields, "application_insights"),
            container_registry: ids::text(&fields, "container_registry"),
        },
        spec: rest(fields.clone()),
        ..CreateWorkspace::default()
    };
    match az.call(&request).await {
        Err(error) if error.code == Code::Conflict => {
            let workspace = request.name;
            let found = az.call(&GetWorkspace { workspace }).await?;
            let wanted = ids::text(&fields, "resource_group").or_else(|| az.asked_group.clone());
            if let Some(wanted) = wanted
                && !wanted.eq_ignore_ascii_case(&found.resource_group)
            {
                return Err(taken(&found, &wanted).into());
            }
            let tags = json!(found.tags);
            fields.entry("tags").or_insert(tags);
            change(az, found.name, fields).await
        }
        made => Ok(shown(&made?)),
    }
}

pub fn taken(found: &Workspace, wanted: &str) -> Error {
    let (name, group) = (&found.name, &found.resource_group);
    Error::conflict(format!(
        "The name `{name}` is taken by a workspace in the resource group `{group}`; it cannot be \
         made in `{wanted}`"
    ))
    .at("name")
    .hint(format!(
        "Choose another name, or change that workspace: az ml workspace update -n {name} -g {group}"
    ))
}

async fn change(az: &Az, workspace: String, fields: Map<String, Value>) -> anyhow::Result<Value> {
    let found = az
        .call(&GetWorkspace {
            workspace: workspace.clone(),
        })
        .await?;
    let given = |key: &str, resource: &str| {
        ids::text(&fields, key).filter(|name| name.rsplit('/').next() != Some(resource))
    };
    let request = UpdateWorkspace {
        workspace,
        description: ids::text(&fields, "description"),
        display_name: ids::text(&fields, "display_name"),
        subscription: None,
        tags: super::changed_tags(&found.tags, &fields),
        container_registry: given(
            "container_registry",
            &found.resources.container_registry.name,
        ),
        application_insights: given(
            "application_insights",
            &found.resources.application_insights.name,
        ),
        spec: rest(fields),
    };
    let unchanged = UpdateWorkspace {
        workspace: found.name.clone(),
        ..UpdateWorkspace::default()
    };
    let same = serde_json::to_value(&UpdateWorkspace {
        workspace: found.name.clone(),
        ..request.clone()
    })? == serde_json::to_value(&unchanged)?;
    let changed = if same {
        found
    } else {
        az.call(&request).await?
    };
    Ok(shown(&changed))
}

/// Clients that are given the tracking URI must find somebody there: in local mode a server is started
/// in the background when there is none.
async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut found = az.named_workspace(given).await?;
    let query = given.text("query");
    let wanted = query.is_none_or(|query| query.contains("mlflow_tracking_uri"));
    if wanted && found.mlflow_tracking_uri.is_none() && az.ctx.profile().is_none() {
        let url = az.ctx.wiring.ensure_server(&az.ctx.config.home).await?;
        found.mlflow_tracking_uri = Some(format!("{url}/ws/{}", found.name.to_lowercase()));
    }
    Ok(shown(&found))
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    if let Some(group) = &az.group {
        all.retain(|workspace| workspace.resource_group.eq_ignore_ascii_case(group));
    }
    if let Some(max) = given.number("max-results")? {
        all.truncate(max as usize);
    }
    let kinds = given.text("filtered-kinds").map(str::to_lowercase);
    let wanted = |shown: &Value| match &kinds {
        None => true,
        Some(kinds) => shown["kind"]
            .as_str()
            .is_some_and(|kind| kinds.contains(kind)),
    };
    Ok(all.iter().map(shown).filter(wanted).collect())
}

/// What a workspace is from its beginning. A file may say it; to ask for a change of it is a mistake.
const FIXED: [&str; 4] = ["name", "location", "resource_group", "kind"];

/// A file without a name is a part of what the workspace says.
async fn update(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = az.named_workspace(given).await?;
    let mut draft = Draft::of(&writable(&found), &az.ctx.folder);
    if let Some(file) = given.text("file") {
        let file = Draft::open(Some(file), &az.ctx.folder)?;
        for (key, value) in file.unchecked()? {
            if key != "name" && key != "$schema" {
                draft.put(&key, value, "--file");
            }
        }
    }
    put_flags(&mut draft, given)?;
    let said = FIXED.map(|key| draft.text(key).map(str::to_owned));
    draft.edit(&given.edits()?, given.values())?;
    let is = shown(&found);
    for (key, said) in FIXED.into_iter().zip(said) {
        let now = draft.text(key);
        if now != said.as_deref() && now.is_some_and(|now| is[key] != now) {
            let fixed = Error::invalid(format!("`{key}` of a workspace does not change"));
            return Err(fixed.at("--set").into());
        }
    }
    let mut fields = draft.check("workspace")?;
    // What was said before and is not said any more is taken away.
    for key in found.spec.keys() {
        fields.entry(key).or_insert(Value::Null);
    }
    if !found.description.is_empty() {
        fields.entry("description").or_insert_with(|| json!(""));
    }
    // One that is shown by no other name is shown by its own.
    if found.display_name != found.name {
        let own = || json!(found.name);
        fields.entry("display_name").or_insert_with(own);
    }
    change(az, found.name, fields).await
}

/// What a file of the workspace would say.
fn writable(workspace: &Workspace) -> Map<String, Value> {
    let mut fields = ids::fields(json!({
        "name": workspace.name,
        "description": workspace.description,
        "display_name": workspace.display_name,
        "tags": workspace.tags,
    }));
    fields.extend(workspace.spec.clone());
    fields
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.named_workspace(given).await?.name;
    let question = format!("Delete the workspace {workspace} with all that is in it?");
    az.ctx.ui.confirm(given.switch("yes"), &question)?;
    let request = DeleteWorkspace {
        workspace,
        if_empty: false,
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn list_keys(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = az.named_workspace(given).await?;
    let keys = az
        .call(&ListWorkspaceKeys {
            workspace: found.name.clone(),
        })
        .await?;
    Ok(json!({
        "appInsightsInstrumentationKey": keys.application_insights_instrumentation_key,
        "containerRegistryCredentials": null,
        "notebookAccessKeys": null,
        "userStorageKey": keys.storage_key,
        "userStorageResourceId": shown(&found)["storage_account"],
    }))
}

/// The workspace must be there; more is not needed.
async fn nothing_to_do(az: &Az, given: &Given) -> anyhow::Result<Value> {
    az.named_workspace(given).await?;
    Ok(Value::Null)
}

async fn diagnose(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.named_workspace(given).await?.name;
    let keys = az.call(&ListWorkspaceKeys { workspace }).await.err();
    let problems: Vec<Value> = keys
        .iter()
        .map(|error| json!({"code": error.code, "level": "Error", "message": error.message}))
        .collect();
    Ok(json!({
        "application_insights_results": [],
        "container_registry_results": [],
        "dns_resolution_results": [],
        "key_vault_results": problems,
        "network_security_rule_results": [],
        "other_results": [],
        "resource_lock_results": [],
        "storage_account_results": [],
        "user_defined_route_results": [],
    }))
}
