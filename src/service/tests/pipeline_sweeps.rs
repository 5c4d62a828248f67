//! Steps that are sweeps, and parallel steps.

use serde_json::{Value, json};

use super::{
    pipelines::{pipeline, step},
    support::{Bench, ended, names},
};
use api::{
    jobs::{InputMode, JobInput},
    paths::{Files, ResolvePath},
    pipelines::{ListSteps, PlanPipeline},
    runs::{CancelRun, RunStatus},
    work::Outcome,
};

fn searching() -> Value {
    let trial = json!({
        "name": "t", "type": "command", "environment": "azureml:sklearn-1.5@latest",
        "command": "train ${{inputs.d}} --lr ${{inputs.lr}} --n ${{inputs.n}}",
        "inputs": {
            "d": {"type": "uri_folder"}, "n": {"type": "integer", "default": 3},
            "lr": {"type": "number"},
        },
        "outputs": {"model": {"type": "mlflow_model"}},
    });
    let search = json!({
        "type": "sweep", "trial": trial,
        "inputs": {"d": "${{parent.jobs.a.outputs.o}}"},
        "outputs": {"model": "${{parent.outputs.best}}"},
        "search_space": {"lr": {"type": "choice", "values": [0.1, 0.2]}},
        "sampling_algorithm": "grid",
        "objective": {"goal": "minimize", "primary_metric": "loss"},
        "limits": {"max_total_trials": 2, "trial_timeout": 60},
    });
    let mut last = step(&[]);
    last["inputs"] = json!({"m": "${{parent.jobs.search.outputs.model}}"});
    json!({"outputs": {"best": null}, "jobs": {"a": step(&[]), "search": search, "last": last}})
}

impl Bench {
    async fn taken_and_ended(&self) -> Vec<String> {
        let orders = self.sync("w", 9, &[]).await;
        for taken in &orders.take {
            self.metric(&taken.run, "loss", 1.0).await;
            self.report("w", &taken.run, ended(Outcome::Completed))
                .await
                .unwrap();
        }
        names(&orders.take).into_iter().map(str::to_owned).collect()
    }

