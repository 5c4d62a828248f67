//! `aml import mlflow`: folders, databases and servers, brought over once and completely.

use std::{fs, path::Path};

use expect_test::expect;
use serde_json::{Value, json};

use super::stores::{database, mlruns};
use crate::support::{Aml, each_mode, eventually, http};

fn counts(tally: &Value, kind: &str) -> Value {
    let names = ["found", "new", "updated", "unchanged", "left_out", "failed"];
    names.map(|name| tally[kind][name].clone()).into()
}

/// Imports; all that was found is accounted for.
#[track_caller]
fn import(aml: &Aml, from: &str, options: &str) -> Value {
    let tally = aml.json(format!("import mlflow --from {from} {options}"));
    for kind in ["experiments", "runs", "logged_models", "traces"] {
        let numbers = counts(&tally, kind);
        let numbers: Vec<u64> = numbers
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .collect();
        assert_eq!(numbers[0], numbers[1..].iter().sum::<u64>(), "{tally}");
    }
    tally
}

#[test]
fn a_folder_comes_over_and_later_only_what_is_new() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        mlruns(&aml.path("mlruns"));
        let tally = import(aml, "mlruns", "");
        assert_eq!(
            counts(&tally, "experiments"),
            json!([3, 2, 0, 0, 1, 0]),
            "{tally}"
        );
        assert_eq!(counts(&tally, "runs"), json!([4, 2, 0, 0, 2, 0]), "{tally}");
        assert_eq!(
            counts(&tally, "traces"),
            json!([1, 1, 0, 0, 0, 0]),
            "{tally}"
        );
        looks_as_it_did(aml);
        a_trace_comes_over_once(aml);
        let tally = import(aml, "file:mlruns", "");
        assert_eq!(counts(&tally, "runs"), json!([4, 0, 0, 2, 2, 0]), "{tally}");
        assert_eq!(tally["metric_points"], 0);
        let loss = aml.path("mlruns/7/r1/metrics/loss");
        fs::write(
            &loss,
            fs::read_to_string(&loss).unwrap() + "1700000000900 0.25 9\n",
        )
        .unwrap();
        let tally = import(aml, "mlruns", "");
        assert_eq!(counts(&tally, "runs"), json!([4, 0, 1, 1, 2, 0]), "{tally}");
        assert_eq!(
            aml.json("run metrics r1 --query loss.[last,count]"),
            json!([0.25, 4])
        );
        let tally = import(aml, "mlruns", "--include-deleted");
        assert_eq!(counts(&tally, "runs"), json!([4, 2, 0, 2, 0, 0]), "{tally}");
        assert_eq!(aml.json("run show gone1 --query deleted"), true);
    });
}

/// All of the traces of an experiment as MLflow's clients get them, or what else the call answers.
pub(super) fn traces(aml: &Aml, experiment: &str) -> Value {
    let ids = aml.json([
        "experiment",
        "list",
        "--query",
        &format!("[?name == '{experiment}'].id | [0]"),
    ]);
    let body = json!({"locations": [{"mlflow_experiment": {"experiment_id": ids}}]});
    let mut found =
        call(aml, "-d @body.json", "api/3.0/mlflow/traces/search", &body)["traces"].take();
    for trace in found.as_array_mut().into_iter().flatten() {
        let id = trace["trace_id"].as_str().expect("an id").to_owned();
        let path = format!("ajax-api/2.0/mlflow/get-trace-artifact?request_id={id}");
        trace["spans"] = call(aml, "", &path, &json!({}))["spans"].take();
        // Experiments have other numbers each time.
        trace["trace_location"].take();
        trace["tags"]["mlflow.artifactLocation"].take();
    }
    found
}

