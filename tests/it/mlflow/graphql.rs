//! What MLflow's pages ask in GraphQL.

use expect_test::expect;

use super::calls::{check, new_run, server};

#[test]
fn pages_ask_in_graphql() {
    let aml = server();
    let run = new_run(&aml);
    let lines = [
        r#"POST /api/2.0/mlflow/runs/log-batch {"run_id": "RUN", "metrics": [{"key": "a", "value": "NaN", "timestamp": 5}, {"key": "b", "value": "-Infinity", "timestamp": 6, "step": 2}]}"#,
        "POST /ajax-api/2.0/mlflow/upload-artifact?run_uuid=RUN&path=d/a.txt hello",
        r#"POST /api/2.0/mlflow/registered-models/create {"name": "m"}"#,
        r#"POST /api/2.0/mlflow/model-versions/create {"name": "m", "source": "runs:/RUN/d", "run_id": "RUN"}"#,
        r#"POST /graphql {"query": "query ($r: String!) { mlflowGetRun(input: {runId: $r}) { run { info { runId status endTime } data { metrics { key value step } params { key } } experiment { name } modelVersions { name version status source } outputs { modelOutputs { modelId } } __typename } apiError { code } } }", "variables": {"r": "RUN"}}"#,
        r#"POST /ws/ws/graphql {"query": "mutation M { mlflowSearchRuns(input: {experimentIds: \"0\", runViewType: ACTIVE_ONLY, maxResults: 5}) { runs { info { runName } experiment { experimentId } modelVersions { version } } nextPageToken } }"}"#,
        r#"POST /graphql {"query": "{ top: mlflowListArtifacts(input: {runId: \"RUN\"}) { files { path isDir fileSize } } below: mlflowListArtifacts(input: {runUuid: \"RUN\", path: \"d\"}) { files { path isDir fileSize } } }"}"#,
        r#"POST /graphql {"query": "{ mlflowGetMetricHistoryBulkInterval(input: {runIds: [\"RUN\"], metricKey: \"b\"}) { metrics { runId value timestamp } } mlflowSearchModelVersions(input: {filter: \"name = 'm'\", maxResults: 10}) { modelVersions { name aliases creationTimestamp } } }"}"#,
        r#"POST /graphql {"query": "{ mlflowGetExperiment(input: {experimentId: \"99\"}) { experiment { name } } test(inputString: \"x\") { output } }"}"#,
        r#"POST /graphql {"query": "{ mlflowGetRun { run { nothing } } }"}"#,
        r#"POST /graphql {"query": "{"}"#,
        r#"POST /graphql {"query": 5}"#,
        r#"POST /graphql {"query": "{ __typename }", "variables": [1]}"#,
        "GET /graphql?query=%7B__typename%7D",
    ];
    check(
        &aml,
        &run,
        &lines,
        &expect![[r#"
        200 {}
        200 {}
        200 {"registered_model":{"name":"m","creation_timestamp":<time>,"last_updated_timestamp":<time>}}
        200 {"model_version":{"name":"m","version":"1","creation_timestamp":<time>,"last_updated_timestamp":<time>,"user_id":"owner","current_stage":"None","description":"","source":"runs:/<id>/d","run_id":"<id>","status":"READY","run_link":""}}
        200 {"data":{"mlflowGetRun":{"run":{"info":{"runId":"<id>","status":"RUNNING","endTime":"0"},"data":{"metrics":[{"key":"a","value":null,"step":"0"},{"key":"b","value":-1.7976931348623157e+308,"step":"2"}],"params":[]},"experiment":{"name":"Default"},"modelVersions":[{"name":"m","version":"1","status":"READY","source":"runs:/<id>/d"}],"outputs":{"modelOutputs":[]},"__typename":"MlflowRunExtension"},"apiError":null}},"errors":null}
        200 {"data":{"mlflowSearchRuns":{"runs":[{"info":{"runName":"r"},"experiment":{"experimentId":"0"},"modelVersions":[{"version":"1"}]}],"nextPageToken":""}},"errors":null}
        200 {"data":{"top":{"files":[{"path":"d","isDir":true,"fileSize":"0"}]},"below":{"files":[{"path":"d/a.txt","isDir":false,"fileSize":"5"}]}},"errors":null}
        200 {"data":{"mlflowGetMetricHistoryBulkInterval":{"metrics":[{"runId":"<id>","value":-1.7976931348623157e+308,"timestamp":"6"}]},"mlflowSearchModelVersions":{"modelVersions":[{"name":"m","aliases":[],"creationTimestamp":"<time>"}]}},"errors":null}
        200 {"data":{"mlflowGetExperiment":null,"test":{"output":"x"}},"errors":["No Experiment with id=99 exists"]}
        200 {"data":null,"errors":["Cannot query field \"nothing\" on type \"MlflowRunExtension\"."]}
        200 {"data":null,"errors":["Syntax Error: query parse error: Parse error at 1:2 Unexpected end of input Expected Name"]}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"Invalid value 5 for parameter 'query' supplied:  Hint: Value was of type 'int'. See the API docs for more information about request parameters."}
        400 {"error_code":"INVALID_PARAMETER_VALUE","message":"The variables of a GraphQL query are a JSON object"}
        200 {"data":{"__typename":"Query"},"errors":null}
    "#]],
    );
}