    async fn files_of(&self, path: &str) -> String {
        let resolve = ResolvePath {
            workspace: "ws".to_owned(),
            path: path.to_owned(),
            model: false,
        };
        match self.ask(resolve).await.unwrap().files {
            Files::Datastore { path, .. } => path,
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_sweep_step_has_the_outputs_of_its_best_trial() {
    let bench = Bench::new().await;
    bench.pipeline("p", searching()).await.unwrap();
    assert_eq!(bench.taken_and_ended().await, ["p-a"]);
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["p-search-0", "p-search-1"]);
    assert_eq!(orders.take[0].root, "p");
    let job = &orders.take[1].job;
    assert_eq!(job.timeout_seconds, Some(60));
    let described = job.described.as_ref().unwrap();
    let value = |name: &str| match &described.inputs[name] {
        JobInput::Value { value, .. } => value.clone(),
        JobInput::Files { path, .. } => path.clone(),
    };
    assert_eq!(value("lr"), "0.2");
    assert_eq!(value("n"), "3");
    assert_eq!(value("d"), "azureml://jobs/p-a/outputs/o");
    for (run, loss) in [("p-search-0", 2.0), ("p-search-1", 1.0)] {
        bench.metric(run, "loss", loss).await;
        bench
            .report("w", run, ended(Outcome::Completed))
            .await
            .unwrap();
    }
    let list = ListSteps {
        workspace: "ws".to_owned(),
        run: "p".to_owned(),
    };
    let steps = bench.ask(list).await.unwrap();
    let search = &steps[1];
    assert_eq!((search.kind.as_str(), search.steps.len()), ("sweep", 2));
    assert_eq!(search.status, Some(RunStatus::Completed));
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["p-last"]);
    let described = orders.take[0].job.described.as_ref().unwrap();
    let JobInput::Files { path, kind, .. } = &described.inputs["m"] else {
        panic!("an address")
    };
    assert_eq!(
        (path.as_str(), kind.as_str()),
        ("azureml://jobs/p-search/outputs/model", "mlflow_model")
    );
    let place = bench.files_of(path).await;
    assert!(place.contains("/p-search-1/model"), "{place}");
    assert_eq!(bench.files_of("azureml://jobs/p/outputs/best").await, place);
    bench
        .report("w", "p-last", ended(Outcome::Completed))
        .await
        .unwrap();
    assert_eq!(bench.run("p").await.status, RunStatus::Completed);

    // The same again runs nothing, and knows the best trial.
    bench.pipeline("q", searching()).await.unwrap();
    assert_eq!(bench.run("q").await.status, RunStatus::Completed);
    let search = bench.run("q-search").await;
    assert_eq!(search.tags["aml.reuses"], "p-search");
    assert_eq!(search.tags["best_child_run_id"], "p-search-1");
    assert_eq!(bench.files_of("azureml://jobs/q/outputs/best").await, place);
    // Another search is another step.
    let mut other = searching();
    other["jobs"]["search"]["objective"]["goal"] = json!("maximize");
    bench.pipeline("r", other).await.unwrap();
    assert_eq!(bench.taken_and_ended().await, ["r-search-0", "r-search-1"]);
}

#[tokio::test]
async fn cancelling_a_pipeline_stops_the_trials_of_its_sweeps() {
    let bench = Bench::new().await;
    bench.pipeline("p", searching()).await.unwrap();
    bench.taken_and_ended().await;
    let orders = bench.sync("w", 1, &[]).await;
    assert_eq!(names(&orders.take), ["p-search-0"]);
    let cancel = CancelRun {
        workspace: "ws".to_owned(),
        run: "p".to_owned(),
    };
    bench.ask(cancel).await.unwrap();
    assert_eq!(bench.run("p-search-1").await.status, RunStatus::Canceled);
    assert_eq!(
        bench.run("p-search-0").await.status,
        RunStatus::CancelRequested
    );
    bench
        .report("w", "p-search-0", ended(Outcome::Canceled))
        .await
        .unwrap();
    assert_eq!(bench.run("p").await.status, RunStatus::Canceled);
}

#[tokio::test]
async fn what_a_sweep_step_cannot_search_is_said() {
    let bench = Bench::new().await;
    for (path, value, said) in [
        (
            "/jobs/search/search_space",
            json!({"lrr": {"type": "choice", "values": [1]}}),
            "lr` of the component is not given",
        ),
        (
            "/jobs/search/search_space",
            json!({"lr": {"type": "choice", "values": [1]}, "k": {"type": "choice", "values": [1]}}),
            "jobs.search.search_space.k: Step `search`: No input `k` of the trial",
        ),
        ("/jobs/search/trial", Value::Null, "The sweep has no trial"),
        (
            "/jobs/search/outputs/model",
            json!({"name": "m", "type": "mlflow_model"}),
            "Every trial would register this output",
        ),
        (
            "/jobs/search/objective/primary_metric",
            json!(" "),
            "jobs.search.objective.primary_metric",
        ),
    ] {
        let mut definition = searching();
        *definition.pointer_mut(path).unwrap() = value;
        let error = bench.pipeline("p", definition).await.unwrap_err();
        let all = std::iter::once(&error).chain(&error.others);
        let all: Vec<String> = all.map(ToString::to_string).collect();
        assert!(all.join("\n").contains(said), "{said}: {all:?}");
    }
}

pub fn parallel() -> Value {
    json!({
        "type": "parallel",
        "inputs": {"data": {"type": "mltable", "path": "azureml://datastores/workspaceblobstore/paths/t", "mode": "direct"}, "n": 3},
        "outputs": {"rows": {"type": "uri_file"}},
        "input_data": "${{inputs.data}}",
        "mini_batch_size": "10kb",
        "resources": {"instance_count": 2},
        "max_concurrency_per_instance": 3,
        "mini_batch_error_threshold": 5,
        "task": {
            "type": "run_function", "entry_script": "score.py",
            "environment": "azureml:sklearn-1.5@latest",
            "program_arguments": "--n ${{inputs.n}}\n  --model x",
            "append_row_to": "${{outputs.rows}}",
        },
    })
}

#[tokio::test]
async fn a_parallel_step_is_a_command_with_the_driver_of_mini_batches() {
    let bench = Bench::new().await;
    let component = json!({
        "name": "c", "type": "parallel", "inputs": {"data": {"type": "uri_folder"}}, "outputs": {"o": {"type": "uri_folder"}},
        "input_data": "${{inputs.data}}", "mini_batch_size": 7,
        "task": {"type": "run_function", "entry_script": "score.py", "environment": "azureml:sklearn-1.5@latest"},
    });
    let by_component = json!({
        "type": "parallel", "component": component, "mini_batch_size": "2",
        "inputs": {"data": {"path": "azureml://datastores/workspaceblobstore/paths/f"}},
    });
    let jobs = json!({"a": parallel(), "b": by_component});
    bench.pipeline("p", json!({"jobs": jobs})).await.unwrap();
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["p-a", "p-b"]);
    let settings = |at: usize| -> Value {
        serde_json::from_str(&orders.take[at].job.environment_variables["AML_BATCH"]).unwrap()
    };
    let job = &orders.take[0].job;
    assert_eq!(
        job.command,
        [
            "python .aml_batch_driver.py --input \"${{inputs.data}}\" --output \"${{outputs.rows}}\" -- --n ${{inputs.n}} --model x"
        ]
    );
    assert!(job.snapshot.is_some(), "the driver");
    let a = settings(0);
    assert_eq!(a["tabular"], true);
    assert_eq!(a["mini_batch_bytes"], 10 << 10);
    assert_eq!(a["concurrency"], 6);
    assert_eq!(a["output_is_file"], true);
    assert_eq!(
        (&a["error_threshold"], &a["mini_batch_error_threshold"]),
        (&json!(-1), &json!(5))
    );
    let described = job.described.as_ref().unwrap();
    assert_eq!(described.definition["type"], "parallel");
    let JobInput::Files { mode, .. } = &described.inputs["data"] else {
        panic!("data")
    };
    assert_eq!(*mode, InputMode::RoMount, "the driver reads it");
    let b = settings(1);
    assert_eq!(
        (&b["tabular"], &b["mini_batch_size"]),
        (&json!(false), &json!(2))
    );
    assert_eq!(b["output_action"], "summary_only");
    for run in ["p-a", "p-b"] {
        bench
            .report("w", run, ended(Outcome::Completed))
            .await
            .unwrap();
    }
    bench
        .pipeline("q", json!({"jobs": {"a": parallel()}}))
        .await
        .unwrap();
    assert_eq!(bench.run("q-a").await.tags["aml.reuses"], "p-a");
}

