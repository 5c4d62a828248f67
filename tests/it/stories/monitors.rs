//! Monitors: drift as other programs measure it, alerts, schedules; and what they look at, the data that
//! deployments collect.

use std::fs;

use serde_json::{Value, json};

use super::webhooks::{Receiver, allow_loopback};
use crate::support::{
    Aml, components, each_mode, eventually,
    http::{post, send},
};

/// Writes tables and what `SciPy` says of them.
const MEASURE: &str = r#"
import csv, json, sys
import numpy as np
from scipy import stats
from scipy.spatial.distance import jensenshannon

rng = np.random.default_rng(7)
old = {"age": rng.normal(40, 10, 900), "income": rng.gamma(2, 9, 900)}
new = {"age": rng.normal(44, 12, 700), "income": rng.gamma(2, 9, 700)}
towns = ["a", "b", "c", "d e"]
old["town"] = rng.choice(towns, 900, p=[0.4, 0.3, 0.2, 0.1])
new["town"] = rng.choice(towns + ["new"], 700, p=[0.3, 0.3, 0.2, 0.1, 0.1])
for name, table in [("old", old), ("new", new)]:
    with open(name + ".csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(table)
        for nth, row in enumerate(zip(*[column.tolist() for column in table.values()])):
            row = list(row)
            if name == "new" and nth % 10 == 0:
                row[1] = ""
            writer.writerow(row)
new["income"] = np.delete(new["income"], slice(0, None, 10))
said = {}
for name in ["age", "income"]:
    d = stats.ks_2samp(old[name], new[name]).statistic
    n, m = len(old[name]), len(new[name])
    said[name] = {
        "ks": d,
        "two_sample_kolmogorov_smirnov_test": stats.kstwobign.sf(d * np.sqrt(n * m / (n + m))),
        "normalized_wasserstein_distance":
            stats.wasserstein_distance(old[name], new[name]) / np.std(old[name]),
    }
names = sorted(set(old["town"]) | set(new["town"]))
counts = np.array([[np.sum(side["town"] == n) for n in names] for side in (old, new)])
chi = stats.chi2_contingency(counts, correction=False)
shares = counts / counts.sum(axis=1, keepdims=True)
floored = np.maximum(shares, 1e-4)
said["town"] = {
    "chi": chi.statistic, "dof": int(chi.dof), "pearsons_chi_squared_test": chi.pvalue,
    "jensen_shannon_distance": jensenshannon(shares[0], shares[1], base=2),
    "population_stability_index":
        float(np.sum((floored[1] - floored[0]) * np.log(floored[1] / floored[0]))),
}
json.dump(said, sys.stdout)
"#;

fn close(found: &Value, said: &Value, what: &str) {
    let (found, said) = (found.as_f64().expect(what), said.as_f64().expect(what));
    let near = (found - said).abs() <= 1e-9 + 1e-6 * said.abs();
    assert!(near, "{what}: {found} is not {said}");
}

/// The tables `old.csv` and `new.csv`, and what `SciPy` says of them.
fn tables(aml: &Aml) -> Value {
    let python = components::python_with(&["numpy==2.3.1", "scipy==1.16.0"]);
    let python = python.expect("the packages can be had").join("python");
    aml.write("measure.py", MEASURE);
    let mut command = aml.program(python);
    command.arg("measure.py");
    let output = aml.finish(command).ok();
    serde_json::from_str(&output).expect("JSON")
}

fn enterprise(aml: &Aml) {
    aml.ok("workspace create -n Churn --edition enterprise");
}

const DRIFT: &str = "monitor drift --data new.csv --reference old.csv";

#[test]
fn drift_is_what_scipy_measures_and_told_to_webhooks() {
    each_mode(|aml| {
        aml.share_environments();
        let said = tables(aml);
        aml.ok("workspace create -n Churn");
        let error = aml.fails(7, DRIFT);
        assert!(
            error.contains("aml workspace upgrade -n Churn --edition enterprise"),
            "{error}"
        );
        aml.ok("workspace upgrade -n churn --edition enterprise");
        let words = format!(
            "{DRIFT} --exit-zero --threshold null_value_rate=0.05 \
             --threshold categorical.pearsons_chi_squared_test=0.01 -o json"
        );
        let report = aml.json(words.as_str());
        let feature = |name: &str| {
            let features = report["features"].as_array().expect("features").iter();
            let mut found = features.filter(|feature| feature["name"] == name);
            found.next().expect(name).clone()
        };
        for name in ["age", "income"] {
            let found = feature(name);
            close(&found["ks_statistic"], &said[name]["ks"], name);
            for metric in [
                "two_sample_kolmogorov_smirnov_test",
                "normalized_wasserstein_distance",
            ] {
                close(&found["metrics"][metric], &said[name][metric], metric);
            }
        }
        let town = feature("town");
        close(&town["chi_squared"], &said["town"]["chi"], "χ²");
        assert_eq!(town["degrees_of_freedom"], said["town"]["dof"]);
        for metric in [
            "pearsons_chi_squared_test",
            "jensen_shannon_distance",
            "population_stability_index",
        ] {
            close(&town["metrics"][metric], &said["town"][metric], metric);
        }
        close(
            &feature("income")["metrics"]["null_value_rate"],
            &json!(0.1),
            "missing",
        );
        let alerts: Vec<(&Value, &Value)> = report["alerts"]
            .as_array()
            .expect("alerts")
            .iter()
            .map(|alert| (&alert["feature"], &alert["metric"]))
            .collect();
        assert_eq!(
            alerts,
            [
                (&json!("income"), &json!("null_value_rate")),
                (&json!("town"), &json!("pearsons_chi_squared_test")),
            ]
        );

        let receiver = Receiver::start();
        allow_loopback(aml);
        let hook = format!(
            "webhook create ops --url {} --event monitor.alerted --secret-file hush",
            receiver.url
        );
        aml.write("hush", "secret");
        aml.ok(hook.as_str());
        aml.fails(15, format!("{DRIFT} --name nightly").as_str());
        let letter = receiver.next();
        assert!(letter.is_signed_with("secret"));
        let body = letter.json();
        assert_eq!(
            (&body["entity"], &body["action"]),
            (&json!("monitor"), &json!("alerted"))
        );
        assert_eq!(body["data"]["name"], "nightly");
        let alerts = body["data"]["alerts"].as_array().expect("alerts");
        assert!(
            alerts.iter().any(|alert| alert["feature"] == "town"),
            "{body}"
        );
        let kept = aml.json("monitor list");
        assert_eq!(kept[0]["monitor"], "nightly");
        let shown = aml.ok("monitor show nightly -o table");
        assert!(
            shown.contains("town: population_stability_index "),
            "{shown}"
        );
        let error = aml.fails(3, "monitor show nightl");
        assert!(error.contains("Did you mean `nightly`?"), "{error}");
    });
}

const SCRIPT: &str = r#"
import json
import pandas as pd
from azureml.ai.monitoring import Collector

def init():
    global inputs, outputs
    inputs = Collector(name="model_inputs")
    outputs = Collector(name="model_outputs")

def run(data):
    frame = pd.DataFrame(json.loads(data)["data"])
    context = inputs.collect(frame)
    answer = pd.DataFrame({"sum": frame.sum(axis=1)})
    outputs.collect(answer, context)
    return answer.to_dict(orient="list")
"#;

const DEPLOYMENT: &str = "\
name: blue
endpoint_name: sums
model: azureml:echo:1
code_configuration: {code: ., scoring_script: score.py}
environment: {image: python, conda_file: conda.yml}
instance_type: Standard_DS3_v2
instance_count: 1
data_collector:
  rolling_rate: day
  collections:
    model_inputs: {enabled: 'True'}
    model_outputs: {enabled: 'True'}
    request: {enabled: 'True'}
    response: {enabled: 'True'}
  request_logging: {capture_headers: [x-team]}
";

const CONDA: &str = "\
dependencies:
  - pip
  - pip:
      - azureml-inference-server-http
      - azureml-ai-monitoring==1.0.0
      - pandas==2.3.1
";

/// What was collected of a collection, line by line.
fn collected(aml: &Aml, collection: &str) -> Vec<Value> {
    let folder = format!("out-{collection}");
    let _ = fs::remove_dir_all(aml.path(&folder));
    let words = format!(
        "datastore download workspaceblobstore modelDataCollector/sums/blue/{collection} -p {folder}"
    );
    if aml.run(words.as_str()).status != 0 {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let mut left = vec![aml.path(&folder)];
    while let Some(path) = left.pop() {
        for entry in fs::read_dir(path).expect("a folder").flatten() {
            if entry.path().is_dir() {
                left.push(entry.path());
            } else {
                let text = fs::read_to_string(entry.path()).expect("text");
                let line = |line: &str| serde_json::from_str::<Value>(line).expect("JSON");
                lines.extend(text.lines().map(line));
            }
        }
    }
    lines
}

/// The folder of the day on which inputs were collected, which were downloaded before.
fn day(aml: &Aml) -> String {
    let mut path = aml.path("out-model_inputs");
    let mut names = Vec::new();
    while path.is_dir() {
        let first = fs::read_dir(&path).expect("a folder").flatten().next();
        let first = first.expect("something").file_name();
        names.push(first.to_string_lossy().into_owned());
        path.push(first);
    }
    names.pop();
    let years = names.iter().position(|name| name.starts_with("20"));
    names[years.expect("a year")..].join("/")
}

#[test]
fn what_a_script_collects_is_kept_as_data_and_looked_at_by_monitors() {
    each_mode(|aml| {
        aml.share_environments();
        let aml = &aml.within_seconds(300);
        enterprise(aml);
        aml.write("model/weight.txt", "42");
        aml.write("score.py", SCRIPT);
        aml.write("conda.yml", CONDA);
        aml.write("deployment.yml", DEPLOYMENT);
        aml.ok("model register -n echo --path model");
        aml.az("configure --defaults group=g workspace=Churn").ok();
        aml.az("ml online-endpoint create -n sums").ok();
        aml.az("ml online-deployment create -f deployment.yml --all-traffic")
            .ok();
        let url = aml.json("endpoint show sums --query scoring_uri");
        let url = url.as_str().expect("an address");
        let key = aml.json("endpoint keys sums --query primary");
        let key = format!("Bearer {}", key.as_str().expect("a key"));
        let headers = [
            ("authorization", key.as_str()),
            ("content-type", "application/json"),
            ("x-team", "green"),
            ("x-request-id", "r-1"),
        ];
        let rows = r#"{"data": {"a": [1, 2, 3], "b": [10, 20, 30]}}"#;
        let (status, answer) = send("POST", url, &headers, rows);
        assert_eq!((status, answer.as_str()), (200, r#"{"sum": [11, 22, 33]}"#));
        let all = |collection: &str| {
            eventually("it is kept", 30, || {
                Some(collected(aml, collection)).filter(|lines| !lines.is_empty())
            })
        };
        let (inputs, outputs) = (&all("model_inputs")[0], &all("model_outputs")[0]);
        let records = json!([{"a": 1, "b": 10}, {"a": 2, "b": 20}, {"a": 3, "b": 30}]);
        assert_eq!(inputs["data"], records);
        assert_eq!(
            outputs["data"],
            json!([{"sum": 11}, {"sum": 22}, {"sum": 33}])
        );
        assert_eq!(inputs["correlationid"], outputs["correlationid"]);
        assert_eq!(inputs["type"], "azureml.inference.model_inputs");
        assert_eq!(inputs["collectdatatype"], "pandas.core.frame.DataFrame");
        assert_eq!(inputs["agent"], "azureml-ai-monitoring/1.0.0");
        let source = inputs["source"].as_str().expect("a source");
        assert!(
            source.ends_with("/onlineEndpoints/sums/deployments/blue"),
            "{source}"
        );
        let (request, response) = (&all("request")[0], &all("response")[0]);
        assert_eq!(request["data"]["data"]["b"], json!([10, 20, 30]));
        assert_eq!(request["headers"], json!({"x-team": "green"}));
        assert_eq!(response["data"], json!({"sum": [11, 22, 33]}));
        assert_eq!(response["statuscode"], 200);
        assert_eq!(
            (&request["xrequestid"], &response["xrequestid"]),
            (&json!("r-1"), &json!("r-1"))
        );

        let asset = aml.json("data show sums-blue-model_inputs:1");
        let path = "azureml://datastores/workspaceblobstore/paths/modelDataCollector/sums/blue/model_inputs";
        assert_eq!(asset["path"], path);
        aml.write("train.csv", "a,b\n1,10\n2,20\n3,30\n");
        let drift = "monitor drift --endpoint sums --reference train.csv";
        let report = aml.json(drift);
        assert_eq!(
            (&report["data_rows"], &report["drifted"]),
            (&json!(3), &json!(false))
        );
        // What is named is read as it lies: the collection's asset, or the folder of a day.
        for data in ["sums-blue-model_inputs:1", &format!("{path}/{}", day(aml))] {
            let report = aml.json(format!(
                "monitor drift --data {data} --since 2d --reference train.csv"
            ));
            assert_eq!(report["data_rows"], 3, "{data}");
        }
        let error = aml.fails(
            3,
            format!("monitor drift --data {path}x --since 2d --reference train.csv"),
        );
        assert!(error.contains("model_inputsx"), "{error}");
        aml.write("other.csv", "a,b\n100,10\n200,20\n300,30\n");
        aml.fails(
            15,
            "monitor drift --endpoint sums --reference other.csv --name watch",
        );

        // As a schedule says it, in a job.
        aml.write("monitor.yml", MONITOR);
        aml.ok("schedule create -f monitor.yml");
        let job = aml.json("schedule trigger --name watched --query job");
        let job = job.as_str().expect("a job");
        let log = aml.ok(format!("run logs {job} --follow").as_str());
        assert!(log.contains("a: population_stability_index "), "{log}");
        let report = aml.json("monitor show watched-inputs");
        assert_eq!(
            (&report["run"], &report["drifted"]),
            (&json!(job), &json!(true))
        );
        let shown = aml.json("schedule show --name watched");
        assert_eq!(
            shown["create_monitor"]["monitoring_target"]["ml_task"],
            "regression"
        );
    });
}

const MONITOR: &str = "\
name: watched
trigger: {type: cron, expression: '15 3 1 1 *'}
create_monitor:
  compute: {instance_type: standard_e4s_v3, runtime_version: '3.4'}
  monitoring_target: {ml_task: regression, endpoint_deployment_id: 'azureml:sums:blue'}
  monitoring_signals:
    inputs:
      type: data_drift
      reference_data:
        input_data: {type: uri_file, path: other.csv}
      features: [a]
      metric_thresholds:
        numerical: {population_stability_index: 0.3}
";

#[test]
fn a_deployment_gets_secrets_that_nobody_sees() {
    each_mode(|aml| {
        aml.share_environments();
        aml.ok("workspace create -n Churn");
        aml.write("model/weight.txt", "42");
        aml.write(
            "score.py",
            "import os\ndef init(): print('let in by', os.environ['TOKEN'], flush=True)\ndef run(raw):\n    path = os.environ['FILE']\n    \
             return [len(os.environ['TOKEN']), open(path).read(), oct(os.stat(path).st_mode)[-3:]]\n",
        );
        aml.ok("model register -n echo --path model");
        let deploy = "deploy echo:1 --name seals --script score.py --secret TOKEN=api --secret-file FILE=api";
        let error = aml.fails(3, deploy);
        assert!(error.contains("aml secret set api"), "{error}");
        aml.run_with_stdin("secret set api", "s3cret").ok();
        let endpoint = aml.json(deploy);
        assert!(!endpoint.to_string().contains("s3cret"), "{endpoint}");
        let url = endpoint["scoring_uri"].as_str().expect("an address");
        let key = aml.json("endpoint keys seals --query primary");
        let (status, answer) = post(url, key.as_str().expect("a key"), "{}");
        assert_eq!((status, answer.as_str()), (200, r#"[6, "s3cret", "600"]"#));
        let error = aml.fails(2, format!("{deploy} --env-var TOKEN=x").as_str());
        assert!(error.contains("`TOKEN` is given twice"), "{error}");
        let log = eventually("what the script says is in the log", 10, || {
            let log = aml.ok("endpoint logs seals");
            log.contains("let in by").then_some(log)
        });
        assert!(log.contains("let in by ***\n"), "{log}");
        assert!(!log.contains("s3cret"), "{log}");
        aml.ok("secret delete api --yes");
        aml.ok("endpoint stop seals");
        let error = aml.fails(12, "endpoint start seals");
        assert!(
            error.contains("`api` is not in the key vault any more"),
            "{error}"
        );
    });
}
