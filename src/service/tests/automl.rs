//! AutoML: what the trials are told, when enough is found, and what is refused.

use serde_json::{Map, Value, json};

use super::support::{Bench, create_job, ended, members, names};
use api::{Code, Error, jobs::CreateJob, runs::RunStatus, work::Outcome};

fn create(name: &str, definition: Value) -> CreateJob {
    create_job(name, members(definition))
}

fn table(name: &str) -> Value {
    json!({"type": "mltable", "path": format!("https://example.com/{name}"), "mode": "eval_mount"})
}

fn automl(changes: Value) -> Value {
    let mut job = json!({
        "type": "automl", "task": "classification", "primary_metric": "auc_weighted",
        "target_column_name": "y", "training_data": table("train"), "test_data": table("test"),
        "limits": {"max_trials": 12, "max_concurrent_trials": 2, "trial_timeout_minutes": 5},
    });
    let changes: Map<String, Value> = serde_json::from_value(changes).unwrap();
    job.as_object_mut().unwrap().extend(changes);
    job
}

impl Bench {
    async fn scored(&self, run: &str, metric: &str, value: f64) {
        self.metric(run, metric, value).await;
        let report = ended(Outcome::Completed);
        self.report("w", run, report).await.unwrap();
    }

    async fn not_created(&self, definition: Value) -> Error {
        self.ask(create("refused", definition)).await.unwrap_err()
    }
}

#[tokio::test]
async fn trials_begin_with_what_is_usually_good_and_end_when_enough_is_found() {
    let bench = Bench::new().await;
    let job = automl(json!({
        "limits": {"max_trials": 12, "max_concurrent_trials": 2, "exit_score": 0.9},
        "training": {"allowed_training_algorithms": ["logistic_regression", "light_gbm", "svm"],
                     "blocked_training_algorithms": ["svm"]},
    }));
    bench.ask(create("a", job.clone())).await.unwrap();
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["a-0", "a-1"]);
    let first = bench.run("a-0").await;
    assert_eq!(first.params["algorithm"], "light_gbm");
    assert_eq!(first.params["rate"], "0.5");
    assert_eq!(
        bench.run("a-1").await.params["algorithm"],
        "logistic_regression"
    );
    let trial = first.job.unwrap();
    let line = &trial.command[0];
    let told = "--algorithm light_gbm --size 0.5 --rate 0.5 --penalty 0.5 \
                --training \"${{inputs.training_data}}\" --test \"${{inputs.test_data}}\" \
                --model \"${{outputs.best_model}}\"";
    assert!(line.ends_with(told), "{line}");
    assert!(trial.snapshot.is_some(), "the script");
    let order: Value = serde_json::from_str(&trial.environment_variables["AML_AUTOML"]).unwrap();
    assert_eq!(order["target_column_name"], "y");
    assert_eq!(order["cores"], 1);
    // What decides which model is found is part of what a step is told from another by.
    assert_eq!(order["primary_metric"], "auc_weighted");
    assert_eq!(order["training"]["blocked_training_algorithms"][0], "svm");
    bench.scored("a-0", "AUC_weighted", 0.8).await;
    assert_eq!(bench.run("a").await.tags["automl_best_child_run_id"], "a-0");
    // The next is chosen by the sampler.
    assert_eq!(names(&bench.sync("w", 9, &["ws/a-1"]).await.take), ["a-2"]);
    bench.scored("a-1", "AUC_weighted", 0.95).await;
    bench.scored("a-2", "AUC_weighted", 0.7).await;
    let done = bench.run("a").await;
    assert_eq!(done.status, RunStatus::Completed);
    assert_eq!(done.tags["best_child_run_id"], "a-1");
    assert!(bench.sync("w", 9, &[]).await.take.is_empty());
    let shown = done.job.unwrap().described.unwrap().definition;
    assert_eq!(shown["type"], "automl");
    assert_eq!(shown["training"], job["training"]);
    let path = bench.output("a", "best_model").await;
    assert!(path.contains("/a-1/best_model"), "{path}");
}

#[tokio::test]
async fn a_search_without_progress_is_given_up() {
    let bench = Bench::new().await;
    let limits = json!({"limits": {"max_trials": 100, "max_concurrent_trials": 1}});
    bench.ask(create("a", automl(limits))).await.unwrap();
    let mut count = 0;
    while let [trial] = names(&bench.sync("w", 1, &[]).await.take)[..] {
        // The best is the twenty-fifth.
        let score = if count == 24 { 0.9 } else { 0.5 };
        bench.scored(trial, "AUC_weighted", score).await;
        count += 1;
    }
    assert_eq!(count, 35);
    assert_eq!(bench.run("a").await.status, RunStatus::Completed);
}

