//! Stores as MLflow leaves them: an `mlruns` folder of 2.x and a database of 3.x.

use std::{fs, path::Path};

use rusqlite::{Connection, params};

fn write(root: &Path, path: &str, text: &str) {
    let file = root.join(path);
    fs::create_dir_all(file.parent().expect("a folder")).expect("makes the folder");
    fs::write(file, text).expect("writes");
}

fn run(root: &Path, experiment: &str, id: &str, name: &str, status: u32, start: u64) {
    let meta = format!(
        "artifact_uri: ''\nend_time: {}\nentry_point_name: ''\nexperiment_id: '{experiment}'\n\
         lifecycle_stage: active\nrun_id: {id}\nrun_name: {name}\nrun_uuid: {id}\nsource_type: 4\n\
         start_time: {start}\nstatus: {status}\ntags: []\nuser_id: ann\n",
        start + 1000
    );
    let below = format!("{experiment}/{id}");
    write(root, &format!("{below}/meta.yaml"), &meta);
    write(root, &format!("{below}/tags/mlflow.runName"), name);
}

/// Two experiments and a deleted one; a run with everything, its child, a deleted run, a run in the
/// deleted experiment.
pub fn mlruns(root: &Path) {
    for (folder, name) in [("7", "First ü"), ("8", "second"), (".trash/9", "third")] {
        let id = folder.rsplit('/').next().expect("an id");
        let meta = format!(
            "artifact_location: file:///elsewhere/{id}\ncreation_time: 1700000000000\nexperiment_id: '{id}'\n\
             last_update_time: 1700000000001\nlifecycle_stage: active\nname: {name}\n"
        );
        write(root, &format!("{folder}/meta.yaml"), &meta);
    }
    write(root, "7/tags/mlflow.note.content", "A note");
    run(root, "7", "r1", "first", 4, 1_700_000_000_000);
    let r1 = |path: &str, text: &str| write(root, &format!("7/r1/{path}"), text);
    r1("params/lr", "0.1");
    r1("params/a/b", "two\nlines");
    r1("tags/team", "blue");
    r1(
        "metrics/loss",
        "1700000000100 1.5\n1700000000200 0.5 1\n1700000000300 nan 2\n",
    );
    r1("metrics/up/high", "1700000000100 inf 0\n");
    r1("artifacts/notes/hello.txt", "hello");
    r1(
        "inputs/i1/meta.yaml",
        "destination_id: r1\ndestination_type: RUN\nsource_id: d1\nsource_type: DATASET\ntags:\n  mlflow.data.context: training\n",
    );
    write(
        root,
        "7/datasets/d1/meta.yaml",
        "digest: abc\nname: train\nprofile: '{}'\nschema: null\nsource: s\nsource_type: local\n",
    );
    run(root, "7", "child", "second", 3, 1_700_000_001_000);
    write(root, "7/child/tags/mlflow.parentRunId", "r1");
    trace(root);
    run(root, "7", "gone1", "gone", 3, 1_700_000_002_000);
    let meta = root.join("7/gone1/meta.yaml");
    let text = fs::read_to_string(&meta).expect("reads");
    fs::write(
        &meta,
        text.replace("lifecycle_stage: active", "lifecycle_stage: deleted"),
    )
    .expect("writes");
    run(root, ".trash/9", "gone2", "gone too", 3, 1_700_000_003_000);
}

