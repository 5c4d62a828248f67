//! Programs in other languages than that of scoring scripts, behind endpoints.

use nix::sys::signal::{Signal, kill};

use crate::support::{
    Aml, each_mode, eventually,
    http::{free_port, send},
};

/// Answers with what it was asked and which process it is.
const SERVER: &str = r#"
import http.server, json, os, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        told = {"path": self.path, "body": body, "process": os.getpid(), "word": WORD}
        told["model"] = os.listdir(os.environ["AZUREML_MODEL_DIR"])
        text = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = answer

WORD = sys.argv[1]
port = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ["PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer).serve_forever()
"#;

fn with_server(aml: &Aml) {
    aml.ok("workspace create -n churn");
    aml.az("configure --defaults group=g workspace=churn").ok();
    aml.write("code/server.py", SERVER);
    aml.write("model/weight.txt", "42");
    aml.ok("model register -n echo --path model");
}

fn score(aml: &Aml) -> serde_json::Value {
    aml.json(["endpoint", "score", "prog", "-d", r#"{"data": 1}"#])
}

#[test]
fn a_program_answers_with_several_processes_and_is_replaced_while_it_does() {
    each_mode(|aml| {
        with_server(aml);
        let deploy = |word: &str| {
            let command = format!("python3 server.py {word}");
            aml.json([
                "deploy",
                "echo:1",
                "--name",
                "prog",
                "--code",
                "code",
                "--command",
                &command,
                "--scoring-path",
                "/v1/predict",
                "--health-path",
                "/well",
                "--instances",
                "2",
            ])
        };
        let endpoint = deploy("one");
        assert_eq!(endpoint["state"], "healthy");
        let load = &endpoint["deployments"][0]["load"];
        assert_eq!(load["instances"], 2);
        let first = score(aml);
        assert_eq!(first["path"], "/v1/predict");
        assert_eq!(first["body"], r#"{"data": 1}"#);
        assert_eq!(first["model"], serde_json::json!(["model"]));
        assert_ne!(score(aml)["process"], first["process"]);
        // What it has at other paths is there as well, with a key.
        let url = endpoint["scoring_uri"].as_str().expect("an address");
        let keys = aml.json("endpoint keys prog");
        let key = format!("Bearer {}", keys["primary"].as_str().expect("a key"));
        let other = url.replace("/score", "/v2/health?a=1");
        if !aml.is_remote() {
            let (status, body) = send("DELETE", &other, &[("authorization", &key)], "");
            assert_eq!(status, 200, "{body}");
            assert!(body.contains("\"path\": \"/v2/health?a=1\""), "{body}");
            assert_eq!(send("DELETE", &other, &[], "").0, 401);
        }
        assert_eq!(deploy("two")["state"], "healthy");
        assert_eq!(score(aml)["word"], "two");
        let shown = aml.ok("endpoint show prog -o table");
        assert!(shown.contains("python3 server.py two\n"), "{shown}");
        // One that ends is started again.
        for (pid, line) in aml.processes() {
            if line.ends_with("server.py two") && !line.contains("endpoint-watch") {
                let _ = kill(pid, Signal::SIGKILL);
            }
        }
        eventually("it answers again", 30, || {
            let words = ["endpoint", "score", "prog", "-d", "{}"];
            (aml.run(words).status == 0).then_some(())
        });
        aml.ok("endpoint delete prog --yes");
    });
}

#[test]
fn a_program_that_fails_says_why() {
    let aml = &Aml::local();
    with_server(aml);
    let deploy = |command: &str| {
        let words = ["deploy", "echo:1", "--name", "prog", "--command", command];
        aml.fails(12, words)
    };
    let error = deploy("echo 'no license for this machine' >&2; exit 3");
    assert!(error.contains("ended with exit code 3"), "{error}");
    assert!(error.contains("no license for this machine"), "{error}");
    let words = [
        "deploy",
        "echo:1",
        "--name",
        "prog",
        "--command",
        "x",
        "--program-port",
        "8501",
        "--instances",
        "2",
    ];
    let error = aml.fails(2, words);
    assert!(
        error.contains("2 processes cannot listen on port 8501"),
        "{error}"
    );
    assert!(error.contains("`PORT`"), "{error}");
}

#[test]
fn a_program_that_listens_elsewhere_is_told_of_by_its_port() {
    let aml = &Aml::local();
    with_server(aml);
    let port = free_port();
    aml.write("endpoint.yml", ENDPOINT);
    let text = format!(
        "name: blue\nendpoint_name: prog\nmodel: azureml:echo:1\n\
         properties:\n  aml.command: python3 server.py lost {port}\n\
         code_configuration:\n  code: ./code\n\
         readiness_probe: {{initial_delay: 1, period: 1, failure_threshold: 4}}\n\
         instance_type: Standard_DS3_v2\ninstance_count: 1\n"
    );
    aml.write("blue.yml", text);
    aml.az("ml online-endpoint create -f endpoint.yml").ok();
    let error = aml.az("ml online-deployment create -f blue.yml").failed(1);
    assert!(error.contains("has not answered within 5 s"), "{error}");
    let expected = format!("The program listens on port {port}, not on ");
    assert!(error.contains(&expected), "{error}");
}

const ENDPOINT: &str = "name: prog\nauth_mode: key\n";

fn deployment(word: &str, port: u16) -> String {
    format!(
        "name: blue\nendpoint_name: prog\nmodel:\n  path: ./model\n\
         environment:\n  build:\n    path: ./image-{word}\n  inference_config:\n    \
         liveness_route: {{port: {port}, path: /well}}\n    readiness_route: {{port: {port}, path: /well}}\n    \
         scoring_route: {{port: {port}, path: /invocations}}\n\
         instance_type: Standard_DS3_v2\ninstance_count: 1\n"
    )
}

#[test]
fn what_a_dockerfile_starts_is_started_and_asked_at_its_routes() {
    each_mode(|aml| {
        with_server(aml);
        let port = free_port();
        for word in ["one", "two"] {
            aml.write(&format!("image-{word}/src/server.py"), SERVER);
            let dockerfile = format!(
                "FROM debian:12\nWORKDIR /opt/app\nCOPY src/ .\n\
                 CMD [\"python3\", \"/opt/app/server.py\", \"{word}\", \"{port}\"]\n"
            );
            aml.write(&format!("image-{word}/Dockerfile"), dockerfile);
        }
        aml.write("endpoint.yml", ENDPOINT);
        aml.write("blue.yml", deployment("one", port));
        aml.az("ml online-endpoint create -f endpoint.yml").ok();
        let aml = &aml.within_seconds(300);
        aml.az("ml online-deployment create -f blue.yml --all-traffic")
            .ok();
        let answer = score(aml);
        assert_eq!(answer["path"], "/invocations");
        assert_eq!(answer["word"], "one");
        let log = aml.ok("endpoint logs prog --deployment blue");
        let told = "The image debian:12 is run in a container only";
        assert!(log.contains(told), "{log}");
        // It listens on one port whatever it is told, so the old one ends first.
        aml.write("blue.yml", deployment("two", port));
        aml.az("ml online-deployment update -f blue.yml").ok();
        assert_eq!(score(aml)["word"], "two");
        aml.ok("endpoint delete prog --yes");
    });
}

#[test]
fn an_image_whose_command_is_not_known_asks_for_one() {
    let aml = &Aml::local();
    with_server(aml);
    let text = deployment("one", 8501).replace(
        "  build:\n    path: ./image-one\n",
        "  image: docker.io/tensorflow/serving:latest\n",
    );
    aml.write("endpoint.yml", ENDPOINT);
    aml.write("blue.yml", &text);
    aml.az("ml online-endpoint create -f endpoint.yml").ok();
    let error = aml.az("ml online-deployment create -f blue.yml").failed(1);
    assert!(
        error.contains("what its image starts is not known"),
        "{error}"
    );
    assert!(error.contains("aml.command"), "{error}");
    let said = "properties:\n  aml.command: python3 $AML_APP_ROOT/server.py said $PORT\n\
                code_configuration:\n  code: ./code\n";
    aml.write("blue.yml", text + said);
    let aml = &aml.within_seconds(300);
    aml.az("ml online-deployment create -f blue.yml --all-traffic")
        .ok();
    assert_eq!(score(aml)["word"], "said");
}

#[test]
fn a_script_that_is_not_of_python_is_for_a_program_to_read() {
    let aml = &Aml::local();
    with_server(aml);
    aml.write("code/words.R", "three");
    let text = "name: default\nendpoint_name: prog\nmodel: azureml:echo:1\n\
                code_configuration: {code: code, scoring_script: words.R}\n\
                instance_type: Standard_DS3_v2\n";
    aml.write("read.yml", text);
    aml.az("ml online-endpoint create -n prog").ok();
    let error = aml.fails(2, "deployment create -f read.yml --all-traffic");
    let said = "`words.R` is none of Python, and nothing says what reads it";
    assert!(error.contains(said), "{error}");
    let reads = "properties: {aml.command: 'python3 server.py $(cat $AZUREML_ENTRY_SCRIPT)'}\n";
    aml.write("read.yml", format!("{text}{reads}"));
    let made = aml.json("deployment create -f read.yml --all-traffic");
    assert_eq!(made["state"], "healthy");
    assert_eq!(score(aml)["word"], "three");
}
