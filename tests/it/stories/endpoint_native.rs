//! Endpoints that the host itself scores, for an `aml` that was built with that.

use serde_json::{Value, json};

use crate::support::{Aml, components, each_mode, http::post};

const PACKAGES: [&str; 6] = [
    "scikit-learn==1.7.0",
    "numpy<2.4",
    "skl2onnx",
    "onnx",
    "lightgbm",
    "xgboost-cpu",
];

/// Trains a model with each framework, and writes what it answers for some rows.
const TRAIN: &str = r#"
import json, lightgbm, numpy, xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from skl2onnx import to_onnx

x, y = load_iris(return_X_y=True)
x = x.astype(numpy.float32)
rows = x[::7]

def save(name, expected):
    json.dump(numpy.asarray(expected).tolist(), open(name + ".json", "w"))

model = LogisticRegression(max_iter=1000).fit(x, y)
options = {id(model): {"zipmap": False}}
open("sklearn.onnx", "wb").write(to_onnx(model, x[:1], options=options).SerializeToString())
save("sklearn", model.predict_proba(rows.astype(float)))

data = lightgbm.Dataset(x, y, feature_name=["a", "b", "c", "d"])
model = lightgbm.train({"objective": "multiclass", "num_class": 3, "verbose": -1}, data, 20)
model.save_model("lightgbm.txt")
save("lightgbm", model.predict(rows))

data = xgboost.DMatrix(x, y)
model = xgboost.train({"objective": "multi:softprob", "num_class": 3}, data, 20)
model.save_model("xgboost.ubj")
save("xgboost", model.predict(xgboost.DMatrix(rows)))

save("rows", rows)
"#;

const MODELS: [(&str, &str); 3] = [("sklearn", "onnx"), ("lightgbm", "txt"), ("xgboost", "ubj")];

fn read(aml: &Aml, name: &str) -> Value {
    serde_json::from_str(&aml.read(&format!("{name}.json"))).expect("it is JSON")
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(all) => all.iter().flat_map(numbers).collect(),
        other => other.as_f64().into_iter().collect(),
    }
}

/// Whether an answer is what the framework says.
#[track_caller]
fn is_as_expected(aml: &Aml, name: &str, answer: &Value) {
    let answer = match name {
        "sklearn" => &answer["probabilities"],
        _ => answer,
    };
    let (found, expected) = (numbers(answer), numbers(&read(aml, name)));
    assert_eq!(found.len(), expected.len(), "{name}: {answer}");
    let apart = found.iter().zip(&expected).map(|(a, b)| (a - b).abs());
    let most = apart.fold(0.0, f64::max);
    assert!(most < 1e-5, "{name} is {most} away");
}

#[test]
fn models_of_three_frameworks_are_scored_by_the_host_itself() {
    let python = components::python_with(&PACKAGES).expect("the packages can be had");
    each_mode(|aml| {
        aml.ok("workspace create -n churn");
        aml.write("train.py", TRAIN);
        let mut train = aml.program(python.join("python"));
        train.arg("train.py");
        aml.finish(train).ok();
        for (name, end) in MODELS {
            aml.ok(format!("model register -n {name} --path {name}.{end}"));
            aml.ok(format!(
                "deploy {name}:1 --name scores --deployment {name} --native"
            ));
        }
        aml.write("rows", json!({"input_data": read(aml, "rows")}).to_string());
        let score = |name: &str| {
            aml.json(format!(
                "endpoint score scores --deployment {name} --file rows"
            ))
        };
        for (name, _) in MODELS {
            is_as_expected(aml, name, &score(name));
        }
        let processes = aml.processes();
        let python = processes.iter().find(|(_, line)| line.contains("serve.py"));
        assert!(python.is_none(), "no process scores: {processes:?}");

        // What cannot be scored is said, and the next request is answered.
        let endpoint = aml.json("endpoint show scores");
        let url = endpoint["scoring_uri"].as_str().expect("an address");
        let key = aml.json("endpoint keys scores --query primary");
        let key = key.as_str().expect("a key");
        let (status, said) = post(url, key, r#"{"input_data": [[1, 2]]}"#);
        assert_eq!(status, 400, "{said}");
        let named =
            r#"{"input_data": {"columns": ["d", "c", "b", "a"], "data": [[0.2, 1.4, 3.5, 5.1]]}}"#;
        aml.ok("endpoint traffic scores lightgbm=100");
        let (status, by_name) = post(url, key, named);
        assert_eq!(status, 200, "{by_name}");
        let plain = r#"{"input_data": [[5.1, 3.5, 1.4, 0.2]]}"#;
        assert_eq!(
            post(url, key, plain).1,
            by_name,
            "columns are found by name"
        );
        let odd = r#"{"input_data": {"columns": ["a", "b", "c", "e"], "data": [[1, 2, 3, 4]]}}"#;
        let (status, said) = post(url, key, odd);
        assert!(status == 400 && said.contains("no column `d`"), "{said}");

        // Stopped and started, updated in place: the same address answers.
        aml.ok("endpoint stop scores");
        aml.ok("endpoint start scores");
        is_as_expected(aml, "xgboost", &score("xgboost"));
        aml.ok("deploy xgboost:1 --name scores --deployment lightgbm --native");
        is_as_expected(aml, "xgboost", &score("lightgbm"));
        aml.write("broken/model.onnx", "no model");
        aml.ok("model register -n broken --path broken");
        let error = aml.fails(
            12,
            "deploy broken:1 --name scores --deployment lightgbm --native",
        );
        assert!(
            error.contains("Generation 2 of `lightgbm` still answers"),
            "{error}"
        );
        is_as_expected(aml, "xgboost", &score("lightgbm"));
        aml.ok("endpoint stop scores");
        let total = aml.json("endpoint metrics scores -d lightgbm --query deployments[0].total");
        assert_eq!(total["statuses"]["200"], 5, "{total}");
        assert_eq!(total["statuses"]["400"], 1, "{total}");
        aml.ok("endpoint delete scores --yes");
    });
}
