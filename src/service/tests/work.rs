//! The work queue.

use std::time::Duration;

use super::{
    files::{entry, framed},
    support::{Bench, ended, names, running, submission, wait_seconds},
};
use api::{
    Code,
    files::{ListArtifacts, TreeEntry},
    runs::{CancelRun, RunStatus},
    work::{Outcome, Progress, ReportRun, Reported, SyncWorker},
    workspaces::DeleteWorkspace,
};
use store::Lock;

fn cancel(run: &str) -> CancelRun {
    CancelRun {
        workspace: "ws".to_owned(),
        run: run.to_owned(),
    }
}

#[tokio::test]
async fn runs_are_given_out_oldest_first_and_once() {
    let bench = Bench::new().await;
    for name in ["a", "b", "c"] {
        bench.submit(name).await;
    }
    let orders = bench.sync("w1", 2, &[]).await;
    assert_eq!(names(&orders.take), ["a", "b"]);
    assert_eq!(orders.take[0].handle, None);
    assert_eq!(names(&bench.sync("w2", 2, &[]).await.take), ["c"]);
    assert!(bench.sync("w2", 1, &["ws/c"]).await.take.is_empty());
    assert_eq!(bench.run("a").await.status, RunStatus::Preparing);
}

#[tokio::test]
async fn an_assignment_whose_answer_was_lost_is_given_again() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w", 1, &[]).await;
    assert_eq!(names(&bench.sync("w", 0, &[]).await.take), ["a"]);
}

#[tokio::test]
async fn a_lapsed_lease_moves_the_run_with_its_handle() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w1", 1, &[]).await;
    bench.report("w1", "a", running("pid 7")).await.unwrap();
    wait_seconds(10);
    bench.sync("w1", 0, &["ws/a"]).await;
    // Each look at the clock takes a second more of the thirty.
    wait_seconds(15);
    assert!(bench.sync("w2", 1, &[]).await.take.is_empty());
    assert!(!bench.service.has_open_work().await.unwrap());
    serve_for(&bench, 31).await;
    assert!(bench.service.has_open_work().await.unwrap());
    let orders = bench.sync("w2", 1, &[]).await;
    assert_eq!(orders.take[0].handle.as_deref(), Some("pid 7"));

    assert_eq!(bench.sync("w1", 1, &["ws/a"]).await.lost, ["ws/a"]);
    let error = bench
        .report("w1", "a", ended(Outcome::Failed))
        .await
        .unwrap_err();
    assert_eq!(error.code, Code::Conflict);
    bench
        .report("w2", "a", ended(Outcome::Completed))
        .await
        .unwrap();
    bench
        .report("w2", "a", ended(Outcome::Completed))
        .await
        .unwrap();
    let run = bench.run("a").await;
    assert_eq!(run.status, RunStatus::Completed);
    let reasons: Vec<_> = run
        .history
        .iter()
        .filter_map(|change| change.reason.as_deref())
        .collect();
    assert_eq!(reasons, ["Its worker ended; taken over by w2"]);
}

/// Lets time pass in which the service looks at the queue, as one that serves workers does.
async fn serve_for(bench: &Bench, seconds: i64) {
    for second in (0..seconds).step_by(10) {
        wait_seconds((seconds - second).min(10));
        bench.service.has_open_work().await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_that_could_not_be_renewed_has_not_lapsed() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w1", 1, &[]).await;
    serve_for(&bench, 20).await;
    bench.refuse_changes_of_runs();
    let renewal = SyncWorker {
        worker: "w1".to_owned(),
        capacity: 0,
        holding: vec!["ws/a".to_owned()],
        cancelling: None,
        wait_ms: 0,
    };
    assert!(bench.ask(renewal).await.is_err());
    serve_for(&bench, 20).await;
    bench.take_changes_of_runs();
    assert!(!bench.service.release_lapsed().await.unwrap());
    assert!(bench.sync("w1", 0, &["ws/a"]).await.lost.is_empty());
}

#[tokio::test]
async fn a_lease_that_ran_out_while_nobody_served_can_still_be_renewed() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w1", 1, &[]).await;
    wait_seconds(100);
    let again = bench.reopened();
    assert!(!again.service.has_open_work().await.unwrap());
    assert!(again.sync("w2", 1, &[]).await.take.is_empty());
    assert!(again.sync("w1", 1, &["ws/a"]).await.lost.is_empty());
    serve_for(&again, 31).await;
    assert_eq!(names(&again.sync("w2", 1, &[]).await.take), ["a"]);
}

