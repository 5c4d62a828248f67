//! Assets: versions, what is the same, labels, archiving, registries and who may what.

use serde_json::{Value, json};

use super::support::Bench;
use crate::{Caller, Perform};
use api::{
    Code, Result,
    access::{AssignRole, CreateUser, Role},
    assets::{
        ArchiveAsset, Archived, Asset, AssetKind, CreateAsset, DeleteAsset, GetAsset, ListAssets,
        RestoreAsset, ShareAsset, UpdateAsset,
    },
    files::{CollectGarbage, GetTree},
    registries::{CreateRegistry, DeleteRegistry, GetRegistry, ListRegistries, UpdateRegistry},
    workspaces::ListWorkspaces,
};

fn new(kind: AssetKind, name: &str, spec: &Value) -> CreateAsset {
    CreateAsset {
        workspace: "ws".to_owned(),
        kind,
        name: Some(name.to_owned()),
        version: None,
        spec: spec.as_object().unwrap().clone(),
        description: None,
        tags: [].into(),
        properties: [].into(),
        files: None,
        labels: Vec::new(),
    }
}

fn data(name: &str, path: &str) -> CreateAsset {
    new(
        AssetKind::Data,
        name,
        &json!({"type": "uri_file", "path": path}),
    )
}

fn get(name: &str, version: Option<&str>, label: Option<&str>) -> GetAsset {
    GetAsset {
        workspace: "ws".to_owned(),
        kind: AssetKind::Data,
        name: name.to_owned(),
        version: version.map(str::to_owned),
        label: label.map(str::to_owned),
    }
}

fn update(name: &str, version: Option<&str>) -> UpdateAsset {
    UpdateAsset {
        workspace: "ws".to_owned(),
        kind: AssetKind::Data,
        name: name.to_owned(),
        version: version.map(str::to_owned),
        description: None,
        tags: [].into(),
        properties: [].into(),
        labels: Vec::new(),
        unlabel: Vec::new(),
        settings: serde_json::Map::new(),
    }
}

fn list(name: Option<&str>, archived: Archived) -> ListAssets {
    ListAssets {
        workspace: "ws".to_owned(),
        kind: AssetKind::Data,
        name: name.map(str::to_owned),
        archived,
        limit: None,
    }
}

fn shown(assets: Result<Vec<Asset>>) -> String {
    let shown: Vec<String> = assets
        .unwrap()
        .iter()
        .map(|asset| format!("{}:{}", asset.name, asset.version))
        .collect();
    shown.join(" ")
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code
}

#[tokio::test]
async fn versions_count_up_and_never_change() {
    let bench = Bench::new().await;
    let create = async |version: Option<&str>, path: &str| {
        let mut new = data("Iris", path);
        new.version = version.map(str::to_owned);
        bench.ask(new).await
    };
    assert_eq!(create(None, "https://h/a").await.unwrap().version, "1");
    assert_eq!(create(None, "https://h/a").await.unwrap().version, "2");
    assert_eq!(create(Some("7"), "https://h/b").await.unwrap().version, "7");
    assert_eq!(
        create(Some("v1.0"), "https://h/b").await.unwrap().version,
        "v1.0"
    );
    assert_eq!(create(None, "https://h/c").await.unwrap().version, "8");
    // The same again is no error, something else is.
    assert_eq!(create(Some("7"), "https://h/b").await.unwrap().version, "7");
    let refused = create(Some("7"), "https://h/other").await.unwrap_err();
    assert_eq!(refused.code, Code::Conflict);
    assert!(refused.message.contains("`Iris` version 7"), "{refused}");
    // A deleted number is not used again.
    let delete = |version: Option<&str>| DeleteAsset {
        workspace: "ws".into(),
        kind: AssetKind::Data,
        name: "iris".into(),
        version: version.map(str::to_owned),
    };
    bench.ask(delete(Some("8"))).await.unwrap();
    assert_eq!(code(bench.ask(delete(Some("8"))).await), Code::NotFound);
    assert_eq!(create(None, "https://h/d").await.unwrap().version, "9");
    bench.ask(delete(None)).await.unwrap();
    assert_eq!(create(None, "https://h/d").await.unwrap().version, "10");
}

