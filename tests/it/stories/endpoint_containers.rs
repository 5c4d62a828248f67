//! Endpoints in containers, by a program that does what podman would.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Aml, each_mode_with, eventually};

/// Keeps images as copies of their build contexts, and runs them as processes.
const PODMAN: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "podman $*" >> "$here/calls"
case $1 in
image) exit 1 ;;
images) cat "$here/images" 2>/dev/null ;;
build)
    test -e "$here/full" && { echo "Error: no space left" >&2; exit 125; }
    rm -rf "$here/image"; cp -r "$4" "$here/image"
    test -d "$here/image/aml" && ln -s aml/model "$here/image/model"
    true ;;
push)
    test -e "$here/down" && { echo "Error: no route to host" >&2; exit 125; }
    case $3 in oci:*) mkdir -p "$(echo "$3" | cut -d: -f2)" ;; esac ;;
run)
    for word; do
        test "$last" = --env-file && set -a && . "$word" && set +a
        last=$word
        case $word in 127.0.0.1:*) port=$(echo "$word" | cut -d: -f2) ;; esac
    done
    cd "$here/image/code" && AZUREML_MODEL_DIR=../model exec python3 server.py "$port" ;;
esac
"#;

const SERVER: &str = r#"
import http.server, os, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        text = (os.environ["PRICE"] + open("../model/model/weight.txt").read()).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_POST = do_GET

http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Answer).serve_forever()
"#;

/// The folder of the programs with one that is called podman.
fn with_podman() -> tempfile::TempDir {
    let programs = tempfile::tempdir().expect("makes a folder");
    let podman = programs.path().join("podman");
    fs::write(&podman, PODMAN).expect("writes");
    let executable = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&podman, executable).expect("makes it executable");
    programs
}

/// The image of the deployment that answered last, 2, is there until another one answers.
fn the_last_that_answered_stays<const N: usize>(aml: &Aml, programs: &Path, deploy: [&str; N]) {
    let calls = programs.join("calls");
    fs::write(programs.join("images"), "1\n2\n").expect("writes");
    aml.write("code/server.py", "raise SystemExit(3)\n");
    aml.fails(12, deploy);
    let called = fs::read_to_string(&calls).expect("it was called");
    assert!(!called.contains("rmi "), "{called}");
    aml.write("code/server.py", SERVER);
    assert_eq!(aml.json(deploy)["state"], "healthy");
    eventually("the one before is removed", 60, || {
        let called = fs::read_to_string(&calls).expect("it was called");
        let is_removal = |line: &str| line.contains("rmi ") && line.ends_with(":2");
        called.lines().any(is_removal).then_some(())
    });
    fs::remove_file(programs.join("images")).expect("removes");
}

#[test]
fn an_image_is_built_and_pushed_and_runs() {
    let programs = with_podman();
    each_mode_with(programs.path(), |aml| {
        aml.ok("workspace create -n churn");
        aml.write("model/weight.txt", "42");
        aml.write("code/server.py", SERVER);
        aml.ok("model register -n echo --path model");
        let deploy = [
            "deploy",
            "echo:1",
            "--name",
            "Shop",
            "--code",
            "code",
            "--command",
            "python3 server.py $PORT",
            "--container",
            "--env-var",
            "PRICE=cheap",
        ];
        let calls = programs.path().join("calls");
        let _ = fs::remove_file(&calls);
        assert_eq!(aml.json(deploy)["state"], "healthy");
        assert_eq!(
            aml.ok(["endpoint", "score", "shop", "-d", "1"]),
            "cheap42\n"
        );
        let called = fs::read_to_string(&calls).expect("it was called");
        assert!(
            called.contains("build --tag localhost/aml/") && called.contains("-1:1 "),
            "{called}"
        );
        assert!(called.contains(":shop.default-1\n"), "{called}");
        assert!(called.contains("--publish 127.0.0.1:"), "{called}");
        // Others can read the list of processes.
        assert!(!called.contains("cheap"), "{called}");
        assert!(aml.state().join("registry/churn").is_dir());
        let dockerfile = fs::read_to_string(programs.path().join("image/Dockerfile"));
        let dockerfile = dockerfile.expect("there is one");
        assert!(
            dockerfile.contains("python3 server.py $PORT"),
            "{dockerfile}"
        );
        let words = deploy
            .iter()
            .chain(&["--registry", "registry.example.com/a/"]);
        aml.ok(words
            .map(|word| (*word).to_owned())
            .collect::<Vec<String>>());
        let called = fs::read_to_string(&calls).expect("it was called");
        assert!(
            called.contains(":2 registry.example.com/a/shop.default:2\n"),
            "{called}"
        );
        assert!(!called.contains("podman tag"), "{called}");
        fs::write(programs.path().join("full"), "").expect("writes");
        let error = aml.fails(12, deploy);
        assert!(error.contains("Error: no space left"), "{error}");
        assert!(
            error.contains("Generation 2 of `default` still answers"),
            "{error}"
        );
        fs::remove_file(programs.path().join("full")).expect("removes");

        the_last_that_answered_stays(aml, programs.path(), deploy);

        // A registry that is away is told of and tried again; what answers is not held up.
        fs::write(programs.path().join("down"), "").expect("writes");
        let endpoint = aml.json(deploy);
        assert_eq!(endpoint["state"], "healthy");
        let message = &endpoint["deployments"][0]["message"];
        let message = message.as_str().expect("a message");
        assert!(message.contains("no route to host"), "{message}");
        fs::remove_file(programs.path().join("down")).expect("removes");
        eventually("it is pushed", 60, || {
            let log = aml.ok("endpoint logs shop");
            log.contains("The image was pushed").then_some(())
        });
        eventually("nothing is said of it any more", 60, || {
            let shown = aml.json("endpoint show shop --query deployments[0].message");
            shown.is_null().then_some(())
        });

        // What is deleted leaves nothing in the registry, nor on the machine.
        let label = called.split("localhost/aml/").nth(1).expect("a name");
        let label = label.split(':').next().expect("a label").to_owned();
        fs::write(
            programs.path().join("images"),
            format!("localhost/aml/{label}:2\nlocalhost/aml/{label}:4\n"),
        )
        .expect("writes");
        assert_eq!(aml.json("gc --query images"), 0);
        aml.ok("endpoint delete shop --yes");
        assert_eq!(aml.json("gc --query images --dry-run"), 2);
        assert!(aml.state().join("registry/churn").is_dir());
        assert_eq!(aml.json("gc --query images"), 2);
        let called = fs::read_to_string(&calls).expect("it was called");
        assert!(
            called.contains(&format!("rmi localhost/aml/{label}:4\n")),
            "{called}"
        );
        assert!(!aml.state().join("registry/churn").exists());
        fs::remove_file(programs.path().join("images")).expect("removes");
    });
}

