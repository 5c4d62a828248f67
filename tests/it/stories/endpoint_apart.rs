//! What a scoring script can open of the state directory.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::support::each_mode;

const SCRIPT: &str = r#"
import json, os, tempfile

def init():
    pass

def run(raw):
    paths = json.loads(raw)
    paths.append(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "weight.txt"))
    paths.append(os.environ.get("SEAL", __file__))
    answers = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                answers.append(len(file.read()) > 0)
        except PermissionError:
            answers.append("denied")
    with tempfile.TemporaryFile() as file:
        file.write(b"x")
    return answers
"#;

/// The files below a folder that are called so.
fn named(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(named(&path, name));
        } else if path.ends_with(name) {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_script_opens_its_own_files_and_no_others() {
    each_mode(|aml| {
        aml.share_environments();
        aml.ok("workspace create -n churn");
        aml.write("model/weight.txt", "42");
        aml.write("score.py", SCRIPT);
        aml.ok("model register -n echo --path model");
        aml.run_with_stdin("secret set api", "s3cret").ok();
        let deploy = |name: &str| format!("deploy echo:1 --name {name} --script score.py");
        aml.ok(format!("{} --secret-file SEAL=api", deploy("sealed")).as_str());
        aml.ok(deploy("nosy").as_str());
        let log = aml.ok("endpoint logs nosy");
        if log.contains("no Landlock") {
            return;
        }
        let score = |name: &str, paths: &[PathBuf]| -> Vec<Value> {
            let paths = json!(paths).to_string();
            let answer = aml.json(["endpoint", "score", name, "-d", &paths]);
            answer.as_array().expect("a list").clone()
        };
        assert_eq!(
            score("sealed", &[]),
            [true, true],
            "its model and its secret"
        );
        let state = aml.state();
        let mut paths = vec![state.join("vault.key"), state.join("aml.db")];
        let secrets = named(&state.join("endpoints"), "SEAL");
        assert_eq!(secrets.len(), 1);
        paths.extend(secrets);
        let (denied, mine) = (json!("denied"), json!(true));
        let found = score("nosy", &paths);
        assert_eq!(
            json!(found),
            json!(["denied", "denied", "denied", true, true])
        );
        // Of the two that are laid out one is its own.
        let models = named(&state.join("endpoints"), "weight.txt");
        let found = score("nosy", &models);
        assert_eq!((models.len(), found.len()), (2, 4));
        let count = |what: &Value| found.iter().filter(|one| *one == what).count();
        assert_eq!((count(&denied), count(&mine)), (1, 3));
    });
}
