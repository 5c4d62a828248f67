//! Making, listing, comparing and removing runs.

use super::support::{Bench, batch, ended, running, submission};
use crate::{Caller, Perform};
use api::{
    Code,
    experiments::{CreateExperiment, GetExperiment, ListExperiments, UpdateExperiment},
    metrics::LogBatch,
    runs::{
        BestRun, CancelRun, CreateRun, DeleteRun, Goal, ListRuns, RunStatus, SubmitRun, UpdateRun,
    },
    work::Outcome,
};

fn owned(text: &str) -> String {
    text.to_owned()
}

fn cancel(run: &str) -> CancelRun {
    CancelRun {
        workspace: owned("ws"),
        run: owned(run),
    }
}

fn delete(run: &str) -> DeleteRun {
    DeleteRun {
        workspace: owned("ws"),
        run: owned(run),
    }
}

fn best(metric: &str, goal: Goal) -> BestRun {
    BestRun {
        workspace: owned("ws"),
        experiment: owned("exp"),
        metric: owned(metric),
        goal,
    }
}

#[tokio::test]
async fn submitting_again_under_the_same_name_is_the_same_run() {
    let bench = Bench::new().await;
    let first = bench.submit("r").await;
    let mut again = submission("r");
    again.name = owned("R");
    assert_eq!(bench.ask(again).await.unwrap().name, first.name);
    let mut other = submission("r");
    other.job.command.push(owned("more"));
    let error = bench.ask(other).await.unwrap_err();
    assert_eq!(error.message, "There is a run `r` already");
    assert_eq!(error.code, Code::Conflict);
}

#[tokio::test]
async fn a_new_run_is_answered_as_it_is_read_later() {
    let bench = Bench::new().await;
    let submitted = bench.submit("r").await;
    assert_eq!(bench.run("r").await, submitted);
    let create = CreateRun {
        workspace: owned("ws"),
        experiment_id: submitted.experiment_id,
        name: owned("made"),
        display_name: owned("Made"),
        user: owned("ann"),
        status: RunStatus::Completed,
        started_at: None,
        tags: [(owned("mlflow.parentRunId"), owned("r"))].into(),
    };
    let made = bench.ask(create).await.unwrap();
    assert_eq!(made.parent.as_deref(), Some("r"));
    assert_eq!(bench.run("made").await, made);
}

