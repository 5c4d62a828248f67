//! Models as `XGBoost` saves them, in JSON or its binary form UBJSON.

use serde_json::Value;

use super::{
    boosted::{Boosted, Shape},
    forest::{Forest, Fork, Missing, Test},
};
use api::{Error, Result};

/// As many as a single can count.
const MOST_CATEGORIES: usize = 1 << 24;

pub fn read(document: &Value) -> Result<Boosted> {
    let learner = &document["learner"];
    let booster = &learner["gradient_booster"];
    let name = booster["name"].as_str().unwrap_or_default();
    let (model, drops) = match name {
        "gbtree" => (&booster["model"], &Value::Null),
        "dart" => (&booster["gbtree"]["model"], &booster["weight_drop"]),
        other => {
            return Err(Error::invalid(format!(
                "A booster of the kind `{other}` is not scored here"
            ))
            .hint("Those of trees are: gbtree and dart"));
        }
    };
    let mapped = model["cats"]["enc"].as_array();
    if mapped.is_some_and(|list| !list.is_empty()) {
        return Err(Error::invalid(
            "The model maps categories of a table to numbers, which is not done here",
        )
        .hint("Train it on numbers, or deploy without --native"));
    }
    let parameters = &learner["learner_model_param"];
    let classes = whole(&parameters["num_class"])
        .max(whole(&parameters["num_target"]))
        .max(1);
    let mut forest = Forest {
        outputs: classes,
        features: whole(&parameters["num_feature"]),
        ..Forest::default()
    };
    let trees = array(&model["trees"], "trees")?;
    let outputs = array(&model["tree_info"], "tree_info")?;
    for (place, written) in trees.iter().enumerate() {
        let output = outputs.get(place).map_or(0, whole);
        let weight = drops.get(place).map_or(1.0, real);
        tree(
            written,
            u32::try_from(output).unwrap_or(0),
            weight,
            &mut forest,
        )?;
    }
    let objective = learner["objective"]["name"].as_str().unwrap_or_default();
    let shape = shape(objective)?;
    let base = base(&parameters["base_score"], objective, classes)?;
    let names = learner["feature_names"].as_array();
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    Boosted {
        base,
        scale: 1.0,
        shape,
        names: names.map(str::to_owned).collect(),
        narrow: true,
        forest,
    }
    .checked()
}

fn shape(objective: &str) -> Result<Shape> {
    Ok(match objective {
        "binary:logistic" | "reg:logistic" => Shape::Sigmoid(1.0),
        "multi:softprob" => Shape::Softmax,
        "multi:softmax" => Shape::Largest,
        "binary:hinge" => Shape::Step,
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
            Shape::Exponential
        }
        "reg:squarederror"
        | "reg:linear"
        | "reg:absoluteerror"
        | "reg:pseudohubererror"
        | "reg:quantileerror"
        | "reg:squaredlogerror"
        | "reg:expectileerror"
        | "binary:logitraw" => Shape::Plain,
        ranking if ranking.starts_with("rank:") => Shape::Plain,
        other => {
            return Err(Error::invalid(format!(
                "What the objective `{other}` makes of the sums is not known here"
            )));
        }
    })
}

/// What the sums begin with. It is written as a prediction, not as a sum.
fn base(written: &Value, objective: &str, classes: usize) -> Result<Vec<f64>> {
    let text = match written {
        Value::String(text) => text.trim_matches(['[', ']']).to_owned(),
        other => other.to_string(),
    };
    let numbers: std::result::Result<Vec<f64>, _> = text
        .split(',')
        .map(|number| number.trim().parse())
        .collect();
    let numbers =
        numbers.map_err(|_| Error::invalid(format!("The base score `{text}` is not a number")))?;
    let sum = |prediction: f64| match objective {
        "binary:logistic" | "reg:logistic" | "binary:logitraw" => {
            (prediction / (1.0 - prediction)).ln()
        }
        "count:poisson" | "reg:gamma" | "reg:tweedie" | "survival:cox" | "survival:aft" => {
            prediction.ln()
        }
        _ => prediction,
    };
    let of = |output| numbers.get(output).or(numbers.first()).copied();
    Ok((0..classes)
        .map(|output| sum(of(output).unwrap_or(0.5)))
        .collect())
}