#[tokio::test]
async fn what_can_change_changes_and_nothing_else() {
    let bench = Bench::new().await;
    let mut first = data("iris", "https://h/a");
    first.description = Some("first".into());
    first.tags = [
        ("a".to_owned(), "1".to_owned()),
        ("b".to_owned(), "2".to_owned()),
    ]
    .into();
    bench.ask(first.clone()).await.unwrap();
    let mut change = update("IRIS", None);
    change.tags = [
        ("a".to_owned(), String::new()),
        ("c".to_owned(), "3".to_owned()),
    ]
    .into();
    change.properties = [("p".to_owned(), "q".to_owned())].into();
    let changed = bench.ask(change).await.unwrap();
    assert_eq!(changed.description, "first");
    assert_eq!(json!(changed.tags), json!({"b": "2", "c": "3"}));
    assert_eq!(json!(changed.properties), json!({"p": "q"}));
    assert!(changed.updated_at > changed.created_at);
    // Created again with the same content, what is said anew counts.
    first.version = Some("1".into());
    first.description = Some("second".into());
    let again = bench.ask(first).await.unwrap();
    assert_eq!(
        (again.version.as_str(), again.description.as_str()),
        ("1", "second")
    );
    assert_eq!(
        code(bench.ask(update("iris", Some("5"))).await),
        Code::NotFound
    );
}

#[tokio::test]
async fn the_order_of_keys_does_not_make_another_version() {
    let bench = Bench::new().await;
    let one = json!({"image": "python", "conda_file": {"name": "x", "channels": ["a"]}});
    let other = json!({"conda_file": {"channels": ["a"], "name": "x"}, "image": "python"});
    let mut first = new(AssetKind::Environment, "env", &one);
    first.version = Some("1".into());
    let mut second = new(AssetKind::Environment, "env", &other);
    second.version = Some("1".into());
    let first = bench.ask(first).await.unwrap();
    assert_eq!(bench.ask(second).await.unwrap(), first);
}

#[tokio::test]
async fn labels_move_and_latest_is_the_one_created_last() {
    let bench = Bench::new().await;
    for (version, label) in [("5", "prod"), ("2", "test"), ("3", "prod")] {
        let mut new = data("iris", "https://h/a");
        new.version = Some(version.into());
        new.labels = vec![label.into()];
        bench.ask(new).await.unwrap();
    }
    let by_label = async |label: &str| Ok(bench.ask(get("iris", None, Some(label))).await?.version);
    assert_eq!(by_label("latest").await.unwrap(), "3");
    assert_eq!(by_label("PROD").await.unwrap(), "3");
    assert_eq!(by_label("test").await.unwrap(), "2");
    let mut change = update("iris", Some("2"));
    change.labels = vec!["prod".into()];
    change.unlabel = vec!["test".into()];
    let changed = bench.ask(change).await.unwrap();
    assert_eq!(changed.labels, ["prod"]);
    assert_eq!(by_label("prod").await.unwrap(), "2");
    assert_eq!(code(by_label("test").await), Code::NotFound);
    let mut change = update("iris", Some("2"));
    change.labels = vec!["latest".into()];
    assert_eq!(code(bench.ask(change).await), Code::Invalid);
    let both = get("iris", Some("2"), Some("prod"));
    assert_eq!(code(bench.ask(both).await), Code::Invalid);
}

