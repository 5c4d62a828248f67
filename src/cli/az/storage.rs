//! `az storage`: the storage accounts of workspaces, whose containers are datastores.

use serde_json::{Value, json};

use super::{
    Az,
    given::{Given, missing},
    grammar::{Flag, GROUP as IN_GROUP, Group, flag, switch, verb},
    ids,
    keyvault::short,
    pattern::fits,
};
use api::{
    Code, Error, Result,
    datastores::{
        CreateDatastore, Datastore, DatastoreType, ListDatastores, ListStoredFiles,
        RemoveStoredFiles, StoredFile,
    },
    names,
    workspaces::{ListWorkspaceKeys, ListWorkspaces, Workspace},
};
use client::walk_everything;

const ACCOUNT: &[Flag] = &[
    flag("account-name", "Storage account"),
    flag("account-key", "Not needed here"),
    flag("auth-mode", "Not needed here"),
    flag("connection-string", "Names the storage account"),
    flag("sas-token", "Not needed here"),
];
const CONTAINER: &[Flag] = &[flag("container-name", "Container").short('c').required()];
const BLOB: &[Flag] = &[flag("name", "Path in the container").short('n')];
const OVERWRITE: &[Flag] = &[flag("overwrite", "Replace what is there").maybe()];
const NAMED: &[Flag] = &[flag("name", "Name of the account").short('n').required()];

pub const BLOBS: Group = Group {
    path: "storage blob",
    about: "Files in storage accounts of workspaces",
    verbs: &[
        verb!(
            "upload",
            "Upload a file",
            [
                ACCOUNT,
                CONTAINER,
                BLOB,
                OVERWRITE,
                &[
                    flag("file", "File").short('f').required(),
                    switch("no-progress", "Show no bar"),
                ]
            ],
            upload
        ),
        verb!(
            "upload-batch",
            "Upload the files of a folder",
            [
                ACCOUNT,
                OVERWRITE,
                &[
                    flag("source", "Folder").short('s').required(),
                    flag("destination", "Container, and a path in it")
                        .short('d')
                        .required(),
                    flag("destination-path", "Path in the container"),
                    flag("pattern", "Files to upload, such as *.csv").many(),
                    switch("no-progress", "Show no bar"),
                ]
            ],
            upload_batch
        ),
        verb!(
            "list",
            "List the files of a container",
            [
                ACCOUNT,
                CONTAINER,
                &[
                    flag("prefix", "Those that begin so"),
                    flag("num-results", "At most so many"),
                ]
            ],
            list
        ),
        verb!(
            "show",
            "Show a file of a container",
            [ACCOUNT, CONTAINER, BLOB],
            show
        ),
        verb!(
            "exists",
            "Whether there is a file",
            [ACCOUNT, CONTAINER, BLOB],
            exists
        ),
        verb!(
            "download",
            "Download a file",
            [
                ACCOUNT,
                CONTAINER,
                BLOB,
                &[
                    flag("file", "File to write").short('f'),
                    switch("no-progress", "Show no bar"),
                ]
            ],
            download
        ),
        verb!(
            "download-batch",
            "Download the files of a container",
            [
                ACCOUNT,
                &[
                    flag("source", "Container").short('s').required(),
                    flag("destination", "Folder to write to")
                        .short('d')
                        .required(),
                    flag("pattern", "Files to download, such as *.csv"),
                    switch("no-progress", "Show no bar"),
                ]
            ],
            download_batch
        ),
        verb!(
            "delete",
            "Delete a file",
            [ACCOUNT, CONTAINER, BLOB],
            delete
        ),
    ],
};
pub const CONTAINERS: Group = Group {
    path: "storage container",
    about: "Containers of storage accounts of workspaces",
    verbs: &[
        verb!(
            "create",
            "Create a container, which is a datastore of the workspace",
            [ACCOUNT, &[flag("name", "Name").short('n').required()]],
            create_container
        ),
        verb!("list", "List the containers", [ACCOUNT], list_containers),
    ],
};
pub const FILE_SYSTEMS: Group = Group {
    path: "storage fs",
    about: "File systems of storage accounts, which are containers",
    verbs: CONTAINERS.verbs,
};
pub const ACCOUNTS: Group = Group {
    path: "storage account",
    about: "Storage accounts of workspaces",
    verbs: &[
        verb!(
            "list",
            "List the storage accounts",
            [IN_GROUP],
            list_accounts
        ),
        verb!(
            "show",
            "Show a storage account",
            [IN_GROUP, NAMED],
            show_account
        ),
        verb!(
            "show-connection-string",
            "Show how an account is opened",
            [IN_GROUP, NAMED],
            connection_string
        ),
        verb!(
            "create",
            "Not here: a storage account comes with each workspace",
            [
                IN_GROUP,
                NAMED,
                &[
                    flag("location", "Location").short('l'),
                    flag("sku", "Kind of storage"),
                    flag("kind", "Kind of account"),
                    flag("enable-hierarchical-namespace", "").maybe(),
                ]
            ],
            create_account
        ),
    ],
};
pub const KEYS: Group = Group {
    path: "storage account keys",
    about: "Keys of storage accounts",
    verbs: &[verb!(
        "list",
        "Show the keys of an account",
        [
            IN_GROUP,
            &[flag("account-name", "Name of the account")
                .alias(&["name"])
                .short('n')
                .required()]
        ],
        list_keys
    )],
};

