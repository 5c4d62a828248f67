//! Operators of ONNX's machine learning domain that tract has not, or scores otherwise than the
//! reference: ensembles of trees, scaling, filling in, linear models.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use tract_onnx::{
    model::{OnnxOpRegister, ParsingContext},
    pb::NodeProto,
    tract_hir::internal::*,
};

use super::{
    forest::{Forest, Fork, Missing, Test, largest, sigmoid},
    post::Post,
};

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("TreeEnsembleClassifier", classifier);
    operators.insert("TreeEnsembleRegressor", regressor);
    operators.insert("Scaler", scaler);
    operators.insert("Imputer", imputer);
    operators.insert("LinearRegressor", linear);
}

type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

#[expect(clippy::unnecessary_wraps, reason = "an operator's reader answers so")]
fn expanded(rows: ByRows) -> Parsed {
    Ok((expand(rows), vec![]))
}

fn classifier(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let labels = match node.get_attr_opt_vec::<i64>("classlabels_int64s")? {
        Some(numbers) if !numbers.is_empty() => tensor1(&numbers),
        _ => {
            let texts: Vec<&str> = node.get_attr_vec("classlabels_strings")?;
            tensor1(
                &texts
                    .iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<String>>(),
            )
        }
    };
    let trees = forest(node, "class", labels.len())?;
    expanded(ByRows::new(Work::Classify { trees, labels }))
}

fn regressor(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let targets: usize = node.get_attr_opt("n_targets")?.unwrap_or(1);
    let mut trees = forest(node, "target", targets)?;
    match node.get_attr_opt("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => {}
        "AVERAGE" => trees.scale = 1.0 / trees.forest.roots.len().max(1) as f64,
        other => bail!("trees that are aggregated by {other} are not known"),
    }
    expanded(ByRows::new(Work::Regress { trees }))
}

fn scaler(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let offset = node.get_attr_opt_vec("offset")?.unwrap_or_default();
    let scale = node.get_attr_opt_vec("scale")?.unwrap_or_default();
    expanded(ByRows::new(Work::Scale { offset, scale }))
}

fn imputer(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let with: Vec<f32> = node.get_attr_vec("imputed_value_floats")?;
    let replaced = node
        .get_attr_opt("replaced_value_float")?
        .unwrap_or(f32::NAN);
    expanded(ByRows::new(Work::Fill { with, replaced }))
}

fn linear(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let weights: Vec<f32> = node.get_attr_vec("coefficients")?;
    let targets = node.get_attr_opt("targets")?.unwrap_or(1_usize).max(1);
    let added: Vec<f32> = node.get_attr_opt_vec("intercepts")?.unwrap_or_default();
    let doubles = |list: Vec<f32>| list.into_iter().map(f64::from).collect();
    expanded(ByRows::new(Work::Add(Linear {
        features: weights.len() / targets,
        weights: doubles(weights),
        added: doubles(added),
        targets,
        post: Post::of(node)?,
    })))
}

#[derive(Debug)]
struct Trees {
    forest: Forest,
    base: Vec<f64>,
    scale: f64,
    post: Post,
    /// All leaves add to one class of two; that their weights are shares of one is known by none being
    /// below zero.
    single: Option<bool>,
}

fn forest(node: &NodeProto, leaves: &str, outputs: usize) -> TractResult<Trees> {
    let post = Post::of(node)?;
    let of_leaves = |name: &str| format!("{leaves}_{name}");
    let classes: Vec<i64> = node.get_attr_vec(&of_leaves("ids"))?;
    let weights: Vec<f32> = node.get_attr_vec(&of_leaves("weights"))?;
    let forest = read_forest(node, leaves, outputs, &classes, &weights)?;
    if !forest.is_whole() {
        bail!("its trees are not whole");
    }
    let is_single = leaves == "class" && outputs == 2 && classes.windows(2).all(|w| w[0] == w[1]);
    if is_single && matches!(post, Post::SoftmaxZero | Post::Probit) {
        bail!("the post_transform {post:?} of trees for one class of two is not known");
    }
    let base: Vec<f32> = node.get_attr_opt_vec("base_values")?.unwrap_or_default();
    Ok(Trees {
        forest,
        base: base.into_iter().map(f64::from).collect(),
        scale: 1.0,
        post,
        single: is_single.then(|| weights.iter().all(|weight| *weight >= 0.0)),
    })
}

