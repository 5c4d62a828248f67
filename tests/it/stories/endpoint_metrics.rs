//! What is seen of endpoints: metrics over time, Prometheus, the access log.

use serde_json::{Value, json};

use crate::support::{
    Aml, components, each_mode, eventually,
    http::{post, send},
    kill_others,
};

const SCRIPT: &str = "import json\ndef init(): pass\ndef run(raw):\n    data = json.loads(raw)\n    \
                      if data == 'raise': raise ValueError('no')\n    return data\n";

fn deploy(aml: &Aml) -> String {
    aml.ok("workspace create -n Churn");
    aml.write("model/weight.txt", "42");
    aml.write("score.py", SCRIPT);
    aml.ok("model register -n echo --path model");
    let endpoint = aml.json("deploy echo:1 --name echo-ep --script score.py");
    endpoint["scoring_uri"]
        .as_str()
        .expect("an address")
        .to_owned()
}

fn total(aml: &Aml) -> Value {
    aml.json("endpoint metrics echo-ep --query deployments[0].total")
}

#[test]
fn what_was_asked_is_counted_timed_and_outlives_the_host() {
    each_mode(|aml| {
        aml.share_environments();
        let url = deploy(aml);
        let key = aml.json("endpoint keys echo-ep --query primary");
        let key = key.as_str().expect("a key");
        for _ in 0..3 {
            assert_eq!(post(&url, key, "[1]").0, 200);
        }
        assert_eq!(post(&url, key, "\"raise\"").0, 500);
        assert_eq!(post(&url, "wrong", "[1]").0, 401);
        let statuses = json!({"200": 3, "500": 1});
        let seen = eventually("the requests are told of", 20, || {
            Some(total(aml)).filter(|total| total["requests"] == 4)
        });
        assert_eq!((&seen["errors"], &seen["statuses"]), (&json!(1), &statuses));
        let ms = |key: &str| seen[key].as_f64().expect("a time");
        assert!(0.0 < ms("p50_ms") && ms("p50_ms") <= ms("p99_ms"));
        assert!(ms("p99_ms") <= ms("max_ms"));
        eventually("the processes are looked at", 30, || {
            let total = total(aml);
            let memory = total["memory"].as_u64().expect("bytes");
            (memory > 10 << 20 && total["instances"] == 1).then_some(())
        });
        let shown = aml.ok("endpoint metrics echo-ep --since 30m -o table");
        assert!(shown.contains("200: 3, 500: 1"), "{shown}");
        assert!(shown.contains("default: requests per second"), "{shown}");
        let error = aml.fails(2, "endpoint metrics echo-ep --since soon");
        assert!(error.contains("such as 90s, 10m, 2h, 1d"), "{error}");
        let error = aml.fails(3, "endpoint metrics echo-ep -d other");
        assert!(error.contains("No deployment `other`"), "{error}");

        // Killed, the host takes nothing along that was told.
        let hosts = aml.processes().into_iter();
        for (pid, _) in hosts.filter(|(_, line)| line.contains("endpoint-host")) {
            kill_others(&[pid]);
        }
        assert_eq!(total(aml)["statuses"], statuses);
        aml.ok("endpoint start echo-ep");
        assert_eq!(post(&url, key, "[1]").0, 200);
        // Told of at the latest when it stops.
        aml.ok("endpoint stop echo-ep");
        assert_eq!(total(aml)["statuses"]["200"], 4);
    });
}

#[test]
fn a_score_that_waits_for_an_endpoint_is_refused_once_at_most() {
    each_mode(|aml| {
        aml.share_environments();
        aml.ok("workspace create -n Churn");
        aml.write("model/weight.txt", "42");
        let slow = "import time\ndef init(): time.sleep(2)\ndef run(raw): return raw\n";
        aml.write("score.py", slow);
        aml.ok("model register -n echo --path model");
        aml.ok("deploy echo:1 --name echo-ep --script score.py");
        aml.ok("endpoint stop echo-ep");
        aml.ok("endpoint start echo-ep --no-wait");
        let mut scores = 0;
        eventually("a score has waited long enough", 60, || {
            scores += 1;
            let score = aml.run(["endpoint", "score", "echo-ep", "--data", "1"]);
            (score.status == 0).then_some(())
        });
        aml.ok("endpoint stop echo-ep");
        let statuses = &total(aml)["statuses"];
        assert_eq!(statuses["200"], 1);
        let refused = statuses["503"].as_u64().unwrap_or(0);
        assert!(refused <= scores, "{statuses} of {scores}");
    });
}