fn account(workspace: &Workspace) -> &str {
    short(&workspace.resources.storage_account.name)
}

/// The workspace whose storage account is named.
async fn holder(az: &Az, name: &str) -> Result<Workspace> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    match all
        .iter()
        .position(|workspace| account(workspace).eq_ignore_ascii_case(name))
    {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let nearest = names::nearest(name, all.iter().map(account));
            Err(Error::unknown("storage account", name, "", nearest)
                .hint("Each workspace has one: az ml workspace show --query storage_account"))
        }
    }
}

/// The workspace whose account a command is about.
async fn opened(az: &Az, given: &Given) -> Result<Workspace> {
    let within = |text: &str| {
        let mut parts = text.split(';');
        parts.find_map(|part| part.strip_prefix("AccountName=").map(str::to_owned))
    };
    let name = given
        .owned("account-name")
        .or_else(|| given.text("connection-string").and_then(within))
        .or_else(|| az.config.storage_account());
    match name {
        Some(name) => holder(az, &name).await,
        None => Err(missing(&["account-name"]).hint(
            "The workspace's own: az ml datastore show -n workspaceblobstore --query account_name",
        )),
    }
}

/// The datastore that a container is.
async fn container(az: &Az, workspace: &Workspace, name: &str) -> Result<Datastore> {
    let list = ListDatastores {
        workspace: workspace.name.clone(),
    };
    let mut all = az.call(&list).await?;
    let of = |datastore: &Datastore| {
        let text = |key: &str| datastore.spec.get(key).and_then(Value::as_str);
        let own = text("account_name")
            .is_some_and(|found| found.eq_ignore_ascii_case(account(workspace)));
        let name = ["container_name", "file_share_name", "filesystem"]
            .into_iter()
            .find_map(text);
        name.filter(|_| own).map(str::to_owned)
    };
    match all
        .iter()
        .position(|datastore| of(datastore).as_deref() == Some(name))
    {
        Some(at) => Ok(all.swap_remove(at)),
        None => {
            let known: Vec<String> = all.iter().filter_map(of).collect();
            let nearest = names::nearest(name, known.iter().map(String::as_str));
            Err(Error::unknown("container", name, "", nearest).hint(format!(
                "Make it: az storage container create -n {name} --account-name {}",
                account(workspace)
            )))
        }
    }
}

fn blob_url(workspace: &Workspace, container: &str, path: &str) -> String {
    format!(
        "https://{}.blob.core.windows.net/{container}/{path}",
        account(workspace)
    )
}

async fn upload(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let store = container(az, &workspace, given.required("container-name")?).await?;
    let file = given.required("file")?;
    let from = az.ctx.folder.join(file);
    if !from.is_file() {
        return Err(Error::invalid(format!("There is no file `{file}`")).into());
    }
    let name = from.file_name().unwrap_or_default().to_string_lossy();
    let name = given.text("name").unwrap_or(&name).to_owned();
    refuse_to_replace(az, given, &workspace, &store, &name).await?;
    let report = az.ctx.ui.report();
    let client = az.ctx.client().await?;
    client
        .upload_to_datastore(&workspace.name, &store.name, &from, &name, Some(&report))
        .await?;
    Ok(json!({"etag": "", "lastModified": ids::time(store.updated_at)}))
}