#[tokio::test]
async fn a_parallel_step_finds_its_table_whatever_the_mode_of_it() {
    let bench = Bench::new().await;
    let mut jobs =
        json!({"a": step(&[]), "mount": parallel(), "copy": parallel(), "later": parallel()});
    jobs["mount"]["inputs"]["data"]["mode"] = json!("eval_mount");
    jobs["copy"]["inputs"]["data"]["mode"] = json!("eval_download");
    jobs["later"]["inputs"]["data"] = json!("${{parent.jobs.a.outputs.o}}");
    jobs["later"]["mini_batch_size"] = Value::Null;
    bench.pipeline("p", json!({"jobs": jobs})).await.unwrap();
    let mut orders = bench.sync("w", 9, &[]).await.take;
    let ended = ended(Outcome::Completed);
    bench.report("w", "p-a", ended).await.unwrap();
    let holding = ["ws/p-mount", "ws/p-copy"];
    orders.extend(bench.sync("w", 9, &holding).await.take);
    let job = |name: &str| {
        let mut found = orders.iter().filter(|taken| taken.run == name);
        &found.next().unwrap().job
    };
    let mode = |name: &str| match &job(name).described.as_ref().unwrap().inputs["data"] {
        JobInput::Files { mode, .. } => *mode,
        JobInput::Value { value, .. } => panic!("{value}"),
    };
    assert_eq!(mode("p-mount"), InputMode::RoMount);
    assert_eq!(mode("p-copy"), InputMode::Download);
    assert_eq!(mode("p-later"), InputMode::RoMount);
    let settings = &job("p-later").environment_variables["AML_BATCH"];
    let settings: Value = serde_json::from_str(settings).unwrap();
    let sizes = [&settings["mini_batch_size"], &settings["mini_batch_bytes"]];
    assert_eq!(settings["tabular"], Value::Null, "it may be one");
    assert_eq!(
        sizes,
        [&json!(10), &json!(1 << 20)],
        "for files, and for rows"
    );
}

