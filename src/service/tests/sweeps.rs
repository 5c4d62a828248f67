//! Sweeps: which trials they make, which are given up, which is best, and that no trial is doubled.

use serde_json::{Value, json};

use super::support::{Bench, batch, create_job, ended, members, names, point, wait_seconds};
use api::{
    Result,
    jobs::CreateJob,
    metrics::LogBatch,
    runs::{CancelRun, ListRuns, Run, RunStatus},
    work::Outcome,
};

/// Three at once of six, of which less is better.
fn sweep() -> Value {
    json!({
        "type": "sweep",
        "trial": {
            "command": "train --lr ${{search_space.lr}} --kind ${{search_space.kind}} $[[--a ${{inputs.a}}]]",
            "environment": "azureml:sklearn-1.5@latest",
            "environment_variables": {"LR": "${{search_space.lr}}"},
        },
        "inputs": {"a": 1},
        "outputs": {"model": {"type": "uri_folder"}},
        "search_space": {
            "lr": {"type": "uniform", "min_value": 0.1, "max_value": 1},
            "kind": {"type": "choice", "values": ["a", "b"]},
        },
        "sampling_algorithm": {"type": "random", "seed": 5},
        "objective": {"goal": "minimize", "primary_metric": "loss"},
        "limits": {"max_total_trials": 6, "max_concurrent_trials": 3},
    })
}

fn create(name: &str, changes: Value) -> CreateJob {
    let mut definition = members(sweep());
    definition.extend(members(changes));
    create_job(name, definition)
}

impl Bench {
    async fn trials(&self, sweep: &str) -> Vec<Run> {
        let list = ListRuns {
            workspace: "ws".to_owned(),
            filter: Some(format!("tags.`mlflow.parentRunId` = '{sweep}'")),
            ..ListRuns::default()
        };
        let mut runs = self.ask(list).await.unwrap().items;
        runs.reverse();
        runs
    }

    async fn end_trial(&self, run: &str, outcome: Outcome) {
        self.report("w", run, ended(outcome)).await.unwrap();
    }

    /// Completes a trial with a value of the metric.
    async fn trial(&self, run: &str, loss: f64) {
        self.metric(run, "loss", loss).await;
        self.end_trial(run, Outcome::Completed).await;
    }

    async fn stop_run(&self, run: &str) -> Result<Run> {
        self.ask(CancelRun {
            workspace: "ws".to_owned(),
            run: run.to_owned(),
        })
        .await
    }
}

#[tokio::test]
async fn trials_run_some_at_once_and_the_best_is_marked() {
    let bench = Bench::new().await;
    bench.ask(create("s", json!({}))).await.unwrap();
    assert_eq!(bench.run("s").await.status, RunStatus::Running);
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["s-0", "s-1", "s-2"]);
    let first = bench.run("s-0").await;
    let lr = &first.params["lr"];
    let job = first.job.unwrap();
    let kind = &first.params["kind"];
    assert_eq!(
        job.command,
        [format!(
            "train --lr {lr} --kind {kind} $[[--a ${{{{inputs.a}}}}]]"
        )]
    );
    assert_eq!(&job.environment_variables["LR"], lr);
    let place = &job.described.unwrap().outputs["model"].path;
    assert!(place.ends_with("/s-0/model/"), "{place}");
    bench.trial("s-1", 0.5).await;
    assert_eq!(bench.run("s").await.tags["best_child_run_id"], "s-1");
    assert_eq!(bench.trials("s").await.len(), 4);
    bench.end_trial("s-0", Outcome::Failed).await;
    bench.trial("s-2", 0.2).await;
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["s-3", "s-4", "s-5"]);
    for (trial, loss) in [("s-3", 0.9), ("s-4", f64::NAN), ("s-5", 0.3)] {
        bench.trial(trial, loss).await;
    }
    let done = bench.run("s").await;
    assert_eq!(done.status, RunStatus::Completed);
    assert_eq!(done.tags["best_child_run_id"], "s-2");
    assert_eq!(done.tags["score"], "0.2");
    assert_eq!(bench.trials("s").await.len(), 6);
    let path = bench.output("s", "model").await;
    assert!(path.contains("/s-2/model"), "{path}");
}