#[tokio::test]
async fn a_job_of_which_the_first_trials_fail_has_failed() {
    let bench = Bench::new().await;
    let mut job = automl(json!({"limits": {"max_trials": 100, "max_concurrent_trials": 1}}));
    job.as_object_mut().unwrap().remove("primary_metric");
    bench.ask(create("a", job)).await.unwrap();
    let mut count = 0;
    while let [trial] = names(&bench.sync("w", 1, &[]).await.take)[..] {
        let report = ended(Outcome::Failed);
        bench.report("w", trial, report).await.unwrap();
        count += 1;
    }
    assert_eq!(count, 3);
    let done = bench.run("a").await;
    assert_eq!(done.status, RunStatus::Failed);
    let shown = done.job.unwrap().described.unwrap().definition;
    assert_eq!(
        shown["primary_metric"], "auc_weighted",
        "the default is shown"
    );
}

#[tokio::test]
async fn what_cannot_be_done_is_said_before_anything_runs() {
    let bench = Bench::new().await;
    let columns: Vec<String> = (0..20_000).map(|at| format!("column_{at}")).collect();
    for (changes, target, part) in [
        (
            json!({"cv_split_column_names": columns}),
            "cv_split_column_names",
            "longer than 120 KiB",
        ),
        (
            json!({"training_data": null}),
            "training_data",
            "no data to train on",
        ),
        (
            json!({"task": "forecasting", "primary_metric": "r2_score"}),
            "forecasting.time_column_name",
            "the column of the times",
        ),
        (
            json!({"training": {"blocked_training_algorithms": ["svm"],
                                "allowed_training_algorithms": ["svm"]}}),
            "training.allowed_training_algorithms",
            "No algorithm is left",
        ),
    ] {
        let error = bench.not_created(automl(changes)).await;
        assert_eq!(error.target.as_deref(), Some(target), "{error}");
        assert!(error.message.contains(part), "{error}");
    }
    let image =
        json!({"type": "automl", "task": "image_classification", "target_column_name": "y"});
    let error = bench.not_created(image).await;
    assert_eq!(
        (error.code, error.target.as_deref()),
        (Code::Unsupported, Some("task"))
    );
}

#[tokio::test]
async fn a_step_gets_its_table_from_another_and_gives_its_model_on() {
    let bench = Bench::new().await;
    let command = |line: &str, inputs: Value, outputs: Value| {
        json!({"command": line, "environment": "azureml:sklearn-1.5@latest", "inputs": inputs,
               "outputs": outputs})
    };
    let mut search = automl(
        json!({"training_data": "${{parent.jobs.make.outputs.rows}}",
        "limits": {"max_trials": 1}, "test_data": "${{parent.inputs.test}}",
        "outputs": {"best_model": {"type": "mlflow_model"}}}),
    );
    search["task"] = json!("regression");
    search["primary_metric"] = json!("normalized_root_mean_squared_error");
    let pipeline = json!({
        "type": "pipeline", "settings": {"default_compute": "azureml:serverless"},
        "inputs": {"test": table("test")},
        "jobs": {
            "make": command("make ${{outputs.rows}}", json!({}), json!({"rows": {"type": "mltable"}})),
            "search": search,
            "use": command("use ${{inputs.model}}",
                json!({"model": "${{parent.jobs.search.outputs.best_model}}"}), json!({})),
        },
    });
    bench.ask(create("p", pipeline)).await.unwrap();
    for (run, metric) in [
        ("p-make", None),
        ("p-search-0", Some("normalized_root_mean_squared_error")),
    ] {
        let orders = bench.sync("w", 9, &[]).await;
        assert_eq!(names(&orders.take), [run]);
        bench.scored(run, metric.unwrap_or("any"), 0.5).await;
    }
    assert_eq!(names(&bench.sync("w", 9, &[]).await.take), ["p-use"]);
    let described = |run: api::runs::Run| run.job.unwrap().described.unwrap();
    let search = described(bench.run("p-search").await).definition;
    assert_eq!(search["type"], "automl");
    assert_eq!(
        search["primary_metric"],
        "normalized_root_mean_squared_error"
    );
    let inputs = described(bench.run("p-search-0").await).inputs;
    assert!(inputs.contains_key("training_data") && inputs.contains_key("test_data"));
}
