//! Long values of params and tags, and where clients keep artifacts.

use std::collections::BTreeMap;

use super::support::{Bench, batch};
use crate::ArtifactPlaces;
use api::{
    Code,
    experiments::CreateExperiment,
    metrics::LogBatch,
    runs::{GetRun, ListRuns},
};

const MIB: usize = 1 << 20;

fn long(letter: &str, bytes: usize) -> String {
    letter.repeat(bytes)
}

#[tokio::test]
async fn a_mebibyte_is_kept_and_more_is_refused_with_the_limit() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    let kept = LogBatch {
        params: BTreeMap::from([("p".to_owned(), long("p", MIB))]),
        tags: BTreeMap::from([("t".to_owned(), long("t", MIB))]),
        ..batch("r")
    };
    bench.ask(kept).await.unwrap();
    let refused = LogBatch {
        params: BTreeMap::from([("q".to_owned(), long("q", MIB + 1))]),
        tags: BTreeMap::from([("u".to_owned(), "u".to_owned())]),
        ..batch("r")
    };
    let error = bench.ask(refused).await.unwrap_err();
    assert_eq!(error.code, Code::Invalid);
    assert_eq!(
        error.message,
        "The value of the param `q` has 1048577 bytes; at most 1048576 are kept"
    );
    let get = GetRun {
        workspace: "ws".into(),
        run: "r".into(),
    };
    let run = bench.ask(get).await.unwrap();
    assert_eq!((run.params["p"].len(), run.tags["t"].len()), (MIB, MIB));
    assert!(!run.params.contains_key("q") && !run.tags.contains_key("u"));
}

#[tokio::test]
async fn a_page_ends_early_when_its_values_are_long() {
    let bench = Bench::new().await;
    for run in ["a", "b", "c", "d", "e"] {
        bench.submit(run).await;
        let params = (0..9).map(|n| (format!("p{n}"), long(run, MIB)));
        let params = LogBatch {
            params: params.collect(),
            ..batch(run)
        };
        bench.ask(params).await.unwrap();
    }
    let mut list = ListRuns {
        workspace: "ws".into(),
        ..ListRuns::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = bench.ask(list.clone()).await.unwrap();
        assert!(page.items.iter().all(|run| run.params.len() == 9));
        let names = page.items.iter().map(|run| run.name.as_str());
        pages.push(names.collect::<Vec<_>>().join(""));
        match page.next {
            Some(next) => list.page = Some(next),
            None => break,
        }
    }
    assert_eq!(pages, ["edc", "ba"]);
}

#[tokio::test]
async fn clients_keep_artifacts_where_the_server_says() {
    let bench = Bench::new().await;
    let places = |root: Option<&str>| ArtifactPlaces {
        folder: "/srv/here".into(),
        root: root.map(str::to_owned),
    };
    let create = |name: &str| CreateExperiment {
        workspace: "ws".into(),
        name: name.into(),
        artifact_location: None,
        tags: BTreeMap::new(),
    };
    let first = bench.ask(create("first")).await.unwrap();
    assert_eq!(
        first.artifact_location,
        format!("mlflow-artifacts:/{}", first.id)
    );
    let mut other = bench.reopened();
    other.service = other.service.clone().with_places(places(Some("runs")));
    let second = other.ask(create("second")).await.unwrap();
    assert_eq!(
        second.artifact_location,
        format!("/srv/here/runs/{}", second.id)
    );
    for (given, whole) in [
        ("a/b", "/srv/here/a/b"),
        ("/a", "/a"),
        ("file:a", "file:///srv/here/a"),
        ("file:///a", "file:///a"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("mlflow-artifacts:/7", "mlflow-artifacts:/7"),
    ] {
        assert_eq!(other.service.whole_location(given), whole);
    }
}
