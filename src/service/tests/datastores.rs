//! Datastores: what they say, who sees what opens them, the files in them.

use bytes::Bytes;
use futures_util::stream;
use serde_json::{Map, Value, json};

use super::support::Bench;
use crate::{Caller, Perform};
use api::{
    Code, Error, Result,
    access::{AssignRole, CreateUser, Role},
    datastores::{
        CreateDatastore, DatastoreType, DeleteDatastore, GetDatastore, ListDatastores,
        ListStoredFiles, RemoveStoredFiles, StoredFile, TestDatastore, UpdateDatastore,
    },
    workspaces::DeleteWorkspace,
};

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().unwrap().clone()
}

fn new(name: &str, kind: DatastoreType, spec: &Value, credentials: &Value) -> CreateDatastore {
    CreateDatastore {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
        kind,
        spec: object(spec),
        description: String::new(),
        tags: [].into(),
        credentials: object(credentials),
    }
}

fn blob(name: &str) -> CreateDatastore {
    let spec = json!({"account_name": "acc", "container_name": "c"});
    new(
        name,
        DatastoreType::AzureBlob,
        &spec,
        &json!({"account_key": "hunter2"}),
    )
}

fn get(name: Option<&str>, secrets: bool) -> GetDatastore {
    GetDatastore {
        workspace: "ws".to_owned(),
        name: name.map(str::to_owned),
        secrets,
    }
}

fn update(name: &str) -> UpdateDatastore {
    UpdateDatastore {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
        description: None,
        tags: [].into(),
        credentials: None,
        make_default: false,
    }
}

fn delete(name: &str) -> DeleteDatastore {
    DeleteDatastore {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
    }
}

impl Bench {
    async fn write_stored(
        &self,
        store: &str,
        path: &str,
        text: &'static str,
    ) -> Result<StoredFile> {
        let chunks = stream::iter([Ok::<_, Error>(Bytes::from(text))]);
        self.service
            .write_stored_file(&Caller::Owner, "ws", store, path, chunks)
            .await
    }

    async fn read_stored(&self, store: &str, path: &str) -> Result<String> {
        let content = self
            .service
            .read_stored_file(&Caller::Owner, "ws", store, path)
            .await?;
        let range = 0..content.size;
        let mut pieces = content.pieces(range);
        let mut text = String::new();
        while let Some(piece) = pieces.recv().await {
            text.push_str(std::str::from_utf8(&piece?).unwrap());
        }
        Ok(text)
    }

    async fn stored(&self, store: &str, path: &str) -> Result<String> {
        let list = ListStoredFiles {
            workspace: "ws".to_owned(),
            datastore: store.to_owned(),
            path: path.to_owned(),
            limit: None,
        };
        let files = self.ask(list).await?;
        let paths: Vec<String> = files.into_iter().map(|file| file.path).collect();
        Ok(paths.join(" "))
    }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code
}

#[tokio::test]
async fn a_workspace_comes_with_datastores() {
    let bench = Bench::new().await;
    let list = ListDatastores {
        workspace: "ws".to_owned(),
    };
    let all = bench.ask(list.clone()).await.unwrap();
    let names: Vec<&str> = all.iter().map(|d| d.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "workspaceartifactstore",
            "workspaceblobstore",
            "workspacefilestore",
            "workspaceworkingdirectory"
        ]
    );
    let default = bench.ask(get(None, false)).await.unwrap();
    assert_eq!(default.name, "workspaceblobstore");
    let container = default.spec["container_name"].as_str().unwrap();
    assert!(container.starts_with("azureml-blobstore-"), "{container}");
    assert_eq!(
        code(bench.ask(delete("workspaceblobstore")).await),
        Code::Conflict
    );
    assert_eq!(
        code(bench.ask(blob("WorkspaceBlobStore")).await),
        Code::Conflict
    );
    // Another one can be the default, until it is deleted.
    bench.ask(blob("mine")).await.unwrap();
    let mut change = update("MINE");
    change.make_default = true;
    assert!(bench.ask(change).await.unwrap().is_default);
    assert_eq!(bench.ask(get(None, false)).await.unwrap().name, "mine");
    bench.ask(delete("mine")).await.unwrap();
    assert_eq!(
        bench.ask(get(None, false)).await.unwrap().name,
        "workspaceblobstore"
    );
    assert_eq!(bench.ask(list).await.unwrap().len(), 4);
}

