//! Single calls: a request a line, the status and the body of its answer.

use std::fmt::Write;

use expect_test::{Expect, expect};

use crate::support::{Aml, http};

/// Sends each line (`METHOD path body`) to the server, with the run's id for `RUN`; ids and times in
/// answers are made the same everywhere.
pub(super) fn check(aml: &Aml, run: &str, lines: &[&str], expected: &Expect) {
    let mut told = String::new();
    for line in lines {
        let line = line.replace("RUN", run);
        let mut parts = line.splitn(3, ' ');
        let (method, path) = (
            parts.next().expect("a method"),
            parts.next().expect("a path"),
        );
        let (status, body) = send(aml, method, path, parts.next().unwrap_or_default());
        let _ = writeln!(told, "{status} {}", plain(&body));
    }
    expected.assert_eq(&told);
}

pub(super) fn send(aml: &Aml, method: &str, path: &str, body: &str) -> (u16, String) {
    let url = aml.url().expect("a server");
    http::send(
        method,
        &format!("{url}{path}"),
        &[("content-type", "application/json")],
        body,
    )
}

fn plain(body: &str) -> String {
    let id = regex_lite::Regex::new("[0-9a-f]{32}").expect("a pattern");
    let time = regex_lite::Regex::new(r"\b1[0-9]{12}\b").expect("a pattern");
    let body = id.replace_all(body, "<id>");
    time.replace_all(&body, "<time>").into_owned()
}

pub fn server() -> Aml {
    let aml = Aml::remote();
    aml.ok("workspace create -n ws");
    aml
}

