//! Models as `LightGBM` saves them: a text with a block for each tree.

use std::collections::HashMap;

use super::{
    boosted::{Boosted, Shape},
    forest::{Forest, Fork, Missing, Test},
};
use api::{Error, Result};

/// Begins such a file.
pub const MAGIC: &[u8] = b"tree\n";

type Keys<'a> = HashMap<&'a str, &'a str>;

pub fn read(text: &str) -> Result<Boosted> {
    let mapped = text
        .lines()
        .find_map(|line| line.strip_prefix("pandas_categorical:"));
    if mapped.is_some_and(|list| !matches!(list.trim(), "null" | "[]")) {
        return Err(Error::invalid(
            "The model maps categories of pandas to numbers, which is not done here",
        )
        .hint("Train it on numbers, or deploy without --native"));
    }
    let mut blocks = text.split("\nTree=");
    let head = keys(blocks.next().unwrap_or_default());
    let classes: u32 = number(&head, "num_tree_per_iteration").unwrap_or(1);
    let mut forest = Forest {
        outputs: classes.max(1) as usize,
        features: number::<usize>(&head, "max_feature_idx")? + 1,
        ..Forest::default()
    };
    for (place, block) in (0_u32..).zip(blocks) {
        let block = block.split("end of trees").next().unwrap_or_default();
        tree(&keys(block), place % classes.max(1), &mut forest)?;
    }
    let objective = head.get("objective").copied().unwrap_or_default();
    let iterations = forest.roots.len() / forest.outputs;
    let averaged = head.contains_key("average_output");
    let names = head.get("feature_names").copied().unwrap_or_default();
    Boosted {
        base: vec![0.0; forest.outputs],
        scale: if averaged {
            1.0 / iterations.max(1) as f64
        } else {
            1.0
        },
        shape: shape(objective)?,
        names: names.split(' ').map(str::to_owned).collect(),
        narrow: false,
        forest,
    }
    .checked()
}

/// What the sums of the leaves become.
fn shape(objective: &str) -> Result<Shape> {
    let mut words = objective.split(' ');
    let name = words.next().unwrap_or_default();
    let mut sigmoid = 1.0;
    let mut sqrt = false;
    for word in words {
        if let Some(value) = word.strip_prefix("sigmoid:") {
            sigmoid = value.parse().unwrap_or(1.0);
        }
        sqrt |= word == "sqrt";
    }
    Ok(match name {
        "binary" | "multiclassova" | "cross_entropy" | "xentropy" => Shape::Sigmoid(sigmoid),
        "multiclass" => Shape::Softmax,
        "poisson" | "gamma" | "tweedie" => Shape::Exponential,
        "cross_entropy_lambda" | "xentlambda" => Shape::LogExponential,
        _ if sqrt => Shape::Square,
        "" | "regression" | "regression_l1" | "huber" | "fair" | "quantile" | "mape"
        | "lambdarank" | "rank_xendcg" | "custom" => Shape::Plain,
        other => {
            return Err(Error::invalid(format!(
                "What the objective `{other}` makes of the sums is not known here"
            )));
        }
    })
}

fn tree(block: &Keys<'_>, output: u32, forest: &mut Forest) -> Result<()> {
    if number::<u32>(block, "is_linear").is_ok_and(|linear| linear == 1) {
        return Err(Error::invalid(
            "Trees with linear models in their leaves are not scored here",
        ));
    }
    let values: Vec<f64> = list(block, "leaf_value")?;
    let first_fork = i32::try_from(forest.forks.len()).unwrap_or(i32::MAX);
    let leaves: Vec<i32> = values
        .iter()
        .map(|value| forest.leaf([(output, *value)]))
        .collect();
    if leaves.len() < 2 {
        let only = leaves.first().copied();
        forest
            .roots
            .push(only.ok_or_else(|| Error::invalid("A tree has no leaf"))?);
        return Ok(());
    }
    let features: Vec<u32> = list(block, "split_feature")?;
    let thresholds: Vec<f64> = list(block, "threshold")?;
    let kinds: Vec<u8> = list(block, "decision_type")?;
    let lefts: Vec<i32> = list(block, "left_child")?;
    let rights: Vec<i32> = list(block, "right_child")?;
    let first_set = forest.sets.len();
    sets(block, forest)?;
    let child = |child: i32| match usize::try_from(child) {
        Ok(_) => first_fork.checked_add(child),
        Err(_) => leaves
            .get(usize::try_from(-1 - child).unwrap_or(usize::MAX))
            .copied(),
    };
    let broken = || Error::invalid("The forks of a tree do not fit together");
    for (at, feature) in features.iter().enumerate() {
        let get = |list: &[i32]| list.get(at).copied().and_then(child).ok_or_else(broken);
        let (passed, failed) = (get(&lefts)?, get(&rights)?);
        let kind = *kinds.get(at).ok_or_else(broken)?;
        let threshold = *thresholds.get(at).ok_or_else(broken)?;
        let (test, missing) = decision(kind, threshold, first_set);
        forest.forks.push(Fork {
            feature: *feature,
            missing,
            test,
            passed,
            failed,
        });
    }
    forest.roots.push(first_fork);
    Ok(())
}

/// The bits of a fork's kind: whether it asks for categories, where what is missing goes, and what
/// counts as missing (nothing, zeros, or NaN).
fn decision(kind: u8, threshold: f64, first_set: usize) -> (Test, Missing) {
    let default_left = kind & 2 != 0;
    if kind & 1 != 0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a number of a set"
        )]
        let set = first_set as u32 + threshold as u32;
        return (Test::In(set), Missing::Compared);
    }
    let missing = match kind >> 2 & 3 {
        1 => Missing::ZeroPasses(default_left),
        2 => Missing::Passes(default_left),
        _ => Missing::Zero,
    };
    (Test::LessEqual(threshold), missing)
}

fn sets(block: &Keys<'_>, forest: &mut Forest) -> Result<()> {
    if number::<u32>(block, "num_cat").unwrap_or(0) == 0 {
        return Ok(());
    }
    let bounds: Vec<usize> = list(block, "cat_boundaries")?;
    let bits: Vec<u32> = list(block, "cat_threshold")?;
    for pair in bounds.windows(2) {
        let set = bits.get(pair[0]..pair[1]);
        let set =
            set.ok_or_else(|| Error::invalid("The categories of a tree are not all there"))?;
        forest.sets.push(set.to_vec());
    }
    Ok(())
}

fn keys(block: &str) -> Keys<'_> {
    let lines = block.lines();
    lines
        .map(|line| line.split_once('=').unwrap_or((line, "")))
        .collect()
}

fn number<T: std::str::FromStr>(keys: &Keys<'_>, key: &str) -> Result<T> {
    let text = keys.get(key).copied().unwrap_or_default();
    text.parse()
        .map_err(|_| Error::invalid(format!("`{key}` of the model is not a number: `{text}`")))
}

fn list<T: std::str::FromStr>(keys: &Keys<'_>, key: &str) -> Result<Vec<T>> {
    let words = keys
        .get(key)
        .copied()
        .unwrap_or_default()
        .split_whitespace();
    let all: std::result::Result<Vec<T>, _> = words.map(str::parse).collect();
    all.map_err(|_| Error::invalid(format!("`{key}` of a tree is not understood")))
}