#[tokio::test]
async fn a_worker_whose_lock_file_is_free_is_dead_at_once() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    let path = bench.home.join("workers/w1.lock");
    let lock = Lock::try_take(&path).unwrap().unwrap();
    bench.sync("w1", 1, &[]).await;
    assert!(bench.sync("w2", 1, &[]).await.take.is_empty());
    assert!(!bench.service.has_open_work().await.unwrap());
    drop(lock);
    assert!(bench.service.has_open_work().await.unwrap());
    assert_eq!(names(&bench.sync("w2", 1, &[]).await.take), ["a"]);
}

#[tokio::test]
async fn what_a_former_holder_noted_goes_when_its_lock_is_taken() {
    let bench = Bench::new().await;
    let path = bench.home.join("server.lock");
    let first = Lock::try_take(&path).unwrap().unwrap();
    first.note("server, process 1 at http://127.0.0.1:1");
    assert!(Lock::holder(&path).unwrap().ends_with(":1"));
    first.note("server");
    assert_eq!(Lock::holder(&path).as_deref(), Some("server"));
    drop(first);
    let _second = Lock::try_take(&path).unwrap().unwrap();
    assert_eq!(Lock::holder(&path).as_deref(), Some(""));
}

#[tokio::test]
async fn a_held_run_is_cancelled_through_its_worker() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w", 1, &[]).await;
    bench.report("w", "a", running("h")).await.unwrap();
    let run = bench.ask(cancel("a")).await.unwrap();
    assert_eq!(run.status, RunStatus::CancelRequested);
    bench.ask(cancel("a")).await.unwrap();
    assert_eq!(bench.sync("w", 0, &["ws/a"]).await.cancel, ["ws/a"]);
    // Said again, for an answer may have been lost.
    assert_eq!(bench.sync("w", 0, &["ws/a"]).await.cancel, ["ws/a"]);
    bench.report("w", "a", Progress::Finalizing).await.unwrap();
    assert_eq!(bench.run("a").await.status, RunStatus::CancelRequested);
    bench
        .report("w", "a", ended(Outcome::Canceled))
        .await
        .unwrap();
    let run = bench.run("a").await;
    assert_eq!(
        (run.status, run.reason.as_deref()),
        (RunStatus::Canceled, Some("Canceled by owner"))
    );
}

#[tokio::test]
async fn a_waiting_worker_is_woken_by_a_submit_and_a_cancel() {
    let bench = Bench::new().await;
    let sync = |capacity, holding: &[&str]| SyncWorker {
        worker: "w".to_owned(),
        capacity,
        holding: holding.iter().map(|&name| name.to_owned()).collect(),
        cancelling: Some(Vec::new()),
        wait_ms: 10_000,
    };
    let (orders, _) = tokio::join!(bench.ask(sync(1, &[])), bench.submit("a"));
    assert_eq!(names(&orders.unwrap().take), ["a"]);
    let (orders, _) = tokio::join!(bench.ask(sync(0, &["ws/a"])), bench.ask(cancel("a")));
    assert_eq!(orders.unwrap().cancel, ["ws/a"]);
    // As if that answer had been lost: it is told again, at once.
    let again = tokio::time::timeout(Duration::from_secs(5), bench.ask(sync(0, &["ws/a"])));
    assert_eq!(again.await.expect("no wait").unwrap().cancel, ["ws/a"]);
}

#[tokio::test]
async fn a_status_never_goes_back_and_what_a_worker_says_is_kept() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w", 1, &[]).await;
    let preparing = |message: &str| Progress::Preparing {
        message: message.to_owned(),
    };
    bench
        .report("w", "a", preparing("Building the environment"))
        .await
        .unwrap();
    bench.report("w", "a", running("h")).await.unwrap();
    bench.report("w", "a", preparing("late")).await.unwrap();
    let run = bench.run("a").await;
    assert_eq!(run.status, RunStatus::Running);
    let said: Vec<_> = run
        .history
        .iter()
        .map(|c| (c.status, c.reason.as_deref()))
        .collect();
    assert_eq!(
        said,
        [
            (RunStatus::Queued, None),
            (RunStatus::Preparing, None),
            (RunStatus::Preparing, Some("Building the environment")),
            (RunStatus::Running, None),
        ]
    );
    assert!(run.started_at.is_some() && run.ended_at.is_none());
}

