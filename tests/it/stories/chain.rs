//! The whole way, by hand: from an empty directory to a scored endpoint.

use std::fs;

use serde_json::{Value, json};

use crate::support::{Aml, components, each_mode_with, root};

/// Copies the example of the repository to where a user would have it.
fn iris(aml: &Aml) {
    for file in ["train.py", "score.py", "requirements.txt"] {
        let text = fs::read(root().join("examples/iris").join(file)).expect("the example is there");
        aml.write(&format!("src/{file}"), text);
    }
    for file in ["score.py", "requirements.txt"] {
        fs::copy(aml.path(&format!("src/{file}")), aml.path(file)).expect("copies");
    }
}

#[test]
fn from_an_empty_directory_to_a_scored_endpoint() {
    let requirements = root().join("examples/iris/requirements.txt");
    let requirements = fs::read_to_string(requirements).expect("the example is there");
    let packages: Vec<&str> = requirements.lines().collect();
    let python = match components::python_with(&packages) {
        Ok(python) => python,
        Err(why) => return components::skipped(&why),
    };
    each_mode_with(&python, |aml| {
        iris(aml);
        aml.ok("workspace create -n Churn --edition basic");
        aml.ok("workspace upgrade -n churn --edition enterprise");
        let (first, second) = train(aml);
        compare(aml, &first, &second);
        register(aml, &second);
        deploy_and_score(aml);
        aml.ok("workspace delete -n churn --yes");
    });
}

/// Two runs with different parameters, to their end.
fn train(aml: &Aml) -> (String, String) {
    let submit = |c: &str| {
        let run = aml.json(format!(
            "run submit --experiment iris --code ./src -- python train.py --C {c}"
        ));
        assert!(run["snapshot"]["files"] == 3, "{run}");
        run["name"].as_str().expect("a name").to_owned()
    };
    let (first, second) = (submit("0.01"), submit("1"));
    for name in [&first, &second] {
        let log = aml
            .within_seconds(180)
            .ok(["run", "logs", name, "--follow"]);
        assert!(log.contains("accuracy"), "{log}");
        let run = aml.json(["run", "show", name]);
        assert_eq!(run["status"], "Completed", "{run}");
        assert_eq!(run["exit_code"], 0);
        assert!(
            run["usage"]["peak_memory"].as_u64() > Some(1 << 20),
            "{run}"
        );
    }
    let listed = aml.json("run list --experiment iris --query '[].name'");
    assert_eq!(listed, json!([second, first]), "newest first");
    (first, second)
}

fn compare(aml: &Aml, first: &str, second: &str) {
    let metrics = aml.json(["run", "metrics", second]);
    assert!(metrics.to_string().contains("log_loss"), "{metrics}");
    let best = aml.json("run best --experiment iris --metric log_loss --goal minimize");
    assert_eq!(best["name"], second);
    let best = aml.json("run best --experiment iris --metric log_loss --goal maximize");
    assert_eq!(best["name"], first);
    let difference = aml.ok(["run", "diff", first, second]);
    assert!(difference.contains("0.01"), "{difference}");
    aml.ok(["run", "download", second, "--output", "./out"]);
    assert!(aml.path("out/outputs/model/model.joblib").is_file());
    aml.fails(5, ["run", "cancel", second]);
}

fn register(aml: &Aml, run: &str) {
    let line =
        format!("model register -n iris --from-run {run} --path outputs/model --type custom");
    assert_eq!(aml.json(&line)["version"], 1);
    assert_eq!(aml.json(&line)["version"], 2, "versions count up");
    aml.fails(3, line.replace("outputs/model", "outputs/modle"));
}

fn deploy_and_score(aml: &Aml) {
    let endpoint = aml
        .within_seconds(300)
        .json("deploy iris:1 --name iris-ep --script score.py --env requirements.txt");
    assert_eq!(endpoint["state"], "healthy", "{endpoint}");
    let score = |aml: &Aml| -> Value {
        aml.json(r#"endpoint score iris-ep --data '{"data": [[5.1,3.5,1.4,0.2]]}'"#)
    };
    assert_eq!(score(aml), json!({"species": ["setosa"]}));
    aml.ok("endpoint logs iris-ep");
    assert!(aml.json("endpoint keys iris-ep")["primary"].is_string());
    assert_eq!(
        aml.json("endpoint list --query '[].[name, state]'"),
        json!([["iris-ep", "healthy"]])
    );
    aml.fails(5, "model delete iris:1 --yes");
    aml.ok("endpoint stop iris-ep");
    assert_eq!(aml.json("endpoint show iris-ep --query state"), "stopped");
    aml.within_seconds(120).ok("endpoint start iris-ep");
    assert_eq!(score(aml), json!({"species": ["setosa"]}));
    aml.ok("endpoint delete iris-ep --yes");
    assert_eq!(aml.json("endpoint list"), json!([]));
}
