//! Loops and conditions: whose word counts, what each round gets, and what is refused.

use serde_json::{Value, json};

use super::{
    control_flow::{branches, counting, deciding, each, named, value},
    pipelines::{pipeline, step},
    support::{Bench, batch, ended, names},
};
use api::{
    jobs::JobInput, metrics::LogBatch, pipelines::PlanPipeline, runs::RunStatus, work::Outcome,
};

const ELSEWHERE: &str = "azureml://subscriptions/s/resourcegroups/g/workspaces/other/datastores/workspaceblobstore/paths/x";

impl Bench {
    /// Why a pipeline failed of which a step wrote this as its items.
    async fn failed_with(&self, run: &str, mut definition: Value, items: &str) -> String {
        definition["jobs"]["a"]["command"] = json!(run);
        self.pipeline(run, definition).await.unwrap();
        self.next().await;
        self.made(&format!("{run}-a"), items).await;
        let run = self.run(run).await;
        assert_eq!(run.status, RunStatus::Failed);
        run.reason.unwrap()
    }

    async fn refused(&self, definition: Value) -> String {
        let error = self.pipeline("refused", definition).await.unwrap_err();
        let all = std::iter::once(&error).chain(&error.others);
        let all: Vec<String> = all.map(ToString::to_string).collect();
        all.join("\n")
    }
}

fn late() -> Value {
    each(&json!("${{parent.jobs.a.outputs.o}}"))
}

/// A loop whose body is a component.
fn late_component() -> Value {
    let mut definition = late();
    definition["jobs"]["train"] = json!({"component": {
        "name": "train", "type": "command", "command": "train",
        "environment": "azureml:sklearn-1.5@latest",
        "inputs": {
            "rate": {"type": "number", "max": 1}, "steps": {"type": "integer", "default": 7},
            "data": {"type": "uri_folder", "optional": true},
        },
        "outputs": {"model": {"type": "uri_folder"}, "loss": {"type": "number"}},
    }});
    definition
}

#[tokio::test]
async fn a_tag_says_not_where_an_output_is() {
    let bench = Bench::new().await;
    let mut definition = each(&json!([{"rate": 1}]));
    definition["jobs"]["train"]["tags"] = json!({"aml.output.model": ELSEWHERE});
    bench.pipeline("p", definition).await.unwrap();
    bench.next().await;
    let tags = |run: &str| LogBatch {
        tags: [("aml.output.model", ELSEWHERE)]
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        ..batch(run)
    };
    for run in ["p-each", "p-each-train_0"] {
        bench.ask(tags(run)).await.unwrap();
    }
    bench.writes("p-each-train_0", "loss", "1").await;
    bench.made("p-each-train_0", "").await;
    for path in ["p-each", "p-each-train_0"] {
        let address = format!("azureml://jobs/{path}/outputs/model");
        let uri = bench.resolved(&address).await.unwrap().uri;
        assert!(
            uri.starts_with("azureml://datastores/workspaceblobstore/"),
            "{uri}"
        );
    }
    bench.made("p-a", "").await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-last"]);
    let all = value(&taken[0], "all");
    assert!(all.contains("/azureml/gathered/"), "{all}");
}

#[tokio::test]
async fn items_that_a_step_wrote_are_looked_at() {
    let bench = Bench::new().await;
    bench.workspace("other").await;
    for (at, (items, said)) in [
        (
            json!([{"rate": 0.5, "data": ELSEWHERE}]),
            "No workspace `other`",
        ),
        (
            json!([{"rate": 0.5, "data": {"type": "uri_folder", "path": "/etc"}}]),
            "`/etc` is a path of one machine",
        ),
        (
            json!([{"rate": 0.5}, {"rate": "fast"}]),
            "`rate` is of type `number`; `fast` is not",
        ),
        (
            json!([{"rate": 5}]),
            "The input `rate` is 5, which is not from",
        ),
        (
            json!([{"rate": 0.5, "stepz": 1}]),
            "No input `stepz` of the body",
        ),
        (
            json!([{"steps": 1}]),
            "The input `rate` of the body is not given",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (run, items) = (format!("p{at}"), items.to_string());
        let reason = bench.failed_with(&run, late_component(), &items).await;
        assert!(reason.contains(said), "{said}: {reason}");
    }
    bench.pipeline("q", late_component()).await.unwrap();
    bench.next().await;
    let own = "azureml://datastores/workspaceblobstore/paths/x";
    let made = "azureml://jobs/q-a/outputs/o";
    let items = json!([{"rate": 0.5, "data": own}, {"rate": 1, "steps": 8, "data": made}]);
    bench.made("q-a", &items.to_string()).await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["q-each-train_0", "q-each-train_1"]);
    assert_eq!([0, 1].map(|at| value(&taken[at], "data")), [own, made]);
    // Workers do not take for commands what is in it.
    let described = taken[0].job.described.as_ref().unwrap();
    let rate = &described.inputs["rate"];
    assert!(
        matches!(rate, JobInput::Value { made: true, .. }),
        "{rate:?}"
    );
    assert_eq!([0, 1].map(|at| value(&taken[at], "steps")), ["7", "8"]);
}

