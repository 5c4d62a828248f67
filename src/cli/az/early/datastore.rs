//! `az ml datastore`, as it was in 2020.

use std::{cell::Cell, collections::HashSet, path::Path};

use serde_json::{Map, Value, json};

use super::{COMMON, METADATA, NAME, answer, database};
use crate::{
    az::{
        Az,
        given::Given,
        grammar::{Flag, Group, flag, switch, verb},
        ids,
        ml::{datastore::request, refuse},
    },
    document::Draft,
};
use api::{
    Result,
    datastores::{
        Datastore, DeleteDatastore, GetDatastore, ListDatastores, ListStoredFiles, UpdateDatastore,
    },
};

const ACCOUNT: &[Flag] = &[
    flag("account-name", "Storage account")
        .short('a')
        .required(),
    flag("protocol", "https or http"),
    flag("endpoint", "Where accounts are, such as core.windows.net"),
    flag("account-key", "Key of the account").short('k'),
    flag("sas-token", "What opens it"),
    flag(
        "resource-group-of-account",
        "Resource group of the account; recorded nowhere",
    )
    .alias(&["adlsgen2-account-resource-group"]),
    flag("grant-workspace-msi-access", "Accepted"),
    switch("include-secret", "Show what opens it"),
];
const PRINCIPAL: &[Flag] = &[
    flag("tenant-id", "Tenant of the service principal").required(),
    flag("client-id", "The service principal").required(),
    flag("client-secret", "What opens it").required(),
    flag("authority-url", "Where it logs in"),
    flag("resource-url", "What it is for"),
];

pub const GROUP: Group = Group {
    path: "ml datastore",
    about: "Datastores: places of files",
    verbs: &[
        verb!(
            "list",
            "List the datastores",
            [
                COMMON,
                METADATA,
                &[switch("include-secret", "Show what opens them")]
            ],
            list
        ),
        verb!(
            "show",
            "Show a datastore",
            [
                COMMON,
                METADATA,
                NAME,
                &[switch("include-secret", "Show what opens it")]
            ],
            show
        ),
        verb!(
            "show-default",
            "Show the datastore that is meant where none is named",
            [COMMON, METADATA],
            show_default
        ),
        verb!(
            "set-default",
            "Say which datastore is meant where none is named",
            [COMMON, METADATA, NAME],
            set_default
        ),
        verb!(
            "detach",
            "Forget a datastore; its files stay where they are",
            [COMMON, NAME],
            detach
        ),
        verb!(
            "upload",
            "Upload a file or folder into a datastore",
            [
                COMMON,
                NAME,
                &[
                    flag("src-path", "File or folder of this machine")
                        .short('p')
                        .required(),
                    flag("target-path", "Where it goes").short('u'),
                    flag("overwrite", "Replace what is there").maybe(),
                    flag("hide-progress", "Accepted").maybe(),
                ]
            ],
            upload
        ),
        verb!(
            "download",
            "Download files of a datastore",
            [
                COMMON,
                NAME,
                &[
                    flag("target-path", "Folder to write to")
                        .short('d')
                        .required(),
                    flag("prefix", "Only what begins so").short('p'),
                    flag("overwrite", "Replace what is there").maybe(),
                    flag("hide-progress", "Accepted").maybe(),
                ]
            ],
            download
        ),
        verb!(
            "attach-dbfs",
            "Not here: there is no Databricks",
            [COMMON, METADATA, NAME],
            refuse,
            "There is no Databricks here whose file system could be attached",
            "Attach what its files lie in: az ml datastore attach-blob, or attach-adls-gen2"
        ),
        verb!(
            "attach-blob",
            "Make a container of Azure a datastore",
            [
                COMMON,
                METADATA,
                NAME,
                ACCOUNT,
                &[flag("container-name", "Container").short('c').required()]
            ],
            attach,
            "azure_blob",
            &[
                ("container-name", "container_name"),
                ("account-name", "account_name"),
                ("protocol", "protocol"),
                ("endpoint", "endpoint"),
            ]
        ),
        verb!(
            "attach-file",
            "Make a file share of Azure a datastore",
            [
                COMMON,
                METADATA,
                NAME,
                ACCOUNT,
                &[flag("share-name", "File share").short('c').required()]
            ],
            attach,
            "azure_file",
            &[
                ("share-name", "file_share_name"),
                ("account-name", "account_name"),
                ("protocol", "protocol"),
                ("endpoint", "endpoint"),
            ]
        ),
        verb!(
            "attach-adls",
            "Make a data lake of the first generation a datastore",
            [
                COMMON,
                METADATA,
                NAME,
                PRINCIPAL,
                &[
                    flag("store-name", "Data lake").short('c').required(),
                    switch("include-secret", "Show what opens it")
                ]
            ],
            attach,
            "azure_data_lake_gen1",
            &[("store-name", "store_name")]
        ),
        verb!(
            "attach-adls-gen2",
            "Make a data lake a datastore",
            [
                COMMON,
                METADATA,
                NAME,
                PRINCIPAL,
                &[
                    flag("account-name", "Storage account")
                        .short('a')
                        .required(),
                    flag("file-system", "File system").short('c').required(),
                    flag("protocol", "https or http"),
                    flag("endpoint", "Where accounts are"),
                    switch("include-secret", "Show what opens it")
                ]
            ],
            attach,
            "azure_data_lake_gen2",
            &[
                ("file-system", "filesystem"),
                ("account-name", "account_name"),
                ("protocol", "protocol"),
                ("endpoint", "endpoint"),
            ]
        ),
        verb!(
            "attach-sqldb",
            "Make an SQL database of Azure a connection",
            [COMMON, METADATA, NAME, database::FLAGS],
            database::attach,
            &database::SQL
        ),
        verb!(
            "attach-mysqldb",
            "Make a MySQL database of Azure a connection",
            [COMMON, METADATA, NAME, database::FLAGS],
            database::attach,
            &database::MYSQL
        ),
        verb!(
            "attach-psqldb",
            "Make a PostgreSQL database of Azure a connection",
            [COMMON, METADATA, NAME, database::FLAGS],
            database::attach,
            &database::POSTGRES
        ),
    ],
};