fn read_forest(
    node: &NodeProto,
    leaves: &str,
    outputs: usize,
    classes: &[i64],
    weights: &[f32],
) -> TractResult<Forest> {
    let list = |name: &str| node.get_attr_vec::<i64>(name);
    let (trees, numbers) = (list("nodes_treeids")?, list("nodes_nodeids")?);
    let (passed, failed) = (list("nodes_truenodeids")?, list("nodes_falsenodeids")?);
    let features = list("nodes_featureids")?;
    let values: Vec<f32> = node.get_attr_vec("nodes_values")?;
    let modes: Vec<&str> = node.get_attr_vec("nodes_modes")?;
    let tracked: Vec<i64> = node
        .get_attr_opt_vec("nodes_missing_value_tracks_true")?
        .unwrap_or_default();
    let leaf_trees = list(&format!("{leaves}_treeids"))?;
    let leaf_numbers = list(&format!("{leaves}_nodeids"))?;
    let count = trees.len();
    let lengths = [
        numbers.len(),
        passed.len(),
        failed.len(),
        features.len(),
        values.len(),
        modes.len(),
    ];
    let leaf_lengths = [leaf_numbers.len(), classes.len(), weights.len()];
    if lengths.iter().any(|l| *l != count) || leaf_lengths.iter().any(|l| *l != leaf_trees.len()) {
        bail!("its trees are not whole");
    }
    let mut forest = Forest {
        outputs,
        features: usize::try_from(features.iter().max().copied().unwrap_or(0))? + 1,
        ..Forest::default()
    };
    let mut added: std::collections::HashMap<(i64, i64), Vec<(u32, f64)>> = [].into();
    for (at, tree) in leaf_trees.iter().enumerate() {
        let class = u32::try_from(classes[at])?;
        // One class of two is known by its score alone.
        let leaf = added.entry((*tree, leaf_numbers[at])).or_default();
        leaf.push((class, f64::from(weights[at])));
    }
    let mut names: std::collections::HashMap<(i64, i64), i32> = [].into();
    let mut next = 0;
    for (at, mode) in modes.iter().enumerate() {
        let key = (trees[at], numbers[at]);
        let name = if *mode == "LEAF" {
            forest.leaf(added.remove(&key).unwrap_or_default())
        } else {
            next += 1;
            next - 1
        };
        names.insert(key, name);
    }
    for (at, mode) in modes.iter().enumerate() {
        if at == 0 || trees[at] != trees[at - 1] {
            forest.roots.push(names[&(trees[at], numbers[at])]);
        }
        if *mode == "LEAF" {
            continue;
        }
        let child = |child: i64| {
            let found = names.get(&(trees[at], child)).copied();
            found.ok_or_else(|| format_err!("its trees are not whole"))
        };
        let tracks = tracked.get(at).is_some_and(|tracks| *tracks != 0);
        forest.forks.push(Fork {
            feature: u32::try_from(features[at])?,
            missing: if tracks {
                Missing::Passes(true)
            } else {
                Missing::Compared
            },
            test: test(mode, f64::from(values[at]))?,
            passed: child(passed[at])?,
            failed: child(failed[at])?,
        });
    }
    Ok(forest)
}

fn test(mode: &str, value: f64) -> TractResult<Test> {
    Ok(match mode {
        "BRANCH_LEQ" => Test::LessEqual(value),
        "BRANCH_LT" => Test::Less(value),
        "BRANCH_GTE" => Test::GreaterEqual(value),
        "BRANCH_GT" => Test::Greater(value),
        "BRANCH_EQ" => Test::Equal(value),
        "BRANCH_NEQ" => Test::NotEqual(value),
        other => bail!("forks of the kind {other} are not known"),
    })
}

impl Trees {
    /// The sums for a row.
    fn sums(&self, row: &[f64], sums: &mut Vec<f64>) {
        sums.clear();
        sums.resize(self.forest.outputs, 0.0);
        self.forest.add(row, sums);
        for sum in sums.iter_mut() {
            *sum *= self.scale;
        }
        if self.single.is_none() {
            for (sum, base) in sums.iter_mut().zip(&self.base) {
                *sum += base;
            }
        }
    }

