//! Pipelines: in which order steps begin, what a failure or a cancellation means for the others, what is
//! refused.

use serde_json::{Map, Value, json};

use super::support::{Bench, create_job, ended, members, names, running};
use crate::driven::PIPELINE;
use api::{
    Code, Error, Result,
    jobs::{CreateJob, JobInput},
    runs::{CancelRun, Run, RunStatus},
    work::{Outcome, ReportRun},
};
use store::{Created, ExperimentRef, Lock, NewDriven, NewRun};

/// A step that needs the output `o` of others.
pub fn step(needs: &[&str]) -> Value {
    let inputs = needs.iter().map(|need| {
        let from = format!("${{{{parent.jobs.{need}.outputs.o}}}}");
        ((*need).to_owned(), json!(from))
    });
    json!({
        "command": "echo", "environment": "azureml:sklearn-1.5@latest",
        "inputs": inputs.collect::<Map<_, _>>(), "outputs": {"o": null},
    })
}

pub fn pipeline(name: &str, definition: Value) -> CreateJob {
    let mut all = members(json!({
        "type": "pipeline", "settings": {"default_compute": "azureml:serverless"},
    }));
    all.extend(members(definition));
    create_job(name, all)
}

impl Bench {
    pub async fn pipeline(&self, name: &str, definition: Value) -> Result<Run> {
        self.ask(pipeline(name, definition)).await
    }

    async fn diamond(&self, settings: Value) {
        let jobs =
            json!({"a": step(&[]), "b": step(&["a"]), "c": step(&["a"]), "d": step(&["b", "c"])});
        let mut all = json!({"jobs": jobs});
        if !settings.is_null() {
            all["settings"] = settings;
        }
        self.pipeline("p", all).await.unwrap();
    }

    /// What a worker is given that has room for many.
    async fn taken(&self) -> Vec<String> {
        let orders = self.sync("w", 9, &[]).await;
        names(&orders.take).into_iter().map(str::to_owned).collect()
    }

    async fn end(&self, run: &str, outcome: Outcome) {
        self.report("w", run, ended(outcome)).await.unwrap();
    }

    pub async fn status(&self, run: &str) -> RunStatus {
        self.run(run).await.status
    }
}

#[tokio::test]
async fn steps_begin_when_what_they_need_is_there() {
    let bench = Bench::new().await;
    bench.diamond(Value::Null).await;
    assert_eq!(bench.status("p").await, RunStatus::Running);
    assert_eq!(bench.taken().await, ["p-a"]);
    bench.end("p-a", Outcome::Completed).await;
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["p-b", "p-c"]);
    let described = orders.take[0].job.described.as_ref().unwrap();
    let JobInput::Files { path, .. } = &described.inputs["a"] else {
        panic!("an address")
    };
    assert_eq!(path, "azureml://jobs/p-a/outputs/o");
    bench.end("p-c", Outcome::Completed).await;
    assert!(
        bench.taken().await.contains(&"p-b".to_owned()),
        "it goes on"
    );
    bench.end("p-b", Outcome::Completed).await;
    assert_eq!(bench.taken().await, ["p-d"]);
    assert_eq!(bench.run("p-d").await.parent.as_deref(), Some("p"));
    bench.end("p-d", Outcome::Completed).await;
    assert_eq!(bench.status("p").await, RunStatus::Completed);
}

