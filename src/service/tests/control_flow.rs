//! Steps that decide which others run, or how often.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    pipelines::{pipeline, step},
    support::{Bench, ended, names},
};
use crate::Caller;
use api::{
    jobs::JobInput,
    pipelines::{ListSteps, PipelineStep, PlanPipeline},
    runs::{CancelRun, RunStatus},
    work::{Assignment, Outcome},
};

impl Bench {
    /// Writes what a step's output is, as its run would.
    pub async fn writes(&self, run: &str, output: &str, text: &str) {
        let body =
            futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from(text.to_owned()))]);
        let path = format!("azureml/{run}/{output}/{output}");
        let (service, store) = (&self.service, "workspaceblobstore");
        let written = service.write_stored_file(&Caller::Owner, "ws", store, &path, body);
        written.await.unwrap();
    }

    pub async fn text_at(&self, path: &str) -> String {
        self.service.value_at("ws", path, 1000).await.unwrap()
    }

    /// Completes a run that wrote this to its output `o`.
    pub async fn made(&self, run: &str, text: &str) {
        self.writes(run, "o", text).await;
        self.report("w", run, ended(Outcome::Completed))
            .await
            .unwrap();
    }

    pub async fn given(&self) -> Vec<Assignment> {
        self.sync("w", 99, &[]).await.take
    }

    pub async fn next(&self) -> Vec<String> {
        let taken = self.given().await;
        names(&taken).into_iter().map(str::to_owned).collect()
    }

    pub async fn steps(&self, run: &str) -> Vec<PipelineStep> {
        let list = ListSteps {
            workspace: "ws".to_owned(),
            run: run.to_owned(),
        };
        self.ask(list).await.unwrap()
    }

    pub async fn plan_of(&self, definition: &Value) -> Vec<(String, Option<String>)> {
        let job = pipeline("thought", definition.clone());
        let planned = self.ask(PlanPipeline { job }).await.unwrap();
        planned
            .into_iter()
            .map(|step| (step.name, step.reuses))
            .collect()
    }
}

/// A step whose output `o` is a value.
pub fn deciding(kind: &str) -> Value {
    let mut step = step(&[]);
    step["outputs"] = json!({"o": {"type": kind}});
    step
}

pub fn value(assignment: &Assignment, input: &str) -> String {
    let described = assignment.job.described.as_ref().unwrap();
    match &described.inputs[input] {
        JobInput::Value { value, .. } => value.clone(),
        JobInput::Files { path, .. } => path.clone(),
    }
}

/// A step that does what no other does.
pub fn named(name: &str) -> Value {
    let mut step = step(&[]);
    step["command"] = json!(name);
    step
}

/// `yes` and `no` of a condition that `a` makes, and a step after each.
pub fn branches() -> Value {
    json!({"jobs": {
        "a": deciding("boolean"),
        "choose": {
            "type": "if_else", "condition": "${{parent.jobs.a.outputs.o}}",
            "true_block": "${{parent.jobs.yes}}", "false_block": ["${{parent.jobs.no}}", "${{parent.jobs.other}}"],
        },
        "yes": step(&[]), "no": named("no"), "other": named("other"),
        "after_yes": step(&["yes"]), "after_no": step(&["no"]),
    }})
}

#[tokio::test]
async fn a_condition_decides_which_steps_run() {
    let bench = Bench::new().await;
    bench.pipeline("p", branches()).await.unwrap();
    assert_eq!(bench.next().await, ["p-a"]);
    bench.made("p-a", " True\n").await;
    assert_eq!(bench.next().await, ["p-yes"]);
    // Another process knows how it was decided.
    let again = bench.reopened();
    again.made("p-yes", "").await;
    assert_eq!(again.next().await, ["p-after_yes"]);
    again.made("p-after_yes", "").await;
    assert_eq!(bench.run("p").await.status, RunStatus::Completed);
    let steps = bench.steps("p").await;
    let skipped: Vec<&str> = steps
        .iter()
        .filter(|s| s.skipped)
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(skipped, ["no", "other", "after_no"]);
    assert_eq!(steps[1].kind, "if_else");
    assert_eq!(steps[1].status, Some(RunStatus::Completed));

    // What is planned is what happens: nothing that would run anew.
    let plan = bench.plan_of(&branches()).await;
    let plan: Vec<_> = plan
        .iter()
        .map(|(name, run)| (name.as_str(), run.as_deref()))
        .collect();
    assert_eq!(
        plan,
        [
            ("a", Some("p-a")),
            ("yes", Some("p-yes")),
            ("after_yes", Some("p-after_yes"))
        ]
    );
    bench.pipeline("q", branches()).await.unwrap();
    assert_eq!(bench.run("q").await.status, RunStatus::Completed);

    let mut other = branches();
    other["jobs"]["a"]["command"] = json!("echo other");
    let job = pipeline("thought", other.clone());
    let planned = bench.ask(PlanPipeline { job }).await.unwrap();
    let no = planned.iter().find(|step| step.name == "no").unwrap();
    assert_eq!(no.because.as_deref(), Some("if `choose` decides so"));
    bench.pipeline("r", other).await.unwrap();
    assert_eq!(bench.next().await, ["r-a"]);
    bench.made("r-a", "false").await;
    assert_eq!(bench.next().await, ["r-no", "r-other"]);
}