    /// The class of a row and the shares of all.
    fn classify(&self, sums: &mut [f64]) -> usize {
        if let Some(is_share) = self.single {
            let score: f64 = sums.iter().sum::<f64>() + self.base.last().copied().unwrap_or(0.0);
            let (other, wins) = match (is_share, self.post) {
                (true, _) => (1.0 - score, score > 0.5),
                (false, Post::Logistic) => (sigmoid(-score), score > 0.0),
                (false, _) => (-score, score > 0.0),
            };
            sums[0] = other;
            sums[1] = match (is_share, self.post) {
                (false, Post::Logistic) => sigmoid(score),
                _ => score,
            };
            return usize::from(wins);
        }
        let best = largest(sums);
        self.post.apply(sums);
        best
    }
}

/// What is done with each row.
#[derive(Debug)]
enum Work {
    Classify { trees: Trees, labels: Tensor },
    Regress { trees: Trees },
    Scale { offset: Vec<f32>, scale: Vec<f32> },
    Fill { with: Vec<f32>, replaced: f32 },
    Add(Linear),
}

/// Sums of weighted values, in doubles: large terms may leave a small sum.
#[derive(Debug)]
struct Linear {
    /// Of the features, for one target after the other.
    weights: Vec<f64>,
    features: usize,
    added: Vec<f64>,
    targets: usize,
    post: Post,
}

impl Linear {
    fn sums(&self, row: &[f32], sums: &mut Vec<f64>) -> TractResult<()> {
        let (asked, given) = (self.features, row.len());
        if given != asked {
            bail!("a row has {given} values; the model asks for {asked}");
        }
        sums.clear();
        for (at, weights) in self.weights.chunks(asked.max(1)).enumerate() {
            let terms = weights.iter().zip(row);
            let sum: f64 = terms.map(|(by, value)| by * f64::from(*value)).sum();
            sums.push(sum + self.added.get(at).copied().unwrap_or(0.0));
        }
        self.post.apply(sums);
        Ok(())
    }
}

/// An operator that turns each row of a table into another one.
#[derive(Debug, Clone)]
struct ByRows(Arc<Work>);

impl ByRows {
    fn new(work: Work) -> Self {
        Self(Arc::new(work))
    }

    fn outputs(&self) -> usize {
        match self.0.as_ref() {
            Work::Classify { .. } => 2,
            _ => 1,
        }
    }

    /// How long the rows of the last output are, when it is not the length of the input's.
    fn width(&self) -> Option<usize> {
        match self.0.as_ref() {
            Work::Classify { trees, .. } | Work::Regress { trees } => Some(trees.forest.outputs),
            Work::Add(linear) => Some(linear.targets),
            Work::Scale { .. } | Work::Fill { .. } => None,
        }
    }

    fn label_kind(&self) -> Option<DatumType> {
        match self.0.as_ref() {
            Work::Classify { labels, .. } => Some(labels.datum_type()),
            _ => None,
        }
    }
}

impl PartialEq for ByRows {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByRows {}

impl Hash for ByRows {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}

impl Op for ByRows {
    fn name(&self) -> StaticName {
        "ByRows".into()
    }