#[tokio::test]
async fn a_failed_step_fails_what_depends_on_it_and_only_that() {
    let bench = Bench::new().await;
    bench.diamond(Value::Null).await;
    bench.taken().await;
    bench.end("p-a", Outcome::Completed).await;
    bench.taken().await;
    bench.end("p-b", Outcome::Failed).await;
    assert_eq!(bench.status("p").await, RunStatus::Running);
    bench.end("p-c", Outcome::Completed).await;
    let run = bench.run("p").await;
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.reason.as_deref(), Some("The step `b` failed"));
    let no_run = api::runs::GetRun {
        workspace: "ws".to_owned(),
        run: "p-d".to_owned(),
    };
    assert_eq!(bench.ask(no_run).await.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn a_worker_with_room_is_given_the_next_steps_with_the_report_of_an_end() {
    let bench = Bench::new().await;
    let _lock = Lock::try_take(&bench.home.join("workers/w.lock")).unwrap();
    bench.diamond(Value::Null).await;
    assert_eq!(bench.taken().await, ["p-a"]);
    let report = |run: &str| ReportRun {
        workspace: "ws".to_owned(),
        run: run.to_owned(),
        worker: "w".to_owned(),
        before: None,
        progress: ended(Outcome::Completed),
        slots: Some(2),
    };
    let reported = bench.ask(report("p-a")).await.unwrap();
    assert_eq!(names(&reported.take), ["p-b", "p-c"]);
    assert!(reported.soon);
    let reported = bench.ask(report("p-b")).await.unwrap();
    assert!(reported.take.is_empty() && !reported.soon);
    let reported = bench.ask(report("p-c")).await.unwrap();
    assert_eq!(names(&reported.take), ["p-d"]);
    let reported = bench.ask(report("p-d")).await.unwrap();
    assert!(reported.take.is_empty() && !reported.soon);
    assert_eq!(bench.status("p").await, RunStatus::Completed);
}

#[tokio::test]
async fn a_failure_stops_all_where_that_is_asked_for() {
    let bench = Bench::new().await;
    let settings = json!({"default_compute": "x", "continue_on_step_failure": false});
    bench.diamond(settings).await;
    bench.taken().await;
    bench.end("p-a", Outcome::Completed).await;
    bench.taken().await;
    bench.report("w", "p-c", running("h")).await.unwrap();
    bench.end("p-b", Outcome::Failed).await;
    assert_eq!(bench.status("p-c").await, RunStatus::CancelRequested);
    bench.end("p-c", Outcome::Canceled).await;
    let run = bench.run("p").await;
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.reason.as_deref(), Some("The step `b` failed"));
}

#[tokio::test]
async fn cancelling_stops_what_runs_and_begins_nothing() {
    let bench = Bench::new().await;
    bench.diamond(Value::Null).await;
    bench.taken().await;
    bench.end("p-a", Outcome::Completed).await;
    let orders = bench.sync("w", 1, &[]).await;
    assert_eq!(names(&orders.take), ["p-b"]);
    let cancel = CancelRun {
        workspace: "ws".to_owned(),
        run: "p".to_owned(),
    };
    bench.ask(cancel).await.unwrap();
    assert_eq!(
        bench.status("p-c").await,
        RunStatus::Canceled,
        "nobody had it"
    );
    assert_eq!(bench.status("p").await, RunStatus::CancelRequested);
    bench.end("p-b", Outcome::Canceled).await;
    let run = bench.run("p").await;
    assert_eq!(run.status, RunStatus::Canceled);
    assert_eq!(run.reason.as_deref(), Some("Canceled by owner"));
    assert!(bench.taken().await.is_empty());
}

#[tokio::test]
async fn another_process_goes_on_where_one_was_killed() {
    let bench = Bench::new().await;
    bench.diamond(Value::Null).await;
    bench.taken().await;
    let row = bench.service.store.workspace("ws").await.unwrap().unwrap();
    let a = bench
        .service
        .store
        .run_id(row.id, "p-a")
        .await
        .unwrap()
        .unwrap();
    // As a process does that is killed before it takes the next step.
    let report = bench.service.store.report_run(
        a,
        ("w".to_owned(), true),
        (None, ended(Outcome::Completed)),
        bench.service.now(),
    );
    report.await.unwrap();
    let again = bench.reopened();
    assert!(again.service.has_open_work().await.unwrap());
    assert_eq!(again.taken().await, ["p-b", "p-c"]);
    // What the first one keeps in memory is behind, and it finds that out.
    bench.end("p-b", Outcome::Completed).await;
    again.end("p-c", Outcome::Completed).await;
    assert_eq!(bench.taken().await, ["p-d"]);
    bench.end("p-d", Outcome::Completed).await;
    assert_eq!(again.status("p").await, RunStatus::Completed);
}

