//! MLflow's clients against `aml`: the stock clients from inside runs, and single calls.

mod calls;
mod charts;
mod export;
mod graphql;
mod import;
mod odd;
mod parts;
mod roles;
mod same_record;
mod stores;
mod suite;
mod workspaces;

use crate::support::{Aml, components, each_mode_with};

/// Beside the client: what the script trains, draws and loads with.
const LIBRARIES: [&str; 3] = ["scikit-learn==1.6.1", "pandas==2.2.3", "matplotlib==3.9.4"];

/// A late client of 2.x, with what it serves models and keeps spans with.
const CLIENT_2: [&str; 4] = [
    "mlflow-skinny==2.22.0",
    "setuptools<80",
    "opentelemetry-sdk<1.33",
    "starlette<0.47",
];
const CLIENT_3: [&str; 2] = ["mlflow-skinny==3.17.2", "skops"];

fn a_script_uses(packages: &[&str]) {
    let python = match components::python_with(packages) {
        Ok(python) => python,
        Err(why) => return components::skipped(&why),
    };
    each_mode_with(&python, |aml| {
        let aml = &aml.within_seconds(300);
        aml.ok("workspace create -n ws");
        aml.write("code/client_calls.py", include_str!("client_calls.py"));
        let other = aml.json("run submit --env host --experiment elsewhere -- true");
        let other = other["name"].as_str().expect("a name");
        let log = aml.ok(format!(
            "run submit --stream --env host --experiment iris --code code --env-var OTHER_RUN={other} \
             --env-var MLFLOW_HTTP_REQUEST_MAX_RETRIES=1 --env-var GIT_PYTHON_REFRESH=quiet \
             -- python client_calls.py"
        ));
        assert!(log.contains("all done"), "{log}");
        what_aml_sees(aml);
    });
}

/// What the script logged is there for every other command.
fn what_aml_sees(aml: &Aml) {
    let filter = "metrics.accuracy > 0.5";
    let run = aml.json(["run", "list", "--filter", filter, "--query", "[0]"]);
    assert_eq!(run["params"]["lr"], "0.1", "{run}");
    assert_eq!(run["metrics"]["nan"]["last"], "NaN", "{run}");
    assert_eq!(run["status"], "Completed", "{run}");
    let run = run["name"].as_str().expect("a name");
    let model = aml.json(format!(
        "model register -n iris --from-run {run} --path model"
    ));
    assert_eq!(model["type"], "mlflow", "{model}");
    let filter = "params.C = '0.5'";
    let parents = aml.json(["run", "list", "--filter", filter, "--query", "[].parent"]);
    assert_eq!(parents[0], run, "{parents}");
}

#[test]
fn a_script_uses_the_oldest_client_of_version_2() {
    a_script_uses(&[
        "mlflow==2.0.1",
        "setuptools<70",
        "scikit-learn==1.2.2",
        "pandas==1.5.3",
        "numpy==1.23.5",
        "matplotlib==3.7.5",
    ]);
}

#[test]
fn a_script_uses_a_client_of_version_2() {
    a_script_uses(&[&CLIENT_2[..], &LIBRARIES].concat());
}

#[test]
fn a_script_uses_a_client_of_version_3() {
    a_script_uses(&[&CLIENT_3[..], &LIBRARIES].concat());
}