    op_as_typed_op!();
}

impl EvalOp for ByRows {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let input = args_1!(inputs);
        let input = input.cast_to::<f32>()?;
        let table = input.to_plain_array_view::<f32>()?;
        let columns = table.shape().last().copied().unwrap_or(1);
        let values: Vec<f32> = table.iter().copied().collect();
        let rows = values.chunks(columns.max(1));
        let count = rows.len();
        let short = |trees: &Trees| {
            if columns < trees.forest.features {
                bail!(
                    "a row has {columns} values; the trees ask for {}",
                    trees.forest.features
                );
            }
            Ok(())
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "singles are what is asked for"
        )]
        let single = |value: &f64| *value as f32;
        let mut wide = Vec::new();
        let mut sums = Vec::new();
        let mut answers: Vec<f32> = Vec::new();
        let widen = |row: &[f32], wide: &mut Vec<f64>| {
            wide.clear();
            wide.extend(row.iter().copied().map(f64::from));
        };
        match self.0.as_ref() {
            Work::Classify { trees, labels } => {
                short(trees)?;
                let mut classes = Vec::with_capacity(count);
                for row in rows {
                    widen(row, &mut wide);
                    trees.sums(&wide, &mut sums);
                    classes.push(trees.classify(&mut sums));
                    answers.extend(sums.iter().map(single));
                }
                let scores = Tensor::from_shape(&[count, trees.forest.outputs], &answers)?;
                Ok(tvec!(
                    named(labels, &classes)?.into_tvalue(),
                    scores.into_tvalue()
                ))
            }
            Work::Regress { trees } => {
                short(trees)?;
                for row in rows {
                    widen(row, &mut wide);
                    trees.sums(&wide, &mut sums);
                    trees.post.apply(&mut sums);
                    answers.extend(sums.iter().map(single));
                }
                let shape = [count, trees.forest.outputs];
                Ok(tvec!(Tensor::from_shape(&shape, &answers)?.into_tvalue()))
            }
            Work::Scale { offset, scale } => {
                let of = |list: &[f32], at: usize, usual| {
                    list.get(at).or(list.first()).copied().unwrap_or(usual)
                };
                for row in rows {
                    // In doubles, so that little of what is small beside the offset is lost.
                    let scaled = row.iter().copied().map(f64::from).enumerate();
                    let scaled = scaled.map(|(at, value)| {
                        (value - f64::from(of(offset, at, 0.0))) * f64::from(of(scale, at, 1.0))
                    });
                    answers.extend(scaled.map(|value| single(&value)));
                }
                Ok(tvec!(
                    Tensor::from_shape(table.shape(), &answers)?.into_tvalue()
                ))
            }
            Work::Add(linear) => {
                for row in rows {
                    linear.sums(row, &mut sums)?;
                    answers.extend(sums.iter().map(single));
                }
                let shape = [count, linear.targets];
                Ok(tvec!(Tensor::from_shape(&shape, &answers)?.into_tvalue()))
            }
            Work::Fill { with, replaced } => {
                #[expect(clippy::float_cmp, reason = "it is replaced where it is exactly that")]
                let is_gone = |value: f32| {
                    if replaced.is_nan() {
                        value.is_nan()
                    } else {
                        value == *replaced
                    }
                };
                for row in rows {
                    let filled = row.iter().enumerate();
                    answers.extend(filled.map(|(at, value)| {
                        let by = with.get(at).or(with.first()).copied().unwrap_or(*value);
                        if is_gone(*value) { by } else { *value }
                    }));
                }
                Ok(tvec!(
                    Tensor::from_shape(table.shape(), &answers)?.into_tvalue()
                ))
            }
        }
    }
}

/// The labels of classes.
fn named(labels: &Tensor, classes: &[usize]) -> TractResult<Tensor> {
    if labels.datum_type() == i64::datum_type() {
        let labels = labels.to_plain_array_view::<i64>()?;
        return Ok(tensor1(
            &classes
                .iter()
                .map(|class| labels[[*class]])
                .collect::<Vec<i64>>(),
        ));
    }
    let labels = labels.to_plain_array_view::<String>()?;
    let named = classes.iter().map(|class| labels[[*class]].clone());
    Ok(tensor1(&named.collect::<Vec<String>>()))
}

impl TypedOp for ByRows {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = &inputs[0].shape;
        let table = match self.width() {
            Some(width) => f32::fact(&[shape[0].clone(), width.to_dim()]),
            None => f32::fact(shape.iter().cloned().collect::<TVec<TDim>>()),
        };
        Ok(match self.label_kind() {
            Some(kind) => tvec!(kind.fact(&[shape[0].clone()]), table),
            None => tvec!(table),
        })
    }

    as_op!();
}

impl Expansion for ByRows {
    fn name(&self) -> StaticName {
        "ByRows".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.outputs())?;
        let table = &outputs[outputs.len() - 1];
        solver.equals(&table.datum_type, f32::datum_type())?;
        if let Some(kind) = self.label_kind() {
            solver.equals(&outputs[0].datum_type, kind)?;
            solver.equals(&outputs[0].rank, 1)?;
            solver.equals(&outputs[0].shape[0], &inputs[0].shape[0])?;
        }
        match self.width() {
            Some(width) => {
                solver.equals(&table.rank, 2)?;
                solver.equals(&table.shape[0], &inputs[0].shape[0])?;
                solver.equals(&table.shape[1], width.to_dim())?;
            }
            None => solver.equals(&table.shape, &inputs[0].shape)?,
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        model.wire_node(prefix, self.clone(), inputs)
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs())
    }
}