#[tokio::test]
async fn a_pipeline_in_a_pipeline_is_driven_too() {
    let bench = Bench::new().await;
    let inner = json!({
        "name": "inner", "type": "pipeline",
        "inputs": {"data": {"type": "uri_folder"}, "n": {"type": "integer", "default": 4}, "on": {"type": "string"}},
        "outputs": {"out": {"type": "uri_folder"}},
        "jobs": {
            "x": {
                "command": "echo ${{inputs.n}}", "environment": "azureml:sklearn-1.5@latest",
                "compute": "${{parent.inputs.on}}", "resources": {"instance_count": "${{parent.inputs.n}}"},
                "inputs": {"d": "${{parent.inputs.data}}", "n": "${{parent.inputs.n}}"},
                "outputs": {"o": "${{parent.outputs.out}}"},
            },
        },
    });
    let mut last = step(&[]);
    last["inputs"] = json!({"i": "${{parent.jobs.in.outputs.out}}"});
    let jobs = json!({
        "a": step(&[]),
        "in": {"type": "pipeline", "component": inner, "inputs": {"data": "${{parent.jobs.a.outputs.o}}", "on": "cpu"}},
        "last": last,
    });
    bench.pipeline("p", json!({"jobs": jobs})).await.unwrap();
    assert_eq!(bench.taken().await, ["p-a"]);
    bench.end("p-a", Outcome::Completed).await;
    let orders = bench.sync("w", 9, &[]).await;
    assert_eq!(names(&orders.take), ["p-in-x"]);
    let job = &orders.take[0].job;
    let described = job.described.as_ref().unwrap();
    assert_eq!(described.definition["compute"], "cpu");
    assert_eq!(described.definition["resources"]["instance_count"], 4);
    let JobInput::Files { path, .. } = &described.inputs["d"] else {
        panic!("an address")
    };
    assert_eq!(path, "azureml://jobs/p-a/outputs/o");
    bench.end("p-in-x", Outcome::Completed).await;
    assert_eq!(bench.status("p-in").await, RunStatus::Completed);
    let outputs = bench
        .run("p-in")
        .await
        .job
        .unwrap()
        .described
        .unwrap()
        .outputs;
    assert_eq!(outputs["out"].path, "azureml://jobs/p-in-x/outputs/o");
    assert_eq!(bench.taken().await, ["p-last"]);
    bench.end("p-last", Outcome::Completed).await;
    assert_eq!(bench.status("p").await, RunStatus::Completed);
}