#[tokio::test]
async fn a_parallel_step_is_planned_without_storing_anything() {
    let bench = Bench::new().await;
    let definition = json!({"jobs": {"a": parallel()}});
    let plan = || async {
        let job = pipeline("thought", definition.clone());
        bench.ask(PlanPipeline { job }).await.unwrap()
    };
    assert_eq!(plan().await.len(), 1);
    assert_eq!(bench.packs(), (0, 0));
    bench.pipeline("p", definition.clone()).await.unwrap();
    bench.taken_and_ended().await;
    assert_eq!(plan().await[0].reuses.as_deref(), Some("p-a"));
}

#[tokio::test]
async fn what_a_parallel_step_lacks_is_said() {
    let bench = Bench::new().await;
    for (key, value, said) in [
        (
            "input_data",
            json!("${{inputs.none}}"),
            "jobs.a.input_data: Step `a`: The step is not given an input `none`",
        ),
        ("input_data", json!("${{inputs.n}}"), "is a value, no data"),
        ("mini_batch_size", json!("many"), "jobs.a.mini_batch_size"),
        (
            "max_concurrency_per_instance",
            json!(0),
            "jobs.a.max_concurrency_per_instance",
        ),
        ("error_threshold", json!(-7), "jobs.a.error_threshold"),
        (
            "retry_settings",
            json!({"max_retries": -1}),
            "jobs.a.retry_settings.max_retries",
        ),
        (
            "task",
            Value::Null,
            "jobs.a.task: Step `a`: The parallel step has no task",
        ),
        (
            "mini_batch_size",
            json!("${{parent.jobs.b.outputs.o}}"),
            "is not known before the pipeline runs",
        ),
    ] {
        let mut step = parallel();
        step[key] = value;
        let error = bench
            .pipeline(
                "p",
                json!({"jobs": {"a": step, "b": super::pipelines::step(&[])}}),
            )
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn data_is_copied_by_a_command() {
    let bench = Bench::new().await;
    let place = "azureml://datastores/workspaceblobstore/paths/x";
    let jobs = json!({
        "copy": {
            "type": "data_transfer", "task": "copy_data", "data_copy_mode": "merge_with_overwrite",
            "inputs": {"a": {"path": place}, "b": {"type": "uri_folder", "path": place}}, "outputs": {"o": {"type": "uri_folder"}},
        },
    });
    bench.pipeline("p", json!({"jobs": jobs})).await.unwrap();
    let orders = bench.sync("w", 9, &[]).await;
    let job = &orders.take[0].job;
    let command = &job.command[0];
    assert!(command.contains("from=\"${{inputs.b}}\""), "{command}");
    assert!(!command.contains("fail_if_conflict"), "{command}");
    assert_eq!(
        job.described.as_ref().unwrap().definition["type"],
        "data_transfer"
    );
    for (key, value, said) in [
        (
            "/copy/inputs",
            json!({}),
            "jobs.copy.inputs: Step `copy`: The step has nothing to copy",
        ),
        (
            "/copy/outputs",
            json!({"o": null, "p": null}),
            "Data is copied to one output; the step has 2",
        ),
        (
            "/copy",
            json!({"type": "data_transfer", "task": "import_data", "source": {"type": "database", "connection": "azureml:c", "query": "q"}, "outputs": {"o": null}}),
            "jobs.copy.source.connection: Step `copy`: No connection `c`",
        ),
        (
            "/copy",
            json!({"type": "data_transfer", "task": "import_data", "source": {"type": "file_system", "path": "a/b"}, "outputs": {"o": null}}),
            "is a path behind a connection, and none is named",
        ),
    ] {
        let mut jobs = jobs.clone();
        *jobs.pointer_mut(key).unwrap() = value;
        let error = bench
            .pipeline("q", json!({"jobs": jobs}))
            .await
            .unwrap_err();
        assert!(error.to_string().contains(said), "{said}: {error}");
    }
}