/// Two families as Prometheus' own client reads them; it is strict.
const PARSE: &str = "
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = {f.name: f for f in text_string_to_metric_families(open('metrics.txt').read())}
assert families['aml_endpoint_request_duration_seconds'].type == 'histogram'
names = ['aml_endpoint_requests', 'aml_endpoint_up']
json.dump([[n, int(sum(s.value for s in families[n].samples))] for n in names], sys.stdout)
";

fn parsed(aml: &Aml, text: &str) -> Value {
    let python = components::python_with(&["prometheus-client"]).expect("the package can be had");
    aml.write("metrics.txt", text);
    aml.write("parse.py", PARSE);
    let mut command = aml.program(python.join("python"));
    command.arg("parse.py");
    serde_json::from_str(&aml.finish(command).ok()).expect("JSON")
}

#[test]
fn prometheus_is_told_the_same_by_endpoint_and_server() {
    each_mode(|aml| {
        aml.share_environments();
        let url = deploy(aml);
        let key = aml.json("endpoint keys echo-ep --query primary");
        let key = format!("Bearer {}", key.as_str().expect("a key"));
        assert_eq!(send("POST", &url, &[("authorization", &key)], "[1]").0, 200);
        let metrics = url.replace("/score", "/metrics");
        assert_eq!(send("GET", &metrics, &[], "").0, 401);
        let line = "aml_endpoint_requests_total{workspace=\"Churn\",endpoint=\"echo-ep\",\
                    deployment=\"default\",status=\"200\"} 1\n";
        eventually("the request is told of", 20, || {
            let (status, text) = send("GET", &metrics, &[("authorization", &key)], "");
            assert_eq!(status, 200, "{text}");
            text.contains(line).then_some(())
        });
        let (_, text) = send("GET", &metrics, &[("authorization", &key)], "");
        assert_eq!(
            parsed(aml, &text),
            json!([["aml_endpoint_requests", 1], ["aml_endpoint_up", 1]])
        );
        let Some(server) = aml.url() else {
            return;
        };
        let metrics = format!("{server}/metrics");
        let (status, text) = send("GET", &metrics, &[], "");
        assert_eq!(status, 200, "{text}");
        assert!(text.contains(line), "{text}");
        assert!(
            text.contains("aml_endpoint_up{workspace=\"Churn\""),
            "{text}"
        );
        let (status, _) = send("GET", &format!("{metrics}?workspace=other"), &[], "");
        assert_eq!(status, 404);
        // Once there are users it takes one, who sees what he may read.
        let token = |name: &str| {
            let words = ["user", "create", name, "--query", "token", "-o", "tsv"];
            aml.with("AML_PROFILE", "local")
                .with("AML_HOME", aml.state())
                .ok(words)
        };
        let root = format!("Bearer {}", token("root").trim());
        let ann = format!("Bearer {}", token("ann").trim());
        assert_eq!(send("GET", &metrics, &[], "").0, 401);
        let asked = |token: &str| send("GET", &metrics, &[("authorization", token)], "");
        assert!(asked(&root).1.contains(line));
        let (status, text) = asked(&ann);
        assert_eq!(status, 200, "{text}");
        assert!(!text.contains("echo-ep"), "{text}");
    });
}

#[test]
fn a_request_has_one_id_everywhere() {
    each_mode(|aml| {
        aml.share_environments();
        let url = deploy(aml);
        let key = aml.json("endpoint keys echo-ep --query primary");
        let key = format!("Bearer {}", key.as_str().expect("a key"));
        for (name, id) in [
            ("x-request-id", "first-id"),
            ("x-ms-request-id", "second-id"),
            ("x-ms-client-request-id", "third-id"),
        ] {
            let headers = [("authorization", key.as_str()), (name, id)];
            assert_eq!(send("POST", &url, &headers, "\"raise\"").0, 500);
        }
        let log = aml.ok("endpoint logs echo-ep");
        for id in ["first-id", "second-id", "third-id"] {
            // What the script raised, and the front's own line.
            assert_eq!(log.matches(id).count(), 2, "{id} in {log}");
        }
        let lines = eventually("the access log is written", 10, || {
            let text = aml.ok("endpoint logs echo-ep --access");
            (text.lines().count() >= 3).then_some(text)
        });
        let last: Value =
            serde_json::from_str(lines.lines().last().expect("a line")).expect("JSON");
        assert_eq!(last["request_id"], "third-id");
        assert_eq!(
            (&last["deployment"], &last["status"]),
            (&json!("default"), &json!(500))
        );
        assert_eq!(last["request_bytes"], 7);
    });
}
