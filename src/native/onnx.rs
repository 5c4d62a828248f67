//! Models in ONNX, by tract.

use std::{collections::BTreeSet, sync::Arc};

use prost::Message as _;
use serde_json::{Map, Value, json};
use tract_onnx::{Onnx, pb, prelude::*, tract_hir::internal::*};

use super::{
    onnx_trees,
    rows::{Rows, real},
};
use api::{Error, Result};

pub struct Graph {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<Input>,
    outputs: Vec<String>,
}

struct Input {
    name: String,
    kind: DatumType,
    /// How many values a row has, where the input is a table and says it.
    width: Option<usize>,
}

impl Graph {
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut proto = pb::ModelProto::decode(bytes)
            .map_err(|e| Error::invalid(format!("The model is no ONNX: {e}")))?;
        if let Some(graph) = &mut proto.graph {
            without_maps(graph);
        }
        let mut onnx = tract_onnx::onnx();
        onnx_trees::register(&mut onnx.op_register);
        let mut strange = BTreeSet::new();
        if let Some(graph) = &proto.graph {
            unknown(&onnx, graph, &mut strange);
        }
        Self::planned(onnx, &proto).map_err(|e| {
            let why = if strange.is_empty() {
                format!("{e:#}")
            } else {
                let strange: Vec<String> = strange.into_iter().collect();
                format!(
                    "it has operators that are not known: {}",
                    strange.join(", ")
                )
            };
            Error::invalid(format!("The model cannot be scored natively: {why}"))
                .hint("Deploy without --native to use Python")
        })
    }

    fn planned(onnx: Onnx, proto: &pb::ModelProto) -> TractResult<Self> {
        let onnx = onnx
            .with_ignore_output_shapes(true)
            .with_ignore_output_types(true);
        let mut model = onnx.model_for_proto_model(proto)?;
        let rows = model.symbols.sym("rows");
        let outlets = model.input_outlets()?.to_vec();
        let mut inputs = Vec::new();
        for (place, outlet) in outlets.iter().enumerate() {
            let fact = model.input_fact(place)?.clone();
            let kind = fact.datum_type.concretize().unwrap_or(f32::datum_type());
            let mut shape: TVec<TDim> = fact
                .shape
                .dims()
                .map(|dim| dim.concretize().unwrap_or_else(|| rows.to_dim()))
                .collect();
            if let Some(first) = shape.first_mut()
                && (first.to_i64().is_err() || *first == 1.to_dim())
            {
                // However many rows it was exported with.
                *first = rows.to_dim();
            }
            let width = match shape.as_slice() {
                [_, width] => width.to_usize().ok(),
                _ => None,
            };
            inputs.push(Input {
                name: model.node(outlet.node).name.clone(),
                kind,
                width,
            });
            model.set_input_fact(place, InferenceFact::dt_shape(kind, shape))?;
        }
        let graph = proto.graph.as_ref();
        let outputs = graph.into_iter().flat_map(|graph| &graph.output);
        let outputs = outputs.map(|output| output.name.clone()).collect();
        Ok(Self {
            plan: model.into_optimized()?.into_runnable()?,
            inputs,
            outputs,
        })
    }

    /// The names of its columns, where each is an input of its own.
    pub fn columns(&self) -> Vec<String> {
        match self.inputs.as_slice() {
            [_] => Vec::new(),
            several => several.iter().map(|input| input.name.clone()).collect(),
        }
    }

    pub fn answer(&self, rows: &Rows) -> Result<Value> {
        let mut tensors = tvec!();
        for (place, input) in self.inputs.iter().enumerate() {
            let tensor = if self.inputs.len() == 1 {
                input.all(rows)?
            } else {
                input.column(rows, place)?
            };
            tensors.push(tensor.into_tvalue());
        }
        let answers = self
            .plan
            .run(tensors)
            .map_err(|e| Error::invalid(format!("The model does not take the rows: {e:#}")))?;
        let mut named = Map::new();
        for (name, answer) in self.outputs.iter().zip(&answers) {
            let value = listed(answer)
                .map_err(|e| Error::internal(format!("The answer cannot be written: {e:#}")))?;
            named.insert(name.clone(), value);
        }
        match named.len() {
            1 => Ok(named
                .into_iter()
                .next()
                .map(|(_, value)| value)
                .unwrap_or_default()),
            _ => Ok(Value::Object(named)),
        }
    }
}

