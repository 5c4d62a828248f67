//! Endpoints: deployed for real, asked, stopped, deleted.

use std::{collections::BTreeSet, net::TcpListener, os::unix::fs::PermissionsExt};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::support::{Aml, each_mode, each_mode_with, eventually, http::post};

const ECHO: &str = r#"
import json, os

def init():
    global weight
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "weight.txt")) as file:
        weight = int(file.read())

def run(raw_data):
    data = json.loads(raw_data)["data"]
    if data == "raise":
        raise ValueError("no such row")
    return {"weight": weight, "data": data, "team": os.environ.get("TEAM")}
"#;

pub const BAD: &str = "def init():\n    raise RuntimeError('no weights')\ndef run(x): pass\n";

pub fn with_model(aml: &Aml) {
    aml.share_environments();
    aml.ok("workspace create -n Churn");
    aml.write("model/weight.txt", "42");
    aml.write("score.py", ECHO);
    aml.ok("model register -n echo --path model");
}

pub fn deploy(aml: &Aml) -> Value {
    aml.json("deploy echo:1 --name echo-ep --script score.py --env-var TEAM=blue")
}

pub fn state(aml: &Aml) -> String {
    let state = aml.json("endpoint show echo-ep --query state");
    state.as_str().expect("a state").to_owned()
}

pub fn score(aml: &Aml) -> Value {
    aml.json([
        "endpoint",
        "score",
        "echo-ep",
        "--data",
        r#"{"data": [1, 2]}"#,
    ])
}

/// Processes of endpoints: hosts, watchers and scoring servers.
pub fn hosts(aml: &Aml) -> Vec<(nix::unistd::Pid, String)> {
    let mut all = aml.processes();
    all.retain(|(_, line)| line.contains("endpoint-") || line.contains("serve.py"));
    all
}