/// All of them as `target: message`.
fn all(error: &Error) -> Vec<String> {
    std::iter::once(error)
        .chain(&error.others)
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn all_that_is_wrong_is_said_at_once() {
    let bench = Bench::new().await;
    let component = json!({
        "name": "c", "command": "echo", "environment": "azureml:sklearn-1.5@latest",
        "inputs": {"n": {"type": "integer"}, "k": {"type": "number", "max": 1}}, "outputs": {},
    });
    let jobs = json!({
        "a": {"component": component, "inputs": {"n": "${{parent.inputs.word}}", "k": 0.5}},
        "b": {"component": component, "inputs": {"n": 1, "k": 7}},
        "c": {"command": "echo", "environment": "azureml:none@latest"},
    });
    let definition = json!({"inputs": {"word": "w"}, "jobs": jobs});
    let error = bench.pipeline("p", definition).await.unwrap_err();
    let all_of = all(&error);
    assert_eq!(all_of.len(), 3, "{all_of:?}");
    assert_eq!(
        all_of[0],
        "jobs.a.inputs.n: Step `a`: The input `n` is of type `integer`; `w` is not"
    );
    assert_eq!(
        all_of[1],
        "jobs.b.inputs.k: Step `b`: The input `k` is 7, which is not from … to 1"
    );
    assert!(
        all_of[2].starts_with("jobs.c.environment: Step `c`: No "),
        "{}",
        all_of[2]
    );

    let mut one = step(&["two"]);
    one["outputs"]["o"] = json!("${{parent.outputs.x}}");
    let mut two = step(&["one"]);
    two["outputs"]["o"] = json!("${{parent.outputs.x}}");
    let jobs = json!({"one": one, "two": two, "three": {"component": "azureml:gone:1"}});
    let error = bench
        .pipeline("p", json!({"outputs": {"x": null}, "jobs": jobs}))
        .await;
    let all_of = all(&error.unwrap_err());
    assert_eq!(all_of.len(), 3, "{all_of:?}");
    assert!(
        all_of[0].starts_with("jobs.three.component: Step `three`: No component `gone`"),
        "{all_of:?}"
    );
    let text = all_of.join("\n");
    assert!(
        text.contains("wait for each other: one → two → one"),
        "{text}"
    );
    assert!(
        text.contains("output `x` is written by `one` as well"),
        "{text}"
    );

    // All kinds of it in one answer, several of one step too.
    let mut makes = step(&[]);
    makes["outputs"] = json!({"o": {"type": "uri_folder"}});
    let mut bound = json!({"component": component});
    bound["inputs"] = json!({"n": "${{parent.jobs.a.outputs.o}}", "k": "x"});
    let jobs = json!({
        "a": makes, "bound": bound, "gone": {"component": "azureml:gone:1"},
        "round": step(&["round"]), "none": step(&["nobody"]),
        "search": {"type": "sweep", "search_space": {}},
    });
    let error = bench
        .pipeline("p", json!({"settings": {}, "jobs": jobs}))
        .await;
    let all_of = all(&error.unwrap_err()).join("\n");
    for said in [
        "jobs.bound.inputs.n: Step `bound`: The input `n` is of type `integer`; the output `o` of the step `a` is of type",
        "jobs.bound.inputs.k: Step `bound`: The input `k` is of type `number`",
        "jobs.bound.compute: Step `bound`: The step has no compute",
        "jobs.gone.component: Step `gone`: No component `gone`",
        "jobs.gone.compute: Step `gone`: The step has no compute",
        "These steps wait for each other: round → round",
        "there is no step `nobody`",
        "jobs.search.trial: Step `search`: The sweep has no trial",
        "jobs.a.compute: Step `a`",
    ] {
        assert!(all_of.contains(said), "{said} in\n{all_of}");
    }
    assert_eq!(all_of.matches("jobs.none.inputs").count(), 1, "{all_of}");
    assert_eq!(all_of.matches("jobs.gone.component").count(), 1, "{all_of}");

    let no_compute = json!({"settings": {}, "jobs": {"a": step(&[])}});
    let error = bench.pipeline("p", no_compute).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "jobs.a.compute: Step `a`: The step has no compute"
    );
    assert!(bench.taken().await.is_empty(), "nothing runs");
}

#[tokio::test]
async fn steps_that_wait_for_each_other_end_their_pipeline() {
    let bench = Bench::new().await;
    let jobs = json!({"jobs": {"a": step(&[]), "b": step(&["a"]), "c": step(&[])}});
    bench.pipeline("p", jobs).await.unwrap();
    let store = &bench.service.store;
    let row = store.workspace("ws").await.unwrap().unwrap();
    let id = store.run_id(row.id, "p").await.unwrap().unwrap();
    let known = store.driven(id).await.unwrap().unwrap();
    let mut plan: Value = serde_json::from_str(&known.plan).unwrap();
    // No file gets so far: its circle is seen before.
    plan["steps"][0]["after"] = json!([1]);
    let made = store.create_run(NewRun {
        workspace: row.id,
        name: "stuck".to_owned(),
        experiment: ExperimentRef::Name("exp".to_owned()),
        display_name: "stuck".to_owned(),
        status: RunStatus::Queued,
        user: "owner".to_owned(),
        job: known.row.run.job,
        tags: [].into(),
        created_at: bench.service.now(),
        started_at: None,
        driver: None,
        driven: Some(NewDriven {
            kind: PIPELINE.to_owned(),
            plan: plan.to_string(),
            state: "{}".to_owned(),
            watches: None,
        }),
        reuse_key: None,
        reuses: None,
    });
    assert!(matches!(made.await.unwrap(), Created::New(_)));
    let mut taken = bench.taken().await;
    taken.sort();
    assert_eq!(taken, ["p-a", "p-c", "stuck-c"]);
    assert_eq!(bench.status("stuck").await, RunStatus::Running);
    bench.end("stuck-c", Outcome::Completed).await;
    let run = bench.run("stuck").await;
    assert_eq!(run.status, RunStatus::Failed);
    let reason = "These steps wait for each other and never begin: a, b";
    assert_eq!(run.reason.as_deref(), Some(reason));
}