impl Input {
    /// All that came, as it is nested.
    fn all(&self, rows: &Rows) -> Result<Tensor> {
        let mut shape = Vec::new();
        let mut leaves = Vec::new();
        let values = rows.values();
        shape.push(values.len());
        if let Some(first) = values.first() {
            measure(first, &mut shape);
        }
        for value in values {
            flatten(value, &shape[1..], &mut leaves).ok_or_else(|| {
                Error::invalid(
                    "The rows are not all of one length, or have values that are no numbers",
                )
            })?;
        }
        if let ([_, length], Some(width)) = (shape.as_slice(), self.width)
            && *length != width
        {
            return Err(Error::invalid(format!(
                "A row has {length} values; the model takes {width}"
            )));
        }
        self.tensor(&shape, &leaves)
    }

    /// The values of one column.
    fn column(&self, rows: &Rows, place: usize) -> Result<Tensor> {
        let values = rows.column(&self.name, place)?;
        self.tensor(&[values.len(), 1], &values)
    }

    fn tensor(&self, shape: &[usize], values: &[&Value]) -> Result<Tensor> {
        let strange = || Error::invalid(format!("`{}` takes values of another kind", self.name));
        let made = if self.kind == String::datum_type() {
            let text = |value: &&Value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            tensor1(&values.iter().map(text).collect::<Vec<String>>()).into_shape(shape)
        } else {
            let numbers: Option<Vec<f64>> = values.iter().map(|value| real(value)).collect();
            let numbers = numbers.ok_or_else(strange)?;
            let wide = Tensor::from_shape(shape, &numbers);
            wide.and_then(|wide| wide.cast_to_dt(self.kind).map(std::borrow::Cow::into_owned))
        };
        made.map_err(|e| strange().hint(format!("{e:#}")))
    }
}

fn measure(value: &Value, shape: &mut Vec<usize>) {
    if let Value::Array(list) = value {
        shape.push(list.len());
        if let Some(first) = list.first() {
            measure(first, shape);
        }
    }
}

fn flatten<'a>(value: &'a Value, shape: &[usize], leaves: &mut Vec<&'a Value>) -> Option<()> {
    match (shape, value) {
        ([], Value::Array(_)) => None,
        ([], value) => {
            leaves.push(value);
            Some(())
        }
        ([length, rest @ ..], Value::Array(list)) if list.len() == *length => list
            .iter()
            .try_for_each(|value| flatten(value, rest, leaves)),
        _ => None,
    }
}

/// A tensor as nested lists; one whose rows have a single value as a list of these.
fn listed(tensor: &Tensor) -> TractResult<Value> {
    let kind = tensor.datum_type();
    let values: Vec<Value> = if kind == String::datum_type() {
        let texts = tensor.to_plain_array_view::<String>()?;
        texts.iter().map(|text| json!(text)).collect()
    } else if kind == f32::datum_type() {
        let numbers = tensor.to_plain_array_view::<f32>()?;
        numbers.iter().map(|number| json!(number)).collect()
    } else if kind.is_float() {
        let wide = tensor.cast_to::<f64>()?;
        let numbers = wide.to_plain_array_view::<f64>()?;
        numbers.iter().map(|number| json!(number)).collect()
    } else if kind == bool::datum_type() {
        let truths = tensor.to_plain_array_view::<bool>()?;
        truths.iter().map(|truth| json!(truth)).collect()
    } else {
        let wide = tensor.cast_to::<i64>()?;
        let numbers = wide.to_plain_array_view::<i64>()?;
        numbers.iter().map(|number| json!(number)).collect()
    };
    let mut shape = tensor.shape();
    if let [_, 1] = shape {
        shape = &shape[..1];
    }
    Ok(nested(&mut values.into_iter(), shape))
}

fn nested(values: &mut impl Iterator<Item = Value>, shape: &[usize]) -> Value {
    match shape {
        [] => values.next().unwrap_or_default(),
        [length, rest @ ..] => {
            let lists = (0..*length).map(|_| nested(values, rest));
            Value::Array(lists.collect())
        }
    }
}

/// Collects the operators of a graph, and of those within it, that nobody here knows.
fn unknown(onnx: &Onnx, graph: &pb::GraphProto, found: &mut BTreeSet<String>) {
    for node in &graph.node {
        if !onnx.op_register.0.contains_key(&node.op_type) {
            found.insert(node.op_type.clone());
        }
        for attribute in &node.attribute {
            for within in attribute.g.iter().chain(&attribute.graphs) {
                unknown(onnx, within, found);
            }
        }
    }
}

/// What scikit-learn's converter ends a classifier with, a dictionary for each row, is left out: the
/// shares of the classes are the answer, in the order of the classes.
fn without_maps(graph: &mut pb::GraphProto) {
    for node in graph
        .node
        .iter_mut()
        .filter(|node| node.op_type == "ZipMap")
    {
        "Identity".clone_into(&mut node.op_type);
        node.domain.clear();
        node.attribute.clear();
        for output in &mut graph.output {
            if node.output.contains(&output.name) {
                output.r#type = None;
            }
        }
    }
}
