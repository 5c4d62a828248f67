//! Who a client is let in as, by token or by name and password, and what it may do there.

use expect_test::{Expect, expect};

use super::{CLIENT_2, CLIENT_3, LIBRARIES};
use crate::support::{Aml, components, http};

/// A server with users, a workspace and a run in it; what admins do, and the run.
fn server(program_folder: &std::path::Path) -> (Aml, String) {
    let aml = Aml::remote();
    let path = format!("{}:{}", program_folder.display(), components::path());
    let aml = aml.with("PATH", path).within_seconds(300);
    let token = aml.json("user create root --admin --query token");
    let admin = aml.with("AML_TOKEN", token.as_str().expect("a token"));
    admin.ok("workspace create -n ws");
    let url = format!(
        "{}/ws/ws/api/2.0/mlflow/runs/create",
        admin.url().expect("a server")
    );
    let authorization = format!("Bearer {}", token.as_str().expect("a token"));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ];
    let (status, body) = http::send("POST", &url, &headers, r#"{"experiment_id": "0"}"#);
    assert_eq!(status, 200, "{body}");
    let run: serde_json::Value = serde_json::from_str(&body).expect("JSON");
    let run = run["run"]["info"]["run_id"].as_str().expect("an id");
    admin.write("client_roles.py", include_str!("client_roles.py"));
    (admin, run.to_owned())
}

fn said(aml: &Aml, role: &str, run: &str, expected: &Expect) {
    let mut command = aml.program("python");
    command.args(["client_roles.py", role, run]);
    let output = aml.finish(command);
    assert_eq!(output.status, 0, "{output}");
    // The client says by itself where runs can be viewed.
    let plain = |line: &&str| line.starts_with(|c: char| c.is_ascii_lowercase());
    let lines = output.stdout.lines().filter(plain);
    expected.assert_eq(&(lines.collect::<Vec<_>>().join("\n") + "\n"));
}

fn a_client_obeys_roles(client: &[&str]) {
    let packages = [client, &LIBRARIES].concat();
    let python = match components::python_with(&packages) {
        Ok(python) => python,
        Err(why) => return components::skipped(&why),
    };
    let (admin, run) = server(&python);
    let uri = format!("{}/ws/ws", admin.url().expect("a server"));
    let client = admin
        .with("MLFLOW_TRACKING_URI", uri)
        .with("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        .with("GIT_PYTHON_REFRESH", "quiet");
    let token = |user: &str, role: Option<&str>| {
        let token = admin.json(format!("user create {user} --query token"));
        if let Some(role) = role {
            admin.ok(format!(
                "workspace share add -n ws --user {user} --role {role}"
            ));
        }
        token.as_str().expect("a token").to_owned()
    };
    let all = expect![[r"
        read: yes
        search: yes
        write: yes
        register: yes
        delete: yes
        restore: yes
    "]];
    let scientist = token("ann", Some("data-scientist"));
    said(
        &client.with("MLFLOW_TRACKING_TOKEN", scientist.as_str()),
        "scientist",
        &run,
        &all,
    );
    let reader = token("bob", Some("reader"));
    let by_password = |user: &str, password: &str| {
        client
            .with("MLFLOW_TRACKING_USERNAME", user)
            .with("MLFLOW_TRACKING_PASSWORD", password)
    };
    said(
        &by_password("bob", &reader),
        "reader",
        &run,
        &expect![[r"
            read: yes
            search: yes
            write: PERMISSION_DENIED
            register: PERMISSION_DENIED
            delete: PERMISSION_DENIED
            restore: PERMISSION_DENIED
        "]],
    );
    let nobody = token("eve", None);
    said(
        &client.with("MLFLOW_TRACKING_TOKEN", nobody.as_str()),
        "nobody",
        &run,
        &expect![[r"
            read: RESOURCE_DOES_NOT_EXIST
            search: RESOURCE_DOES_NOT_EXIST
            write: RESOURCE_DOES_NOT_EXIST
            register: RESOURCE_DOES_NOT_EXIST
            delete: RESOURCE_DOES_NOT_EXIST
            restore: RESOURCE_DOES_NOT_EXIST
        "]],
    );
    let stranger = expect![[r"
        read: UNAUTHENTICATED
        search: UNAUTHENTICATED
        write: UNAUTHENTICATED
        register: UNAUTHENTICATED
        delete: UNAUTHENTICATED
        restore: UNAUTHENTICATED
    "]];
    // Somebody else's password, and none at all.
    said(&by_password("ann", &reader), "wrong", &run, &stranger);
    said(&client, "stranger", &run, &stranger);
    assert_eq!(
        admin.json("run list -e roles --query '[].params.by'"),
        serde_json::json!(["scientist"])
    );
}

#[test]
fn a_client_of_version_2_obeys_roles() {
    a_client_obeys_roles(&CLIENT_2);
}

#[test]
fn a_client_of_version_3_obeys_roles() {
    a_client_obeys_roles(&CLIENT_3);
}