const CREDENTIALS: [(&str, &str); 6] = [
    ("account-key", "account_key"),
    ("sas-token", "sas_token"),
    ("tenant-id", "tenant_id"),
    ("client-id", "client_id"),
    ("client-secret", "client_secret"),
    ("authority-url", "authority_url"),
];

/// A datastore with the keys of that time.
fn shown(datastore: &Datastore) -> Value {
    let kind = match datastore.kind.name() {
        "azure_blob" => "AzureBlob",
        "azure_file" => "AzureFile",
        "azure_data_lake_gen1" => "AzureDataLake",
        "azure_data_lake_gen2" => "AzureDataLakeGen2",
        other => other,
    };
    let spec = |key: &str| datastore.spec.get(key).cloned().unwrap_or_default();
    let container = [
        "container_name",
        "file_share_name",
        "filesystem",
        "store_name",
    ]
    .into_iter()
    .find_map(|key| datastore.spec.get(key).cloned());
    let mut all = json!({
        "account_name": spec("account_name"),
        "container_name": container,
        "datastore_type": kind,
        "endpoint": spec("endpoint"),
        "is_default": datastore.is_default,
        "name": datastore.name,
        "protocol": spec("protocol"),
    });
    for (key, value) in &datastore.credentials {
        all[key] = value.clone();
    }
    all
}

async fn get(az: &Az, name: Option<String>, secrets: bool) -> Result<Datastore> {
    let get = GetDatastore {
        workspace: az.here().await?,
        name,
        secrets,
    };
    az.call(&get).await
}

async fn list(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let workspace = az.here().await?;
    let mut all = Vec::new();
    for datastore in az.call(&ListDatastores { workspace }).await? {
        all.push(if given.switch("include-secret") {
            get(az, Some(datastore.name), true).await?
        } else {
            datastore
        });
    }
    answer(az, given, all.iter().map(shown).collect())
}

async fn show(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let found = get(az, given.owned("name"), given.switch("include-secret")).await?;
    answer(az, given, shown(&found))
}

