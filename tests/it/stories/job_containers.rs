//! Jobs in containers, by a program that does what podman would.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use crate::support::{Aml, each_mode_with, eventually};

/// Keeps the last image as a copy of its build context, and runs commands as processes.
const PODMAN: &str = r#"#!/bin/sh
here=$(dirname "$0")
echo "podman $*" >> "$here/calls"
case $1 in
info) echo '[cpu memory]' ;;
image) grep -qxF "$3" "$here/images" ;;
pull)
    case $2 in *absent*) echo "Error: no such image" >&2; exit 125 ;; esac
    echo "$2" >> "$here/images" ;;
build)
    for word; do context=$word; done
    rm -rf "$here/image"; cp -r "$context" "$here/image"
    echo "$5" >> "$here/images" ;;
ps) echo left ;;
run)
    shift
    file=/dev/null folder=.
    while test "$1" != -c; do
        case $1 in --env-file=*) file=${1#*=} ;; --workdir=*) folder=${1#*=} ;; esac
        image=$1
        shift
    done
    cd "$folder" || exit 125
    while IFS= read -r line; do export "$line"; done < "$file"
    IMAGE=$image exec sh "$@" ;;
esac
"#;

/// What was asked of podman, and what is in the image that it built last.
struct Podman(tempfile::TempDir);

impl Podman {
    fn new() -> Self {
        let podman = Self(tempfile::tempdir().expect("makes a folder"));
        podman.has("podman", PODMAN);
        podman
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Of a story, to which nothing is known yet.
    fn forget(&self) {
        for name in ["calls", "images"] {
            fs::write(self.path().join(name), "").expect("writes");
        }
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.path().join("calls")).expect("it was called")
    }

    fn count(&self, call: &str) -> usize {
        let begin = format!("podman {call} ");
        self.calls()
            .lines()
            .filter(|line| line.starts_with(&begin))
            .count()
    }

    /// What an image would have.
    fn has(&self, program: &str, script: &str) {
        let path = self.path().join(program);
        fs::write(&path, script).expect("writes");
        let executable = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&path, executable).expect("makes it executable");
    }

    fn built(&self, file: &str) -> String {
        fs::read_to_string(self.path().join("image").join(file)).expect("it is in the image")
    }
}

/// It is stopped as other runs are; what an engine may have left of it is removed.
fn stopped(aml: &Aml, podman: &Podman) {
    let submit_long = [
        "run",
        "submit",
        "-e",
        "exp",
        "-n",
        "long",
        "--container",
        "--image",
    ];
    let words = submit_long
        .iter()
        .chain(&["debian:12", "--", "echo begun; sleep 300"]);
    aml.ok(words
        .map(|word| (*word).to_owned())
        .collect::<Vec<String>>());
    eventually("it runs", 30, || {
        aml.ok("run logs long").contains("begun").then_some(())
    });
    aml.ok("run cancel long");
    eventually("it is stopped", 30, || {
        (aml.json("run show long")["status"] == "Canceled").then_some(())
    });
    assert_eq!(podman.count("pull"), 1);
    let calls = podman.calls();
    assert!(calls.contains("podman rm --force left\n"), "{calls}");
}