/// Makes a run in the default experiment; answers its id.
pub fn new_run(aml: &Aml) -> String {
    let body = r#"{"experiment_id": "0", "run_name": "r"}"#;
    let (_, body) = send(aml, "POST", "/api/2.0/mlflow/runs/create", body);
    let run: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    run["run"]["info"]["run_id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[test]
fn experiments_have_mlflows_shape() {
    check(
        &server(),
        "",
        &[
            "GET /api/2.0/mlflow/experiments/get?experiment_id=0",
            r#"POST /api/2.0/mlflow/experiments/create {"name": "a", "tags": [{"key": "k", "value": "v"}]}"#,
            r#"POST /api/2.0/mlflow/experiments/create {"name": "a"}"#,
            r#"POST /api/2.0/mlflow/experiments/create {"name": "/Shared/über (1) & all!"}"#,
            "POST /api/2.0/mlflow/experiments/create {}",
            "GET /ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=b",
            "GET /api/2.0/mlflow/experiments/get?experiment_id=x",
            "POST /api/2.0/mlflow/experiments/search {}",
            r#"POST /api/2.0/mlflow/experiments/search {"max_results": 1, "filter": "tags.k = 'v'"}"#,
        ],
        &expect![[r#"
            200 {"experiment":{"experiment_id":"0","name":"Default","artifact_location":"mlflow-artifacts:/0","lifecycle_stage":"active","last_update_time":<time>,"creation_time":<time>,"workspace":"ws"}}
            200 {"experiment_id":"2"}
            400 {"error_code":"RESOURCE_ALREADY_EXISTS","message":"Experiment(name=a) already exists."}
            200 {"experiment_id":"4"}
            400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Missing value for required parameter 'name'. See the API docs for more information about request parameters."}
            404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Could not find experiment with name 'b'"}
            400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid experiment ID 'x'. Experiment ID must be a valid integer."}
            400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer."}
            200 {"experiments":[{"experiment_id":"2","name":"a","artifact_location":"mlflow-artifacts:/2","lifecycle_stage":"active","last_update_time":<time>,"creation_time":<time>,"tags":[{"key":"k","value":"v"}],"workspace":"ws"}]}
        "#]],
    );
}

#[test]
fn fields_come_in_every_form_that_clients_send() {
    let aml = server();
    let run = new_run(&aml);
    let lines = [
        r#"POST /api/2.0/mlflow/runs/log-metric {"run_uuid": "RUN", "key": "m", "value": "NaN", "timestamp": "5"}"#,
        r#"POST /api/2.0/mlflow/runs/log-metric {"runId": "RUN", "key": "n", "value": 1, "timestamp": 6, "step": 2, "unknown": 1}"#,
        r#"POST /api/2.0/mlflow/runs/log-metric {"run_id": "RUN", "key": "m", "value": NaN, "timestamp": 5}"#,
        r#"POST /api/2.0/mlflow/runs/log-metric {"run_id": "RUN", "key": "m", "value": "one", "timestamp": 5}"#,
        r#"POST /api/2.0/mlflow/runs/log-metric {"run_id": "RUN", "key": "m", "value": 1}"#,
        r#"POST /api/2.0/mlflow/runs/log-batch {"run_id": "RUN", "params": [{"key": "p", "value": "1"}, {"key": "p", "value": "1"}]}"#,
        r#"POST /api/2.0/mlflow/runs/set-tag {"run_id": "RUN", "key": "../a", "value": "b"}"#,
        "GET /api/2.0/mlflow/metrics/get-history?run_id=RUN&metric_key=m",
        "GET /api/2.0/mlflow/metrics/get-history?run_id=RUN&metric_key=none",
        "GET /api/2.0/mlflow/metrics/get-history?run_id=RUN&metric_key=m&max_results=0",
        r#"POST /api/2.0/mlflow/runs/search {"experiment_ids": ["0"], "filter": "metrics.n = 1", "max_results": "1"}"#,
        r#"POST /api/2.0/mlflow/runs/search {"experiment_ids": ["0"], "max_results": 50001}"#,
        r#"POST /api/2.0/mlflow/runs/delete {"run_id": "RUN"}"#,
        r#"POST /api/2.0/mlflow/runs/log-parameter {"run_id": "RUN", "key": "p", "value": "1"}"#,
    ];
    check(
        &aml,
        &run,
        &lines,
        &expect![[r#"
        200 {}
        200 {}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"The body is not valid JSON: expected value at line 1 column 69"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value \"one\" for parameter 'value' supplied:  Hint: Value was of type 'str'. See the API docs for more information about request parameters."}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Missing value for required parameter 'timestamp'. See the API docs for more information about request parameters."}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Duplicate parameter keys have been submitted: ['p']. Please ensure the request contains only one param value per param key."}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value \"../a\" for parameter 'key' supplied: Names may be treated as files in certain cases, and must not resolve to other names when treated as such. This name would resolve to '../a'"}
        200 {"metrics":[{"key":"m","value":"NaN","timestamp":5,"step":0}]}
        200 {}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer."}
        200 {"runs":[{"info":{"run_uuid":"<id>","experiment_id":"0","run_name":"r","user_id":"owner","status":"RUNNING","start_time":<time>,"artifact_uri":"mlflow-artifacts:/0/<id>/artifacts","lifecycle_stage":"active","run_id":"<id>"},"data":{"metrics":[{"key":"m","value":"NaN","timestamp":5,"step":0},{"key":"n","value":1.0,"timestamp":6,"step":2}],"tags":[{"key":"mlflow.runName","value":"r"}]},"inputs":{},"outputs":{}}]}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value 50001 for parameter 'max_results' supplied. It must be at most 50000, but got value 50001."}
        200 {}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"The run <id> must be in the 'active' state. Current state is deleted."}
    "#]],
    );
}

#[test]
fn files_are_kept_whole_and_in_their_place() {
    let aml = server();
    let run = new_run(&aml);
    let lines = [
        "PUT /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/a/b.txt hello",
        "GET /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/a/b.txt",
        "GET /api/2.0/mlflow-artifacts/artifacts?path=0/RUN/artifacts",
        "GET /api/2.0/mlflow-artifacts/artifacts?path=0/RUN/artifacts/a",
        "GET /api/2.0/mlflow-artifacts/artifacts?path=0/RUN/artifacts/none",
        "GET /api/2.0/mlflow/artifacts/list?run_id=RUN&path=a",
        "GET /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/a",
        "PUT /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/%2e%2e/x hello",
        "PUT /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/%252e%252e/x hello",
        "GET /api/2.0/mlflow/artifacts/list?run_id=RUN&path=../a",
        "PUT /api/2.0/mlflow-artifacts/artifacts/elsewhere hello",
        "PUT /api/2.0/mlflow-artifacts/artifacts/0/0123/artifacts/x hello",
        "DELETE /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/a",
        "DELETE /api/2.0/mlflow-artifacts/artifacts/0/RUN/artifacts/a",
        r#"POST /api/2.0/mlflow-artifacts/mpu/create/0/RUN/artifacts {"path": "x", "num_parts": 10001}"#,
        r#"POST /api/2.0/mlflow-artifacts/mpu/create/0/RUN/artifacts/%252e%252e {"path": "x"}"#,
    ];
    check(
        &aml,
        &run,
        &lines,
        &expect![[r#"
        200 
        200 hello
        200 {"files":[{"path":"a","is_dir":true}]}
        200 {"files":[{"path":"b.txt","is_dir":false,"file_size":5}]}
        200 {}
        200 {"root_uri":"mlflow-artifacts:/0/<id>/artifacts","files":[{"path":"a/b.txt","is_dir":false,"file_size":5}]}
        404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Run `<id>` has no artifact `a`\nHint: It is a folder; it has `a/b.txt`"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid path"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid path"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid path"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Artifacts belong to a run, a logged model or a trace, and `elsewhere` is of none"}
        404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No run `0123` in `ws`\nHint: See which there are: aml run list"}
        200 {}
        200 {}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"A file comes in 1 to 10000 parts, not in 10001"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid path"}
    "#]],
    );
}

#[test]
fn a_workspace_is_in_the_address_or_is_the_only_one() {
    let aml = server();
    check(
        &aml,
        "",
        &[
            "GET /api/2.0/mlflow/experiments/get-by-name?experiment_name=x",
            "GET /ws/ws/api/2.0/mlflow/experiments/get-by-name?experiment_name=x",
            "GET /ws/wz/api/2.0/mlflow/experiments/get-by-name?experiment_name=x",
            "GET /ws/ws/version",
            "GET /api/2.0/mlflow/no-such-call",
        ],
        &expect![[r#"
            404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Could not find experiment with name 'x'"}
            404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"Could not find experiment with name 'x'"}
            404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No workspace `wz`\nHint: See which there are: aml workspace list"}
            200 3.17.2
            404 {"error_code":"ENDPOINT_NOT_FOUND","message":"There is no call GET /api/2.0/mlflow/no-such-call"}
        "#]],
    );
    let url = format!(
        "{}/api/2.0/mlflow/experiments/get?experiment_id=0",
        aml.url().expect("a server")
    );
    let (status, body) = http::send("GET", &url, &[("authorization", "Bearer wrong")], "");
    assert_eq!(status, 401);
    assert!(
        body.starts_with(r#"{"error_code":"UNAUTHENTICATED","message":"#),
        "{body}"
    );
    let url = url
        .replace("/api/", "/ws/ws/api/")
        .replace("get?", "search?");
    let (status, body) = http::send("POST", &url, &[], "{}");
    assert_eq!(status, 400);
    assert!(body.contains("Content-Type"), "{body}");
}