#[tokio::test]
async fn each_round_gets_what_its_own_item_names() {
    let bench = Bench::new().await;
    let items = json!([
        {"data": "${{parent.jobs.a.outputs.o}}", "items": "x"},
        {"data": "${{parent.jobs.b.outputs.o}}", "items": "${{parent.jobs.b.outputs.o}}"},
    ]);
    let definition = json!({"jobs": {
        "a": step(&[]), "b": named("b"), "train": named("train"),
        "each": {"type": "parallel_for", "body": "${{parent.jobs.train}}", "items": items},
    }});
    bench.pipeline("p", definition).await.unwrap();
    bench.next().await;
    bench.made("p-a", "").await;
    bench.made("p-b", "").await;
    let taken = bench.given().await;
    let of = |step: &str| format!("azureml://jobs/p-{step}/outputs/o");
    assert_eq!(
        [0, 1].map(|at| value(&taken[at], "data")),
        [of("a"), of("b")]
    );
    assert_eq!(
        [0, 1].map(|at| value(&taken[at], "items")),
        ["x".to_owned(), of("b")]
    );
}

#[tokio::test]
async fn a_text_that_is_too_long_for_an_argument_is_no_value() {
    let bench = Bench::new().await;
    let mut takes = step(&[]);
    takes["inputs"] = json!({"n": "${{parent.jobs.a.outputs.o}}"});
    let definition = json!({"jobs": {"a": deciding("string"), "b": takes}});
    let reason = bench
        .failed_with("p", definition, &"x".repeat(70_000))
        .await;
    assert!(reason.contains("a value has at most 65536"), "{reason}");
}

/// A pipeline whose only step `in` gets `n` and makes `next` and `more`.
fn nested() -> Value {
    let inner = json!({
        "command": "count ${{inputs.n}}", "environment": "azureml:sklearn-1.5@latest",
        "inputs": {"n": "${{parent.inputs.n}}"},
        "outputs": {"next": "${{parent.outputs.next}}", "more": "${{parent.outputs.more}}"},
    });
    json!({
        "name": "body", "type": "pipeline", "inputs": {"n": {"type": "integer"}},
        "outputs": {"next": {"type": "integer"}, "more": {"type": "boolean"}},
        "jobs": {"in": inner},
    })
}