pub(super) fn call(aml: &Aml, options: &str, path: &str, body: &Value) -> Value {
    aml.write("body.json", body.to_string());
    let script = format!(
        "curl -sS {options} -H 'Content-Type: application/json' \
         ${{MLFLOW_TRACKING_TOKEN:+-H \"Authorization: Bearer $MLFLOW_TRACKING_TOKEN\"}} \
         \"$MLFLOW_TRACKING_URI/{path}\""
    );
    let answer = aml.run(["mlflow", "--", "sh", "-c", &script]);
    serde_json::from_str(&answer.stdout).unwrap_or_else(|e| panic!("{path}: {e}: {answer}"))
}

fn a_trace_comes_over_once(aml: &Aml) {
    let found = traces(aml, "First ü");
    let trace = &found[0];
    assert_eq!(trace["request_time"], "2023-11-14T22:13:20.500Z", "{found}");
    assert_eq!(trace["execution_duration"], "0.052s", "{found}");
    assert_eq!(trace["trace_metadata"]["mlflow.sourceRun"], "r1", "{found}");
    assert_eq!(trace["tags"]["team"], "blue", "{found}");
    assert_eq!(trace["assessments"][0]["feedback"]["value"], true);
    assert_eq!(trace["spans"][1]["name"], "double", "{found}");
    assert_eq!(
        trace["spans"][1]["parent_span_id"],
        trace["spans"][0]["span_id"]
    );
    let tag = aml.path("mlruns/7/traces/tr-01/tags/team");
    for (team, counted) in [("blue", [0, 1]), ("red", [1, 0])] {
        fs::write(&tag, team).unwrap();
        let tally = import(aml, "mlruns", "");
        let traces = &tally["traces"];
        assert_eq!(
            json!([traces["updated"], traces["unchanged"]]),
            json!(counted)
        );
    }
    // What was deleted here stays so until somebody wants it back.
    let experiment = aml.json("experiment list --query \"[?contains(name, 'First')].id | [0]\"");
    let delete = json!({"experiment_id": experiment, "request_ids": ["tr-01"]});
    let path = "api/2.0/mlflow/traces/delete-traces";
    assert_eq!(
        call(aml, "-d @body.json", path, &delete)["traces_deleted"],
        1
    );
    let tally = import(aml, "mlruns", "");
    assert_eq!(counts(&tally, "traces"), json!([1, 0, 0, 0, 1, 0]));
    let tally = import(aml, "mlruns", "--again");
    assert_eq!(counts(&tally, "traces"), json!([1, 0, 1, 0, 0, 0]));
}

fn looks_as_it_did(aml: &Aml) {
    let run = aml.json("run show r1");
    assert_eq!(run["display_name"], "first");
    assert_eq!(run["status"], "Failed");
    assert_eq!(run["user"], "ann");
    assert_eq!(run["params"], json!({"a/b": "two\nlines", "lr": "0.1"}));
    assert_eq!(run["tags"]["team"], "blue");
    assert_eq!(run["metrics"]["loss"]["last"], "NaN");
    assert_eq!(run["metrics"]["up/high"]["last"], "Infinity");
    assert_eq!(run["started_at"], "2023-11-14T22:13:20.000Z", "{run}");
    let history = aml.json("run metrics r1 loss --query '[].[step,value]'");
    assert_eq!(history, json!([[0, 1.5], [1, 0.5], [2, "NaN"]]));
    assert_eq!(
        aml.json("run list -e 'First ü' --query '[].name'"),
        json!(["child", "r1"])
    );
    assert_eq!(aml.json("run show child --query parent"), "r1");
    aml.ok("run download r1 --output out");
    assert_eq!(aml.read("out/notes/hello.txt"), "hello");
    let found = aml.json([
        "run",
        "list",
        "--filter",
        "dataset.name = 'train'",
        "--query",
        "[].name",
    ]);
    assert_eq!(found, json!(["r1"]));
}