#[tokio::test]
async fn what_cannot_run_is_refused_when_submitted() {
    let bench = Bench::new().await;
    let refused = |change: fn(&mut SubmitRun)| {
        let mut submission = submission("r");
        change(&mut submission);
        bench.ask(submission)
    };
    let message = |error: api::Error| error.message;
    assert_eq!(
        refused(|s| s.job.command.clear())
            .await
            .map_err(message)
            .unwrap_err(),
        "The job has no command"
    );
    assert_eq!(
        refused(|s| drop(s.job.secrets.insert(owned("KEY"), owned("absent"))))
            .await
            .map_err(message)
            .unwrap_err(),
        "No secret `absent` in `ws`"
    );
    assert_eq!(
        refused(|s| drop(s.job.environment_variables.insert(owned("A B"), owned(""))))
            .await
            .map_err(message)
            .unwrap_err(),
        "`A B` cannot be the name of an environment variable"
    );
    assert_eq!(
        refused(|s| s.job.snapshot = Some(api::files::Hash([7; 32])))
            .await
            .map_err(message)
            .unwrap_err(),
        "The job's snapshot is not stored in the workspace"
    );
    let experiments = ListExperiments {
        workspace: owned("ws"),
        include_deleted: true,
    };
    assert!(bench.ask(experiments).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_page_of_runs_goes_on_where_the_last_ended() {
    let bench = Bench::new().await;
    for n in 0..7 {
        bench.submit(&format!("r{n}")).await;
    }
    let mut ask = ListRuns {
        workspace: owned("ws"),
        limit: Some(3),
        ..ListRuns::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = bench.ask(ask.clone()).await.unwrap();
        pages.push(
            page.items
                .iter()
                .map(|run| run.name.clone())
                .collect::<Vec<_>>(),
        );
        match page.next {
            Some(next) => ask.page = Some(next),
            None => break,
        }
    }
    assert_eq!(
        pages,
        [vec!["r6", "r5", "r4"], vec!["r3", "r2", "r1"], vec!["r0"]]
    );
}

#[tokio::test]
async fn runs_are_listed_by_experiment_status_and_tag() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    for name in ["a", "b"] {
        bench.submit(name).await;
    }
    bench
        .ask(SubmitRun {
            experiment: owned("exp2"),
            ..submission("c")
        })
        .await
        .unwrap();
    bench
        .ask(SubmitRun {
            workspace: owned("other"),
            ..submission("d")
        })
        .await
        .unwrap();
    bench.ask(cancel("b")).await.unwrap();
    let tags = [(owned("team"), owned("x"))];
    bench
        .ask(LogBatch {
            tags: tags.clone().into(),
            ..batch("a")
        })
        .await
        .unwrap();
    let list = async |ask: ListRuns| {
        let ask = ListRuns {
            workspace: owned("ws"),
            ..ask
        };
        let page = bench.ask(ask).await.unwrap();
        page.items
            .into_iter()
            .map(|run| run.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(ListRuns::default()).await, ["c", "b", "a"]);
    assert_eq!(
        list(ListRuns {
            experiment: Some(owned("EXP")),
            ..Default::default()
        })
        .await,
        ["b", "a"]
    );
    assert_eq!(
        list(ListRuns {
            status: Some(RunStatus::Canceled),
            ..Default::default()
        })
        .await,
        ["b"]
    );
    assert_eq!(
        list(ListRuns {
            tags: tags.into(),
            ..Default::default()
        })
        .await,
        ["a"]
    );
}

#[tokio::test]
async fn the_best_run_is_the_completed_one_with_the_best_last_value() {
    let bench = Bench::new().await;
    let error = bench.ask(best("acc", Goal::Maximize)).await.unwrap_err();
    assert_eq!(error.message, "No experiment `exp` in `ws`");
    for (name, value) in [
        ("low", 0.5),
        ("high", 0.9),
        ("nan", f64::NAN),
        ("equal", 0.9),
    ] {
        bench.complete(name).await;
        bench.metric(name, "acc", value).await;
    }
    bench.submit("waiting").await;
    bench.metric("waiting", "acc", 1.0).await;
    bench.metric("nan", "loss", f64::NAN).await;
    let found = async |goal| bench.ask(best("acc", goal)).await.unwrap().run.name;
    assert_eq!(found(Goal::Maximize).await, "high");
    assert_eq!(found(Goal::Minimize).await, "low");

    let error = bench.ask(best("ac", Goal::Maximize)).await.unwrap_err();
    assert_eq!(error.message, "No metric `ac` in a completed run of `exp`");
    assert_eq!(
        error.hints,
        [
            "Did you mean `acc`?",
            "The metrics there are: acc (4 of 4 runs), loss (1 of 4 runs)"
        ]
    );
    let error = bench.ask(best("loss", Goal::Minimize)).await.unwrap_err();
    assert_eq!(
        error.message,
        "The metric `loss` is NaN in every completed run of `exp`"
    );
    let found = bench.ask(best("acc", Goal::Maximize)).await.unwrap();
    assert_eq!((found.run.name.as_str(), found.equally_good), ("high", 2));
}

#[tokio::test]
async fn a_queued_run_is_cancelled_at_once_and_an_ended_one_never() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    let run = bench.ask(cancel("r")).await.unwrap();
    assert_eq!(run.status, RunStatus::Canceled);
    assert_eq!(run.reason.as_deref(), Some("Canceled by owner"));
    assert!(bench.sync("w", 4, &[]).await.take.is_empty());
    let error = bench.ask(cancel("r")).await.unwrap_err();
    assert_eq!(
        error.message,
        "Run `r` has already ended; its status is Canceled"
    );
    let steps: Vec<RunStatus> = run.history.iter().map(|change| change.status).collect();
    assert_eq!(steps, [RunStatus::Queued, RunStatus::Canceled]);
}

#[tokio::test]
async fn only_an_ended_run_can_be_deleted() {
    let bench = Bench::new().await;
    bench.submit("r").await;
    let error = bench.ask(delete("r")).await.unwrap_err();
    assert_eq!(error.message, "Run `r` has not ended; its status is Queued");
    bench.ask(cancel("r")).await.unwrap();
    bench.metric("r", "m", 1.0).await;
    bench.ask(delete("r")).await.unwrap();
    assert_eq!(
        bench.ask(delete("r")).await.unwrap_err().code,
        Code::NotFound
    );
    bench.submit("r").await;
    assert!(bench.run("r").await.metrics.is_empty());
}

#[tokio::test]
async fn a_client_may_end_and_resume_its_own_run_but_not_a_workers() {
    let bench = Bench::new().await;
    let experiment = bench
        .ask(CreateExperiment {
            workspace: owned("ws"),
            name: owned("mine"),
            artifact_location: None,
            tags: [].into(),
        })
        .await
        .unwrap();
    assert_eq!(
        experiment.artifact_location,
        format!("mlflow-artifacts:/{}", experiment.id)
    );
    let create = CreateRun {
        workspace: owned("ws"),
        name: owned("c"),
        experiment_id: experiment.id,
        display_name: owned("c"),
        user: owned("me"),
        status: RunStatus::Running,
        started_at: None,
        tags: [].into(),
    };
    bench.ask(create).await.unwrap();
    let update = |run: &str, status| UpdateRun {
        workspace: owned("ws"),
        run: owned(run),
        status: Some(status),
        ..UpdateRun::default()
    };
    for status in [RunStatus::Completed, RunStatus::Running, RunStatus::Failed] {
        let run = bench.ask(update("c", status)).await.unwrap();
        assert_eq!(run.status, status);
        assert_eq!(run.ended_at.is_some(), status.ended());
    }
    assert!(bench.sync("w", 4, &[]).await.take.is_empty());

    bench.submit("r").await;
    bench.sync("w", 1, &[]).await;
    bench.report("w", "r", running("h")).await.unwrap();
    let run = bench.ask(update("r", RunStatus::Completed)).await.unwrap();
    assert_eq!(run.status, RunStatus::Running);
    bench
        .report("w", "r", ended(Outcome::Completed))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_run_is_moved_to_another_experiment_with_its_metrics() {
    let bench = Bench::new().await;
    let first = CreateExperiment {
        workspace: owned("ws"),
        name: owned("first"),
        artifact_location: None,
        tags: [].into(),
    };
    let made = bench.ask(first).await;
    let run = CreateRun {
        workspace: owned("ws"),
        name: owned("r"),
        experiment_id: made.unwrap().id,
        display_name: owned("r"),
        user: owned("me"),
        status: RunStatus::Running,
        started_at: None,
        tags: [].into(),
    };
    bench.ask(run).await.unwrap();
    bench.metric("r", "loss", 0.5).await;
    let update = |experiment: &str| UpdateRun {
        status: Some(RunStatus::Completed),
        workspace: owned("ws"),
        run: owned("r"),
        experiment: Some(owned(experiment)),
        ..UpdateRun::default()
    };
    let moved = bench.ask(update("a new one")).await.unwrap();
    assert_eq!(moved.experiment, "a new one");
    let best = api::runs::BestRun {
        workspace: owned("ws"),
        experiment: owned("a new one"),
        metric: owned("loss"),
        goal: api::runs::Goal::Minimize,
    };
    assert_eq!(bench.ask(best).await.unwrap().run.name, "r");
    let wrong = bench.ask(update("")).await.unwrap_err();
    assert_eq!(wrong.code, Code::Invalid);
}

#[tokio::test]
async fn an_experiment_is_deleted_and_restored_with_its_runs() {
    let bench = Bench::new().await;
    bench.complete("r").await;
    let find = || GetExperiment {
        workspace: owned("ws"),
        name: Some(owned("Exp")),
        id: None,
    };
    let id = bench.ask(find()).await.unwrap().id;
    let set = |deleted| UpdateExperiment {
        workspace: owned("ws"),
        id: id.clone(),
        deleted: Some(deleted),
        ..UpdateExperiment::default()
    };
    bench.ask(set(true)).await.unwrap();
    assert!(bench.run("r").await.deleted);
    assert_eq!(bench.ask(find()).await.unwrap().runs, 0);
    let error = bench.ask(submission("new")).await.unwrap_err();
    assert_eq!(error.message, "The experiment `exp` is deleted");
    let error = bench.ask(batch("r")).await.unwrap_err();
    assert_eq!(error.message, "Run `r` is deleted");
    assert_eq!(bench.ask(set(false)).await.unwrap().runs, 1);
}

#[tokio::test]
async fn an_unknown_run_is_answered_with_the_nearest_name() {
    let bench = Bench::new().await;
    bench.submit("brave_otter_1").await;
    let error = bench.ask(cancel("brave_oter_1")).await.unwrap_err();
    assert_eq!(error.message, "No run `brave_oter_1` in `ws`");
    assert_eq!(error.hints, ["Did you mean `brave_otter_1`?"]);
}

#[tokio::test]
async fn a_runs_token_changes_its_own_run_and_its_children_only() {
    let bench = Bench::new().await;
    bench.submit("other").await;
    let run = bench.submit("own").await;
    let taken = bench.sync("w", 2, &[]).await.take;
    let token = &taken.iter().find(|a| a.run == "own").unwrap().token;
    let caller = bench.service.authenticate(token).await.unwrap().unwrap();
    assert!(matches!(caller, Caller::Run { .. }));
    let ask = async |batch: LogBatch| batch.perform(&bench.service, &caller).await;
    ask(batch("own")).await.unwrap();
    assert_eq!(ask(batch("other")).await.unwrap_err().code, Code::Denied);
    assert_eq!(
        cancel("other")
            .perform(&bench.service, &caller)
            .await
            .unwrap_err()
            .code,
        Code::Denied
    );
    assert_eq!(
        submission("x")
            .perform(&bench.service, &caller)
            .await
            .unwrap_err()
            .code,
        Code::Denied
    );

    let child = |name: &str, parent: Option<&str>| CreateRun {
        workspace: owned("ws"),
        name: owned(name),
        experiment_id: run.experiment_id.clone(),
        display_name: owned(name),
        user: owned("me"),
        status: RunStatus::Running,
        started_at: None,
        tags: parent
            .iter()
            .map(|p| (owned("mlflow.parentRunId"), owned(p)))
            .collect(),
    };
    let make = async |run: CreateRun| run.perform(&bench.service, &caller).await;
    // What a script starts without saying where is its child.
    let started = make(child("c00", None)).await.unwrap();
    assert_eq!(started.parent.as_deref(), Some("own"));
    assert_eq!(
        make(child("c0", Some("other"))).await.unwrap_err().code,
        Code::Denied
    );
    make(child("c1", Some("own"))).await.unwrap();
    make(child("c2", Some("c1"))).await.unwrap();
    ask(batch("c2")).await.unwrap();
    assert_eq!(bench.run("c2").await.parent.as_deref(), Some("c1"));
}
