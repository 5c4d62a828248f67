//! Datastores: what they say, their sealed credentials, and the files in them.

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use serde_json::{Map, Value};

use super::{Action, Caller, Content, Perform, Service, files::forward};
use api::{
    Done, Error, Result,
    datastores::{
        CreateDatastore, Datastore, DatastoreType, DeleteDatastore, GetDatastore, ListDatastores,
        ListStoredFiles, RemoveStoredFiles, StoredFile, TestDatastore, UpdateDatastore,
    },
    files::check_path,
    names,
};
use store::{Address, DatastoreChange, DatastoreRow, FilePlace, WorkspaceRow};

/// Bytes of a file that need not come in pieces.
const LITTLE: usize = 16 << 10;

/// Ways to open a datastore: the name of each and what it takes.
const CREDENTIALS: [(&str, &[&str]); 5] = [
    ("account_key", &["account_key"]),
    ("sas_token", &["sas_token"]),
    (
        "service_principal",
        &["tenant_id", "client_id", "client_secret"],
    ),
    ("certificate", &["tenant_id", "client_id", "thumbprint"]),
    ("access_key", &["access_key_id", "secret_access_key"]),
];

/// Binds sealed credentials to their place. Names do not differ by case.
fn context(row: &WorkspaceRow, name: &str) -> String {
    format!(
        "workspaces/{}/datastores/{}",
        row.workspace.id,
        name.to_lowercase()
    )
}

/// Which way to open a datastore the credentials are.
fn credential_type(credentials: &Map<String, Value>) -> Result<&'static str> {
    let has = |key: &&str| {
        let value = credentials.get(*key).and_then(Value::as_str);
        value.is_some_and(|value| !value.is_empty())
    };
    if credentials.is_empty() {
        return Ok("none");
    }
    if let Some((name, _)) = CREDENTIALS.iter().find(|(_, keys)| keys.iter().all(has)) {
        return Ok(name);
    }
    let ways: Vec<String> = CREDENTIALS
        .iter()
        .map(|(_, keys)| keys.join(" with "))
        .collect();
    Err(Error::invalid("The credentials open nothing")
        .at("credentials")
        .hint(format!("Give {}", ways.join(", or "))))
}

/// Fills in what has a default and names what is missing.
fn complete(kind: DatastoreType, mut spec: Map<String, Value>) -> Result<Map<String, Value>> {
    for (key, default) in kind.keys() {
        let given = spec.get(*key).and_then(Value::as_str).unwrap_or_default();
        match default {
            _ if !given.is_empty() => {}
            Some(default) => {
                spec.insert((*key).to_owned(), Value::from(*default));
            }
            None => {
                return Err(
                    Error::invalid(format!("A datastore of type {kind} needs `{key}`")).at(*key),
                );
            }
        }
    }
    Ok(spec)
}

impl Service {
    pub(super) async fn find_datastore(
        &self,
        row: &WorkspaceRow,
        name: Option<&str>,
    ) -> Result<DatastoreRow> {
        let found = self
            .store
            .datastore(row.id, name.map(str::to_owned))
            .await?;
        match found {
            Some(found) => Ok(found),
            None => {
                let all = self.store.list_datastores(row.id).await?;
                let name = name.unwrap_or("default");
                let nearest = names::nearest(name, all.iter().map(|d| d.datastore.name.as_str()));
                let place = format!(" in workspace `{}`", row.workspace.name);
                Err(Error::unknown("datastore", name, &place, nearest)
                    .or_hint("See which there are: aml datastore list"))
            }
        }
    }

    fn open_credentials(
        &self,
        row: &WorkspaceRow,
        found: &DatastoreRow,
    ) -> Result<Map<String, Value>> {
        let Some(sealed) = &found.sealed_credentials else {
            return Ok(Map::new());
        };
        let plain = self
            .vault
            .open(&context(row, &found.datastore.name), sealed)?;
        serde_json::from_slice(&plain).map_err(|e| Error::internal(e.to_string()))
    }