#[tokio::test]
async fn the_same_seed_gives_the_same_trials() {
    let bench = Bench::new().await;
    let all = json!({"limits": {"max_total_trials": 6}});
    bench.ask(create("a", all.clone())).await.unwrap();
    bench.ask(create("b", all)).await.unwrap();
    let params = |runs: Vec<Run>| runs.into_iter().map(|run| run.params).collect::<Vec<_>>();
    let (a, b) = (bench.trials("a").await, bench.trials("b").await);
    assert_eq!(a.len(), 6);
    assert_eq!(params(a), params(b));
}

#[tokio::test]
async fn a_sweep_goes_on_in_another_process_without_doubling_a_trial() {
    let bench = Bench::new().await;
    let bayesian = json!({"sampling_algorithm": "bayesian", "limits": {"max_total_trials": 30, "max_concurrent_trials": 2}});
    bench.ask(create("s", bayesian)).await.unwrap();
    // None is dropped before the end: the folder would go with it.
    let mut processes = Vec::new();
    let mut done = 0;
    while bench.run("s").await.status == RunStatus::Running {
        // Each trial is reported to a process that knows nothing of the ones before.
        processes.push(bench.reopened());
        let Some(current) = processes.last() else {
            break;
        };
        let take = current.sync("w", 1, &[]).await.take;
        for name in names(&take) {
            current.trial(name, 1.0 / f64::from(done + 1)).await;
            done += 1;
        }
    }
    assert_eq!(done, 30);
    let trials = bench.trials("s").await;
    assert_eq!(trials.len(), 30);
    assert_eq!(bench.run("s").await.tags["best_child_run_id"], "s-29");
}

#[tokio::test]
async fn a_policy_gives_up_what_is_far_behind() {
    let bench = Bench::new().await;
    let policy = json!({"early_termination": {"type": "bandit", "slack_factor": 0.5, "delay_evaluation": 2}});
    bench.ask(create("s", policy)).await.unwrap();
    bench.sync("w", 9, &[]).await;
    let log = |run: &'static str, step: i64, value: f64| LogBatch {
        metrics: vec![point("loss", value, step, step)],
        ..batch(run)
    };
    for (run, step, value) in [
        ("s-0", 1, 1.0),
        ("s-1", 1, 9.0),
        ("s-2", 1, 1.4),
        ("s-0", 2, 0.9),
    ] {
        bench.ask(log(run, step, value)).await.unwrap();
    }
    assert_eq!(bench.run("s-1").await.status, RunStatus::Preparing);
    bench.ask(log("s-1", 2, 8.0)).await.unwrap();
    bench.ask(log("s-2", 2, 1.2)).await.unwrap();
    let given_up = bench.run("s-1").await;
    assert_eq!(given_up.status, RunStatus::CancelRequested);
    assert!(given_up.reason.unwrap().contains("bandit policy"));
    assert_eq!(bench.run("s-2").await.status, RunStatus::Preparing);
    let orders = bench.sync("w", 9, &["ws/s-0", "ws/s-1", "ws/s-2"]).await;
    assert_eq!(orders.cancel, ["ws/s-1"]);
    bench.end_trial("s-1", Outcome::Canceled).await;
    bench.end_trial("s-0", Outcome::Completed).await;
    assert_eq!(bench.run("s").await.tags["best_child_run_id"], "s-0");
}

