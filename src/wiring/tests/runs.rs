//! Runs, listed.

use super::files::world;
use api::{metrics::LogBatch, runs::ListRuns};

#[tokio::test]
async fn runs_are_listed_however_much_their_tags_have() {
    let world = world().await;
    for name in ["a", "b", "c"] {
        world.run(name).await;
        let tag = |number| (format!("t{number}"), "x".repeat(1_000_000));
        let log = LogBatch {
            workspace: "w".to_owned(),
            run: name.to_owned(),
            tags: (0..12).map(tag).collect(),
            ..LogBatch::default()
        };
        world.client.call(&log).await.unwrap();
    }
    let request = || ListRuns {
        workspace: "w".to_owned(),
        ..ListRuns::default()
    };
    let one = world.client.call(&request()).await.unwrap();
    assert_eq!((one.items.len(), one.next.is_some()), (2, true), "a page");
    let all = world.client.runs(request(), 50).await.unwrap();
    let names: Vec<&str> = all.items.iter().map(|run| &*run.name).collect();
    assert_eq!((&names[..], all.next), (&["c", "b", "a"][..], None));
    let two = world.client.runs(request(), 2).await.unwrap();
    assert_eq!((two.items.len(), two.next.is_some()), (2, true));
}
