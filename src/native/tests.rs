//! Models as their makers write them, small enough to check by hand.

use std::fs;

use prost::Message as _;
use serde_json::{Value, json};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    attribute_proto::AttributeType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

use super::Scorer;

fn scorer(name: &str, content: impl AsRef<[u8]>) -> api::Result<Scorer> {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("model")).unwrap();
    fs::write(folder.path().join("model").join(name), content).unwrap();
    Scorer::load(folder.path())
}

fn answer(scorer: &Scorer, document: &Value) -> Value {
    let answer = scorer.answer(document.to_string().as_bytes()).unwrap();
    serde_json::from_slice(&answer).unwrap()
}

const LIGHTGBM: &str = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n\
                        max_feature_idx=1\nobjective=regression\nfeature_names=a b\n\nTree=0\n\
                        num_leaves=3\nnum_cat=1\nsplit_feature=0 1\nthreshold=2.5 0\n\
                        decision_type=10 1\nleft_child=1 -2\nright_child=-1 -3\n\
                        leaf_value=1 20 300\ncat_boundaries=0 1\ncat_threshold=5\nis_linear=0\n\n\
                        Tree=1\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\nis_linear=0\n\n\
                        end of trees\n\nparameters:\n";

#[test]
fn trees_of_lightgbm_with_categories_and_what_is_missing() {
    let scorer = scorer("model.lgb", LIGHTGBM).unwrap();
    // More than 2.5; at most that and in {0, 2}; at most that and not in it; missing goes left.
    let rows = json!({"input_data": [[3, 0], [1, 2], [1, 1], [null, 7]]});
    assert_eq!(answer(&scorer, &rows), json!([1.5, 20.5, 300.5, 300.5]));
    // By name, whatever the order.
    let rows = json!({"dataframe_split": {"columns": ["b", "a"], "data": [[0, 3]]}});
    assert_eq!(answer(&scorer, &rows), json!([1.5]));
    let rows = json!({"data": [{"b": 2, "a": 1}]});
    assert_eq!(answer(&scorer, &rows), json!([20.5]));
}

fn xgboost(objective: &str) -> Value {
    json!({"version": [3, 0, 0], "learner": {
        "learner_model_param": {"base_score": "5E-1", "num_class": "0", "num_feature": "2", "num_target": "1"},
        "objective": {"name": objective},
        "feature_names": [],
        "gradient_booster": {"name": "gbtree", "model": {
            "tree_info": [0],
            "trees": [{
                "tree_param": {"num_nodes": "3", "size_leaf_vector": "1"},
                "left_children": [1, -1, -1], "right_children": [2, -1, -1],
                "split_indices": [1, 0, 0], "split_conditions": [0.5, -1.0, 2.0],
                "default_left": [1, 0, 0], "split_type": [0, 0, 0],
                "categories": [], "categories_nodes": [], "categories_segments": [], "categories_sizes": [],
            }],
        }},
    }})
}

#[test]
fn trees_of_xgboost_begin_at_the_base_score() {
    let rows = json!({"input_data": [[9, 0.4], [9, 0.5], [9, null]]});
    let plain = scorer("m.json", xgboost("reg:squarederror").to_string()).unwrap();
    assert_eq!(answer(&plain, &rows), json!([-0.5, 2.5, -0.5]));
    let shares = scorer("m.json", xgboost("binary:logistic").to_string()).unwrap();
    let shares = answer(&shares, &rows);
    let share = shares[1].as_f64().unwrap();
    assert!(
        (share - 1.0 / (1.0 + (-2.0_f64).exp())).abs() < 1e-12,
        "{share}"
    );
}

