//! Bodies that no client sends: whatever they hold, the answer says what is wrong, and is none of the
//! server's errors.

use super::calls::{new_run, send, server};

const CALLS: [&str; 34] = [
    "2.0/mlflow/experiments/create",
    "2.0/mlflow/experiments/search",
    "2.0/mlflow/experiments/update",
    "2.0/mlflow/experiments/delete",
    "2.0/mlflow/experiments/set-experiment-tag",
    "2.0/mlflow/experiments/search-datasets",
    "2.0/mlflow/runs/create",
    "2.0/mlflow/runs/update",
    "2.0/mlflow/runs/delete",
    "2.0/mlflow/runs/search",
    "2.0/mlflow/runs/log-metric",
    "2.0/mlflow/runs/log-parameter",
    "2.0/mlflow/runs/log-batch",
    "2.0/mlflow/runs/set-tag",
    "2.0/mlflow/runs/delete-tag",
    "2.0/mlflow/runs/log-inputs",
    "2.0/mlflow/runs/outputs",
    "2.0/mlflow/runs/log-model",
    "2.0/mlflow/logged-models",
    "2.0/mlflow/logged-models/search",
    "2.0/mlflow/logged-models/m-1/params",
    "2.0/mlflow/artifacts/presigned-upload-url",
    "2.0/mlflow/registered-models/create",
    "2.0/mlflow/registered-models/rename",
    "2.0/mlflow/registered-models/alias",
    "2.0/mlflow/model-versions/create",
    "2.0/mlflow/model-versions/transition-stage",
    "2.0/mlflow/webhooks",
    "2.0/mlflow-artifacts/mpu/create/0/RUN/artifacts",
    "2.0/mlflow-artifacts/mpu/complete/0/RUN/artifacts",
    "3.0/mlflow/traces",
    "3.0/mlflow/traces/search",
    "3.0/mlflow/traces/delete-traces",
    "3.0/mlflow/traces/metrics",
];

/// Fields that the calls read, so that each gets something under a name that it knows.
const FIELDS: [&str; 26] = [
    "run_id",
    "experiment_id",
    "experiment_ids",
    "name",
    "key",
    "value",
    "timestamp",
    "step",
    "metrics",
    "params",
    "tags",
    "datasets",
    "models",
    "max_results",
    "filter",
    "order_by",
    "page_token",
    "status",
    "source",
    "version",
    "path",
    "parts",
    "upload_id",
    "trace",
    "locations",
    "model_json",
];

fn bodies(run: &str) -> Vec<String> {
    let odd = [
        "null",
        "true",
        "-1",
        "1e308",
        "9223372036854775808",
        "\"\"",
        "\"x\"",
        "[]",
        "{}",
        "[null]",
        "[[[]]]",
        "[{\"key\": {}}]",
        "[{\"key\": \"a\", \"value\": []}]",
        "{\"a\": {\"b\": 1}}",
        "\"\\u0000\"",
        "\"\\ud83d\\ude00 ' OR 1=1 --\"",
        "\"../../etc\"",
    ];
    let mut all: Vec<String> = odd
        .iter()
        .map(|value| {
            let fields = FIELDS.map(|field| format!("\"{field}\": {value}"));
            format!("{{{}}}", fields.join(", "))
        })
        .collect();
    // Everything right but one field.
    for field in FIELDS {
        for value in ["-1", "[1]", "{}", "\"\\u0000\""] {
            all.push(format!(
                "{{\"run_id\": \"{run}\", \"experiment_id\": \"0\", \"experiment_ids\": [\"0\"], \
                 \"max_results\": 5, \"{field}\": {value}}}"
            ));
        }
    }
    all.push(format!(
        "{{\"run_id\": {}1{}}}",
        "[".repeat(50_000),
        "]".repeat(50_000)
    ));
    all.push(format!(
        "{}{}",
        "{\"a\":".repeat(50_000),
        "}".repeat(50_000)
    ));
    all.push(format!("{{\"{}\": 1}}", "k".repeat(1 << 20)));
    all.extend(["", "{", "[]", "\"{}\"", "NaN", "\u{feff}{}"].map(str::to_owned));
    all
}

#[test]
fn no_body_is_an_error_of_the_server() {
    let aml = server();
    let run = new_run(&aml);
    for call in CALLS {
        let path = format!("/api/{}", call.replace("RUN", &run));
        for body in bodies(&run) {
            let (status, answer) = send(&aml, "POST", &path, &body);
            let shown: String = body.chars().take(200).collect();
            assert!(status < 500, "{path} {shown}: {status} {answer}");
        }
    }
    let (status, _) = send(&aml, "GET", "/health", "");
    assert_eq!(status, 200);
}