    fn seal_credentials(
        &self,
        row: &WorkspaceRow,
        name: &str,
        credentials: &Map<String, Value>,
    ) -> Result<Option<Vec<u8>>> {
        if credentials.is_empty() {
            return Ok(None);
        }
        let plain = serde_json::to_vec(credentials).map_err(|e| Error::internal(e.to_string()))?;
        self.vault.seal(&context(row, name), &plain).map(Some)
    }

    /// Where the files of a datastore are.
    pub(super) fn place(&self, row: &WorkspaceRow, found: &DatastoreRow) -> Result<FilePlace> {
        let datastore = &found.datastore;
        let text = |key: &str| {
            let value = datastore.spec.get(key);
            value.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        if datastore.kind == DatastoreType::Local {
            return Ok(FilePlace::Folder(text("path").into()));
        }
        // What is in the workspace's own account lies in the state directory.
        let own = &row.workspace.resources.storage_account.name;
        if !own.is_empty() && text("account_name").eq_ignore_ascii_case(own) {
            let containers = ["container_name", "file_share_name", "filesystem"];
            let container = containers.map(text).concat();
            check_path(&container)?;
            let account = self.store.home.storage(&row.workspace.id);
            return Ok(FilePlace::Folder(account.join(container)));
        }
        FilePlace::cloud(&Address {
            kind: datastore.kind,
            spec: datastore.spec.clone(),
            credentials: self.open_credentials(row, found)?,
        })
    }

    /// Opens the place of a datastore by name, for who may do this.
    async fn enter_datastore(
        &self,
        caller: &Caller,
        workspace: &str,
        datastore: &str,
        action: Action,
    ) -> Result<FilePlace> {
        let row = self.enter(caller, workspace, action).await?;
        let found = self.find_datastore(&row, Some(datastore)).await?;
        self.place(&row, &found)
    }

    /// Opens a file of a datastore.
    pub async fn read_stored_file(
        &self,
        caller: &Caller,
        workspace: &str,
        datastore: &str,
        path: &str,
    ) -> Result<Content> {
        let place = self
            .enter_datastore(caller, workspace, datastore, Action::Read)
            .await?;
        match place.open(path).await? {
            Some(file) => Ok(file.into()),
            None => Err(self.unknown_file(&place, datastore, path).await?),
        }
    }

    async fn unknown_file(&self, place: &FilePlace, datastore: &str, path: &str) -> Result<Error> {
        let error = Error::not_found(format!("Nothing is at `{path}` in datastore `{datastore}`"))
            .at("path");
        if let Some(below) = place.list(path, Some(1)).await?.first() {
            return Ok(error.hint(format!("It is a folder; it has `{}`", below.path)));
        }
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let beside = place.list(folder, Some(1000)).await?;
        let nearest = names::nearest(path, beside.iter().map(|file| file.path.as_str()));
        Ok(match nearest {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None => error.hint(format!("See what is there: aml datastore ls {datastore}")),
        })
    }

    /// Writes a file of a datastore, over what is there.
    pub async fn write_stored_file<E: std::fmt::Display>(
        &self,
        caller: &Caller,
        workspace: &str,
        datastore: &str,
        path: &str,
        body: impl Stream<Item = std::result::Result<Bytes, E>> + Unpin,
    ) -> Result<StoredFile> {
        let place = self
            .enter_datastore(caller, workspace, datastore, Action::StoreFiles)
            .await?;
        check_path(path)?;
        let mut body = body.fuse();
        let mut first = body.next().await;
        let mut second = None;
        if let Some(Ok(bytes)) = first.take_if(|first| is_little(first)) {
            second = body.next().await;
            if second.is_none() {
                return place.write_little(path, bytes, self.now()).await;
            }
            first = Some(Ok(bytes));
        }
        let body = stream::iter(first.into_iter().chain(second)).chain(body);
        let (chunks, forward) = forward(body);
        let (stored, ()) = tokio::join!(place.write(path, chunks, self.now()), forward);
        stored
    }
}

fn is_little<E>(chunk: &std::result::Result<Bytes, E>) -> bool {
    chunk.as_ref().is_ok_and(|chunk| chunk.len() <= LITTLE)
}

#[async_trait]
impl Perform for CreateDatastore {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Datastore> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        names::DATASTORE.check(&self.name)?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        if self.kind == DatastoreType::Local {
            service.allow_admin(caller, "open folders of the server's machine")?;
        }
        let spec = complete(self.kind, self.spec)?;
        if self.kind == DatastoreType::Local {
            check_folder(&spec)?;
        }
        let now = service.now();
        let new = DatastoreRow {
            sealed_credentials: service.seal_credentials(&row, &self.name, &self.credentials)?,
            built_in: false,
            datastore: Datastore {
                name: self.name.clone(),
                kind: self.kind,
                spec,
                description: self.description,
                tags: self.tags,
                credential_type: credential_type(&self.credentials)?.to_owned(),
                credentials: Map::new(),
                is_default: false,
                created_by: caller.name().to_owned(),
                created_at: now,
                updated_at: now,
            },
        };
        match service.store.put_datastore(row.id, new).await? {
            Some(row) => Ok(row.datastore),
            None => Err(Error::conflict(format!(
                "The datastore `{}` came with the workspace and is not replaced",
                self.name
            ))
            .at("name")
            .hint("Choose another name")),
        }
    }
}