#[tokio::test]
async fn a_deleted_workspace_takes_its_runs_from_the_worker() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.sync("w", 1, &[]).await;
    bench
        .ask(DeleteWorkspace {
            if_empty: false,
            workspace: "ws".to_owned(),
        })
        .await
        .unwrap();
    assert_eq!(bench.sync("w", 1, &["ws/a"]).await.lost, ["ws/a"]);
}

#[tokio::test]
async fn a_run_whose_secret_is_gone_fails_with_the_reason() {
    use api::secrets::{DeleteSecret, SetSecret};
    let bench = Bench::new().await;
    let secret = || "token".to_owned();
    let set = SetSecret {
        workspace: "ws".to_owned(),
        name: secret(),
        value: "hunter2".to_owned(),
    };
    bench.ask(set).await.unwrap();
    for name in ["a", "b"] {
        let mut submission = submission(name);
        submission.job.secrets.insert("KEY".to_owned(), secret());
        bench.ask(submission).await.unwrap();
    }
    let orders = bench.sync("w", 1, &[]).await;
    assert_eq!(orders.take[0].secrets["KEY"], "hunter2");
    bench
        .ask(DeleteSecret {
            workspace: "ws".to_owned(),
            name: secret(),
        })
        .await
        .unwrap();
    assert!(bench.sync("w", 1, &["ws/a"]).await.take.is_empty());
    let run = bench.run("b").await;
    assert_eq!(
        (run.status, run.reason.as_deref()),
        (RunStatus::Failed, Some("No secret `token` in `ws`"))
    );
}

#[tokio::test]
async fn runs_of_a_worker_that_is_gone_end_though_no_other_one_asks() {
    let bench = Bench::new().await;
    for name in ["started", "unstarted", "unwanted"] {
        bench.submit(name).await;
    }
    bench.sync("w1", 3, &[]).await;
    for name in ["started", "unwanted"] {
        bench.report("w1", name, running("pid 7")).await.unwrap();
    }
    bench.ask(cancel("unwanted")).await.unwrap();
    assert!(!bench.service.release_lapsed().await.unwrap());
    wait_seconds(100);
    // A server that was down or slept meanwhile gives the worker time to come back.
    assert!(!bench.reopened().service.release_lapsed().await.unwrap());
    assert!(!bench.service.release_lapsed().await.unwrap());
    serve_for(&bench, 31).await;
    assert!(bench.service.release_lapsed().await.unwrap());
    let run = bench.run("started").await;
    assert_eq!(run.status, RunStatus::Failed);
    let reason = "Its worker is gone, and the run's process with it";
    assert_eq!(run.reason.as_deref(), Some(reason));
    assert_eq!(bench.run("unwanted").await.status, RunStatus::Canceled);
    assert_eq!(bench.run("unstarted").await.status, RunStatus::Queued);
    assert!(!bench.service.release_lapsed().await.unwrap());
    assert_eq!(names(&bench.sync("w2", 3, &[]).await.take), ["unstarted"]);
    assert_eq!(
        bench.sync("w1", 0, &["ws/started"]).await.lost,
        ["ws/started"]
    );
}

#[tokio::test]
async fn a_run_ends_with_what_it_leaves_or_without() {
    let bench = Bench::new().await;
    bench.put(framed(&[b"kept"])).await.unwrap();
    let ends = |files: Vec<TreeEntry>| Progress::Ended {
        outcome: Outcome::Completed,
        exit_code: Some(0),
        reason: None,
        usage: None,
        artifacts: files,
        uses: Vec::new(),
        made: Vec::new(),
    };
    let kept = [entry("logs/a.txt", b"kept")];
    let circle = [entry("a", b"kept"), entry("a/b", b"kept")];
    let missing = [entry("a", b"nowhere")];
    for (name, files, left) in [
        ("a", &kept[..], 1),
        ("b", &circle[..], 0),
        ("c", &missing[..], 0),
    ] {
        bench.submit(name).await;
        bench.sync("w", 1, &[]).await;
        bench.report("w", name, ends(files.to_vec())).await.unwrap();
        assert_eq!(bench.run(name).await.status, RunStatus::Completed);
        let list = ListArtifacts {
            workspace: "ws".to_owned(),
            run: name.to_owned(),
            path: String::new(),
        };
        assert_eq!(bench.ask(list).await.unwrap().len(), left, "{name}");
    }
    bench.submit("d").await;
    bench.sync("w", 1, &[]).await;
    let bad = bench
        .report("w", "d", ends(vec![entry("../d", b"kept")]))
        .await;
    assert_eq!(bad.unwrap_err().code, Code::Invalid);
}

