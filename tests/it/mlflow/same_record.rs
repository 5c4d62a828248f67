//! A run that a client logs from outside and one that is submitted are the same kind of record.

use std::fs;

use expect_test::expect;
use serde_json::json;

use crate::support::{Aml, components, each_mode_with, root};

#[test]
fn a_run_logged_from_outside_is_a_run_like_any_other() {
    let example = |file: &str| {
        let path = root().join("examples/iris").join(file);
        fs::read_to_string(path).expect("the example is there")
    };
    let requirements = example("requirements.txt");
    let python = match components::python_with(&requirements.lines().collect::<Vec<_>>()) {
        Ok(python) => python,
        Err(why) => return components::skipped(&why),
    };
    each_mode_with(&python, |aml| {
        let aml = &aml.within_seconds(300);
        aml.ok("workspace create -n ws");
        aml.ok([
            "run",
            "submit",
            "--stream",
            "-e",
            "submitted",
            "--param",
            "C=2",
            "--",
            "echo x > outputs/file",
        ]);
        aml.write("client.py", include_str!("client_outside.py"));
        aml.write("score.py", example("score.py"));
        aml.write("requirements.txt", &requirements);
        aml.ok("mlflow -- python client.py");
        let best = looked_at(aml);
        deployed(aml, &best);
    });
}

/// What every command says of the runs; the name of the best.
fn looked_at(aml: &Aml) -> String {
    let names = aml.json("run list -e outside --query '[].display_name'");
    assert_eq!(names, json!(["C=1.0", "C=0.01"]), "newest first");
    let best = aml.json("run best -e outside --metric accuracy --goal maximize");
    assert_eq!(
        (&best["display_name"], &best["status"]),
        (&json!("C=1.0"), &json!("Completed"))
    );
    let best = best["name"].as_str().expect("a name").to_owned();
    let shown = aml.ok(["run", "show", &best, "-o", "table"]);
    assert!(shown.contains("\nSource        client.py\n"), "{shown}");
    let metrics = aml.json(["run", "metrics", &best]);
    assert_eq!(metrics["accuracy"]["count"], 3, "{metrics}");
    let logs = aml.run(["run", "logs", &best]);
    expect![[r#"
        Hint: A client logs to this run; what its program prints is where it was started.
    "#]]
    .assert_eq(&logs.stderr);
    let error = aml.fails(5, ["run", "cancel", &best]);
    assert!(error.contains("has already ended"), "{error}");
    aml.ok(["run", "download", &best, "--output", "out"]);
    assert!(aml.path("out/model/model.joblib").is_file());
    let other = aml.json("run list -e outside --query '[1].name'");
    let other = other.as_str().expect("a name");
    let difference = aml.json(["run", "diff", &best, other]);
    assert_eq!(difference["params"]["C"], json!({"a": "1.0", "b": "0.01"}));
    best
}

fn deployed(aml: &Aml, run: &str) {
    let line = format!("model register -n iris --from-run {run} --path model --type custom");
    let model = aml.json(line);
    assert_eq!(
        (&model["version"], &model["lineage"]["run"]),
        (&json!(1), &json!(run)),
        "{model}"
    );
    aml.ok("deploy iris:1 --name from-outside --script score.py --env requirements.txt");
    let species = aml.json(r#"endpoint score from-outside --data '{"data": [[5.1,3.5,1.4,0.2]]}'"#);
    assert_eq!(species, json!({"species": ["setosa"]}));
    aml.ok("endpoint delete from-outside --yes");
}