/// A model in ONNX of one operator, which takes rows of two numbers.
fn onnx(operator: &str, attributes: Vec<AttributeProto>) -> Vec<u8> {
    let dimension = |value| Dimension {
        value: Some(value),
        ..Dimension::default()
    };
    let shape = vec![
        dimension(dimension::Value::DimParam("N".to_owned())),
        dimension(dimension::Value::DimValue(2)),
    ];
    let table = |name: &str| ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(type_proto::Tensor {
                elem_type: 1,
                shape: Some(TensorShapeProto { dim: shape.clone() }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    };
    let node = NodeProto {
        op_type: operator.to_owned(),
        domain: "ai.onnx.ml".to_owned(),
        input: vec!["x".to_owned()],
        output: vec!["y".to_owned()],
        attribute: attributes,
        ..NodeProto::default()
    };
    let domains = [("", 17), ("ai.onnx.ml", 3)].map(|(domain, version)| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    });
    let model = ModelProto {
        ir_version: 8,
        opset_import: domains.to_vec(),
        graph: Some(GraphProto {
            name: "g".to_owned(),
            node: vec![node],
            input: vec![table("x")],
            output: vec![table("y")],
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    };
    model.encode_to_vec()
}

/// Two targets: the sum of both numbers, and their difference less one.
fn linear(post: &str) -> Vec<u8> {
    let floats = |name: &str, floats: &[f32]| AttributeProto {
        name: name.to_owned(),
        r#type: AttributeType::Floats.into(),
        floats: floats.to_vec(),
        ..AttributeProto::default()
    };
    let targets = AttributeProto {
        name: "targets".to_owned(),
        r#type: AttributeType::Int.into(),
        i: 2,
        ..AttributeProto::default()
    };
    let post = AttributeProto {
        name: "post_transform".to_owned(),
        r#type: AttributeType::String.into(),
        s: post.as_bytes().to_vec(),
        ..AttributeProto::default()
    };
    let weights = floats("coefficients", &[1.0, 1.0, 1.0, -1.0]);
    let added = floats("intercepts", &[0.0, -1.0]);
    onnx("LinearRegressor", vec![targets, post, weights, added])
}

#[test]
fn linear_models_of_onnx_end_with_what_they_ask_for() {
    let rows = json!({"input_data": [[0.25, 0.0], [2.0, 1.0]]});
    // The sums are 0.25 and -0.75, 3 and 0.
    let expected: [(&str, [f64; 4]); 5] = [
        ("NONE", [0.25, -0.75, 3.0, 0.0]),
        ("LOGISTIC", [0.562_177, 0.320_821, 0.952_574, 0.5]),
        ("SOFTMAX", [0.731_059, 0.268_941, 0.952_574, 0.047_426]),
        ("SOFTMAX_ZERO", [0.731_059, 0.268_941, 1.0, 0.0]),
        ("PROBIT", [-0.674_49, f64::NAN, f64::NAN, f64::NAN]),
    ];
    for (post, expected) in expected {
        let scorer = scorer("m.onnx", linear(post)).unwrap();
        let found = answer(&scorer, &rows);
        let found = found.as_array().unwrap().iter().flat_map(|row| {
            let row = row.as_array().unwrap().iter();
            row.map(|value| value.as_f64().unwrap_or(f64::NAN))
        });
        for (found, expected) in found.zip(expected) {
            let as_expected = expected.is_nan() || (found - expected).abs() < 5e-3;
            assert!(as_expected, "{post}: {found} is not {expected}");
        }
    }
}

#[test]
fn what_cannot_be_scored_says_why() {
    let refused = |name: &str, content: &str| match scorer(name, content) {
        Ok(_) => panic!("{name} was loaded"),
        Err(error) => error.message,
    };
    assert!(refused("notes.txt", "hello").starts_with("There is no file in the model"));
    let unknown = xgboost("survival:unheard").to_string();
    assert!(refused("m.json", &unknown).contains("`survival:unheard`"));
    let mut cycle = xgboost("reg:squarederror");
    cycle["learner"]["gradient_booster"]["model"]["trees"][0]["left_children"][0] = json!(0);
    assert!(refused("m.json", &cycle.to_string()).contains("not whole"));
    assert!(refused("m.onnx", "no model").contains("ONNX"));
    let refused = |bytes: Vec<u8>| match scorer("m.onnx", bytes) {
        Ok(_) => panic!("it was loaded"),
        Err(error) => error.message,
    };
    let unknown = refused(onnx("SVMRegressor", Vec::new()));
    assert!(
        unknown.contains("operators that are not known: SVMRegressor"),
        "{unknown}"
    );
    let unknown = refused(linear("CUBIC"));
    assert!(
        unknown.contains("(LinearRegressor)") && unknown.contains("post_transform CUBIC"),
        "{unknown}"
    );
    let scorer = scorer("model.lgb", LIGHTGBM).unwrap();
    for (body, message) in [
        ("{", "no JSON"),
        ("{\"rows\": []}", "not a table"),
        (
            "{\"input_data\": [[1]]}",
            "Row 1 has 1 values; the model takes 2",
        ),
        ("{\"input_data\": [[1, \"x\"]]}", "no numbers"),
    ] {
        let error = scorer.answer(body.as_bytes()).unwrap_err();
        assert!(error.message.contains(message), "{body}: {error}");
    }
}