fn check_folder(spec: &Map<String, Value>) -> Result<()> {
    let path = spec.get("path").and_then(Value::as_str).unwrap_or_default();
    let folder = std::path::Path::new(path);
    if folder.is_absolute() && folder.is_dir() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "`{path}` is no folder of the machine that holds the workspace"
    ))
    .at("path")
    .hint("Give the whole path of a folder that exists there"))
}

#[async_trait]
impl Perform for ListDatastores {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<Datastore>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let rows = service.store.list_datastores(row.id).await?;
        Ok(rows.into_iter().map(|row| row.datastore).collect())
    }
}

#[async_trait]
impl Perform for GetDatastore {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Datastore> {
        let action = if self.secrets {
            Action::ReadSecrets
        } else {
            Action::Read
        };
        let row = service.enter(caller, &self.workspace, action).await?;
        let found = service.find_datastore(&row, self.name.as_deref()).await?;
        let mut datastore = found.datastore.clone();
        if self.secrets {
            datastore.credentials = service.open_credentials(&row, &found)?;
        }
        Ok(datastore)
    }
}

#[async_trait]
impl Perform for UpdateDatastore {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Datastore> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        self.tags.keys().try_for_each(|key| names::TAG.check(key))?;
        let name = service.find_datastore(&row, Some(&self.name)).await?;
        let name = name.datastore.name;
        let credentials = match &self.credentials {
            None => None,
            Some(new) => Some((
                credential_type(new)?.to_owned(),
                service.seal_credentials(&row, &name, new)?,
            )),
        };
        let change = DatastoreChange {
            description: self.description,
            tags: self.tags,
            credentials,
            make_default: self.make_default,
        };
        let updated = service
            .store
            .update_datastore(row.id, &name, service.now(), change)
            .await?;
        match updated {
            Some(row) => Ok(row.datastore),
            None => Ok(service.find_datastore(&row, Some(&name)).await?.datastore),
        }
    }
}

#[async_trait]
impl Perform for DeleteDatastore {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteAssets)
            .await?;
        let found = service.find_datastore(&row, Some(&self.name)).await?;
        if found.built_in {
            return Err(Error::conflict(format!(
                "The datastore `{}` came with the workspace and stays",
                found.datastore.name
            )));
        }
        service
            .store
            .delete_datastore(row.id, &found.datastore.name)
            .await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for TestDatastore {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let place = service
            .enter_datastore(caller, &self.workspace, &self.name, Action::Read)
            .await?;
        place.list("", Some(1)).await?;
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for ListStoredFiles {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Vec<StoredFile>> {
        let place = service
            .enter_datastore(caller, &self.workspace, &self.datastore, Action::Read)
            .await?;
        let path = self.path.trim_matches('/');
        place.list(path, self.limit).await
    }
}

#[async_trait]
impl Perform for RemoveStoredFiles {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let place = service
            .enter_datastore(
                caller,
                &self.workspace,
                &self.datastore,
                Action::WriteAssets,
            )
            .await?;
        if place.remove(self.path.trim_matches('/')).await? > 0 {
            return Ok(Done {});
        }
        Err(service
            .unknown_file(&place, &self.datastore, &self.path)
            .await?)
    }
}