async fn show_default(az: &Az, given: &Given) -> anyhow::Result<Value> {
    answer(az, given, shown(&get(az, None, false).await?))
}

async fn set_default(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = UpdateDatastore {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
        description: None,
        tags: [].into(),
        credentials: None,
        make_default: true,
    };
    answer(az, given, shown(&az.call(&request).await?))
}

async fn detach(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let request = DeleteDatastore {
        workspace: az.here().await?,
        name: given.required("name")?.to_owned(),
    };
    az.call(&request).await?;
    Ok(Value::Null)
}

async fn upload(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let from = az.ctx.folder.join(given.required("src-path")?);
    let to = given.text("target-path").unwrap_or_default();
    let to = to.trim_start_matches("./").trim_matches('/');
    let (workspace, name) = (az.here().await?, given.required("name")?);
    let (client, report) = (az.ctx.client().await?, az.ctx.ui.report());
    let there: HashSet<String> = if overwrites(given)? {
        HashSet::new()
    } else {
        let list = ListStoredFiles {
            workspace: workspace.clone(),
            datastore: name.to_owned(),
            path: to.to_owned(),
            limit: None,
        };
        let found = client.call(&list).await?;
        found.into_iter().map(|file| file.path).collect()
    };
    let kept = Cell::new(0);
    let chosen = |path: &str| counted(&kept, !there.contains(path));
    let upload =
        client.upload_chosen_to_datastore(&workspace, name, &from, to, Some(&report), chosen);
    let (files, _) = upload.await?;
    note_transfer(az, given, ("Uploaded", files), kept.get());
    Ok(Value::Null)
}

async fn download(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let to = az.ctx.folder.join(given.required("target-path")?);
    let prefix = given.text("prefix").unwrap_or_default();
    let (workspace, name) = (az.here().await?, given.required("name")?);
    let (client, report) = (az.ctx.client().await?, az.ctx.ui.report());
    let (overwrites, kept) = (overwrites(given)?, Cell::new(0));
    let chosen = |path: &Path| counted(&kept, overwrites || !path.exists());
    let download =
        client.download_chosen_from_datastore(&workspace, name, prefix, &to, Some(&report), chosen);
    let files = az.ctx.ui.download_until_ctrl_c(to.display(), download);
    let count = files.await?.len() as u64;
    note_transfer(az, given, ("Downloaded", count), kept.get());
    Ok(Value::Null)
}

fn overwrites(given: &Given) -> Result<bool> {
    Ok(given.truth("overwrite")?.unwrap_or(false))
}

fn counted(kept: &Cell<u64>, chosen: bool) -> bool {
    if !chosen {
        kept.set(kept.get() + 1);
    }
    chosen
}

fn note_transfer(az: &Az, given: &Given, (done, files): (&str, u64), kept: u64) {
    let left = match kept {
        0 => String::new(),
        kept => format!("; {kept} that were there are left as they are, --overwrite replaces them"),
    };
    az.note(given, &format!("{done} {files} files{left}"));
}

async fn attach(
    az: &Az,
    given: &Given,
    kind: &str,
    keys: &[(&str, &str)],
) -> anyhow::Result<Value> {
    let words = |keys: &[(&str, &str)]| -> Map<String, Value> {
        let word = |(flag, key): &(&str, &str)| {
            given
                .text(flag)
                .map(|text| ((*key).to_owned(), json!(text)))
        };
        keys.iter().filter_map(word).collect()
    };
    let mut draft = Draft::open(None, &az.ctx.folder)?;
    draft.put("name", given.required("name")?, "--name");
    draft.put("type", kind, "the command");
    for (key, value) in words(keys) {
        draft.put(&key, value, "the command line");
    }
    let credentials = words(&CREDENTIALS);
    if !credentials.is_empty() {
        draft.put("credentials", Value::Object(credentials), "the credentials");
    }
    let workspace = az.this_workspace().await?;
    let fields = draft.check("datastore")?;
    let made = az.call(&request(&workspace, &fields)?).await?;
    let secrets = given.switch("include-secret");
    let made = get(az, Some(made.name), secrets).await?;
    let shown = ids::fields(shown(&made));
    answer(az, given, Value::Object(shown))
}