fn tree(written: &Value, output: u32, weight: f64, forest: &mut Forest) -> Result<()> {
    if whole(&written["tree_param"]["size_leaf_vector"]) > 1 {
        return Err(Error::invalid(
            "Trees with several values in a leaf are not scored here",
        ));
    }
    let lefts = array(&written["left_children"], "left_children")?;
    let rights = array(&written["right_children"], "right_children")?;
    let features = array(&written["split_indices"], "split_indices")?;
    let values = array(&written["split_conditions"], "split_conditions")?;
    let defaults = array(&written["default_left"], "default_left")?;
    let kinds = written["split_type"].as_array();
    let sets = sets(written, lefts.len(), forest)?;
    // Nodes are numbered from the root on; those that are leaves have no number of their own here.
    let is_leaf = |at: usize| lefts[at].as_i64() == Some(-1);
    let first = forest.forks.len();
    let mut named = vec![0_i32; lefts.len()];
    let mut next = first;
    for (at, name) in named.iter_mut().enumerate() {
        let value = values.get(at).map_or(0.0, real);
        *name = if is_leaf(at) {
            forest.leaf([(output, value * weight)])
        } else {
            next += 1;
            i32::try_from(next - 1).unwrap_or(i32::MAX)
        };
    }
    let broken = || Error::invalid("The forks of a tree do not fit together");
    let child = |list: &[Value], at: usize| {
        let child = list.get(at).map_or(usize::MAX, whole);
        named.get(child).copied().ok_or_else(broken)
    };
    for at in (0..lefts.len()).filter(|at| !is_leaf(*at)) {
        let (left, right) = (child(lefts, at)?, child(rights, at)?);
        let default_left = defaults.get(at).is_some_and(truth);
        let is_set = kinds.and_then(|kinds| kinds.get(at)).is_some_and(truth);
        // Those of the set go right.
        let (test, passed, failed, default) = if is_set {
            let set = sets[at].ok_or_else(broken)?;
            (Test::In(set), right, left, !default_left)
        } else {
            let than = values.get(at).map_or(0.0, real);
            (Test::Less(than), left, right, default_left)
        };
        forest.forks.push(Fork {
            feature: u32::try_from(features.get(at).map_or(0, whole)).unwrap_or(u32::MAX),
            missing: Missing::Passes(default),
            test,
            passed,
            failed,
        });
    }
    forest.roots.push(*named.first().ok_or_else(broken)?);
    Ok(())
}

/// The sets of categories of a tree, by the nodes that ask for them.
fn sets(written: &Value, nodes: usize, forest: &mut Forest) -> Result<Vec<Option<u32>>> {
    let mut found = vec![None; nodes];
    let list = |key: &str| {
        written[key]
            .as_array()
            .map_or(&[] as &[Value], Vec::as_slice)
    };
    let (starts, sizes) = (list("categories_segments"), list("categories_sizes"));
    let all = list("categories");
    for (place, node) in list("categories_nodes").iter().map(whole).enumerate() {
        let start = starts.get(place).map_or(usize::MAX, whole);
        let size = sizes.get(place).map_or(0, whole);
        let set = all.get(start..start.saturating_add(size));
        let (Some(set), Some(found)) = (set, found.get_mut(node)) else {
            return Err(Error::invalid("The categories of a tree are not all there"));
        };
        let mut bits = Vec::new();
        for category in set.iter().map(whole) {
            if category >= MOST_CATEGORIES {
                return Err(Error::invalid(format!("{category} is no category")));
            }
            let word = category / 32;
            if bits.len() <= word {
                bits.resize(word + 1, 0_u32);
            }
            bits[word] |= 1 << (category % 32);
        }
        *found = Some(u32::try_from(forest.sets.len()).unwrap_or(u32::MAX));
        forest.sets.push(bits);
    }
    Ok(found)
}

fn array<'a>(value: &'a Value, name: &str) -> Result<&'a [Value]> {
    let found = value.as_array().map(Vec::as_slice);
    found.ok_or_else(|| Error::invalid(format!("The model has no `{name}`")))
}

/// A number that may be written as a text; zero when there is none.
fn whole(value: &Value) -> usize {
    let text = value.as_str().and_then(|text| text.parse().ok());
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number.or(text).unwrap_or(0)
}

fn real(value: &Value) -> f64 {
    let text = value.as_str().and_then(|text| text.parse().ok());
    let number: f64 = value.as_f64().or(text).unwrap_or(0.0);
    // Written with the digits of a single.
    #[expect(clippy::cast_possible_truncation, reason = "it was one")]
    let single = number as f32;
    f64::from(single)
}

fn truth(value: &Value) -> bool {
    value.as_bool().unwrap_or_else(|| whole(value) == 1)
}