#[test]
fn an_endpoint_answers_until_it_is_deleted() {
    each_mode(|aml| {
        with_model(aml);
        let endpoint = deploy(aml);
        assert_eq!(endpoint["state"], "healthy");
        assert_eq!(endpoint["deployments"][0]["load"]["instances"], 1);
        let own = hosts(aml).into_iter();
        for (pid, line) in own.filter(|(_, line)| line.starts_with("aml ")) {
            let name = std::fs::read_to_string(format!("/proc/{pid}/comm"));
            assert_eq!(name.ok().as_deref(), Some("aml\n"), "{line}");
        }
        let answer = serde_json::json!({"weight": 42, "data": [1, 2], "team": "blue"});
        assert_eq!(score(aml), answer);
        aml.write("rows.json", r#"{"data": 1}"#);
        let shaped = |format: &str, query: &str| {
            aml.ok([
                "endpoint",
                "score",
                "echo-ep",
                "-d",
                "@rows.json",
                "-o",
                format,
                "--query",
                query,
            ])
        };
        assert_eq!(shaped("tsv", "weight"), "42\n");
        assert_eq!(shaped("none", "weight"), "");

        let url = endpoint["scoring_uri"].as_str().expect("an address");
        let keys = aml.json("endpoint keys echo-ep");
        let key = keys["primary"].as_str().expect("a key");
        let (status, body) = post(url, key, r#"{"data": 1}"#);
        assert_eq!(status, 200, "{body}");
        assert_eq!(post(url, "wrong", r#"{"data": 1}"#).0, 401);
        aml.ok("endpoint keys echo-ep --regenerate primary");
        assert_eq!(post(url, key, "{}").0, 401);
        let second = keys["secondary"].as_str().expect("a key");
        let (status, body) = post(url, second, r#"{"data": 1}"#);
        assert_eq!(status, 200, "{body}");

        let error = aml.fails(
            14,
            ["endpoint", "score", "echo-ep", "-d", r#"{"data": "raise"}"#],
        );
        let said = "The scoring script answered 500: it raised ValueError: no such row\n";
        assert!(error.contains(said), "{error}");
        assert!(error.contains("aml endpoint logs echo-ep"), "{error}");
        let error = aml.fails(2, ["endpoint", "score", "echo-ep", "-d", r#"{"data": "#]);
        assert!(error.contains("--data: This is no JSON"), "{error}");
        let log = aml.ok("endpoint logs echo-ep");
        assert!(log.contains("ValueError: no such row"), "{log}");
        assert!(log.contains("I front - POST /score 401"), "{log}");
        let told = log.lines().filter(|line| line.contains("POST /score 500"));
        assert_eq!(told.count(), 1, "{log}");
        assert!(!log.contains("127.0.0.1"), "{log}");
        eventually("the front's counts are written", 10, || {
            let requests = aml.json("endpoint show echo-ep --query deployments[0].load.requests");
            (requests == 6).then_some(())
        });

        let error = aml.fails(5, "model delete echo:1 --yes");
        assert!(
            error.contains("`echo:1` is deployed as the endpoint `echo-ep`"),
            "{error}"
        );
        aml.ok("endpoint delete echo-ep --yes");
        assert_eq!(hosts(aml), []);
        assert_eq!(aml.json("endpoint list"), serde_json::json!([]));
        aml.ok("model delete echo:1 --yes");
    });
}

#[test]
fn stopped_and_started_it_is_the_same_endpoint() {
    each_mode(|aml| {
        with_model(aml);
        let before = deploy(aml);
        let keys = aml.json("endpoint keys echo-ep");
        assert_eq!(score(aml)["weight"], 42);
        aml.ok("endpoint stop echo-ep");
        assert_eq!(state(aml), "stopped");
        assert_eq!(hosts(aml), []);
        let error = aml.fails(6, ["endpoint", "score", "echo-ep", "-d", "{}"]);
        assert!(error.contains("aml endpoint start echo-ep"), "{error}");
        let after = aml.json("endpoint start echo-ep");
        assert_eq!(after["scoring_uri"], before["scoring_uri"]);
        assert_eq!(aml.json("endpoint keys echo-ep"), keys);
        assert_eq!(score(aml)["weight"], 42);
        eventually("the new host counts on", 10, || {
            let requests = aml.json("endpoint show echo-ep --query deployments[0].load.requests");
            (requests == 2).then_some(())
        });
        // The workspace takes its endpoints with it.
        aml.ok("workspace delete -n churn --yes");
        assert_eq!(hosts(aml), []);
    });
}

#[test]
fn a_port_that_was_taken_meanwhile() {
    let aml = &Aml::local();
    with_model(aml);
    let before = deploy(aml);
    let url = before["scoring_uri"].as_str().expect("an address");
    let port = url.trim_end_matches("/score").rsplit(':').next();
    let port = port.expect("a port").to_owned();
    let error = aml.fails(5, "endpoint start echo-ep --port 31998");
    assert!(error.contains("aml endpoint stop echo-ep"), "{error}");
    aml.ok("endpoint stop echo-ep");
    let _taken = TcpListener::bind(format!("127.0.0.1:{port}")).expect("takes the port");
    let moved = aml.run("endpoint start echo-ep -o json");
    assert!(
        moved.stderr.contains("Another program has taken the port"),
        "{moved}"
    );
    assert!(!moved.stdout.contains(url), "{moved}");
    assert_eq!(score(aml)["weight"], 42);
    // One that is asked for is had, or it is an error.
    aml.ok("endpoint stop echo-ep");
    let taken = TcpListener::bind("127.0.0.1:0").expect("takes a port");
    let port = taken.local_addr().expect("has an address").port();
    let start = format!("endpoint start echo-ep --port {port}");
    let error = aml.fails(12, start.as_str());
    let hint = "choose another: aml endpoint start echo-ep --port PORT";
    assert!(error.contains(hint), "{error}");
    drop(taken);
    aml.ok(start.as_str());
    assert_eq!(score(aml)["weight"], 42);
    // Nobody else gets it while it is stopped.
    aml.ok("endpoint stop echo-ep");
    let other = format!("deploy echo:1 --name other --script score.py --port {port}");
    let error = aml.fails(5, other.as_str());
    assert!(
        error.contains("belongs to the endpoint `echo-ep`"),
        "{error}"
    );
}

#[test]
fn a_new_deployment_takes_over_and_a_broken_one_does_not() {
    each_mode(|aml| {
        with_model(aml);
        let first = deploy(aml);
        aml.write("model/weight.txt", "43");
        aml.ok("model register -n echo --path model");
        let said = aml.run("deploy echo --name echo-ep --script score.py");
        assert!(said.stderr.starts_with("Starting\n"), "{said}");
        let second = said.json();
        assert_eq!(second["scoring_uri"], first["scoring_uri"]);
        assert_eq!(second["deployments"][0]["generation"], 2);
        let shown = aml.ok("endpoint show echo-ep -o table");
        assert!(shown.contains("default, generation 2"), "{shown}");
        assert_eq!(score(aml)["weight"], 43);
        aml.write("bad.py", BAD);
        let error = aml.fails(12, "deploy echo --name echo-ep --script bad.py");
        assert!(error.contains("RuntimeError: no weights"), "{error}");
        assert!(
            error.contains("Generation 2 of `default` still answers"),
            "{error}"
        );
        let kept = aml.json("endpoint show echo-ep");
        assert_eq!(kept["state"], "healthy");
        let (kept_one, second_one) = (&kept["deployments"][0], &second["deployments"][0]);
        assert_eq!(kept_one["generation"], 2);
        for key in ["model", "version", "code", "script"] {
            assert_eq!(kept_one[key], second_one[key]);
        }
        let message = kept["message"].as_str().expect("a message");
        let expected =
            "Generation 3 failed and generation 2 still answers; The scoring script failed";
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(score(aml)["weight"], 43);
        // What it goes back to cannot be deleted, and is what is started again.
        aml.fails(5, "model delete echo:2 --yes");
        aml.ok("endpoint stop echo-ep");
        assert_eq!(aml.json("endpoint start echo-ep")["state"], "healthy");
        assert_eq!(score(aml)["weight"], 43);
        let third = aml.json("deploy echo:1 --name echo-ep --script score.py");
        assert_eq!(
            (&third["deployments"][0]["generation"], &third["message"]),
            (&4.into(), &Value::Null)
        );
        aml.ok("model delete echo:2 --yes");
    });
}

#[test]
fn a_script_that_raises_shows_its_traceback() {
    each_mode(|aml| {
        with_model(aml);
        aml.write("bad.py", BAD);
        let error = aml.fails(12, "deploy echo:1 --name echo-ep --script bad.py");
        assert!(error.contains("RuntimeError: no weights"), "{error}");
        assert!(error.contains("bad.py\", line 2, in init"), "{error}");
        assert!(
            error.contains("try the same again: aml endpoint start echo-ep"),
            "{error}"
        );
        assert_eq!(state(aml), "failed");
        aml.write("bad.py", "import no_such_package\n");
        let error = aml.fails(12, "deploy echo:1 --name echo-ep --script bad.py");
        assert!(
            error.contains("No module named 'no_such_package'"),
            "{error}"
        );
        eventually("nothing is left", 20, || {
            hosts(aml).is_empty().then_some(())
        });
    });
}

const HALF: &str = "
class Half:
    def predict(self, rows):
        return rows / 2

def _load_pyfunc(path):
    return Half()
";

#[test]
fn a_model_in_mlflow_format_needs_no_script() {
    each_mode(|aml| {
        aml.share_environments();
        aml.ok("workspace create -n churn");
        let flavor = "flavors:\n  python_function:\n    loader_module: half\n    code: code\n";
        aml.write("half/MLmodel", flavor);
        aml.write("half/code/half.py", HALF);
        let model = aml.json("model register -n half --path half");
        assert_eq!(model["type"], "mlflow", "{model}");
        let aml = &aml.within_seconds(300);
        aml.ok("deploy half:1 --name echo-ep");
        assert_eq!(score(aml), serde_json::json!([0.5, 1.0]));
        let shown = aml.ok("endpoint show echo-ep -o table");
        let environment = "Environment  the one that the model describes\n";
        assert!(shown.contains(environment), "{shown}");
        aml.ok("endpoint delete echo-ep --yes");
    });
}

/// Made by a Python and packages that are no more.
const OLD: &str = "
flavors:
  python_function:
    loader_module: old
    code: code
    python_version: 3.2.1
  sklearn:
    sklearn_version: 0.1.0
";

#[test]
fn a_model_that_does_not_fit_its_packages_says_which() {
    let aml = &Aml::local().within_seconds(300);
    aml.ok("workspace create -n churn");
    aml.write("old/MLmodel", OLD);
    let register = |code: &str| {
        aml.write("old/code/old.py", code);
        aml.ok("model register -n old --path old");
    };
    register(
        "class Old:\n    def predict(self, rows):\n        return rows.weight\n\n\
         def _load_pyfunc(path):\n    return Old()\n",
    );
    register("def _load_pyfunc(path):\n    raise ValueError('incompatible\\ndtype')\n");
    aml.ok("deploy old:1 --name echo-ep");
    let which = |text: &str| {
        for part in [
            "It was saved with python 3.2 (here: 3.",
            ", scikit-learn 0.1.0 (here: 1.",
            "). If that is why, write python=3.2, scikit-learn==0.1.0 into its conda.yaml",
        ] {
            assert!(text.contains(part), "{text}");
        }
    };
    let score = ["endpoint", "score", "echo-ep", "-d", r#"{"data": [[1]]}"#];
    let error = aml.fails(14, score);
    let raised = "answered 500: The model does not score: AttributeError: ";
    assert!(error.contains(raised), "{error}");
    which(&error);
    let error = aml.fails(12, "deploy old:2 --name echo-ep");
    let raised = "RuntimeError: The model does not load: ValueError: incompatible dtype. It was";
    assert!(error.contains(raised), "{error}");
    which(&error);
    let message = aml.json("endpoint show echo-ep --query message");
    which(message.as_str().expect("a message"));
}

#[test]
fn the_machine_as_it_is_must_have_the_scoring_server() {
    let programs = tempfile::tempdir().expect("makes a folder");
    let python = programs.path().join("python");
    let missing = "ModuleNotFoundError: No module named 'azureml_inference_server_http'";
    let script = format!("#!/bin/sh\necho \"{missing}\" >&2\nexit 1\n");
    std::fs::write(&python, script).expect("writes");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(&python, executable).expect("makes it executable");
    each_mode_with(programs.path(), |aml| {
        with_model(aml);
        let error = aml.fails(
            12,
            "deploy echo:1 --name echo-ep --script score.py --env host",
        );
        assert!(
            error.contains("The Python of `--env host` has no azureml-inference-server-http"),
            "{error}"
        );
        let shown = aml.ok("endpoint show echo-ep -o table");
        assert!(shown.contains("Environment  host\n"), "{shown}");
    });
}

#[test]
fn ctrl_c_stops_the_waiting_but_not_the_deployment() {
    each_mode(|aml| {
        with_model(aml);
        let gate = aml.path("gate");
        let waits = format!(
            "import os, time\n\ndef init():\n    while not os.path.exists({:?}):\n        \
             time.sleep(0.02)\n\ndef run(data):\n    return {{'weight': 7}}\n",
            gate.display().to_string()
        );
        aml.write("waits.py", waits);
        let deploy = aml.start("deploy echo:1 --name echo-ep --script waits.py");
        eventually("the scoring process starts", 120, || {
            let started = hosts(aml).iter().any(|(_, line)| line.contains("serve.py"));
            started.then_some(())
        });
        deploy.signal(Signal::SIGINT);
        let output = deploy.wait(30);
        assert_eq!(output.status, 130, "{}", output.stderr);
        assert!(
            output
                .stderr
                .contains("\nThe endpoint echo-ep goes on starting.\n"),
            "{}",
            output.stderr
        );
        aml.write(
            "deployment.yml",
            "name: next\nendpoint_name: echo-ep\nmodel: azureml:echo:1\n\
             code_configuration: {code: ., scoring_script: waits.py}\n\
             instance_type: Standard_DS3_v2\ninstance_count: 1\n",
        );
        // One may be several processes for a moment.
        let scoring = |aml: &Aml| {
            let mut folders = BTreeSet::new();
            for (_, line) in hosts(aml) {
                let folder = line.split_once("/serve.py").map(|(folder, _)| folder);
                folders.extend(
                    folder
                        .and_then(|it| it.rsplit('/').next())
                        .map(str::to_owned),
                );
            }
            folders.len()
        };
        let before = scoring(aml);
        let create = aml.start("deployment create -f deployment.yml");
        eventually("its scoring process starts", 120, || {
            (scoring(aml) > before).then_some(())
        });
        create.signal(Signal::SIGINT);
        let said = create.wait(30);
        assert_eq!(said.status, 130, "{said}");
        let end = "\nThe deployment next of echo-ep goes on starting.\n\
                   Hint: See how far it is: aml deployment show echo-ep next\n\
                   Hint: Delete it: aml deployment delete echo-ep next\n";
        assert!(said.stderr.ends_with(end), "{said}");
        aml.ok("deployment delete echo-ep next --yes");
        assert_eq!(state(aml), "starting");
        aml.write("gate", "");
        eventually("it answers", 60, || (state(aml) == "healthy").then_some(()));
        assert_eq!(score(aml)["weight"], 7);
        aml.ok("endpoint delete echo-ep --yes");
        assert_eq!(hosts(aml), []);
    });
}

#[test]
fn keys_that_are_made_new_at_once_are_all_kept() {
    each_mode(|aml| {
        with_model(aml);
        let url = deploy(aml)["scoring_uri"].clone();
        let url = url.as_str().expect("an address");
        let before = aml.json("endpoint keys echo-ep");
        let kinds = ["primary", "secondary", "primary", "secondary"];
        let commands =
            kinds.map(|kind| aml.start(format!("endpoint keys echo-ep --regenerate {kind}")));
        let answers = commands.map(|command| command.wait(60).json());
        let after = aml.json("endpoint keys echo-ep");
        for kind in ["primary", "secondary"] {
            let key = after[kind].as_str().expect("a key");
            assert_ne!(after[kind], before[kind]);
            let told = answers.iter().any(|answer| answer[kind] == after[kind]);
            assert!(told, "a key that nobody was told");
            let (status, body) = post(url, key, r#"{"data": 1}"#);
            assert_eq!(status, 200, "{body}");
            let old = before[kind].as_str().expect("a key");
            assert_eq!(post(url, old, r#"{"data": 1}"#).0, 401);
        }
    });
}

#[test]
fn what_cannot_be_deployed_is_said_before_anything_starts() {
    each_mode(|aml| {
        with_model(aml);
        let taken = TcpListener::bind("127.0.0.1:0").expect("takes a port");
        let port = taken.local_addr().expect("an address").port();
        let line = format!("deploy echo:1 --name echo-ep --script score.py --port {port}");
        let error = aml.fails(12, line);
        assert!(error.contains(&format!("Port {port} is in use")), "{error}");
        aml.ok("endpoint delete echo-ep --yes");

        let check = |status, line: &str, expected: &str| {
            let error = aml.fails(status, line);
            assert!(error.contains(expected), "{line}\n{error}");
        };
        check(
            2,
            "deploy echo:1 --name e --script scor.py",
            "Did you mean `score.py`?",
        );
        check(2, "deploy echo:1 --name e", "needs a scoring script");
        check(
            3,
            "deploy ehco:1 --name e --script score.py",
            "Did you mean `echo`?",
        );
        check(
            3,
            "deploy echo:9 --name e --script score.py",
            "The newest version is 1",
        );
        check(
            2,
            "deploy echo:1 --name e_p! --script score.py",
            "the character `_`",
        );
        check(3, "endpoint show nope", "No endpoint `nope`");
        assert_eq!(aml.json("endpoint list"), serde_json::json!([]));
        assert_eq!(hosts(aml), []);
    });
}

#[test]
fn a_deployment_is_described_by_a_file_and_changed() {
    each_mode(|aml| {
        with_model(aml);
        aml.write("code/score.py", ECHO);
        let text = "name: green\nendpoint_name: echo-ep\nmodel: azureml:echo:1\n\
                    code_configuration: {code: code, scoring_script: ./score.py}\n\
                    instance_type: Standard_DS3_v2\nenvironment_variables: {TEAM: green}\n";
        aml.write("green.yml", text);
        let error = aml.fails(3, "deployment create -f green.yml");
        assert!(error.contains("No endpoint `echo-ep`"), "{error}");
        deploy(aml);
        let green = aml.json("deployment create -f green.yml");
        assert_eq!(
            (&green["state"], &green["traffic"]),
            (&"healthy".into(), &0.into())
        );
        assert_eq!(score(aml)["team"], "blue");
        let asked = |name: &str| {
            aml.json([
                "endpoint",
                "score",
                "echo-ep",
                "-d",
                r#"{"data": 1}"#,
                "--deployment",
                name,
            ])
        };
        assert_eq!(asked("green")["team"], "green");
        aml.ok("endpoint traffic echo-ep green=100");
        assert_eq!(score(aml)["team"], "green");
        aml.ok(
            "deployment update echo-ep green --set environment_variables.TEAM=red instance_count=2",
        );
        assert_eq!(score(aml)["team"], "red");
        assert_eq!(aml.json("deployment show echo-ep green")["instances"], 2);
        let names = aml.json("deployment list echo-ep --query [].name");
        assert_eq!(names, serde_json::json!(["default", "green"]));
        let log = aml.ok("endpoint logs echo-ep --deployment green");
        assert!(log.contains("I front - POST /score 200"), "{log}");
        let error = aml.fails(2, "endpoint logs echo-ep");
        assert!(error.contains("`echo-ep` has 2 deployments"), "{error}");
        let named = "Its deployments are default, green; name one: ";
        assert!(error.contains(named), "{error}");
        assert!(
            error.contains("aml endpoint logs echo-ep --deployment green"),
            "{error}"
        );
        // A request without a key is none of theirs.
        let url = aml.json("endpoint show echo-ep")["scoring_uri"].clone();
        post(url.as_str().expect("an address"), "nope", "{}");
        let own = aml.run("endpoint logs echo-ep");
        assert!(own.stdout.contains("POST /score 401"), "{own}");
        assert!(own.stderr.contains(named), "{own}");
        let error = aml.fails(2, "deploy echo:1 --name echo-ep --script score.py");
        assert!(error.contains("--deployment NAME"), "{error}");
        aml.fails(5, "deployment delete echo-ep green --yes");
        aml.ok("deployment delete echo-ep default --yes");
        aml.ok("endpoint delete echo-ep --yes");
        assert_eq!(hosts(aml), []);
    });
}