const DOCKERFILE: &str = "\
FROM debian:12
COPY . /opt/app
ENTRYPOINT [\"/opt/app/code/server.py\"]
";

#[test]
fn the_environments_own_image_is_run_as_it_is() {
    let programs = with_podman();
    each_mode_with(programs.path(), |aml| {
        aml.ok("workspace create -n churn");
        aml.write("model/weight.txt", "42");
        aml.write("image/code/server.py", SERVER);
        aml.write("image/docker/Dockerfile.cpu", DOCKERFILE);
        aml.write("image/.dockerignore", "*.md");
        aml.write("endpoint.yml", "name: shop\nauth_mode: key\n");
        let text = "name: blue\nendpoint_name: shop\nmodel: {path: ./model}\n\
                    model_mount_path: /var/models\n\
                    properties: {aml.container: 'true'}\nenvironment_variables: {PRICE: cheap}\n\
                    environment:\n  build: {path: ./image, dockerfile_path: docker/Dockerfile.cpu}\n  \
                    inference_config:\n    liveness_route: {port: 8501, path: /}\n    \
                    readiness_route: {port: 8501, path: /}\n    scoring_route: {port: 8501, path: /p}\n\
                    instance_type: Standard_DS3_v2\ninstance_count: 1\n";
        aml.write("blue.yml", text);
        aml.az("configure --defaults group=g workspace=churn").ok();
        aml.az("ml online-endpoint create -f endpoint.yml").ok();
        aml.az("ml online-deployment create -f blue.yml --all-traffic")
            .ok();
        let built = |file: &str| {
            let path = programs.path().join("image").join(file);
            fs::read_to_string(path).expect("it is in the context")
        };
        let dockerfile = built("Dockerfile");
        assert!(dockerfile.starts_with(DOCKERFILE), "{dockerfile}");
        assert!(
            dockerfile.contains("COPY aml/model /var/models/"),
            "{dockerfile}"
        );
        assert!(dockerfile.contains("ENV PORT=\"8501\"\n"), "{dockerfile}");
        // What it starts, as whom and where is its own affair.
        for word in ["CMD", "USER", "WORKDIR", "pip"] {
            assert!(!dockerfile.contains(word), "{word}: {dockerfile}");
        }
        assert!(built(".dockerignore").starts_with("*.md\n"));
        let called = fs::read_to_string(programs.path().join("calls")).expect("it was called");
        assert!(called.contains(":8501 --env-file "), "{called}");
        assert!(called.contains(" --env PORT=8501 "), "{called}");
        assert_eq!(aml.ok("endpoint score shop -d 1"), "cheap42\n");
        aml.ok("endpoint delete shop --yes");

        // So is one that is only named.
        let named = text.replace(
            "build: {path: ./image, dockerfile_path: docker/Dockerfile.cpu}",
            "image: docker.io/tensorflow/serving:latest",
        );
        aml.write("blue.yml", named);
        aml.az("ml online-endpoint create -f endpoint.yml").ok();
        aml.az("ml online-deployment create -f blue.yml --all-traffic --no-wait")
            .ok();
        let dockerfile = programs.path().join("image/Dockerfile");
        eventually("it is built", 60, || {
            let begin = "FROM docker.io/tensorflow/serving:latest\nCOPY code ";
            let text = fs::read_to_string(&dockerfile);
            text.is_ok_and(|text| text.starts_with(begin)).then_some(())
        });
        aml.ok("endpoint delete shop --yes");
    });
}