#[tokio::test]
async fn what_is_archived_is_hidden_but_can_be_used() {
    let bench = Bench::new().await;
    for path in ["https://h/1", "https://h/2"] {
        bench.ask(data("iris", path)).await.unwrap();
    }
    bench.ask(data("other", "https://h/1")).await.unwrap();
    let archive = |version: Option<&str>| ArchiveAsset {
        workspace: "ws".into(),
        kind: AssetKind::Data,
        name: "iris".into(),
        version: version.map(str::to_owned),
        label: None,
    };
    let restore = |version: Option<&str>| RestoreAsset {
        workspace: "ws".into(),
        kind: AssetKind::Data,
        name: "iris".into(),
        version: version.map(str::to_owned),
        label: None,
    };
    let all = async |archived| shown(bench.ask(list(None, archived)).await);
    bench.ask(archive(Some("2"))).await.unwrap();
    assert_eq!(
        bench.ask(get("iris", None, None)).await.unwrap().version,
        "1"
    );
    assert!(
        bench
            .ask(get("iris", Some("2"), None))
            .await
            .unwrap()
            .archived
    );
    assert_eq!(all(Archived::Exclude).await, "other:1 iris:1");
    assert_eq!(all(Archived::Only).await, "iris:2");
    bench.ask(archive(None)).await.unwrap();
    assert_eq!(all(Archived::Exclude).await, "other:1");
    assert_eq!(all(Archived::Include).await, "other:1 iris:2");
    let error = bench.ask(get("iris", None, None)).await.unwrap_err();
    assert_eq!(error.code, Code::NotFound);
    assert_eq!(error.hints, ["aml data restore iris:2"]);
    assert_eq!(
        shown(bench.ask(list(Some("iris"), Archived::Exclude)).await),
        ""
    );
    bench.ask(restore(None)).await.unwrap();
    assert_eq!(all(Archived::Exclude).await, "other:1 iris:1");
    bench.ask(restore(Some("2"))).await.unwrap();
    assert_eq!(
        shown(bench.ask(list(Some("iris"), Archived::Exclude)).await),
        "iris:2 iris:1"
    );
    assert_eq!(code(bench.ask(archive(Some("9"))).await), Code::NotFound);
    let unknown = bench.ask(list(Some("irsi"), Archived::Exclude)).await;
    assert_eq!(unknown.unwrap_err().hints, ["Did you mean `iris`?"]);
    let mut limited = list(None, Archived::Exclude);
    limited.limit = Some(1);
    assert_eq!(shown(bench.ask(limited).await), "other:1");
}

