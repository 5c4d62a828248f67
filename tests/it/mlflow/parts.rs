//! Files in parts, and addresses that need no other credentials.

use serde_json::{Value, json};

use super::calls::server;
use crate::support::{Aml, http};

/// A server where everybody needs a token, and the headers of somebody who has one.
fn guarded() -> (Aml, String) {
    let aml = server();
    let made = aml.json("user create ann --query token");
    let token = made.as_str().expect("a token");
    (aml, format!("Bearer {token}"))
}

struct Client<'a> {
    url: String,
    authorization: &'a str,
}

impl Client<'_> {
    fn send(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let headers = [
            ("authorization", self.authorization),
            ("content-type", "application/json"),
        ];
        http::send(method, &format!("{}{path}", self.url), &headers, body)
    }

    fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.send(method, path, &body.to_string());
        assert_eq!(status, 200, "{path}: {answer}");
        serde_json::from_str(&answer).unwrap_or_default()
    }

    fn run(&self) -> String {
        let run = json!({"experiment_id": "0"});
        let made = self.ok("POST", "/api/2.0/mlflow/runs/create", &run);
        made["run"]["info"]["run_id"]
            .as_str()
            .expect("an id")
            .to_owned()
    }
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

#[test]
fn a_file_is_sent_in_parts_to_addresses_that_need_no_token() {
    let (aml, authorization) = guarded();
    let client = Client {
        url: aml.url().expect("a server").to_owned(),
        authorization: &authorization,
    };
    let run = client.run();
    let mpu = |what: &str| {
        format!("/api/2.0/mlflow-artifacts/mpu/{what}/0/{run}/artifacts/some%20folder")
    };
    let begin = json!({"path": "C:\\there\\big.bin", "num_parts": 2});
    let begun = client.ok("POST", &mpu("create"), &begin);
    let parts = begun["credentials"].as_array().expect("parts");
    assert_eq!(parts.len(), 2, "{begun}");
    for (part, content) in parts.iter().zip(["first ", "second"]) {
        let url = text(&part["url"]);
        assert_eq!(http::send("PUT", url, &[], content).0, 200);
        let other = url.replace("/parts/", "/artifacts/");
        let (status, answer) = http::send("PUT", &other, &[], content);
        assert_eq!(status, 403, "{answer}");
    }
    let complete = json!({
        "path": "big.bin", "upload_id": begun["upload_id"],
        "parts": [{"part_number": 2, "url": "x"}, {"part_number": 1, "etag": ""}],
    });
    let wrong =
        json!({"path": "big.bin", "upload_id": begun["upload_id"], "parts": [{"part_number": 2}]});
    let (status, answer) = client.send("POST", &mpu("complete"), &wrong.to_string());
    assert_eq!(status, 400, "{answer}");
    assert!(answer.contains("Part 1 is not named"), "{answer}");
    client.ok("POST", &mpu("complete"), &complete);
    let file = format!("0/{run}/artifacts/some%20folder/big.bin");
    let (_, whole) = client.send(
        "GET",
        &format!("/api/2.0/mlflow-artifacts/artifacts/{file}"),
        "",
    );
    assert_eq!(whole, "first second");
    let (status, _) = client.send("POST", &mpu("complete"), &complete.to_string());
    assert_eq!(status, 404);

    let read = client.ok(
        "GET",
        &format!("/api/2.0/mlflow-artifacts/presigned/{file}"),
        &Value::Null,
    );
    assert_eq!(read["file_size"], 12, "{read}");
    let url = text(&read["url"]);
    assert_eq!(
        http::send("GET", url, &[("range", "bytes=6-11")], ""),
        (206, "second".into())
    );
    let (status, _) = http::send("DELETE", url, &[], "");
    assert_eq!(status, 403);
    let (status, _) = http::send("GET", &url.replace("big.bin", "other"), &[], "");
    assert_eq!(status, 403);
    let bare = url.split('?').next().expect("an address");
    assert_eq!(http::send("GET", bare, &[], "").0, 401);
}

#[test]
fn an_address_to_write_is_signed_for_a_run_or_a_model() {
    let (aml, authorization) = guarded();
    let client = Client {
        url: aml.url().expect("a server").to_owned(),
        authorization: &authorization,
    };
    let run = client.run();
    let model = json!({"experiment_id": "0", "name": "m"});
    let model = client.ok("POST", "/api/2.0/mlflow/logged-models", &model);
    let model = text(&model["model"]["info"]["model_id"]);
    let sign = |what: &str| format!("/api/2.0/mlflow/artifacts/presigned-{what}-url");
    for owner in [json!({"run_id": run}), json!({"model_id": model})] {
        let mut asked = owner.clone();
        asked["path"] = "ü/a.txt".into();
        let (status, answer) = client.send("POST", &sign("download"), &asked.to_string());
        assert_eq!(status, 404, "{answer}");
        let write = client.ok("POST", &sign("upload"), &asked);
        let url = text(&write["presigned_url"]);
        assert_eq!(http::send("PUT", url, &[], "hello").0, 200);
        asked["expiration"] = 60.into();
        let read = client.ok("POST", &sign("download"), &asked);
        assert_eq!(read["file_size"], 5, "{read}");
        let url = text(&read["presigned_url"]);
        assert_eq!(http::send("GET", url, &[], ""), (200, "hello".into()));
        asked["expiration"] = 604_801.into();
        let (status, answer) = client.send("POST", &sign("upload"), &asked.to_string());
        assert_eq!(status, 400, "{answer}");
    }
    let both = json!({"run_id": run, "model_id": model, "path": "a"});
    let (status, answer) = client.send("POST", &sign("upload"), &both.to_string());
    assert_eq!(status, 400, "{answer}");
}