/// A trace that r1 has made: two spans, a tag, what people think of it.
fn trace(root: &Path) {
    let trace = |path: &str, text: &str| write(root, &format!("7/traces/tr-01/{path}"), text);
    trace(
        "trace_info.yaml",
        "trace_id: tr-01\nstate: OK\nrequest_time: '2023-11-14T22:13:20.500Z'\nexecution_duration_ms: 52\n\
         request_preview: '{\"x\": 1}'\nresponse_preview: '2'\n\
         trace_location:\n  type: MLFLOW_EXPERIMENT\n  mlflow_experiment:\n    experiment_id: '7'\n",
    );
    trace("request_metadata/mlflow.sourceRun", "r1");
    trace("tags/mlflow.traceName", "ask");
    trace("tags/team", "blue");
    trace(
        "assessments/a-1.yaml",
        "assessment_id: a-1\nassessment_name: right\ntrace_id: tr-01\nvalid: true\n\
         source:\n  source_type: HUMAN\n  source_id: ann\nfeedback:\n  value: true\nrationale: It is\n\
         create_time: '2023-11-14T22:14:00Z'\nlast_update_time: '2023-11-14T22:14:00Z'\n",
    );
    let span = |id: &str, parent: &str, name: &str| {
        format!(
            r#"{{"trace_id": "AAAAAAAAAAAAAAAAAAAAAQ==", "span_id": "{id}", "parent_span_id": {parent},
            "name": "{name}", "start_time_unix_nano": 1700000000500000000,
            "end_time_unix_nano": 1700000000552000000, "events": [], "links": [],
            "status": {{"code": "STATUS_CODE_OK", "message": ""}},
            "attributes": {{"mlflow.traceRequestId": "\"tr-01\"", "mlflow.spanInputs": "{{\"x\": 1}}"}}}}"#
        )
    };
    let spans = [
        span("AAAAAAAAAAE=", "null", "ask"),
        span("AAAAAAAAAAI=", r#""AAAAAAAAAAE=""#, "double"),
    ];
    trace(
        "artifacts/traces.json",
        &format!(r#"{{"spans": [{}]}}"#, spans.join(",")),
    );
}

/// The tables that hold runs, as a server of 3.x makes them.
const SCHEMA: &str = "
CREATE TABLE experiments(experiment_id INTEGER PRIMARY KEY, name TEXT, artifact_location TEXT,
  lifecycle_stage TEXT, creation_time BIGINT, last_update_time BIGINT);
CREATE TABLE experiment_tags(key TEXT, value TEXT, experiment_id INTEGER);
CREATE TABLE runs(run_uuid TEXT PRIMARY KEY, name TEXT, source_type TEXT, source_name TEXT,
  entry_point_name TEXT, user_id TEXT, status TEXT, start_time BIGINT, end_time BIGINT,
  source_version TEXT, lifecycle_stage TEXT, artifact_uri TEXT, experiment_id INTEGER, deleted_time BIGINT);
CREATE TABLE params(key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE tags(key TEXT, value TEXT, run_uuid TEXT);
CREATE TABLE metrics(key TEXT, value FLOAT, timestamp BIGINT, run_uuid TEXT, step BIGINT, is_nan BOOLEAN);
CREATE INDEX index_metrics_run_uuid ON metrics(run_uuid);
CREATE TABLE latest_metrics(key TEXT, value FLOAT, timestamp BIGINT, step BIGINT, is_nan BOOLEAN, run_uuid TEXT);
CREATE TABLE datasets(dataset_uuid TEXT, experiment_id INTEGER, name TEXT, digest TEXT,
  dataset_source_type TEXT, dataset_source TEXT, dataset_schema TEXT, dataset_profile TEXT);
CREATE TABLE inputs(input_uuid TEXT, source_type TEXT, source_id TEXT, destination_type TEXT,
  destination_id TEXT, step BIGINT);
CREATE TABLE input_tags(input_uuid TEXT, name TEXT, value TEXT);
CREATE TABLE logged_models(model_id TEXT, experiment_id INTEGER, name TEXT, artifact_location TEXT,
  creation_timestamp_ms BIGINT, last_updated_timestamp_ms BIGINT, status INTEGER, lifecycle_stage TEXT,
  model_type TEXT, source_run_id TEXT, status_message TEXT);
CREATE TABLE logged_model_params(model_id TEXT, experiment_id INTEGER, param_key TEXT, param_value TEXT);
CREATE TABLE logged_model_tags(model_id TEXT, experiment_id INTEGER, tag_key TEXT, tag_value TEXT);
CREATE TABLE logged_model_metrics(model_id TEXT, metric_name TEXT, metric_timestamp_ms BIGINT,
  metric_step BIGINT, metric_value FLOAT, experiment_id INTEGER, run_id TEXT, dataset_uuid TEXT,
  dataset_name TEXT, dataset_digest TEXT);
INSERT INTO experiments VALUES(1, 'bulk', 'mlflow-artifacts:/1', 'active', 1700000000000, 1700000000000);
INSERT INTO metrics VALUES('high', 1.7976931348623157e308, 1, 'run0', 0, 0), ('none', 0, 1, 'run0', 0, 1);
INSERT INTO latest_metrics VALUES('high', 1.7976931348623157e308, 1, 0, 0, 'run0'), ('none', 0, 1, 0, 1, 'run0');
INSERT INTO inputs VALUES('i', 'RUN_OUTPUT', 'run0', 'MODEL_OUTPUT', 'm-0', 0);
INSERT INTO logged_models VALUES('m-0', 1, 'model', 'mlflow-artifacts:/1/models/m-0/artifacts',
  1700000000000, 1700000000001, 2, 'active', NULL, 'run0', NULL);
INSERT INTO logged_model_metrics VALUES('m-0', 'acc', 1700000000000, 0, 0.5, 1, 'run0', NULL, NULL, NULL);
";

/// One experiment with so many runs of three points each; the first has made a model.
pub fn database(file: &Path, runs: u32) {
    let folder = file.parent().expect("a folder");
    write(
        folder,
        "mlartifacts/1/models/m-0/artifacts/MLmodel",
        "flavors: {}\n",
    );
    let connection = Connection::open(file).expect("makes a database");
    connection.execute_batch("BEGIN").expect("begins");
    connection.execute_batch(SCHEMA).expect("the tables");
    let mut insert = connection
        .prepare(
            "INSERT INTO runs VALUES(?1, ?1, 'LOCAL', '', '', 'ann', 'FINISHED', ?2, ?2 + 500, '', 'active', \
             'mlflow-artifacts:/1/' || ?1 || '/artifacts', 1, NULL)",
        )
        .expect("a statement");
    let mut point = connection
        .prepare("INSERT INTO metrics VALUES('m', ?2, ?3, ?1, ?3, 0)")
        .expect("a statement");
    let mut latest = connection
        .prepare("INSERT INTO latest_metrics VALUES('m', 0.5, 2, 2, 0, ?1)")
        .expect("a statement");
    for number in 0..runs {
        let run = format!("run{number}");
        insert
            .execute(params![run, 1_700_000_000_000_i64 + i64::from(number)])
            .expect("a run");
        for step in 0..3 {
            point.execute(params![run, 0.5, step]).expect("a point");
        }
        latest.execute(params![run]).expect("a point");
    }
    connection.execute_batch("COMMIT").expect("commits");
}