#[tokio::test]
async fn credentials_are_told_only_to_who_asks_and_may() {
    let bench = Bench::new().await;
    let made = bench.ask(blob("cloud")).await.unwrap();
    assert_eq!(made.credential_type, "account_key");
    let list = ListDatastores {
        workspace: "ws".to_owned(),
    };
    let all = serde_json::to_string(&bench.ask(list).await.unwrap()).unwrap();
    assert!(!all.contains("hunter2"));
    let told = bench.ask(get(Some("Cloud"), true)).await.unwrap();
    assert_eq!(told.credentials["account_key"], "hunter2");
    // Sealed at rest.
    for file in std::fs::read_dir(&bench.home).unwrap().flatten() {
        let bytes = std::fs::read(file.path()).unwrap_or_default();
        assert!(!bytes.windows(7).any(|part| part == b"hunter2"), "{file:?}");
    }
    for (name, admin) in [("root", true), ("ann", false)] {
        let name = name.to_owned();
        bench.ask(CreateUser { name, admin }).await.unwrap();
    }
    bench
        .ask(AssignRole {
            workspace: "ws".into(),
            user: "ann".into(),
            role: Role::Reader,
        })
        .await
        .unwrap();
    let reader = Caller::User {
        id: 2,
        name: "ann".into(),
        admin: false,
    };
    let secret = get(Some("cloud"), true)
        .perform(&bench.service, &reader)
        .await;
    assert_eq!(code(secret), Code::Denied);
    let plain = get(Some("cloud"), false)
        .perform(&bench.service, &reader)
        .await;
    assert!(plain.unwrap().credentials.is_empty());
    let mut change = update("cloud");
    change.credentials = Some(object(&json!({"sas_token": "?sv=1&sig=x"})));
    change.description = Some("new".into());
    change.tags = [("a".to_owned(), "b".to_owned())].into();
    let changed = bench.ask(change).await.unwrap();
    assert_eq!(changed.credential_type, "sas_token");
    let told = bench.ask(get(Some("cloud"), true)).await.unwrap();
    assert_eq!(json!(told.credentials), json!({"sas_token": "?sv=1&sig=x"}));
    assert_eq!((told.description.as_str(), told.tags.len()), ("new", 1));
}

#[tokio::test]
async fn what_opens_nothing_is_refused() {
    let bench = Bench::new().await;
    let here = bench.home.to_string_lossy().into_owned();
    let none = json!({});
    for (kind, spec, credentials, target) in [
        (
            DatastoreType::AzureBlob,
            json!({"account_name": "a"}),
            none.clone(),
            "container_name",
        ),
        (DatastoreType::S3, none.clone(), none.clone(), "bucket"),
        (
            DatastoreType::AzureDataLakeGen2,
            json!({"filesystem": "f"}),
            none.clone(),
            "account_name",
        ),
        (
            DatastoreType::Local,
            json!({"path": "relative"}),
            none.clone(),
            "path",
        ),
        (
            DatastoreType::Local,
            json!({"path": "/no/such/folder"}),
            none.clone(),
            "path",
        ),
        (
            DatastoreType::S3,
            json!({"bucket": "b"}),
            json!({"access_key_id": "x"}),
            "credentials",
        ),
        (
            DatastoreType::Local,
            json!({"path": here}),
            json!({"key": "x"}),
            "credentials",
        ),
    ] {
        let refused = bench
            .ask(new("d", kind, &spec, &credentials))
            .await
            .unwrap_err();
        assert_eq!(refused.code, Code::Invalid, "{kind} {spec}");
        assert_eq!(refused.target.as_deref(), Some(target), "{kind} {spec}");
    }
    // The first user is an admin.
    bench.user("root", None).await;
    let user = bench.user("ann", Some(Role::Owner)).await;
    let local = new("d", DatastoreType::Local, &json!({"path": here}), &none);
    assert_eq!(
        code(local.perform(&bench.service, &user).await),
        Code::Denied
    );
    let error = bench
        .ask(get(Some("workspaceblobstor"), false))
        .await
        .unwrap_err();
    assert_eq!(error.hints, ["Did you mean `workspaceblobstore`?"]);
}

