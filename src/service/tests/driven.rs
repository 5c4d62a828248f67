//! Driven runs: what goes wrong with one matters to that one alone, and loses nothing.

use serde_json::json;

use super::{
    pipelines::step,
    support::{Bench, ended, names, running, wait_seconds},
};
use api::{
    Code, Error, Time,
    runs::{DeleteRun, RunStatus},
    work::Outcome,
};
use store::{Advance, Advanced, ExperimentRef, NewDriven, NewRun};

impl Bench {
    async fn number_of(&self, run: &str) -> i64 {
        let store = &self.service.store;
        let workspace = store.workspace("ws").await.unwrap().unwrap().id;
        store.run_id(workspace, run).await.unwrap().unwrap()
    }

    /// A driven run of a kind that this version does not know.
    async fn unreadable(&self, name: &str) {
        let store = &self.service.store;
        let new = NewRun {
            workspace: store.workspace("ws").await.unwrap().unwrap().id,
            name: name.to_owned(),
            display_name: name.to_owned(),
            experiment: ExperimentRef::Name("exp".to_owned()),
            status: RunStatus::Queued,
            user: "u".to_owned(),
            tags: [].into(),
            job: Some(api::runs::Job::default()),
            created_at: Time(1),
            started_at: None,
            driver: None,
            driven: Some(NewDriven {
                kind: "odd".to_owned(),
                plan: "?".to_owned(),
                state: "?".to_owned(),
                watches: None,
            }),
            reuse_key: None,
            reuses: None,
        };
        store.create_run(new).await.unwrap();
    }
}

fn delete(run: &str) -> DeleteRun {
    DeleteRun {
        workspace: "ws".to_owned(),
        run: run.to_owned(),
    }
}

#[tokio::test]
async fn one_that_cannot_be_read_fails_alone() {
    let bench = Bench::new().await;
    bench.unreadable("odd").await;
    let jobs = json!({"jobs": {"a": step(&[])}});
    bench.pipeline("p", jobs).await.unwrap();
    assert_eq!(names(&bench.sync("w", 9, &[]).await.take), ["p-a"]);
    let odd = bench.run("odd").await;
    assert_eq!(odd.status, RunStatus::Failed);
    assert!(odd.reason.unwrap().contains("There is no kind `odd`"));
}

#[tokio::test]
async fn one_that_has_to_wait_is_tried_again() {
    let bench = Bench::new().await;
    let jobs = json!({"jobs": {"a": step(&[])}});
    bench.pipeline("p", jobs).await.unwrap();
    let service = &bench.service;
    let run = bench.number_of("p").await;
    let head = service.store.driven(run).await.unwrap().unwrap().head;
    let error = Error::unavailable("Cannot reach the datastore");
    service.postpone(run, head, &error).await.unwrap();
    assert!(service.has_later_steps().await.unwrap());
    assert!(service.due_drivers().await.unwrap().is_empty());
    wait_seconds(60);
    assert_eq!(service.due_drivers().await.unwrap(), [run]);
    bench.sync("w", 9, &[]).await;
    assert!(!service.has_later_steps().await.unwrap());
    assert_eq!(bench.run("p").await.status, RunStatus::Running);
}

#[tokio::test]
async fn a_cancel_that_comes_while_a_step_is_decided_is_kept() {
    let bench = Bench::new().await;
    let jobs = json!({"jobs": {"a": step(&[])}});
    bench.pipeline("p", jobs).await.unwrap();
    let run = bench.number_of("p").await;
    let store = &bench.service.store;
    let head = store.driven(run).await.unwrap().unwrap().head;
    let cancel = store.cancel_run(run, "enough".to_owned(), Time(5));
    cancel.await.unwrap();
    let step = Advance {
        status: Some((RunStatus::Running, None)),
        ..Advance::default()
    };
    let advanced = store.advance_driven(run, head, step, Time(6)).await;
    assert!(matches!(advanced.unwrap(), Advanced::Stale));
    assert_eq!(bench.run("p").await.status, RunStatus::CancelRequested);
}

#[tokio::test]
async fn one_that_fails_stops_what_it_has_made_and_keeps_the_reason() {
    let bench = Bench::new().await;
    bench.complete("p-b").await;
    let jobs = json!({"jobs": {"a": step(&[]), "b": step(&["a"]), "c": step(&[])}});
    bench.pipeline("p", jobs).await.unwrap();
    assert_eq!(names(&bench.sync("w", 9, &[]).await.take), ["p-a", "p-c"]);
    bench.report("w", "p-c", running("h")).await.unwrap();
    let done = ended(Outcome::Completed);
    bench.report("w", "p-a", done).await.unwrap();
    let run = bench.run("p").await;
    assert_eq!(run.status, RunStatus::Running, "a part of it runs still");
    assert_eq!(bench.run("p-c").await.status, RunStatus::CancelRequested);
    let stopped = ended(Outcome::Canceled);
    bench.report("w", "p-c", stopped).await.unwrap();
    let run = bench.run("p").await;
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.reason.as_deref(), Some("There is a run `p-b` already"));
}

#[tokio::test]
async fn a_part_is_deleted_when_the_whole_has_ended() {
    let bench = Bench::new().await;
    let jobs = json!({"jobs": {"a": step(&[]), "b": step(&["a"])}});
    bench.pipeline("p", jobs).await.unwrap();
    bench.sync("w", 9, &[]).await;
    let done = || ended(Outcome::Completed);
    bench.report("w", "p-a", done()).await.unwrap();
    let error = bench.ask(delete("p-a")).await.unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    let said = "Run `p-a` is a part of the pipeline `p`, which has not ended and may need it";
    assert_eq!(error.message, said);
    bench.sync("w", 9, &[]).await;
    bench.report("w", "p-b", done()).await.unwrap();
    bench.ask(delete("p-a")).await.unwrap();
}
