//! `az keyvault`: the key vaults of workspaces and the secrets in them.

use serde_json::{Value, json};

use super::{
    Az,
    given::{Given, missing},
    grammar::{Flag, GROUP as IN_GROUP, Group, flag, verb},
    ids,
};
use api::{
    Error, Result, names,
    secrets::{DeleteSecret, GetSecret, ListSecrets, SetSecret},
    workspaces::{ListWorkspaces, Workspace},
};

const VAULT: &[Flag] = &[flag("vault-name", "Name of the key vault")];
const SECRET: &[Flag] = &[flag("name", "Name of the secret").short('n').required()];
const VALUE: &[Flag] = &[
    flag("value", "Value of the secret"),
    flag("file", "File with the value").short('f'),
    flag("description", "Recorded nowhere"),
    flag("encoding", "Encoding of the file").short('e'),
    flag("tags", "Recorded nowhere").many(),
];

pub const GROUP: Group = Group {
    path: "keyvault",
    about: "Key vaults of workspaces",
    verbs: &[
        verb!("list", "List the key vaults", [IN_GROUP], list),
        verb!(
            "show",
            "Show a key vault",
            [
                IN_GROUP,
                &[flag("name", "Name of the key vault").short('n')]
            ],
            show
        ),
        verb!(
            "create",
            "Not here: a key vault comes with each workspace",
            [
                IN_GROUP,
                &[
                    flag("name", "Name of the key vault").short('n'),
                    flag("location", "Location").short('l'),
                    flag("enable-rbac-authorization", "").maybe(),
                ]
            ],
            create
        ),
    ],
};
pub const SECRETS: Group = Group {
    path: "keyvault secret",
    about: "Secrets in a key vault",
    verbs: &[
        verb!("set", "Set a secret", [VAULT, SECRET, VALUE], set),
        verb!(
            "show",
            "Show a secret with its value",
            [VAULT, SECRET, &[flag("version", "Version").short('v')]],
            secret
        ),
        verb!(
            "list",
            "List the secrets, without their values",
            [VAULT, &[flag("maxresults", "At most so many")]],
            secrets
        ),
        verb!("delete", "Delete a secret", [VAULT, SECRET], delete),
    ],
};

/// The name of a resource that may be given as an id.
pub fn short(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

fn vault(workspace: &Workspace) -> &str {
    short(&workspace.resources.key_vault.name)
}

fn url(vault: &str) -> String {
    format!("https://{vault}.vault.azure.net")
}

/// The workspace whose key vault is named.
async fn holder(az: &Az, given: &Given) -> Result<Workspace> {
    let name = given.text("vault-name").or_else(|| given.text("name"));
    let name = name.ok_or_else(|| missing(&["vault-name"]))?;
    let mut all = az.call(&ListWorkspaces {}).await?;
    match all
        .iter()
        .position(|workspace| vault(workspace).eq_ignore_ascii_case(name))
    {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let nearest = names::nearest(name, all.iter().map(vault));
            Err(Error::unknown("key vault", name, "", nearest)
                .hint("Each workspace has one: az ml workspace show --query key_vault"))
        }
    }
}

fn shown(workspace: &Workspace) -> Value {
    let name = vault(workspace);
    json!({
        "id": ids::beside(workspace, "Microsoft.KeyVault/vaults", &workspace.resources.key_vault.name),
        "location": workspace.location,
        "name": name,
        "properties": {"vaultUri": format!("{}/", url(name)), "provisioningState": "Succeeded"},
        "resourceGroup": workspace.resource_group,
        "tags": {},
        "type": "Microsoft.KeyVault/vaults",
    })
}

async fn list(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    if let Some(group) = &az.group {
        all.retain(|workspace| workspace.resource_group.eq_ignore_ascii_case(group));
    }
    Ok(all.iter().map(shown).collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    Ok(shown(&holder(az, given).await?))
}

async fn create(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Err(
        Error::unsupported("There are no key vaults but those that come with workspaces")
            .hint("Use the workspace's own: az ml workspace show --query key_vault")
            .into(),
    )
}

fn secret_of(vault: &str, name: &str, value: Option<&str>) -> Value {
    let mut all = json!({
        "attributes": {"enabled": true},
        "id": format!("{}/secrets/{name}", url(vault)),
        "name": name,
        "tags": {},
    });
    if let Some(value) = value {
        all["value"] = json!(value);
    }
    all
}

async fn set(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given).await?;
    let value = match (given.owned("value"), given.text("file")) {
        (Some(value), _) => value,
        (None, Some(file)) => std::fs::read_to_string(az.ctx.folder.join(file))
            .map_err(|e| Error::invalid(format!("Cannot read `{file}`: {e}")))?,
        (None, None) => return Err(missing(&["value"]).into()),
    };
    let request = SetSecret {
        workspace: workspace.name.clone(),
        name: given.required("name")?.to_owned(),
        value: value.clone(),
    };
    let name = az.call(&request).await?.name;
    Ok(secret_of(vault(&workspace), &name, Some(&value)))
}

async fn secret(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder_of_secret(az, given).await?;
    let request = GetSecret {
        workspace: workspace.name.clone(),
        name: given.required("name")?.to_owned(),
    };
    let found = az.call(&request).await?;
    Ok(secret_of(
        vault(&workspace),
        &found.name,
        Some(&found.value),
    ))
}

/// `--name` is the secret's here.
async fn holder_of_secret(az: &Az, given: &Given) -> Result<Workspace> {
    if given.text("vault-name").is_none() {
        return Err(missing(&["vault-name"]));
    }
    holder(az, given).await
}

async fn secrets(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given).await?;
    let request = ListSecrets {
        workspace: workspace.name.clone(),
    };
    let all = az.call(&request).await?;
    Ok(all
        .iter()
        .map(|found| secret_of(vault(&workspace), &found.name, None))
        .collect())
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder_of_secret(az, given).await?;
    let name = given.required("name")?.to_owned();
    let request = DeleteSecret {
        workspace: workspace.name.clone(),
        name: name.clone(),
    };
    az.call(&request).await?;
    Ok(secret_of(vault(&workspace), &name, None))
}
