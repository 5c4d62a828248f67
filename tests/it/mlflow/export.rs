//! `aml export mlflow`: a database that holds what the workspace does.

use serde_json::{Value, json};

use super::{
    import::{call, traces},
    stores::{database, mlruns},
};
use crate::support::{Aml, each_mode};

/// Everything about runs and models that does not tell when it came here.
fn all(aml: &Aml) -> Value {
    let mut all = Vec::new();
    for query in [
        "experiment list --query 'sort_by([?runs > `0`].{name: name, tags: tags, runs: runs}, &name)'",
        "run list -n 1000 --query 'sort_by([].{name: name, display: display_name, experiment: experiment, \
         status: status, user: user, parent: parent, started: started_at, ended: ended_at, params: params, \
         tags: tags, metrics: metrics}, &name)'",
        "model list --name m --query '[].{name: name, version: version, stage: stage, tags: tags, \
         description: description, aliases: aliases, by: created_by, at: created_at, run: lineage.run, \
         files: files.hash}'",
    ] {
        all.push(aml.json(query));
    }
    for run in ["r1", "child", "run0"] {
        all.push(aml.json(format!("run outputs {run} --query [].[path,hash]")));
        all.push(aml.json(format!("run metrics {run}")));
    }
    all.push(traces(aml, "First ü"));
    all.into()
}

#[test]
fn what_was_exported_comes_back_as_it_was() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        mlruns(&aml.path("mlruns"));
        database(&aml.path("store/mlflow.db"), 3);
        aml.ok("import mlflow --from mlruns");
        aml.ok("import mlflow --from store/mlflow.db");
        aml.ok("model register -n m --from-run run0 --path model --tag team=blue");
        aml.write("model/weights.txt", "1 2 3");
        aml.ok("model register -n m --path model --type custom");
        aml.ok("model alias set m:1 champion");
        let tally = aml.json("export mlflow --to out/mlflow.db");
        assert_eq!(tally["runs"]["new"], tally["runs"]["found"], "{tally}");
        assert_eq!(tally["model_versions"]["new"], 2, "{tally}");
        assert_eq!(tally["traces"]["new"], 1, "{tally}");
        // Again, only what is new.
        aml.ok("run log r1 --metric loss=0.125 --step 9");
        let tally = aml.json("export mlflow --to sqlite:///out/mlflow.db");
        let runs = &tally["runs"];
        assert_eq!(
            (&runs["new"], &runs["updated"]),
            (&json!(0), &json!(1)),
            "{tally}"
        );
        assert_eq!(tally["traces"]["unchanged"], 1, "{tally}");
        // What does not show in the record of a run: a file, and a point before the latest.
        let mut folders = std::fs::read_dir(aml.path("out/mlartifacts")).unwrap();
        let of_run = folders.find_map(|entry| {
            let folder = entry.unwrap().path().join("r1");
            folder.is_dir().then_some(folder)
        });
        std::fs::remove_dir_all(of_run.unwrap()).unwrap();
        aml.ok("run log child --metric early=2 --step 5");
        let tally = aml.json("export mlflow --to out/mlflow.db");
        let written = (&tally["runs"]["updated"], tally["files"].as_u64());
        assert_eq!(written.0, &json!(2), "{tally}");
        assert!(written.1 > Some(0), "{tally}");
        aml.ok("run log child --metric early=1 --step 1");
        let tally = aml.json("export mlflow --to out/mlflow.db");
        assert_eq!(
            (&tally["runs"]["updated"], &tally["metric_points"]),
            (&json!(1), &json!(1)),
            "{tally}"
        );
        let tally = aml.json("export mlflow --to out/mlflow.db");
        assert_eq!(
            (&tally["runs"]["updated"], &tally["files"]),
            (&json!(0), &json!(0)),
            "{tally}"
        );
        let before = all(aml);
        aml.ok("workspace delete -n ws --yes");
        aml.ok("workspace create -n ws");
        let tally = aml.json("import mlflow --from out/mlflow.db");
        assert_eq!(tally["without_files"], 0, "{tally}");
        assert_eq!(tally["model_versions"]["new"], 2, "{tally}");
        assert_eq!(all(aml), before);
        let tally = aml.json("import mlflow --from out/mlflow.db");
        assert_eq!(tally["model_versions"]["unchanged"], 2, "{tally}");
        assert_eq!(tally["registered_models"]["unchanged"], 1, "{tally}");
    });
}

#[test]
fn what_cannot_be_written_is_said() {
    let aml = Aml::local();
    aml.ok("workspace create -n ws");
    aml.write("notes.txt", "no database");
    let error = aml.fails(2, "export mlflow --to notes.txt");
    assert!(
        error.contains("is not a database of MLflow's tracking server"),
        "{error}"
    );
    let error = aml.fails(2, "export mlflow --to postgresql://ann:secret@db/mlflow");
    assert!(
        error.contains("--to: `postgresql` cannot be written"),
        "{error}"
    );
    assert!(!error.contains("secret"), "{error}");
    let error = aml.fails(3, "export mlflow --to new.db -e nothing");
    assert!(error.contains("No experiment `nothing`"), "{error}");
    assert!(!aml.path("new.db").exists(), "nothing is left half written");
}

#[test]
fn what_a_run_that_is_left_out_measured_of_a_model_is_left_out() {
    each_mode(|aml| {
        aml.ok("workspace create -n ws");
        let call = |name: &str, body: Value| {
            call(
                aml,
                "-d @body.json",
                &format!("api/2.0/mlflow/{name}"),
                &body,
            )
        };
        let experiment = &call("experiments/create", json!({"name": "e"}))["experiment_id"];
        let run = || {
            let run = call("runs/create", json!({"experiment_id": experiment}));
            run["run"]["info"]["run_id"].clone()
        };
        let (kept, deleted) = (run(), run());
        let model = call(
            "logged-models",
            json!({"experiment_id": experiment, "name": "m"}),
        );
        let model = &model["model"]["info"]["model_id"];
        for (run, value) in [(&kept, 1), (&deleted, 2)] {
            let metric = json!({"run_id": run, "model_id": model, "key": "loss", "value": value,
                "timestamp": 1, "step": 0});
            call("runs/log-metric", metric);
        }
        call("runs/delete", json!({"run_id": deleted}));
        for (options, measured) in [("", json!([1.0])), ("--include-deleted", json!([1.0, 2.0]))] {
            aml.ok(format!("export mlflow --to out/mlflow.db {options}"));
            let store = rusqlite::Connection::open(aml.path("out/mlflow.db")).expect("a database");
            let sql = "SELECT metric_value FROM logged_model_metrics ORDER BY 1";
            let mut found = store.prepare(sql).expect("a table");
            let found = found
                .query_map([], |row| row.get::<_, f64>(0))
                .expect("rows");
            let found: Vec<f64> = found.map(|value| value.expect("a number")).collect();
            assert_eq!(json!(found), measured, "{options}");
        }
    });
}