#[test]
fn a_database_comes_over_with_its_models() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        database(&aml.path("store/mlflow.db"), 3);
        let tally = import(aml, "sqlite:///store/mlflow.db", "");
        assert_eq!(counts(&tally, "runs"), json!([3, 3, 0, 0, 0, 0]), "{tally}");
        assert_eq!(
            counts(&tally, "logged_models"),
            json!([1, 1, 0, 0, 0, 0]),
            "{tally}"
        );
        assert_eq!(
            aml.json("run metrics run0 --query '[high.last, none.last]'"),
            json!(["Infinity", "NaN"])
        );
        let model = aml.json("model register -n m --from-run run0 --path model");
        assert_eq!(model["type"], "mlflow", "{model}");
        let tally = import(aml, "store/mlflow.db", "");
        assert_eq!(
            counts(&tally, "logged_models"),
            json!([1, 0, 0, 1, 0, 0]),
            "{tally}"
        );
        // What was deleted here stays so until somebody wants it back.
        aml.ok("run delete run1 --yes");
        let tally = import(aml, "store/mlflow.db", "");
        assert_eq!(counts(&tally, "runs"), json!([3, 0, 0, 2, 1, 0]), "{tally}");
        let tally = import(aml, "store/mlflow.db", "--again");
        assert_eq!(counts(&tally, "runs"), json!([3, 0, 3, 0, 0, 0]), "{tally}");
        aml.ok("run show run1");
    });
}

#[test]
fn a_killed_import_is_gone_on_with() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    database(&aml.path("mlflow.db"), 3000);
    let import_process = aml.start("import mlflow --from mlflow.db");
    let there = || {
        let runs = aml.json("run list -n 50000 --query 'length(@)'");
        runs.as_u64().filter(|runs| *runs > 0)
    };
    eventually("some runs are here", 60, there);
    import_process.kill();
    import_process.wait(10);
    let before = there().expect("what was acknowledged stays");
    let tally = import(&aml, "mlflow.db", "");
    let runs = &tally["runs"];
    assert_eq!(
        runs["unchanged"].as_u64().map(|kept| kept <= before),
        Some(true)
    );
    assert_eq!(runs["found"], 3000);
    assert_eq!(there(), Some(3000));
    let points = aml.json("run list -n 50000 --query 'sum([].metrics.m.count)'");
    assert_eq!(points.as_f64(), Some(9000.0));
}

#[test]
fn a_server_comes_over_by_its_protocol() {
    let there = Aml::remote();
    let token = there.json("user create ann --query token");
    let token = token.as_str().expect("a token").to_owned();
    there
        .with("AML_TOKEN", token.as_str())
        .ok("workspace create -n src");
    let url = there.url().expect("a server");
    let call = |call: &str, body: &Value| -> Value {
        let token = format!("Bearer {token}");
        let headers = [
            ("content-type", "application/json"),
            ("authorization", token.as_str()),
        ];
        let (status, answer) = http::send(
            "POST",
            &format!("{url}/ws/src/api/2.0/mlflow/{call}"),
            &headers,
            &body.to_string(),
        );
        assert_eq!(status, 200, "{call}: {answer}");
        serde_json::from_str(&answer).expect("JSON")
    };
    let experiment = call("experiments/create", &json!({"name": "e"}));
    let create =
        json!({"experiment_id": experiment["experiment_id"], "run_name": "r", "start_time": 5});
    let run = call("runs/create", &create)["run"]["info"]["run_id"].clone();
    let point = |step: u64| json!({"key": "m", "value": step, "step": step, "timestamp": step});
    let points: Vec<Value> = (0..999).map(point).collect();
    call(
        "runs/log-batch",
        &json!({"run_id": run, "metrics": points, "params": [{"key": "p", "value": ""}]}),
    );
    call(
        "runs/update",
        &json!({"run_id": run, "status": "FINISHED", "end_time": 7}),
    );
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    let from = format!("{url}/ws/src");
    let error = aml.fails(4, format!("import mlflow --from {from}"));
    assert!(error.contains("Hint: Set MLFLOW_TRACKING_TOKEN"), "{error}");
    let aml = aml.with("MLFLOW_TRACKING_TOKEN", token.as_str());
    let tally = import(&aml, &from, "");
    assert_eq!(tally["metric_points"], 999, "{tally}");
    let run = run.as_str().expect("an id");
    assert_eq!(
        aml.json([
            "run",
            "show",
            run,
            "--query",
            "[params.p, metrics.m.count, status]"
        ]),
        json!(["", 999, "Completed"])
    );
    // A token for one server is not shown to another.
    let aml = aml.with("MLFLOW_TRACKING_URI", "http://127.0.0.1:9");
    aml.fails(4, format!("import mlflow --from {from}"));
    aml.fails(
        4,
        format!(
            "import mlflow --from {}",
            from.replace("://", "://ann:wrong@")
        ),
    );
    let named = from.replace("://", &format!("://ann:{token}@"));
    assert_eq!(
        counts(&import(&aml, &named, ""), "runs"),
        json!([1, 0, 0, 1, 0, 0])
    );
}