#[tokio::test]
async fn a_condition_may_be_known_and_may_be_nonsense() {
    let bench = Bench::new().await;
    let mut known = branches();
    known["inputs"] = json!({"on": false});
    known["jobs"]["choose"]["condition"] = json!("${{parent.inputs.on}}");
    bench.pipeline("p", known).await.unwrap();
    assert_eq!(bench.next().await, ["p-a", "p-no", "p-other"]);
    bench.pipeline("q", branches()).await.unwrap();
    bench.next().await;
    bench.made("q-a", "perhaps").await;
    let run = bench.run("q").await;
    assert_eq!(run.status, RunStatus::Failed);
    let reason = run.reason.unwrap();
    assert!(
        reason.contains("a condition is true or false, not `perhaps`"),
        "{reason}"
    );
    // Nothing was written at all.
    let mut other = branches();
    other["jobs"]["a"]["command"] = json!("echo nothing");
    bench.pipeline("r", other).await.unwrap();
    bench.next().await;
    bench
        .report("w", "r-a", ended(Outcome::Completed))
        .await
        .unwrap();
    let reason = bench.run("r").await.reason.unwrap();
    assert!(
        reason.contains("The output `o` of the step `a`: it wrote no file to it"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_value_is_handed_to_the_next_step_as_text() {
    let bench = Bench::new().await;
    let mut takes = step(&["a"]);
    takes["inputs"]["n"] = json!("${{parent.jobs.a.outputs.o}}");
    let definition = json!({"jobs": {"a": deciding("integer"), "b": takes}});
    bench.pipeline("p", definition.clone()).await.unwrap();
    bench.next().await;
    bench.made("p-a", "42\n").await;
    let taken = bench.given().await;
    assert_eq!(value(&taken[0], "n"), "42");
    bench.made("p-b", "").await;
    let plan = bench.plan_of(&definition).await;
    assert!(plan.iter().all(|(_, reused)| reused.is_some()), "{plan:?}");
}

/// Counts up, at most three times.
pub fn counting() -> Value {
    let component = json!({
        "name": "body", "type": "command", "command": "count ${{inputs.n}}",
        "environment": "azureml:sklearn-1.5@latest",
        "inputs": {"n": {"type": "integer"}, "data": {"type": "uri_folder"}},
        "outputs": {"next": {"type": "integer"}, "more": {"type": "boolean"}, "made": {"type": "uri_folder"}},
    });
    let mut last = step(&[]);
    last["inputs"] = json!({"m": "${{parent.jobs.body.outputs.made}}", "n": "${{parent.jobs.body.outputs.next}}"});
    json!({"outputs": {"final": null}, "jobs": {
        "a": step(&[]),
        "body": {
            "component": component, "inputs": {"n": 0, "data": "${{parent.jobs.a.outputs.o}}"},
            "outputs": {"made": "${{parent.outputs.final}}"},
        },
        "again": {
            "type": "do_while", "body": "${{parent.jobs.body}}",
            "condition": "${{parent.jobs.body.outputs.more}}",
            "mapping": {"next": "${{parent.jobs.body.inputs.n}}"},
            "limits": {"max_iteration_count": 3},
        },
        "last": last,
    }})
}

impl Bench {
    pub async fn counts(&self, run: &str, next: &str, more: &str) {
        self.writes(run, "next", next).await;
        self.writes(run, "more", more).await;
        self.report("w", run, ended(Outcome::Completed))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_body_runs_again_while_it_says_so() {
    let bench = Bench::new().await;
    bench.pipeline("p", counting()).await.unwrap();
    bench.next().await;
    bench.made("p-a", "").await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-again-body_0"]);
    assert_eq!(value(&taken[0], "n"), "0");
    assert_eq!(value(&taken[0], "data"), "azureml://jobs/p-a/outputs/o");
    bench.counts("p-again-body_0", "1", "true").await;
    // Another process goes on.
    let again = bench.reopened();
    let taken = again.given().await;
    assert_eq!(names(&taken), ["p-again-body_1"]);
    assert_eq!(value(&taken[0], "n"), "1");
    again.counts("p-again-body_1", "2", "false").await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-last"]);
    assert_eq!(
        value(&taken[0], "m"),
        "azureml://jobs/p-again-body_1/outputs/made"
    );
    assert_eq!(value(&taken[0], "n"), "2");
    bench.made("p-last", "").await;
    assert_eq!(bench.run("p").await.status, RunStatus::Completed);
    let steps = bench.steps("p").await;
    assert_eq!(
        (steps[1].name.as_str(), steps[1].kind.as_str()),
        ("again", "do_while")
    );
    let rounds: Vec<&str> = steps[1]
        .steps
        .iter()
        .map(|step| step.name.as_str())
        .collect();
    assert_eq!(rounds, ["body_0", "body_1"]);
    bench.writes("p-again-body_1", "made", "x").await;
    assert_eq!(bench.text_at("azureml://jobs/p/outputs/final").await, "x");

    let plan = bench.plan_of(&counting()).await;
    assert_eq!(plan.len(), 4);
    assert!(plan.iter().all(|(_, reused)| reused.is_some()), "{plan:?}");
    bench.pipeline("q", counting()).await.unwrap();
    assert_eq!(bench.run("q").await.status, RunStatus::Completed);
    assert!(bench.next().await.is_empty());
}

#[tokio::test]
async fn a_loop_ends_at_its_limit_with_a_failure_and_when_it_is_cancelled() {
    let bench = Bench::new().await;
    let mut definition = counting();
    definition["jobs"]["again"]["condition"] = Value::Null;
    bench.pipeline("p", definition.clone()).await.unwrap();
    bench.next().await;
    bench.made("p-a", "").await;
    for round in 0..3 {
        assert_eq!(bench.next().await, [format!("p-again-body_{round}")]);
        bench
            .counts(&format!("p-again-body_{round}"), "7", "true")
            .await;
    }
    assert_eq!(bench.next().await, ["p-last"]);
    bench.made("p-last", "").await;
    definition["settings"] = json!({"default_compute": "x", "force_rerun": true});
    bench.pipeline("r", definition).await.unwrap();
    bench.next().await;
    bench.made("r-a", "").await;
    bench.next().await;
    bench
        .report("w", "r-again-body_0", ended(Outcome::Failed))
        .await
        .unwrap();
    let run = bench.run("r").await;
    assert_eq!(run.status, RunStatus::Failed);
    assert_eq!(run.reason.as_deref(), Some("The step `again` failed"));

    let mut cancelled = counting();
    cancelled["settings"] = json!({"default_compute": "x", "force_rerun": true});
    bench.pipeline("s", cancelled).await.unwrap();
    bench.next().await;
    bench.made("s-a", "").await;
    assert_eq!(bench.next().await, ["s-again-body_0"]);
    let cancel = CancelRun {
        workspace: "ws".to_owned(),
        run: "s".to_owned(),
    };
    bench.ask(cancel).await.unwrap();
    bench
        .report("w", "s-again-body_0", ended(Outcome::Canceled))
        .await
        .unwrap();
    assert_eq!(bench.run("s-again").await.status, RunStatus::Canceled);
    assert_eq!(bench.run("s").await.status, RunStatus::Canceled);
}

/// Trains once for each of three rates.
pub fn each(items: &Value) -> Value {
    let train = json!({
        "command": "train ${{inputs.rate}}", "environment": "azureml:sklearn-1.5@latest",
        "outputs": {"model": {"type": "uri_folder"}, "loss": {"type": "number"}},
    });
    let mut last = step(&[]);
    last["inputs"] = json!({"all": "${{parent.jobs.each.outputs.model}}", "losses": "${{parent.jobs.each.outputs.loss}}"});
    json!({"jobs": {
        "a": deciding("string"),
        "train": train,
        "each": {
            "type": "parallel_for", "body": "${{parent.jobs.train}}", "items": items,
            "max_concurrency": 2,
        },
        "last": last,
    }})
}

#[tokio::test]
async fn a_body_runs_once_for_each_item_some_at_once() {
    let bench = Bench::new().await;
    let items = json!([{"rate": 0.1}, {"rate": 0.2}, {"rate": 0.3}]);
    bench.pipeline("p", each(&items)).await.unwrap();
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-a", "p-each-train_0", "p-each-train_1"]);
    assert_eq!(value(&taken[2], "rate"), "0.2");
    bench.writes("p-each-train_1", "loss", "5").await;
    bench.made("p-each-train_1", "").await;
    let taken = ["p-a", "p-each-train_0", "p-each-train_2"];
    assert_eq!(bench.next().await, taken, "one more, for one has ended");
    for (run, loss) in [("p-each-train_0", "4"), ("p-each-train_2", "6")] {
        bench.writes(run, "loss", loss).await;
        bench.made(run, "").await;
    }
    bench.made("p-a", "x").await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-last"]);
    assert_eq!(value(&taken[0], "losses"), r#"["4","5","6"]"#);
    let table = bench
        .text_at(&format!("{}/MLTable", value(&taken[0], "all")))
        .await;
    let found: Value = serde_json::from_str(&table).unwrap();
    let folder = |round: u32| json!({"folder": format!("azureml://jobs/p-each-train_{round}/outputs/model")});
    assert_eq!(found["paths"], json!([folder(0), folder(1), folder(2)]));
    bench.made("p-last", "").await;
    assert_eq!(bench.run("p").await.status, RunStatus::Completed);
    // One item more: only that one runs, and what takes all of them.
    let mut more = items;
    more.as_array_mut().unwrap().push(json!({"rate": 0.4}));
    bench.pipeline("q", each(&more)).await.unwrap();
    assert_eq!(bench.next().await, ["q-each-train_3"]);
    let plan = bench
        .plan_of(&each(&json!([{"rate": 0.1}, {"rate": 0.2}, {"rate": 0.3}])))
        .await;
    assert_eq!(plan.len(), 5);
    assert!(plan.iter().all(|(_, reused)| reused.is_some()), "{plan:?}");
}

#[tokio::test]
async fn items_may_come_from_another_step() {
    let bench = Bench::new().await;
    let definition = each(&json!("${{parent.jobs.a.outputs.o}}"));
    bench.pipeline("p", definition.clone()).await.unwrap();
    assert_eq!(bench.next().await, ["p-a"]);
    bench
        .made("p-a", r#"{"low": {"rate": 1}, "high": {"rate": 9}}"#)
        .await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-each-train_low", "p-each-train_high"]);
    assert_eq!(value(&taken[1], "rate"), "9");
    bench.pipeline("q", definition).await.unwrap();
    let mut bad = each(&json!("${{parent.jobs.a.outputs.o}}"));
    bad["jobs"]["a"]["command"] = json!("other");
    bench.pipeline("r", bad).await.unwrap();
    bench.next().await;
    bench.made("r-a", "7").await;
    let run = bench.run("r").await;
    assert_eq!(run.status, RunStatus::Failed);
    assert!(
        run.reason
            .as_deref()
            .unwrap()
            .contains("The items are no list"),
        "{:?}",
        run.reason
    );
}

#[tokio::test]
async fn control_flow_that_means_nothing_is_refused() {
    let bench = Bench::new().await;
    for (definition, path, value, said) in [
        (
            branches(),
            "/jobs/choose/true_block",
            json!("${{parent.jobs.nobody}}"),
            "there is no step `nobody`",
        ),
        (
            branches(),
            "/jobs/choose/true_block",
            json!("${{parent.jobs.no}}"),
            "The step `no` is in both blocks",
        ),
        (
            branches(),
            "/jobs/choose/false_block",
            json!("${{parent.jobs.a}}"),
            "wait for each other",
        ),
        (
            counting(),
            "/jobs/again/condition",
            json!("${{parent.jobs.body.outputs.none}}"),
            "none",
        ),
        (
            counting(),
            "/jobs/again/mapping",
            json!({"next": "m"}),
            "`m` is no input of the body `body`",
        ),
        (
            counting(),
            "/jobs/again/limits/max_iteration_count",
            json!(0),
            "It is a number from 1 to 1000",
        ),
        (
            each(&json!([1])),
            "/jobs/each/max_concurrency",
            json!(1),
            "The item `0` is no mapping of inputs",
        ),
        (
            each(&json!("[")),
            "/jobs/each/max_concurrency",
            json!(1),
            "The items are no JSON",
        ),
        (
            each(&json!([{"rate": 1}])),
            "/jobs/each/max_concurrency",
            json!(0),
            "It is a number from 1 up",
        ),
        (
            each(&json!([{"rate": 1}])),
            "/jobs/each/body",
            json!("${{parent.jobs.each}}"),
            "decides about others itself",
        ),
    ] {
        let mut definition = definition;
        *definition.pointer_mut(path).unwrap() = value;
        let error = bench.pipeline("p", definition).await.unwrap_err();
        let all = std::iter::once(&error).chain(&error.others);
        let all: Vec<String> = all.map(ToString::to_string).collect();
        assert!(all.join("\n").contains(said), "{said}: {all:?}");
    }
}

/// Takes an input of each of these types, by its name.
fn taking(name: &str, kinds: &[&str], from: &str) -> Value {
    let ports = kinds
        .iter()
        .map(|kind| ((*kind).to_owned(), json!({"type": kind})));
    let given = kinds.iter().map(|kind| ((*kind).to_owned(), json!(from)));
    let component = json!({
        "name": name, "command": name, "environment": "azureml:sklearn-1.5@latest",
        "inputs": ports.collect::<serde_json::Map<_, _>>(), "outputs": {},
    });
    json!({"component": component, "inputs": given.collect::<serde_json::Map<_, _>>()})
}

#[tokio::test]
async fn a_value_is_of_the_type_that_the_next_step_takes() {
    let bench = Bench::new().await;
    let all = ["integer", "number", "boolean", "string", "uri_folder"];
    let from = |step: &str| format!("${{{{parent.jobs.{step}.outputs.o}}}}");
    let jobs = json!({
        "whole": deciding("integer"), "text": deciding("string"), "files": deciding("uri_file"),
        "of_whole": taking("a", &all, &from("whole")),
        "of_text": taking("b", &all, &from("text")),
        "of_files": taking("c", &all, &from("files")),
    });
    let error = bench.pipeline("p", json!({"jobs": jobs})).await;
    let error = error.unwrap_err();
    let said = std::iter::once(&error).chain(&error.others);
    let places: Vec<&str> = said.filter_map(|error| error.target.as_deref()).collect();
    assert_eq!(
        places,
        [
            "jobs.of_whole.inputs.boolean",
            "jobs.of_whole.inputs.uri_folder",
            "jobs.of_text.inputs.uri_folder",
            "jobs.of_files.inputs.integer",
            "jobs.of_files.inputs.number",
            "jobs.of_files.inputs.boolean",
        ]
    );

    // What a text says is seen when it is there.
    for (run, text, status) in [
        ("bad", "seven", RunStatus::Failed),
        ("more", "50", RunStatus::Failed),
        ("good", " 7\n", RunStatus::Running),
    ] {
        let mut makes = deciding("string");
        makes["command"] = json!(run);
        let mut takes = taking("d", &["integer"], &from("text"));
        takes["component"]["inputs"]["integer"]["max"] = json!(10);
        let definition = json!({"jobs": {"text": makes, "next": takes}});
        bench.pipeline(run, definition).await.unwrap();
        assert_eq!(bench.next().await, [format!("{run}-text")]);
        bench.made(&format!("{run}-text"), text).await;
        assert_eq!(bench.status(run).await, status, "{text}");
    }
}

#[tokio::test]
async fn a_later_round_gets_what_its_port_takes_too() {
    let bench = Bench::new().await;
    for (pipeline, next) in [("p", "many"), ("q", "50")] {
        let mut definition = counting();
        definition["jobs"]["a"]["command"] = json!(pipeline);
        definition["jobs"]["body"]["component"]["inputs"]["n"]["max"] = json!(10);
        bench.pipeline(pipeline, definition).await.unwrap();
        bench.next().await;
        bench.made(&format!("{pipeline}-a"), "").await;
        bench.given().await;
        let first = format!("{pipeline}-again-body_0");
        bench.counts(&first, next, "true").await;
        assert_eq!(bench.status(pipeline).await, RunStatus::Failed, "{next}");
    }
}