#[tokio::test]
async fn where_no_other_worker_could_take_a_run_over_its_start_may_be_said_with_its_end() {
    let bench = Bench::new().await;
    let _lock = Lock::try_take(&bench.home.join("workers/w.lock")).unwrap();
    bench.submit("a").await;
    assert!(bench.sync("w", 1, &[]).await.take[0].alone);
    let mut began = running("h");
    if let Progress::Running { ago_ms, .. } = &mut began {
        *ago_ms = 70;
    }
    let report = ReportRun {
        workspace: "ws".to_owned(),
        run: "a".to_owned(),
        worker: "w".to_owned(),
        before: Some(began),
        progress: ended(Outcome::Completed),
        slots: None,
    };
    bench.ask(report).await.unwrap();
    let run = bench.run("a").await;
    let history: Vec<RunStatus> = run.history.iter().map(|change| change.status).collect();
    let expected = [
        RunStatus::Queued,
        RunStatus::Preparing,
        RunStatus::Running,
        RunStatus::Finalizing,
        RunStatus::Completed,
    ];
    assert_eq!(history, expected);
    assert_eq!(run.duration_ms(), Some(70));
    // One that is elsewhere would not find its process.
    bench.sync("w2", 0, &[]).await;
    bench.submit("b").await;
    assert!(!bench.sync("w", 1, &[]).await.take[0].alone);
    bench.submit("c").await;
    assert!(!bench.sync("w2", 1, &[]).await.take[0].alone);
}

impl Bench {
    async fn report_with_room(&self, worker: &str, run: &str, slots: Option<u32>) -> Reported {
        let report = ReportRun {
            workspace: "ws".to_owned(),
            run: run.to_owned(),
            worker: worker.to_owned(),
            before: None,
            progress: ended(Outcome::Completed),
            slots,
        };
        self.ask(report).await.unwrap()
    }
}

#[tokio::test]
async fn a_worker_with_room_is_given_runs_with_the_report_of_an_end() {
    let bench = Bench::new().await;
    let _lock = Lock::try_take(&bench.home.join("workers/w.lock")).unwrap();
    for name in ["a", "b", "c", "d"] {
        bench.submit(name).await;
    }
    bench.sync("w", 2, &[]).await;
    // Those it does not know that it holds count as well.
    let reported = bench.report_with_room("w", "a", Some(2)).await;
    assert_eq!(names(&reported.take), ["c"]);
    assert!(reported.take[0].alone);
    assert!(reported.soon);
    let again = bench.report_with_room("w", "a", None).await;
    assert!(again.take.is_empty() && !again.soon);
    // Nor is it given more than it executes where the answer was lost.
    assert!(
        bench
            .report_with_room("w", "a", Some(2))
            .await
            .take
            .is_empty()
    );
    let orders = bench.sync("w", 0, &["ws/b"]).await;
    assert_eq!(names(&orders.take), ["c"]);
    assert!(bench.sync("w", 0, &["ws/b", "ws/c"]).await.lost.is_empty());
    let reported = bench.report_with_room("w", "b", Some(3)).await;
    assert_eq!(names(&reported.take), ["d"]);
    // Nothing is left to begin, so that the end may as well be waited for.
    let reported = bench.report_with_room("w", "c", Some(3)).await;
    assert!(reported.take.is_empty() && !reported.soon);
}

#[tokio::test]
async fn a_worker_elsewhere_waits_until_an_end_is_on_disk() {
    let bench = Bench::new().await;
    bench.submit("a").await;
    bench.submit("b").await;
    bench.sync("far", 1, &[]).await;
    let reported = bench.report_with_room("far", "a", Some(1)).await;
    assert!(reported.take.is_empty() && !reported.soon);
    assert_eq!(names(&bench.sync("far", 1, &[]).await.take), ["b"]);
}
