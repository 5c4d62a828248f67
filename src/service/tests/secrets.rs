//! Secrets.

use super::support::Bench;
use api::{
    Code,
    secrets::{DeleteSecret, GetSecret, ListSecrets, SetSecret},
};

fn set(workspace: &str, name: &str, value: &str) -> SetSecret {
    SetSecret {
        workspace: workspace.to_owned(),
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn get(workspace: &str, name: &str) -> GetSecret {
    GetSecret {
        workspace: workspace.to_owned(),
        name: name.to_owned(),
    }
}

#[tokio::test]
async fn a_secret_is_kept_by_workspace_and_any_case_of_its_name() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    bench
        .ask(set("ws", "DB-password", "hunter2"))
        .await
        .unwrap();
    bench
        .ask(set("other", "db-password", "swordfish"))
        .await
        .unwrap();
    bench
        .ask(set("ws", "db-PASSWORD", "hunter3"))
        .await
        .unwrap();
    let got = bench.ask(get("WS", "db-password")).await.unwrap();
    assert_eq!(
        (got.name.as_str(), got.value.as_str()),
        ("DB-password", "hunter3")
    );
    assert_eq!(
        bench.ask(get("other", "db-password")).await.unwrap().value,
        "swordfish"
    );
    let workspace = "ws".to_owned();
    let listed = bench.ask(ListSecrets { workspace }).await.unwrap();
    assert_eq!(listed.len(), 1);
    let delete = || DeleteSecret {
        workspace: "ws".to_owned(),
        name: "DB-PASSWORD".to_owned(),
    };
    bench.ask(delete()).await.unwrap();
    assert_eq!(bench.ask(delete()).await.unwrap_err().code, Code::NotFound);
    assert_eq!(
        bench.ask(get("other", "db-password")).await.unwrap().value,
        "swordfish"
    );
}

#[tokio::test]
async fn a_value_is_on_no_disk_in_the_clear() {
    let bench = Bench::new().await;
    let value = "a value that would be found";
    bench.ask(set("ws", "s", value)).await.unwrap();
    for entry in std::fs::read_dir(&bench.home).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes
                .windows(value.len())
                .any(|part| part == value.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_near_name_is_suggested_and_odd_values_are_refused() {
    let bench = Bench::new().await;
    bench.ask(set("ws", "password", "x")).await.unwrap();
    let unknown = bench.ask(get("ws", "pasword")).await.err().unwrap();
    assert_eq!(unknown.hints, ["Did you mean `password`?"]);
    assert_eq!(
        bench.ask(set("ws", "s", "")).await.unwrap_err().code,
        Code::Invalid
    );
    let long = "x".repeat(70_000);
    assert_eq!(
        bench.ask(set("ws", "s", &long)).await.unwrap_err().code,
        Code::Invalid
    );
    assert_eq!(
        bench.ask(set("ws", "a/b", "x")).await.unwrap_err().code,
        Code::Invalid
    );
}