#[tokio::test]
async fn what_a_policy_let_pass_is_not_judged_anew_by_another_process() {
    let bench = Bench::new().await;
    let policy = json!({"early_termination": {"type": "bandit", "slack_factor": 0.5}});
    bench.ask(create("s", policy)).await.unwrap();
    bench.sync("w", 9, &[]).await;
    let log = |run: &'static str, step: i64, value: f64| LogBatch {
        metrics: vec![point("loss", value, step, step)],
        ..batch(run)
    };
    // It begins slowly and is the best then.
    for (run, step, value) in [("s-0", 1, 5.0), ("s-1", 1, 1.0), ("s-0", 2, 0.5)] {
        bench.ask(log(run, step, value)).await.unwrap();
    }
    let other = bench.reopened();
    other.ask(log("s-0", 3, 0.4)).await.unwrap();
    assert_eq!(bench.run("s-0").await.status, RunStatus::Preparing);
    // One that logs for an earlier step is read whole.
    other.ask(log("s-1", 0, 1.1)).await.unwrap();
    other.ask(log("s-1", 2, 1.2)).await.unwrap();
    assert_eq!(bench.run("s-1").await.status, RunStatus::CancelRequested);
    std::mem::forget(other);
}

#[tokio::test]
async fn the_last_of_many_values_counts() {
    let bench = Bench::new().await;
    let policy = json!({"early_termination": {"type": "median_stopping"},
        "limits": {"max_total_trials": 1}});
    bench.ask(create("s", policy)).await.unwrap();
    bench.sync("w", 1, &[]).await;
    for first in (0..12_000).step_by(1000) {
        let steps = first..first + 1000;
        let metrics = steps.map(|step| point("loss", 1.0, step, step));
        let log = LogBatch {
            metrics: metrics.collect(),
            ..batch("s-0")
        };
        bench.ask(log).await.unwrap();
    }
    let last = LogBatch {
        metrics: vec![point("loss", 0.25, 12_000, 12_000)],
        ..batch("s-0")
    };
    bench.ask(last).await.unwrap();
    bench.end_trial("s-0", Outcome::Completed).await;
    assert_eq!(bench.run("s").await.tags["score"], "0.25");
}

#[tokio::test]
async fn no_number_is_given_twice_when_a_trial_is_removed() {
    let bench = Bench::new().await;
    let some = json!({"limits": {"max_total_trials": 5, "max_concurrent_trials": 3}});
    bench.ask(create("s", some)).await.unwrap();
    bench.sync("w", 9, &[]).await;
    bench.trial("s-0", 0.5).await;
    let store = &bench.service.store;
    let row = store.workspace("ws").await.unwrap().unwrap();
    let gone = store.run(row.id, "s-0").await.unwrap().unwrap();
    store.delete_run(gone.id).await.unwrap();
    let other = bench.reopened();
    other.trial("s-1", 0.4).await;
    let orders = other.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["s-2", "s-3", "s-4"]);
    for trial in ["s-2", "s-3", "s-4"] {
        other.trial(trial, 0.9).await;
    }
    let done = bench.run("s").await;
    assert_eq!(done.status, RunStatus::Completed, "{:?}", done.reason);
    std::mem::forget(other);
}

#[tokio::test]
async fn a_sweep_ends_when_it_is_cancelled_or_its_time_is_over() {
    let bench = Bench::new().await;
    bench.ask(create("s", json!({}))).await.unwrap();
    bench.sync("w", 1, &[]).await;
    bench.stop_run("s").await.unwrap();
    assert_eq!(bench.run("s-1").await.status, RunStatus::Canceled);
    assert_eq!(bench.run("s-0").await.status, RunStatus::CancelRequested);
    bench.end_trial("s-0", Outcome::Canceled).await;
    assert_eq!(bench.run("s").await.status, RunStatus::Canceled);
    assert_eq!(bench.trials("s").await.len(), 3);

    let short =
        json!({"limits": {"max_total_trials": 4, "max_concurrent_trials": 1, "timeout": 600}});
    bench.ask(create("t", short)).await.unwrap();
    bench.sync("w", 1, &[]).await;
    bench.trial("t-0", 1.0).await;
    wait_seconds(601);
    bench.sync("w", 0, &[]).await;
    let over = bench.run("t").await;
    assert_eq!(over.status, RunStatus::Canceled);
    assert!(over.reason.unwrap().contains("600 seconds"));
    assert_eq!(over.tags["best_child_run_id"], "t-0");
}

