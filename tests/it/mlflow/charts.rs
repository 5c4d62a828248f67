//! What charts and pages ask for that no training script does.

use expect_test::expect;

use super::calls::{check, new_run, server};

#[test]
fn histories_and_datasets_of_several_runs() {
    let aml = server();
    let run = new_run(&aml);
    let lines = [
        r#"POST /api/2.0/mlflow/runs/log-batch {"run_id": "RUN", "metrics": [{"key": "m", "value": 1, "timestamp": 5, "step": 0}, {"key": "m", "value": 2, "timestamp": 5, "step": 1}, {"key": "m", "value": "NaN", "timestamp": 5, "step": 2}]}"#,
        "GET /ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=RUN&metric_key=m&max_results=2",
        "GET /ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=none&metric_key=m",
        "GET /ajax-api/2.0/mlflow/metrics/get-history-bulk?metric_key=m",
        "GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=RUN&run_ids=none&metric_key=m&start_step=1&end_step=9",
        "GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=RUN&metric_key=m&start_step=1",
        "GET /ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids=RUN&metric_key=m&max_results=2501",
        r#"POST /api/2.0/mlflow/runs/log-inputs {"run_id": "RUN", "datasets": [{"tags": [{"key": "mlflow.data.context", "value": "train"}], "dataset": {"name": "d", "digest": "1", "source_type": "s", "source": "x"}}]}"#,
        r#"POST /ajax-api/2.0/mlflow/experiments/search-datasets {"experiment_ids": ["0", "99"]}"#,
        r#"POST /ajax-api/2.0/mlflow/experiments/search-datasets {"experiment_ids": []}"#,
    ];
    check(
        &aml,
        &run,
        &lines,
        &expect![[r#"
        200 {}
        200 {"metrics":[{"key":"m","value":1.0,"timestamp":5,"step":0,"run_id":"<id>"},{"key":"m","value":2.0,"timestamp":5,"step":1,"run_id":"<id>"}]}
        200 {"metrics":[]}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"GetMetricHistoryBulk request must specify at least one run_id."}
        200 {"metrics":[{"key":"m","value":2.0,"timestamp":5,"step":1,"run_id":"<id>"},{"key":"m","value":"NaN","timestamp":5,"step":2,"run_id":"<id>"}]}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"If either start step or end step are specified, both must be specified."}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"max_results must be between 1 and 2500."}
        200 {}
        200 {"dataset_summaries":[{"experiment_id":"0","name":"d","digest":"1","context":"train"}]}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"SearchDatasets request must specify at least one experiment_id."}
    "#]],
    );
}

#[test]
fn what_only_pages_need() {
    let aml = server();
    let run = new_run(&aml);
    let lines = [
        "POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid=RUN&path=a.txt hello",
        "GET /get-artifact?run_uuid=RUN&path=a.txt",
        "GET //get-artifact?run_uuid=RUN&path=a.txt",
        "POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid=RUN hello",
        "GET /ajax-api/2.0/mlflow/gateway-proxy?gateway_path=api/2.0/endpoints",
        r#"POST /ajax-api/2.0/mlflow/gateway-proxy {"gateway_path": "gateway/gpt/invocations"}"#,
        r#"POST /ajax-api/2.0/mlflow/gateway-proxy {"gateway_path": "elsewhere"}"#,
        "DELETE /ajax-api/2.0/mlflow/gateway-proxy",
        r#"POST /ajax-api/2.0/mlflow/runs/create-promptlab-run {"experiment_id": "0"}"#,
    ];
    check(
        &aml,
        &run,
        &lines,
        &expect![[r#"
        200 {}
        200 hello
        308 
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Request must specify path."}
        200 {"endpoints":[]}
        404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"There is no gateway endpoint `gpt`: this server has no gateway"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid gateway_path: elsewhere for method: POST"}
        405 {"error_code":"ENDPOINT_NOT_FOUND","message":"There is no call DELETE /ajax-api/2.0/mlflow/gateway-proxy, but one with another method"}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"CreatePromptlabRun request must specify prompt_template."}
    "#]],
    );
}

#[test]
fn a_trial_of_a_prompt_is_a_run_with_a_table() {
    let aml = server();
    let trial = r#"POST /ajax-api/2.0/mlflow/runs/create-promptlab-run {"experiment_id": "0", "run_name": "t", "prompt_template": "say {{x}}", "prompt_parameters": [{"key": "x", "value": "hi"}], "model_route": "gpt", "model_parameters": [{"key": "temperature", "value": "0.1"}], "model_input": "say hi", "model_output": "hi", "mlflow_version": "3", "start_time": 456}"#;
    check(
        &aml,
        "",
        &[trial],
        &expect![[r#"
        200 {"run":{"info":{"run_uuid":"<id>","experiment_id":"0","run_name":"t","user_id":"unknown","status":"FINISHED","start_time":456,"end_time":<time>,"artifact_uri":"mlflow-artifacts:/0/<id>/artifacts","lifecycle_stage":"active","run_id":"<id>"},"data":{"params":[{"key":"model_route","value":"gpt"},{"key":"prompt_template","value":"say {{x}}"},{"key":"temperature","value":"0.1"}],"tags":[{"key":"mlflow.loggedArtifacts","value":"[{\"path\": \"eval_results_table.json\", \"type\": \"table\"}]"},{"key":"mlflow.runName","value":"t"},{"key":"mlflow.runSourceType","value":"PROMPT_ENGINEERING"}]},"inputs":{},"outputs":{}}}
    "#]],
    );
    let run = aml.json(["run", "list", "--query", "[0].name"]);
    let run = run.as_str().expect("a name");
    let table = [format!(
        "GET /get-artifact?run_id={run}&path=eval_results_table.json"
    )];
    let table: Vec<&str> = table.iter().map(String::as_str).collect();
    check(
        &aml,
        run,
        &table,
        &expect![[r#"
        200 {"columns":["x","prompt","output"],"data":[["hi","say hi","hi"]]}
    "#]],
    );
}