#[tokio::test]
async fn files_are_written_listed_read_and_removed() {
    let bench = Bench::new().await;
    let store = "workspaceblobstore";
    assert_eq!(bench.stored(store, "").await.unwrap(), "");
    for path in ["a/b.csv", "a/c/d.csv", "a-b", "z"] {
        let made = bench.write_stored(store, path, "content").await.unwrap();
        assert_eq!((made.path.as_str(), made.size), (path, 7));
    }
    bench.write_stored(store, "z", "new").await.unwrap();
    assert_eq!(
        bench.read_stored("WORKSPACEBLOBSTORE", "z").await.unwrap(),
        "new"
    );
    assert_eq!(
        bench.stored(store, "").await.unwrap(),
        "a-b a/b.csv a/c/d.csv z"
    );
    assert_eq!(
        bench.stored(store, "a/").await.unwrap(),
        "a/b.csv a/c/d.csv"
    );
    assert_eq!(bench.stored(store, "a/b.csv").await.unwrap(), "a/b.csv");
    assert_eq!(bench.stored(store, "b").await.unwrap(), "");
    let wrong = bench.read_stored(store, "a/b.cvs").await.unwrap_err();
    assert_eq!(wrong.hints, ["Did you mean `a/b.csv`?"]);
    let folder = bench.read_stored(store, "a/c").await.unwrap_err();
    assert_eq!(folder.hints, ["It is a folder; it has `a/c/d.csv`"]);
    for path in ["../x", "/x", "a/../../x", ""] {
        assert_eq!(
            code(bench.write_stored(store, path, "x").await),
            Code::Invalid
        );
        assert_eq!(code(bench.read_stored(store, path).await), Code::Invalid);
    }
    assert_eq!(
        code(bench.write_stored(store, "a/c", "x").await),
        Code::Conflict
    );
    // A body that breaks off leaves what was there.
    let chunks = stream::iter([Ok(Bytes::from("half")), Err(Error::invalid("broke"))]);
    let broken = bench
        .service
        .write_stored_file(&Caller::Owner, "ws", store, "z", chunks)
        .await;
    assert_eq!(code(broken), Code::Invalid);
    assert_eq!(bench.read_stored(store, "z").await.unwrap(), "new");
    let remove = |path: &str| RemoveStoredFiles {
        workspace: "ws".to_owned(),
        datastore: store.to_owned(),
        path: path.to_owned(),
    };
    bench.ask(remove("a")).await.unwrap();
    assert_eq!(bench.stored(store, "").await.unwrap(), "a-b z");
    assert_eq!(code(bench.ask(remove("a")).await), Code::NotFound);
    bench
        .ask(DeleteWorkspace {
            workspace: "ws".into(),
            if_empty: false,
        })
        .await
        .unwrap();
    assert_eq!(
        std::fs::read_dir(bench.home.join("storage"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn nothing_outside_a_folder_is_read_or_written_through_links() {
    let bench = Bench::new().await;
    let folder = bench.home.join("mine");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(bench.home.join("secret"), "hunter2").unwrap();
    std::os::unix::fs::symlink(bench.home.join("secret"), folder.join("link")).unwrap();
    std::os::unix::fs::symlink(&bench.home, folder.join("up")).unwrap();
    let spec = json!({"path": folder.to_string_lossy()});
    bench
        .ask(new("mine", DatastoreType::Local, &spec, &json!({})))
        .await
        .unwrap();
    assert_eq!(code(bench.read_stored("mine", "link").await), Code::Denied);
    assert_eq!(
        code(bench.read_stored("mine", "up/secret").await),
        Code::Denied
    );
    assert_eq!(
        code(bench.write_stored("mine", "up/x", "x").await),
        Code::Denied
    );
    assert!(!bench.home.join("x").exists());
    bench.write_stored("mine", "ok", "fine").await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("ok")).unwrap(), "fine");
    bench.ask(delete("mine")).await.unwrap();
    assert!(folder.join("ok").exists(), "its files stay");
}

#[tokio::test]
async fn what_cannot_be_reached_says_why() {
    let bench = Bench::new().await;
    let test = |name: &str| TestDatastore {
        workspace: "ws".to_owned(),
        name: name.to_owned(),
    };
    bench.ask(test("workspacefilestore")).await.unwrap();
    let gen1 = new(
        "gen1",
        DatastoreType::AzureDataLakeGen1,
        &json!({"store_name": "s"}),
        &json!({}),
    );
    bench.ask(gen1).await.unwrap();
    let error = bench.ask(test("gen1")).await.unwrap_err();
    assert_eq!(error.code, Code::Unsupported);
    assert!(!error.hints.is_empty());
}