#[tokio::test]
async fn without_the_metric_a_sweep_fails_and_says_what_there_is() {
    let bench = Bench::new().await;
    let one = json!({"limits": {"max_total_trials": 1}});
    bench.ask(create("s", one.clone())).await.unwrap();
    bench.sync("w", 1, &[]).await;
    bench.metric("s-0", "lost", 1.0).await;
    bench.end_trial("s-0", Outcome::Completed).await;
    let failed = bench.run("s").await;
    assert_eq!(failed.status, RunStatus::Failed);
    let reason = failed.reason.unwrap();
    assert_eq!(
        reason,
        "No trial has logged the primary metric `loss`: what was logged is lost"
    );
    bench.ask(create("t", one)).await.unwrap();
    bench.sync("w", 1, &[]).await;
    bench.end_trial("t-0", Outcome::Failed).await;
    let reason = bench.run("t").await.reason.unwrap();
    assert_eq!(reason, "None of the 1 trials has completed, see t-0");
}

#[tokio::test]
async fn what_cannot_be_swept_is_refused_before_anything_runs() {
    let bench = Bench::new().await;
    let wrong = [
        (
            json!({"search_space": {}}),
            "search_space",
            "nothing to try",
        ),
        (
            json!({"sampling_algorithm": "grid"}),
            "search_space.lr",
            "no end of values",
        ),
        (
            json!({"limits": {"max_total_trials": 0}}),
            "limits.max_total_trials",
            "from 1 to 10000",
        ),
        (
            json!({"objective": {"goal": "minimize", "primary_metric": " "}}),
            "objective.primary_metric",
            "no primary metric",
        ),
        (
            json!({"sampling_algorithm": {"type": "random", "seed": -1}}),
            "sampling_algorithm.seed",
            "no seed",
        ),
        (
            json!({"early_termination": {"type": "bandit"}}),
            "early_termination.slack_factor",
            "either",
        ),
        (
            json!({"outputs": {"model": {"path": "azureml://datastores/workspaceblobstore/paths/x"}}}),
            "outputs.model.path",
            "same place",
        ),
        (
            json!({"outputs": {"model": {"path": "azureml://datastores/${{default_datastore}}/paths/x"}}}),
            "outputs.model.path",
            "same place",
        ),
        (
            json!({"outputs": {"model": {"name": "best"}}}),
            "outputs.model.name",
            "register",
        ),
        (
            json!({"trial": {"command": "x", "environment": "azureml:none:1"}}),
            "trial.environment",
            "none",
        ),
    ];
    for (changes, target, message) in wrong {
        let error = bench.ask(create("s", changes)).await.unwrap_err();
        assert_eq!(error.target.as_deref(), Some(target), "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    let all = ListRuns {
        workspace: "ws".to_owned(),
        ..ListRuns::default()
    };
    assert!(bench.ask(all).await.unwrap().items.is_empty());
}

#[tokio::test]
async fn a_script_may_log_what_it_was_given_in_its_own_way() {
    let bench = Bench::new().await;
    bench.ask(create("s", json!({}))).await.unwrap();
    let log = |value: &str| LogBatch {
        params: [("kind".to_owned(), value.to_owned())].into(),
        ..batch("s-0")
    };
    bench.ask(log("'a'")).await.unwrap();
    assert_eq!(bench.run("s-0").await.params["kind"], "'a'");
    bench.ask(log("'a'")).await.unwrap();
    let error = bench.ask(log("other")).await.unwrap_err();
    assert!(error.message.contains("cannot change"), "{error}");
}
