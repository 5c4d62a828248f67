//! Resource groups that registries name.

use serde_json::json;

use super::support::Bench;
use api::{
    Code, Result,
    registries::{CURATED, CreateRegistry, GetRegistry, UpdateRegistry},
    resource_groups::{DeleteResourceGroup, GetResourceGroup, ListResourceGroups},
};

fn get(registry: &str) -> GetRegistry {
    GetRegistry {
        registry: registry.to_owned(),
    }
}

fn delete(name: &str) -> DeleteResourceGroup {
    DeleteResourceGroup {
        name: name.to_owned(),
    }
}

fn code<T: std::fmt::Debug>(result: Result<T>) -> Code {
    result.unwrap_err().code
}

async fn groups(bench: &Bench) -> Vec<String> {
    let groups = bench.ask(ListResourceGroups {}).await.unwrap();
    groups.into_iter().map(|group| group.name).collect()
}

#[tokio::test]
async fn a_group_that_only_a_registry_names_is_there_and_goes_with_it() {
    let bench = Bench::new().await;
    let before = groups(&bench).await;
    let create = json!({"name": "team", "location": "west", "spec": {"resourceGroup": "Shared"}});
    let create: CreateRegistry = serde_json::from_value(create).unwrap();
    bench.ask(create).await.unwrap();
    let found = GetResourceGroup {
        name: "shared".to_owned(),
    };
    let found = bench.ask(found).await.unwrap();
    assert_eq!(
        (found.name.as_str(), found.location.as_str()),
        ("Shared", "west")
    );
    bench.ask(delete("shared")).await.unwrap();
    assert_eq!(code(bench.ask(get("team")).await), Code::NotFound);
    assert_eq!(groups(&bench).await, before);
    assert_eq!(code(bench.ask(delete("shared")).await), Code::NotFound);
}

#[tokio::test]
async fn the_registry_of_the_curated_environments_outlives_its_group() {
    let bench = Bench::new().await;
    let before = groups(&bench).await;
    let made = bench.ask(get(CURATED)).await.unwrap();
    let change = json!({"registry": CURATED, "spec": {"resourceGroup": "g", "x": 1}});
    let change: UpdateRegistry = serde_json::from_value(change).unwrap();
    bench.ask(change).await.unwrap();
    bench.ask(delete("G")).await.unwrap();
    // It is the same one, not made anew, and says no more where it was.
    let left = bench.ask(get(CURATED)).await.unwrap();
    assert_eq!(left.id, made.id);
    assert_eq!(json!(left.spec), json!({"x": 1}));
    assert_eq!(groups(&bench).await, before);
}