#[test]
fn a_run_is_in_the_image_it_names() {
    let podman = Podman::new();
    each_mode_with(podman.path(), |aml| {
        podman.forget();
        aml.ok("workspace create -n ws");
        aml.ok("secret set token --value hidden");
        let submit = |more: &[&str], command: &str| {
            let words = ["run", "submit", "-e", "exp", "--container", "-s"];
            let last = ["--", command];
            let words = words.iter().chain(more).chain(&last);
            let words: Vec<String> = words.map(|word| (*word).to_owned()).collect();
            aml.run(words)
        };
        let more = [
            "--image",
            "debian:12",
            "--env-var",
            "WORD=quiet",
            "--secret",
            "T=token",
        ];
        let output = submit(
            &[&more[..], &["-n", "first"]].concat(),
            "echo $IMAGE $WORD ${#T}; echo to stderr >&2; echo kept > outputs/a.txt; exit 3",
        );
        assert_eq!(output.stdout, "debian:12 quiet 6\nto stderr\n");
        let run = aml.json("run show first");
        assert_eq!(
            (&run["status"], &run["exit_code"]),
            (&"Failed".into(), &3.into())
        );
        let outputs = aml.ok("run outputs first");
        assert!(outputs.contains("outputs/a.txt"), "{outputs}");
        let calls = podman.calls();
        assert!(calls.contains("podman pull debian:12\n"), "{calls}");
        for word in [
            " --rm ",
            " --network=host ",
            " --label=aml.run=",
            " --user=0:0 ",
            "/code:",
        ] {
            assert!(calls.contains(word), "{word}: {calls}");
        }
        // Others can read the list of processes.
        assert!(
            !calls.contains("quiet") && !calls.contains("hidden"),
            "{calls}"
        );

        stopped(aml, &podman);

        let output = submit(&["--image", "absent:1"], "true");
        assert!(
            output.stderr.contains("Error: no such image"),
            "{}",
            output.stderr
        );
        let error = aml.fails(2, "run submit -e exp --container -- true");
        assert!(error.contains("--image python:3.12"), "{error}");

        // Packages are put on top of it, or into an image of Python; each is built once.
        aml.write(
            "conda.yml",
            "channels: [conda-forge]\ndependencies: [python=3.10, make, {pip: [six]}]\n",
        );
        for _ in 0..2 {
            let more = ["--image", "debian:12", "--env", "conda.yml"];
            submit(&more, "true").ok();
        }
        assert_eq!(podman.count("build"), 1);
        assert!(
            podman
                .built("Dockerfile")
                .starts_with("FROM debian:12\nUSER 0\n")
        );
        let install = podman.built("install.sh");
        assert!(
            install.contains("--channel conda-forge python=3.10 make pip\n"),
            "{install}"
        );
        assert!(install.contains("END'\nsix\nEND\n"), "{install}");
        aml.write("requirements.txt", "six\n");
        submit(&["--env", "requirements.txt"], "true").ok();
        let dockerfile = podman.built("Dockerfile");
        assert!(
            dockerfile.starts_with("FROM docker.io/library/python:3."),
            "{dockerfile}"
        );
        assert_eq!(podman.built("requirements.txt"), "six\n");
    });
}

const JOB: &str = "\
command: >-
  cat ${{inputs.data}} && echo made > ${{outputs.made}}/x.txt && echo $AZURE_ML_INPUT_data
environment: {build: {path: ./context, dockerfile_path: docker/Dockerfile.cpu}}
inputs: {data: {type: uri_file, path: data/a.txt}}
outputs: {made: {type: uri_folder}}
resources: {shm_size: 1g, docker_args: --hostname here}
";

fn stream(aml: &Aml, name: &str) -> String {
    aml.ok(["job", "create", "-f", "job.yml", "-n", name, "--stream"])
}

#[test]
fn a_job_is_in_what_its_dockerfile_makes_when_that_is_asked_for() {
    let podman = Podman::new();
    each_mode_with(podman.path(), |aml| {
        podman.forget();
        aml.ok("workspace create -n ws");
        aml.write(
            "context/docker/Dockerfile.cpu",
            "FROM debian:12\nCOPY . /here\n",
        );
        aml.write("context/a.py", "");
        aml.write("data/a.txt", "A\n");
        aml.write("job.yml", JOB);
        stream(aml, "plain");
        assert_eq!(podman.count("run") + podman.count("build"), 0);

        aml.write(
            "job.yml",
            format!("{JOB}properties: {{aml.container: true}}\n"),
        );
        let said = stream(aml, "contained");
        assert!(said.contains("\nA\n/"), "{said}");
        assert!(!said.contains("a process of this machine"), "{said}");
        assert_eq!(
            podman.built("docker/Dockerfile.cpu"),
            "FROM debian:12\nCOPY . /here\n"
        );
        let calls = podman.calls();
        assert!(calls.contains("/image/docker/Dockerfile.cpu "), "{calls}");
        for word in [" --shm-size=1g ", " --hostname here ", "/a.txt:ro "] {
            assert!(calls.contains(word), "{word}: {calls}");
        }
        aml.ok("job download -n contained --output-name made -p got");
        let made = fs::read_to_string(aml.path("got/named-outputs/made/x.txt"));
        assert_eq!(made.expect("it was kept"), "made\n");
        assert_eq!((podman.count("build"), podman.count("run")), (1, 1));

        // The machine may be set up so; a job can say no.
        aml.write("job.yml", JOB);
        let config = aml.root().join("config.toml");
        let text = "[environments]\ncontainer = true\n";
        let before = fs::read_to_string(&config).unwrap_or_default();
        fs::write(&config, format!("{before}\n{text}")).expect("writes");
        stream(aml, "by-default");
        assert_eq!((podman.count("build"), podman.count("run")), (1, 2));
        aml.write(
            "job.yml",
            format!("{JOB}properties: {{aml.container: 'false'}}\n"),
        );
        stream(aml, "outside");
        assert_eq!(podman.count("run"), 2);
        fs::write(&config, before).expect("writes");
    });
}

