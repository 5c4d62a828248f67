//! Endpoints written down for other places, checked by the validators of these.

use std::{os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::support::{Aml, components, each_mode};

const VALIDATORS: [&str; 2] = ["kubernetes-validate==1.37.0", "check-jsonschema==0.39.0"];

fn with_endpoint(aml: &Aml) {
    aml.ok("workspace create -n churn");
    aml.az("configure --defaults group=g workspace=churn").ok();
    aml.write("model/weight.txt", "42");
    aml.write("score.py", "def init(): pass\ndef run(data): return 1\n");
    aml.write("requirements.txt", "numpy==2.3.1\n");
    aml.ok("model register -n echo --path model");
    aml.write("endpoint.yml", "name: Shop\nauth_mode: key\n");
    aml.az("ml online-endpoint create -f endpoint.yml").ok();
    let blue = "name: blue\nendpoint_name: Shop\nmodel: azureml:echo:1\n\
                code_configuration:\n  code: .\n  scoring_script: score.py\n\
                environment:\n  image: x\n  conda_file: conda.yml\n\
                environment_variables:\n  PRICE: \"$5\"\n\
                instance_type: Standard_DS3_v2\nscale_settings:\n  type: target_utilization\n  \
                min_instances: 1\n  max_instances: 3\n";
    aml.write(
        "conda.yml",
        "dependencies:\n  - python=3.10\n  - pip:\n    - numpy\n",
    );
    aml.write("blue.yml", blue);
    aml.ok("deployment create -f blue.yml --no-wait");
    aml.ok([
        "deploy",
        "echo:1",
        "--name",
        "shop",
        "--deployment",
        "green",
        "--command",
        "python3 -m http.server $PORT",
        "--health-path",
        "/up",
        "--instances",
        "2",
        "--no-wait",
    ]);
    aml.ok("endpoint traffic shop blue=90 green=10");
}

fn is_secret(path: &Path) {
    let mode = std::fs::metadata(path)
        .expect("is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "{}", path.display());
}

fn validators() -> std::path::PathBuf {
    components::python_with(&VALIDATORS).expect("the validators can be had")
}

#[track_caller]
fn valid(aml: &Aml, program: &str, words: &[&str]) {
    let mut command = aml.program(validators().join(program));
    command.args(words);
    aml.finish(command).ok();
}

#[test]
fn for_kubernetes() {
    each_mode(|aml| {
        with_endpoint(aml);
        let told = aml.run("endpoint export kubernetes shop --registry registry.example.com/team");
        assert!(told.stderr.contains("kubectl apply -f"), "{told}");
        let key = aml.json("endpoint keys shop")["primary"].clone();
        let key = key.as_str().expect("a key");
        let manifest = aml.read("shop/kubernetes.yaml");
        assert!(!manifest.contains(key), "{manifest}");
        assert!(aml.read("shop/keys.yaml").contains(key));
        is_secret(&aml.path("shop/keys.yaml"));
        for expected in [
            "kind: HorizontalPodAutoscaler",
            "name: PRICE",
            "image: registry.example.com/team/shop-green:1",
            "path: /up",
        ] {
            assert!(manifest.contains(expected), "{expected}: {manifest}");
        }
        for file in ["shop/kubernetes.yaml", "shop/keys.yaml"] {
            valid(aml, "kubernetes-validate", &["--strict", file]);
        }
        let dockerfile = aml.read("shop/images/blue/Dockerfile");
        for expected in [
            "FROM docker.io/library/python:3.10-slim\n",
            "COPY model /var/azureml-app/azureml-models/echo/1\n",
            "CMD [\"azmlinfsrv\",\"--entry_script\",\"/var/azureml-app/code/score.py\"",
        ] {
            assert!(dockerfile.contains(expected), "{expected}: {dockerfile}");
        }
        assert_eq!(aml.read("shop/images/blue/model/model/weight.txt"), "42");
        let packages = aml.read("shop/images/blue/requirements.txt");
        assert_eq!(packages, "numpy\nazureml-inference-server-http\n");
        let front = aml.read("shop/images/_front/default.conf.template");
        assert!(front.contains("    90% blue;\n    * green;\n"), "{front}");
        assert!(
            front.contains("    \"\" $by_share;\n    blue blue;\n"),
            "{front}"
        );
        assert!(!front.contains(key), "{front}");
        let error = aml.fails(5, "endpoint export kubernetes shop");
        assert!(error.contains("is not empty"), "{error}");
    });
}

#[test]
fn for_compose() {
    let aml = &Aml::local();
    with_endpoint(aml);
    aml.ok("endpoint export compose shop --output out");
    is_secret(&aml.path("out/.env"));
    let manifest = aml.read("out/compose.yaml");
    assert!(manifest.contains("$$5"), "{manifest}");
    let schema = [
        "--builtin-schema",
        "vendor.compose-spec",
        "out/compose.yaml",
    ];
    valid(aml, "check-jsonschema", &schema);
}

#[test]
fn the_model_comes_from_where_it_is_kept() {
    let aml = &Aml::local();
    with_endpoint(aml);
    aml.az("ml registry create -n hub").ok();
    aml.write("other/weight.txt", "43");
    aml.az("ml model create -n echo -v 7 --path other --registry-name hub")
        .ok();
    let red = "name: red\nendpoint_name: Shop\n\
               model: azureml://registries/hub/models/echo/versions/7\n\
               code_configuration: {code: ., scoring_script: score.py}\n\
               instance_type: Standard_DS3_v2\ninstance_count: 1\n";
    aml.write("red.yml", red);
    aml.ok("deployment create -f red.yml --no-wait");
    aml.ok("endpoint export compose shop");
    assert_eq!(aml.read("shop/images/red/model/other/weight.txt"), "43");
    assert_eq!(aml.read("shop/images/blue/model/model/weight.txt"), "42");
}

#[test]
fn for_the_edge() {
    let aml = &Aml::local();
    with_endpoint(aml);
    aml.ok("endpoint export edge shop --no-images --registry registry.example.com");
    is_secret(&aml.path("shop/deployment.json"));
    assert!(!aml.path("shop/images").exists());
    let manifest: Value =
        serde_json::from_str(&aml.read("shop/deployment.json")).expect("it is JSON");
    let modules = &manifest["modulesContent"]["$edgeAgent"]["properties.desired"]["modules"];
    let settings = &modules["shop--front"]["settings"];
    assert_eq!(settings["image"], "registry.example.com/shop--front:2");
    // Options are a text with JSON in it.
    let options = settings["createOptions"].as_str().expect("a text");
    let options: Value = serde_json::from_str(options).expect("it is JSON");
    let ports = &options["HostConfig"]["PortBindings"]["8080/tcp"];
    assert_eq!(ports[0]["HostPort"], "8080");
    assert_eq!(modules["shop-blue"]["env"]["PRICE"]["value"], "$5");
}