#[tokio::test]
async fn an_asset_without_a_name_is_known_by_its_content() {
    let bench = Bench::new().await;
    let anonymous = async |spec: Value| {
        let mut new = new(AssetKind::Environment, "", &spec);
        new.name = None;
        bench.ask(new).await.unwrap()
    };
    let one = anonymous(json!({"image": "python:3.11"})).await;
    assert_eq!(one.name, "CliV2AnonymousEnvironment");
    assert!(one.anonymous);
    assert_eq!(anonymous(json!({"image": "python:3.11"})).await, one);
    assert_ne!(
        anonymous(json!({"image": "python:3.12"})).await.version,
        one.version
    );
    let mut all = list(None, Archived::Include);
    all.kind = AssetKind::Environment;
    assert_eq!(shown(bench.ask(all.clone()).await), "");
    all.name = Some(one.name);
    assert_eq!(bench.ask(all).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let bench = Bench::new().await;
    for (kind, spec, target) in [
        (
            AssetKind::Data,
            json!({"type": "file", "path": "x"}),
            "type",
        ),
        (
            AssetKind::Data,
            json!({"type": "uri_file", "path": ""}),
            "path",
        ),
        (AssetKind::Environment, json!({"os_type": "linux"}), "image"),
        (AssetKind::Component, json!({"command": "x"}), "type"),
        (AssetKind::Code, json!({}), "path"),
    ] {
        let error = bench.ask(new(kind, "a", &spec)).await.unwrap_err();
        assert_eq!(error.code, Code::Invalid, "{spec}");
        assert_eq!(error.target.as_deref(), Some(target), "{spec}");
    }
    for (name, version) in [("a b", "1"), ("", "1"), ("a", "1/2"), ("a", "")] {
        let mut new = data(name, "https://h/a");
        new.version = Some(version.into());
        assert_eq!(
            code(bench.ask(new).await),
            Code::Invalid,
            "{name}:{version}"
        );
    }
    bench.ask(data("iris", "https://h/a")).await.unwrap();
    let folder = json!({"type": "uri_folder", "path": "https://h/"});
    let error = bench.ask(new(AssetKind::Data, "iris", &folder)).await;
    assert_eq!(code(error), Code::Conflict);
}

#[tokio::test]
async fn files_of_assets_stay_until_the_asset_is_deleted() {
    let bench = Bench::new().await;
    bench.put(super::files::framed(&[b"a,b\n"])).await.unwrap();
    let tree = bench
        .tree(vec![super::files::entry("t.csv", b"a,b\n")])
        .await
        .unwrap();
    let mut new = data("iris", "t.csv");
    new.files = Some(tree.hash);
    let asset = bench.ask(new.clone()).await.unwrap();
    let short = &tree.hash.hex()[..32];
    let address =
        format!("azureml://datastores/workspaceblobstore/paths/LocalUpload/{short}/t.csv");
    assert_eq!(asset.spec["path"], json!(address));
    assert_eq!(
        asset.files.as_ref().map(|files| files.hash),
        Some(tree.hash)
    );
    // The same content under another version is stored once.
    new.version = Some("x".into());
    assert_eq!(bench.ask(new.clone()).await.unwrap().digest, asset.digest);
    let collect = || CollectGarbage {
        dry_run: false,
        grace_seconds: 0,
        environments_unused_seconds: None,
    };
    assert_eq!(bench.ask(collect()).await.unwrap().blobs, 0);
    let delete = DeleteAsset {
        workspace: "ws".into(),
        kind: AssetKind::Data,
        name: "iris".into(),
        version: None,
    };
    bench.ask(delete).await.unwrap();
    super::support::wait_seconds(10);
    assert_eq!(bench.ask(collect()).await.unwrap().blobs, 2);
    new.name = Some("fresh".into());
    assert_eq!(code(bench.ask(new).await), Code::Conflict);
}

fn registry(name: &str) -> CreateRegistry {
    CreateRegistry {
        name: name.to_owned(),
        description: String::new(),
        display_name: None,
        location: None,
        tags: [].into(),
        spec: serde_json::Map::new(),
    }
}

#[tokio::test]
async fn a_registry_shares_assets_with_all_workspaces() {
    let bench = Bench::new().await;
    bench.ask(registry("Shared")).await.unwrap();
    assert_eq!(code(bench.ask(registry("shared")).await), Code::Conflict);
    assert_eq!(bench.ask(ListWorkspaces {}).await.unwrap().len(), 1);
    bench.put(super::files::framed(&[b"x"])).await.unwrap();
    let tree = bench
        .tree(vec![super::files::entry("t.csv", b"x")])
        .await
        .unwrap();
    let mut new = data("iris", "t.csv");
    new.files = Some(tree.hash);
    bench.ask(new).await.unwrap();
    let share = |name: Option<&str>| ShareAsset {
        workspace: "ws".into(),
        kind: AssetKind::Data,
        name: "iris".into(),
        version: "1".into(),
        registry: "shared".into(),
        share_with_name: name.map(str::to_owned),
        share_with_version: None,
    };
    bench.ask(share(Some("flowers"))).await.unwrap();
    bench.ask(share(Some("flowers"))).await.unwrap();
    let read = GetTree {
        workspace: "registries/shared".into(),
        hash: tree.hash,
    };
    assert_eq!(bench.ask(read).await.unwrap().entries.len(), 1);
    let mut there = get("flowers", Some("1"), None);
    there.workspace = "registries/SHARED".into();
    assert_eq!(bench.ask(there.clone()).await.unwrap().name, "flowers");
    // Every user may read it; only those with a role may write.
    let user = bench
        .ask(CreateUser {
            name: "ann".into(),
            admin: true,
        })
        .await;
    drop(user);
    let bob = CreateUser {
        name: "bob".into(),
        admin: false,
    };
    let token = bench.ask(bob).await.unwrap().token;
    let bob: Caller = bench.service.authenticate(&token).await.unwrap().unwrap();
    assert!(there.clone().perform(&bench.service, &bob).await.is_ok());
    let mut write = data("more", "https://h/a");
    write.workspace = "registries/shared".into();
    let denied = write.clone().perform(&bench.service, &bob).await;
    assert_eq!(code(denied), Code::Denied);
    bench
        .ask(AssignRole {
            workspace: "registries/shared".into(),
            user: "bob".into(),
            role: Role::DataScientist,
        })
        .await
        .unwrap();
    assert!(write.perform(&bench.service, &bob).await.is_ok());
    let delete = |name: &str| DeleteRegistry {
        registry: name.into(),
    };
    assert_eq!(
        code(delete("shared").perform(&bench.service, &bob).await),
        Code::Denied
    );
    bench.ask(delete("shared")).await.unwrap();
    assert_eq!(code(bench.ask(there).await), Code::NotFound);
}

#[tokio::test]
async fn a_registry_changes_and_holds_no_runs() {
    let bench = Bench::new().await;
    let mut new = registry("team");
    new.spec = json!({"public_network_access": "enabled", "x": 1})
        .as_object()
        .unwrap()
        .clone();
    bench.ask(new).await.unwrap();
    let changed = UpdateRegistry {
        registry: "TEAM".into(),
        description: Some("ours".into()),
        display_name: None,
        tags: [("a".to_owned(), "b".to_owned())].into(),
        spec: json!({"x": 2}).as_object().unwrap().clone(),
    };
    let changed = bench.ask(changed).await.unwrap();
    assert_eq!(changed.description, "ours");
    assert_eq!(
        json!(changed.spec),
        json!({"public_network_access": "enabled", "x": 2})
    );
    let get = GetRegistry {
        registry: "team".into(),
    };
    assert_eq!(bench.ask(get).await.unwrap(), changed);
    let names: Vec<String> = bench
        .ask(ListRegistries {})
        .await
        .unwrap()
        .into_iter()
        .map(|registry| registry.name)
        .collect();
    assert_eq!(names, ["azureml", "team"]);
    let mut run = super::support::submission("r");
    run.workspace = "registries/team".into();
    assert_eq!(code(bench.ask(run).await), Code::Invalid);
    let unknown = GetRegistry {
        registry: "taem".into(),
    };
    let error = bench.ask(unknown).await.unwrap_err();
    assert_eq!(error.hints, ["Did you mean `team`?"]);
    assert_eq!(
        code(
            bench
                .ask(DeleteRegistry {
                    registry: "nope".into()
                })
                .await
        ),
        Code::NotFound
    );
}

#[tokio::test]
async fn what_does_not_make_a_version_may_change() {
    let bench = Bench::new().await;
    bench
        .ask(data("d", "azureml://datastores/a/paths/x"))
        .await
        .unwrap();
    let set = |key: &str, value: Value| UpdateAsset {
        settings: [(key.to_owned(), value)].into_iter().collect(),
        ..update("d", None)
    };
    let keep = json!({"condition": "created_greater_than", "value": "30d"});
    let kept = bench
        .ask(set("auto_delete_setting", keep.clone()))
        .await
        .unwrap();
    assert_eq!(kept.spec["auto_delete_setting"], keep);
    // It is the same version for who creates it again.
    let again = CreateAsset {
        version: Some("1".to_owned()),
        ..data("d", "azureml://datastores/a/paths/x")
    };
    let again = bench.ask(again).await.unwrap();
    assert_eq!(
        (again.version, &again.spec["auto_delete_setting"]),
        (kept.version, &keep)
    );
    let gone = bench
        .ask(set("auto_delete_setting", Value::Null))
        .await
        .unwrap();
    assert!(!gone.spec.contains_key("auto_delete_setting"));
    for (key, value) in [
        ("path", json!("x")),
        ("auto_delete_setting", json!({"condition": "full_moon"})),
        ("auto_delete_setting", json!("30d")),
    ] {
        let refused = bench.ask(set(key, value)).await.unwrap_err();
        assert_eq!(
            (refused.code, refused.target.as_deref()),
            (Code::Invalid, Some(key))
        );
    }
}

#[tokio::test]
async fn no_address_is_kept_with_credentials() {
    let bench = Bench::new().await;
    let address = "git+https://me:hunter2@host/code.git";
    for (kind, spec, at) in [
        (
            AssetKind::Data,
            json!({"type": "uri_folder", "path": address}),
            "path",
        ),
        (
            AssetKind::Environment,
            json!({"build": {"path": address}}),
            "build.path",
        ),
        (
            AssetKind::Component,
            json!({"type": "command", "code": address}),
            "code",
        ),
        (
            AssetKind::Component,
            json!({"type": "pipeline", "jobs": {"a": {"component": {"code": address}}}}),
            "jobs.a.component.code",
        ),
        (
            AssetKind::Component,
            json!({"type": "command", "inputs": {"d": {"default": address}}}),
            "inputs.d.default",
        ),
        (
            AssetKind::Component,
            json!({"type": "parallel", "additional_includes": ["a", address]}),
            "additional_includes.1",
        ),
    ] {
        let refused = bench.ask(new(kind, "x", &spec)).await.unwrap_err();
        assert_eq!(refused.target.as_deref(), Some(at));
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
    let model = api::models::RegisterModel {
        workspace: "ws".to_owned(),
        name: "m".to_owned(),
        source: api::models::ModelSource::Elsewhere {
            uri: address.to_owned(),
        },
        ..Default::default()
    };
    assert_eq!(bench.ask(model).await.unwrap_err().code, Code::Invalid);
}