/// The steps, and a pipeline among them, that say nothing of containers, or something else.
const PIPELINE: &str = "\
type: pipeline
settings: {default_compute: azureml:serverless, force_rerun: true}
jobs:
  plain: {command: echo $IMAGE, environment: {image: 'debian:12'}}
  other:
    command: echo $IMAGE
    environment: {image: 'debian:12'}
    properties: {aml.container: false}
  below: {type: pipeline, component: ./below.yml}
";

const BELOW: &str = "\
name: below
type: pipeline
jobs:
  inner: {command: echo $IMAGE, environment: {image: 'debian:13'}}
";

#[test]
fn what_a_pipeline_says_of_containers_holds_for_its_steps() {
    let podman = Podman::new();
    each_mode_with(podman.path(), |aml| {
        podman.forget();
        aml.ok("workspace create -n ws");
        aml.write("below.yml", BELOW);
        aml.write("job.yml", PIPELINE);
        stream(aml, "outside");
        assert_eq!(podman.count("run"), 0);

        for (name, line) in [
            ("by-property", "properties: {aml.container: true}\n"),
            ("by-setting", ""),
        ] {
            let settings = "settings: {default_compute";
            let asked = "settings: {aml.container: true, default_compute";
            let text = match line {
                "" => PIPELINE.replace(settings, asked),
                line => format!("{PIPELINE}{line}"),
            };
            aml.write("job.yml", text);
            podman.forget();
            stream(aml, name);
            for (step, image) in [
                ("plain", "debian:12\n"),
                ("other", "\n"),
                ("below-inner", "debian:13\n"),
            ] {
                let log = aml.ok(["run", "logs", &format!("{name}-{step}")]);
                assert_eq!(log, image, "{name}-{step}");
            }
            assert_eq!(podman.count("run"), 2, "{name}");
        }
        let text = format!("{PIPELINE}properties: {{aml.container: perhaps}}\n");
        aml.write("job.yml", text);
        let error = aml.fails(2, "job create -f job.yml");
        assert!(
            error.contains("job.yml:10:1: `perhaps` is neither true nor false"),
            "{error}"
        );
    });
}

/// Writes where it shall listen.
const JUPYTER: &str = "#!/bin/sh\necho \"$* $IMAGE ${#JUPYTER_TOKEN}\" > told\n";

#[test]
fn services_are_started_in_the_container() {
    let podman = Podman::new();
    podman.has("jupyter-lab", JUPYTER);
    each_mode_with(podman.path(), |aml| {
        podman.forget();
        aml.ok("workspace create -n ws");
        aml.write(
            "job.yml",
            "command: until [ -s told ]; do :; done; cat told; echo ${JUPYTER_TOKEN:-none of mine}\n\
             environment: {image: 'debian:12'}\n\
             services: {lab: {type: jupyter_lab}}\n\
             properties: {aml.container: true}\n",
        );
        let said = stream(aml, "served");
        assert!(said.contains("--ip=127.0.0.1"), "{said}");
        // Its token is not for those who read the list of processes.
        assert!(said.contains(" debian:12 32\nnone of mine\n"), "{said}");
        let run = aml.ok("run show served -o table");
        assert!(
            run.contains("It runs in a container of debian:12, by podman"),
            "{run}"
        );
        assert!(!run.contains("a process of this machine"), "{run}");
        let json = aml.ok("run show served -o json");
        assert!(
            json.contains("debian:12 is run in a container only"),
            "{json}"
        );
        let services = aml.ok("job show -n served -o json");
        assert!(services.contains("/lab?token="), "{services}");
        let token = services.split("token=").nth(1).expect("it has one");
        let token: String = token
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        assert!(!podman.calls().contains(&token), "{services}");
    });
}
