//! Which workspace a client is in, and how clients manage workspaces.

use expect_test::expect;

use super::calls::{check, send};
use crate::support::{Aml, http};

const DEFAULT_EXPERIMENT: &str = "/api/2.0/mlflow/experiments/get?experiment_id=0";

/// The status and the workspace, or message, that a client with this header is answered.
fn asked(aml: &Aml, prefix: &str, header: &str) -> String {
    let url = format!(
        "{}{prefix}{DEFAULT_EXPERIMENT}",
        aml.url().expect("a server")
    );
    let headers: &[_] = match header {
        "" => &[],
        name => &[("x-mlflow-workspace", name)],
    };
    let (status, body) = http::send("GET", &url, headers, "");
    let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let told = match &body["message"] {
        serde_json::Value::String(message) => message,
        _ => body["experiment"]["workspace"].as_str().expect("a name"),
    };
    format!(
        "{status} {}",
        told.replace(aml.url().expect("a server"), "URL")
    )
}

#[test]
fn a_server_without_workspaces_gets_one_for_its_first_client() {
    let aml = Aml::remote();
    assert_eq!(aml.json("workspace list"), serde_json::json!([]));
    assert_eq!(asked(&aml, "", ""), "200 default");
    assert_eq!(
        aml.json("workspace list --query '[].name'"),
        serde_json::json!(["default"])
    );
    aml.ok("workspace create -n Churn");
    assert_eq!(asked(&aml, "", ""), "200 default");
    assert_eq!(asked(&aml, "", "churn"), "200 churn");
    assert_eq!(asked(&aml, "/ws/churn", ""), "200 churn");
    assert_eq!(asked(&aml, "/ws/churn", "Churn"), "200 churn");
    assert_eq!(
        asked(&aml, "/ws/churn", "default"),
        "400 The tracking URI names the workspace `churn` and X-MLFLOW-WORKSPACE the workspace \
         `default`; leave one of them out"
    );
}

#[test]
fn the_root_is_the_only_workspace_or_the_one_named_default() {
    let aml = Aml::remote();
    aml.ok("workspace create -n Churn");
    assert_eq!(asked(&aml, "", ""), "200 churn");
    assert_eq!(
        asked(&aml, "", "default"),
        "404 No workspace `default`\\nHint: See which there are: aml workspace list"
            .replace("\\n", "\n")
    );
    aml.ok("workspace create -n second");
    assert_eq!(
        asked(&aml, "", ""),
        "400 This server has several workspaces; name one in the tracking URI: URL/ws/churn"
    );
    aml.ok("workspace create -n Default");
    assert_eq!(asked(&aml, "", ""), "200 default");
    assert_eq!(asked(&aml, "", "default"), "200 default");
}

#[test]
fn who_has_no_role_gets_no_workspace() {
    let aml = Aml::remote();
    let token = aml.json("user create ann --query token");
    let aml = aml.with("AML_TOKEN", token.as_str().expect("a token"));
    let token = aml.json("user create bob --query token");
    let token = format!("Bearer {}", token.as_str().expect("a token"));
    let url = format!("{}{DEFAULT_EXPERIMENT}", aml.url().expect("a server"));
    let (status, body) = http::send("GET", &url, &[("authorization", &token)], "");
    assert_eq!(status, 403);
    assert!(
        body.contains("aml workspace share add -n WORKSPACE --user bob"),
        "{body}"
    );
    assert_eq!(aml.json("workspace list"), serde_json::json!([]));
}

#[test]
fn clients_manage_workspaces() {
    let aml = Aml::remote();
    aml.ok("workspace create -n Churn --description Leavers");
    check(
        &aml,
        "",
        &[
            "GET /api/3.0/mlflow/workspaces",
            r#"POST /api/3.0/mlflow/workspaces {"name": "team-a", "description": "A"}"#,
            r#"POST /api/3.0/mlflow/workspaces {"name": "team-a"}"#,
            r#"POST /api/3.0/mlflow/workspaces {"name": "team-b", "default_artifact_root": "s3://b"}"#,
            r#"PATCH /ajax-api/3.0/mlflow/workspaces/team-a {"description": "B"}"#,
            "GET /api/3.0/mlflow/workspaces/team-a",
            "GET /api/3.0/mlflow/workspaces/team-b",
            r#"POST /ws/team-a/api/2.0/mlflow/experiments/create {"name": "e"}"#,
            "DELETE /api/3.0/mlflow/workspaces/team-a",
            "DELETE /api/3.0/mlflow/workspaces/team-a?mode=SET_DEFAULT",
            "DELETE /api/3.0/mlflow/workspaces/team-a?mode=CASCADE",
            "DELETE /api/3.0/mlflow/workspaces/churn",
            "GET /api/3.0/mlflow/workspaces",
        ],
        &expect![[r#"
            200 {"workspaces":[{"name":"churn","description":"Leavers"}]}
            201 {"workspace":{"name":"team-a","description":"A"}}
            400 {"error_code":"RESOURCE_ALREADY_EXISTS","message":"Workspace 'team-a' already exists."}
            400 {"error_code":"INVALID_PARAMETER_VALUE","message":"The files of a workspace are kept by this server and cannot be kept at 's3://b'; an experiment can have an artifact location of its own"}
            200 {"workspace":{"name":"team-a","description":"B"}}
            200 {"workspace":{"name":"team-a","description":"B"}}
            404 {"error_code":"RESOURCE_DOES_NOT_EXIST","message":"No workspace `team-b`\nHint: Did you mean `team-a`?"}
            200 {"experiment_id":"1"}
            400 {"error_code":"INVALID_PARAMETER_VALUE","message":"The workspace is not empty: it has experiments (1); remove that first or delete it along with mode CASCADE"}
            400 {"error_code":"INVALID_PARAMETER_VALUE","message":"What a workspace holds cannot be moved to another one; delete it along with mode CASCADE"}
            204 
            204 
            200 {}
        "#]],
    );
    let (_, info) = send(&aml, "GET", "/api/3.0/mlflow/server-info", "");
    assert!(info.contains(r#""workspaces_enabled":true"#), "{info}");
}