#[tokio::test]
async fn a_pipeline_gets_new_inputs_in_each_round() {
    let bench = Bench::new().await;
    let mut definition = counting();
    definition["outputs"] = json!({});
    definition["jobs"]["body"] = json!({"component": nested(), "inputs": {"n": 0}});
    definition["jobs"]
        .as_object_mut()
        .unwrap()
        .shift_remove("last");
    bench.pipeline("p", definition).await.unwrap();
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-a", "p-again-body_0-in"]);
    assert_eq!(value(&taken[1], "n"), "0");
    bench.counts("p-again-body_0-in", "5", "true").await;
    let taken = bench.given().await;
    assert_eq!(names(&taken), ["p-a", "p-again-body_1-in"]);
    assert_eq!(value(&taken[1], "n"), "5");

    let mut definition = late();
    definition["jobs"]["train"] = json!({"component": nested(), "inputs": {"n": 1}});
    definition["jobs"]
        .as_object_mut()
        .unwrap()
        .shift_remove("last");
    bench.pipeline("q", definition).await.unwrap();
    bench.next().await;
    bench.made("q-a", r#"[{}, {"n": 3}]"#).await;
    let taken = bench.given().await;
    let taken = taken.iter().filter(|taken| taken.run.starts_with("q-"));
    let taken: Vec<String> = taken.map(|taken| value(taken, "n")).collect();
    assert_eq!(taken, ["1", "3"]);
}

/// A pipeline that chooses between `yes` and `no` by its input.
fn choosing() -> Value {
    let mut jobs = branches()["jobs"].clone();
    jobs["choose"]["condition"] = json!("${{parent.inputs.flag}}");
    jobs.as_object_mut().unwrap().shift_remove("a");
    json!({"component": {
        "name": "choosing", "type": "pipeline", "jobs": jobs,
        "inputs": {"flag": {"type": "string", "optional": true}},
    }})
}

#[tokio::test]
async fn a_condition_that_comes_from_outside_decides_for_one_branch() {
    let bench = Bench::new().await;
    let mut inner = choosing();
    inner["inputs"] = json!({"flag": "${{parent.jobs.a.outputs.o}}"});
    let definition = json!({"jobs": {"a": step(&[]), "inner": inner}});
    bench.pipeline("p", definition.clone()).await.unwrap();
    bench.next().await;
    bench.made("p-a", "true").await;
    assert_eq!(bench.next().await, ["p-inner-yes"]);
    assert_eq!(
        bench.steps("p").await[1].steps[0].status,
        Some(RunStatus::Completed)
    );

    let definition = json!({"jobs": {
        "a": deciding("string"), "choosing": choosing(),
        "each": {"type": "parallel_for", "body": "choosing", "items": "${{parent.jobs.a.outputs.o}}"},
    }});
    bench.pipeline("q", definition).await.unwrap();
    bench.next().await;
    bench.made("q-a", "[{}]").await;
    let run = bench.run("q-each-choosing_0").await;
    assert_eq!(run.status, RunStatus::Failed);
    assert!(run.reason.unwrap().contains("the condition is not given"));
}

#[tokio::test]
async fn a_value_that_cannot_be_read_fails_only_what_needs_it() {
    let bench = Bench::new().await;
    let mut definition = branches();
    definition["jobs"]["free"] = step(&["a"]);
    bench.pipeline("p", definition).await.unwrap();
    bench.next().await;
    bench.made("p-a", "perhaps").await;
    assert_eq!(bench.next().await, ["p-free"]);
    // Another process knows that it failed.
    let again = bench.reopened();
    assert_eq!(again.steps("p").await[1].status, Some(RunStatus::Failed));
    again.made("p-free", "").await;
    let run = again.run("p").await;
    assert_eq!(run.status, RunStatus::Failed);
    let reason = run.reason.unwrap();
    assert!(
        reason.starts_with("The step `choose` failed: a condition is true or false"),
        "{reason}"
    );
}

#[tokio::test]
async fn what_needs_a_step_that_was_skipped_inside_is_skipped() {
    let bench = Bench::new().await;
    let mut inner = choosing();
    inner["inputs"] = json!({"flag": "false"});
    inner["component"]["outputs"] = json!({"o": null});
    inner["component"]["jobs"]["yes"]["outputs"] = json!({"o": "${{parent.outputs.o}}"});
    let definition = json!({"jobs": {"inner": inner, "after": step(&["inner"])}});
    bench.pipeline("p", definition).await.unwrap();
    for run in bench.next().await {
        bench.made(&run, "").await;
    }
    assert_eq!(bench.next().await, ["p-inner-after_no"]);
    bench.made("p-inner-after_no", "").await;
    assert_eq!(bench.run("p").await.status, RunStatus::Completed);
    assert!(bench.steps("p").await[1].skipped);
}

#[tokio::test]
async fn loops_that_would_compute_wrongly_are_refused() {
    let bench = Bench::new().await;
    let items = json!([{"rate": 1}, {"rate": 2}]);
    let mut fixed = each(&items);
    fixed["jobs"]["train"]["outputs"]["model"]["path"] =
        json!("azureml://datastores/${{default_datastore}}/paths/x");
    let said = bench.refused(fixed).await;
    assert!(
        said.contains("Every round would write to the same place"),
        "{said}"
    );
    let mut version = each(&items);
    version["jobs"]["train"]["outputs"]["model"] =
        json!({"type": "custom_model", "name": "m", "version": "1"});
    let said = bench.refused(version).await;
    assert!(
        said.contains("Every round would register the same version"),
        "{said}"
    );
    let mut own = each(&items);
    own["jobs"]["train"]["outputs"]["model"]["path"] =
        json!("azureml://datastores/workspaceblobstore/paths/${{name}}");
    bench.pipeline("own", own).await.unwrap();
    let said = bench.refused(each(&json!([{"rate": 1}, {}]))).await;
    assert!(
        said.contains("Item `1`: The input `rate` of the body is not given"),
        "{said}"
    );
    let mut block = branches();
    block["jobs"]["choose"]["true_block"] = json!("a");
    let mut own = each(&items);
    own["jobs"]["train"]["inputs"] = json!({"all": "${{parent.jobs.each.outputs.model}}"});
    for circle in [block, own] {
        let said = bench.refused(circle).await;
        assert!(said.contains("wait for each other"), "{said}");
    }
    let many: Vec<Value> = (0..200).map(|at| json!({"n": at})).collect();
    let body = json!({
        "name": "inner", "type": "pipeline", "inputs": {"n": {"type": "integer"}},
        "jobs": {"each": {"type": "parallel_for", "body": "train", "items": many}, "train": named("train")},
    });
    let definition = json!({"jobs": {
        "outer": {"type": "parallel_for", "body": "inner", "items": many}, "inner": {"component": body},
    }});
    let said = bench.refused(definition).await;
    assert!(said.contains("have more than 20000 steps in all"), "{said}");
    assert!(said.lines().count() < 5, "{said}");
}

#[tokio::test]
async fn items_have_names_of_their_own() {
    let bench = Bench::new().await;
    let items = json!({"A": {"rate": 1}, "0": {"rate": 2}});
    bench.pipeline("p", each(&items)).await.unwrap();
    let rounds = ["p-each-train_0", "p-each-train_1"];
    assert_eq!(bench.next().await[1..], rounds);
}

#[tokio::test]
async fn a_plan_thinks_of_a_round_when_items_are_not_known() {
    let bench = Bench::new().await;
    let job = pipeline("thought", late());
    let planned = bench.ask(PlanPipeline { job }).await.unwrap();
    let planned: Vec<&str> = planned.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(planned, ["a", "each.train_0", "last"]);
    bench.pipeline("p", late()).await.unwrap();
    bench.next().await;
    bench
        .report("w", "p-a", ended(Outcome::Failed))
        .await
        .unwrap();
    assert_eq!(bench.run("p").await.status, RunStatus::Failed);
}