#[test]
fn names_that_cannot_be_kept_are_told() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    mlruns(&aml.path("mlruns"));
    let meta = aml.path("mlruns/8/meta.yaml");
    fs::write(
        &meta,
        fs::read_to_string(&meta)
            .unwrap()
            .replace("second", "FIRST Ü"),
    )
    .unwrap();
    aml.ok("run submit -e x --name child --stream -- true");
    let output = aml.run("import mlflow --from mlruns --query runs.new");
    assert_eq!(output.stdout, "2\n");
    assert!(
        output
            .stderr
            .contains("The experiment `FIRST Ü` is called `FIRST Ü (8)` here"),
        "{output}"
    );
    assert_eq!(aml.json("run show child-2 --query display_name"), "second");
}

#[test]
fn what_cannot_be_imported_is_said() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    mlruns(&aml.path("project/mlruns"));
    aml.write("notes.txt", "no database");
    let told =
        |from: &str, options: &str| aml.fails(2, format!("import mlflow --from {from} {options}"));
    let all = [
        told("project", ""),
        told("notes.txt", ""),
        told("none.db", ""),
        told("postgresql://ann:secret@db/mlflow", ""),
        aml.fails(3, "import mlflow --from project/mlruns -e secondd"),
    ];
    expect![[r#"
        Error: --from: `$ROOT/here/project` has no experiments of MLflow's
        Hint: Did you mean $ROOT/here/project/mlruns?
        Error: --from: Cannot read `$ROOT/here/notes.txt`: file is not a database
        Error: --from: There is no database or folder of MLflow `none.db`
        Hint: It is the address of a server, a file such as mlflow.db, or an `mlruns` folder
        Error: --from: `postgresql` cannot be read directly
        Hint: Start MLflow's server on it, and import from its address: mlflow server --backend-store-uri postgresql://USER:PASSWORD@db/mlflow
        Error: --experiment: No experiment `secondd` there
        Hint: Did you mean `second`?
    "#]]
    .assert_eq(&all.concat());
    // A file of somebody else's that a store calls an artifact is none.
    let secret = aml.write("secret/key", "secret");
    let meta = aml.path("project/mlruns/7/r1/meta.yaml");
    let artifacts = Path::new("project/mlruns/7/r1/artifacts");
    fs::remove_dir_all(aml.path(&artifacts.display().to_string())).unwrap();
    let folder = secret.parent().unwrap().display().to_string();
    let text = fs::read_to_string(&meta).unwrap();
    fs::write(
        &meta,
        text.replace("artifact_uri: ''", &format!("artifact_uri: {folder}")),
    )
    .unwrap();
    let output =
        aml.run("import mlflow --from project/mlruns --query '[files, without_files]' -o json");
    assert!(output.stderr.contains("out of reach"), "{output}");
    assert_eq!(output.json(), json!([0, 1]));
}