/// What is there is replaced only when that is asked for.
async fn refuse_to_replace(
    az: &Az,
    given: &Given,
    workspace: &Workspace,
    store: &Datastore,
    path: &str,
) -> Result<()> {
    if given.truth("overwrite")?.unwrap_or(false) {
        return Ok(());
    }
    let there = files(az, workspace, store, path).await?;
    if there.iter().any(|file| file.path == path) {
        return Err(Error::conflict("The specified blob already exists.")
            .at(path.to_owned())
            .hint("Replace it with --overwrite"));
    }
    Ok(())
}

async fn upload_batch(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let destination = given.required("destination")?;
    let (name, below) = destination.split_once('/').unwrap_or((destination, ""));
    let store = container(az, &workspace, name).await?;
    let below = given
        .text("destination-path")
        .unwrap_or(below)
        .trim_matches('/');
    let source = az.ctx.folder.join(given.required("source")?);
    let patterns = given.words("pattern");
    let mut found = walk_everything(&source)
        .map_err(|e| Error::invalid(format!("Cannot read `{}`: {e}", source.display())))?;
    found.retain(|path| patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, path)));
    let client = az.ctx.client().await?;
    let mut done = Vec::new();
    for path in found {
        let to = if below.is_empty() {
            path.clone()
        } else {
            format!("{below}/{path}")
        };
        refuse_to_replace(az, given, &workspace, &store, &to).await?;
        let from = source.join(&path);
        client
            .upload_to_datastore(&workspace.name, &store.name, &from, &to, None)
            .await?;
        done.push(
            json!({"Blob": blob_url(&workspace, name, &to), "Type": "application/octet-stream"}),
        );
    }
    Ok(Value::Array(done))
}

async fn files(
    az: &Az,
    workspace: &Workspace,
    store: &Datastore,
    path: &str,
) -> Result<Vec<StoredFile>> {
    let request = ListStoredFiles {
        workspace: workspace.name.clone(),
        datastore: store.name.clone(),
        path: path.to_owned(),
        limit: None,
    };
    match az.call(&request).await {
        Err(error) if error.code == Code::NotFound => Ok(Vec::new()),
        listed => listed,
    }
}

fn shown(container: &str, file: &StoredFile) -> Value {
    json!({
        "container": container,
        "deleted": null,
        "name": file.path,
        "properties": {
            "blobType": "BlockBlob",
            "contentLength": file.size,
            "lastModified": ids::time(file.modified_at),
        },
    })
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let name = given.required("container-name")?;
    let store = container(az, &workspace, name).await?;
    let prefix = given.text("prefix").unwrap_or_default();
    let mut all = files(az, &workspace, &store, "").await?;
    all.retain(|file| file.path.starts_with(prefix));
    if let Some(most) = given.text("num-results").and_then(|most| most.parse().ok()) {
        all.truncate(most);
    }
    Ok(all.iter().map(|file| shown(name, file)).collect())
}

async fn find(az: &Az, given: &Given) -> Result<Option<Value>> {
    let workspace = opened(az, given).await?;
    let name = given.required("container-name")?;
    let store = container(az, &workspace, name).await?;
    let path = given.required("name")?;
    let all = files(az, &workspace, &store, path).await?;
    let found = all.iter().find(|file| file.path == path);
    Ok(found.map(|file| shown(name, file)))
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = find(az, given).await?;
    Ok(found.ok_or_else(|| Error::not_found("The specified blob does not exist."))?)
}

async fn exists(az: &Az, given: &Given) -> anyhow::Result<Value> {
    Ok(json!({"exists": find(az, given).await?.is_some()}))
}

async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let store = container(az, &workspace, given.required("container-name")?).await?;
    let path = given.required("name")?;
    let base = path.rsplit('/').next().unwrap_or(path);
    let to = az.ctx.folder.join(given.text("file").unwrap_or(base));
    let client = az.ctx.client().await?;
    // A single file keeps its name, so it is named when it is there.
    let folder = to.with_extension(format!("{}.part", uuid::Uuid::new_v4().simple()));
    let fetched = client.download_from_datastore(&workspace.name, &store.name, path, &folder, None);
    let moved = match az.ctx.ui.until_ctrl_c("nothing was written", fetched).await {
        Ok(_) => std::fs::rename(folder.join(base), &to).map_err(anyhow::Error::from),
        Err(error) => Err(error.into()),
    };
    let _ = std::fs::remove_dir_all(&folder);
    moved?;
    Ok(json!({"name": path, "container": given.text("container-name")}))
}

async fn download_batch(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let store = container(az, &workspace, given.required("source")?).await?;
    let to = az.ctx.folder.join(given.required("destination")?);
    let pattern = given.text("pattern");
    let client = az.ctx.client().await?;
    let mut all = files(az, &workspace, &store, "").await?;
    all.retain(|file| pattern.is_none_or(|pattern| fits(pattern, &file.path)));
    let fetch_all = async {
        for file in &all {
            // A single file keeps its name.
            let above = file.path.rsplit_once('/').map_or("", |(above, _)| above);
            let folder = to.join(above);
            client
                .download_from_datastore(&workspace.name, &store.name, &file.path, &folder, None)
                .await?;
        }
        Ok(())
    };
    az.ctx
        .ui
        .download_until_ctrl_c(to.display(), fetch_all)
        .await?;
    Ok(all.iter().map(|file| json!(file.path)).collect())
}

async fn delete(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let store = container(az, &workspace, given.required("container-name")?).await?;
    let request = RemoveStoredFiles {
        workspace: workspace.name.clone(),
        datastore: store.name,
        path: given.required("name")?.to_owned(),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn create_container(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let name = given.required("name")?;
    if container(az, &workspace, name).await.is_ok() {
        return Ok(json!({"created": false}));
    }
    let spec = json!({"account_name": account(&workspace), "container_name": name});
    let request = CreateDatastore {
        workspace: workspace.name.clone(),
        name: name.replace('-', "_"),
        kind: DatastoreType::AzureBlob,
        spec: ids::fields(spec),
        description: String::new(),
        tags: [].into(),
        credentials: serde_json::Map::new(),
    };
    az.call(&request).await?;
    Ok(json!({"created": true}))
}

async fn list_containers(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = opened(az, given).await?;
    let list = ListDatastores {
        workspace: workspace.name.clone(),
    };
    let all = az.call(&list).await?;
    let names = all
        .iter()
        .filter_map(|store| store.spec.get("container_name"));
    Ok(names.map(|name| json!({"name": name})).collect())
}

fn account_of(workspace: &Workspace) -> Value {
    let name = account(workspace);
    json!({
        "id": ids::beside(workspace, "Microsoft.Storage/storageAccounts", &workspace.resources.storage_account.name),
        "kind": "StorageV2",
        "location": workspace.location,
        "name": name,
        "primaryEndpoints": {"blob": format!("https://{name}.blob.core.windows.net/")},
        "provisioningState": "Succeeded",
        "resourceGroup": workspace.resource_group,
        "sku": {"name": "Standard_LRS", "tier": "Standard"},
        "tags": {},
        "type": "Microsoft.Storage/storageAccounts",
    })
}

async fn list_accounts(az: &Az, _given: &Given) -> anyhow::Result<Value> {
    let mut all = az.call(&ListWorkspaces {}).await?;
    if let Some(group) = &az.group {
        all.retain(|workspace| workspace.resource_group.eq_ignore_ascii_case(group));
    }
    Ok(all.iter().map(account_of).collect())
}

async fn show_account(az: &Az, given: &Given) -> anyhow::Result<Value> {
    Ok(account_of(&holder(az, given.required("name")?).await?))
}

/// The key of a workspace's account, if it has one.
async fn key_of(az: &Az, workspace: &Workspace) -> Result<Option<String>> {
    let keys = ListWorkspaceKeys {
        workspace: workspace.name.clone(),
    };
    Ok(az.call(&keys).await?.storage_key)
}

async fn list_keys(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given.required("account-name")?).await?;
    let key = key_of(az, &workspace).await?;
    Ok(key
        .into_iter()
        .map(|key| json!({"keyName": "key1", "permissions": "FULL", "value": key}))
        .collect())
}

async fn connection_string(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = holder(az, given.required("name")?).await?;
    let key = key_of(az, &workspace)
        .await?
        .map(|key| format!(";AccountKey={key}"))
        .unwrap_or_default();
    let name = account(&workspace);
    Ok(json!({
        "connectionString": format!(
            "DefaultEndpointsProtocol=https;EndpointSuffix=core.windows.net;AccountName={name}{key}"
        ),
    }))
}

async fn create_account(_az: &Az, _given: &Given) -> anyhow::Result<Value> {
    Err(
        Error::unsupported("There are no storage accounts but those that come with workspaces")
            .hint("Use the workspace's own: az ml workspace show --query storage_account")
            .into(),
    )
}
