//! Single values: what is taken for a number, a boolean, a word.

use serde_json::{Number, Value};

use super::Checker;
use crate::{
    described::python_text,
    issue::Issue,
    shape::Choice,
    yaml::{Data, Node},
};
use api::names;

/// The strings that are taken for booleans, also from flags (`--set settings.force_rerun=True`).
const TRUE: [&str; 6] = ["true", "t", "yes", "y", "on", "1"];
const FALSE: [&str; 6] = ["false", "f", "no", "n", "off", "0"];

impl Checker<'_> {
    pub(super) fn boolean(&mut self, node: &Node) -> Option<Value> {
        let word = node.text.to_lowercase();
        match &node.data {
            Data::Bool(value) => Some(Value::Bool(*value)),
            Data::Text | Data::Int(_) if TRUE.contains(&word.as_str()) => Some(Value::Bool(true)),
            Data::Text | Data::Int(_) if FALSE.contains(&word.as_str()) => Some(Value::Bool(false)),
            _ => self.wanted("true or false", node),
        }
    }

    pub(super) fn integer(&mut self, node: &Node) -> Option<Value> {
        let found = match &node.data {
            Data::Int(value) => Some(*value),
            Data::Float(value) => whole(*value),
            Data::Text => {
                let text = node.text.trim();
                let as_float = || text.parse().ok().and_then(whole);
                text.parse().ok().or_else(as_float)
            }
            _ => None,
        };
        match found {
            Some(value) => Some(Value::from(value)),
            None => self.wanted("an integer", node),
        }
    }

    pub(super) fn within(&mut self, from: i64, to: i64, node: &Node) -> Option<Value> {
        let value = self.integer(node)?;
        let hint = match value.as_i64() {
            Some(number) if number < from => format!("At least {from} is possible"),
            Some(number) if number > to => format!("At most {to} is possible"),
            _ => return Some(value),
        };
        let message = if to == i64::MAX {
            format!("{value} is not a number from {from} up")
        } else {
            format!("{value} is not a number from {from} to {to}")
        };
        self.report(Issue::error(node.span, message).hint(hint));
        None
    }

    pub(super) fn number(&mut self, node: &Node) -> Option<Value> {
        let found = match &node.data {
            Data::Int(value) => return Some(Value::from(*value)),
            Data::Float(value) => Some(*value),
            // `1e-3` is a string in YAML 1.1.
            Data::Text => {
                let text = node.text.trim();
                if let Ok(value) = text.parse::<i64>() {
                    return Some(Value::from(value));
                }
                text.parse().ok()
            }
            _ => None,
        };
        match found.and_then(Number::from_f64) {
            Some(number) => Some(Value::Number(number)),
            None => self.wanted("a number", node),
        }
    }

    pub(super) fn literal(&mut self, node: &Node) -> Option<Value> {
        match node.data {
            Data::List(_) | Data::Map(_) | Data::Null => {
                self.wanted("a string, number or boolean", node)
            }
            _ => Some(node.to_value()),
        }
    }

    pub(super) fn scalar(&mut self, node: &Node) -> Option<Value> {
        let value = self.literal(node)?;
        Some(Value::String(python_text(&value)))
    }

    pub(super) fn version(&mut self, node: &Node) -> Option<Value> {
        match node.data {
            Data::Text => Some(Value::String(node.text.clone())),
            Data::Int(_) | Data::Float(_) => Some(Value::String(python_text(&node.to_value()))),
            _ => self.wanted("a version", node),
        }
    }

    pub(super) fn choice(&mut self, choice: &Choice, node: &Node) -> Option<Value> {
        let is_scalar = matches!(node.data, Data::Text | Data::Bool(_) | Data::Int(_));
        if !is_scalar && node.data != Data::Null {
            return self.wanted(choice.what, node);
        }
        if let Some(word) = choice.find(&node.text) {
            return Some(Value::String(word.to_owned()));
        }
        // `off` without quotes is a boolean in YAML 1.1.
        let nearest = names::nearest(&node.text, choice.words.iter().copied());
        let listed: Vec<String> = choice
            .words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect();
        let hint = match (nearest, listed.as_slice()) {
            (Some(nearest), [_]) => format!("Did you mean `{nearest}`?"),
            (Some(nearest), _) => {
                format!(
                    "Did you mean `{nearest}`? Possible are {}",
                    listed.join(", ")
                )
            }
            (None, [only]) => format!("Only {only} is possible here"),
            (None, _) => format!("Possible are {}", listed.join(", ")),
        };
        let message = format!("`{}` is not {}", node.text, choice.what);
        self.report(Issue::error(node.span, message).hint(hint));
        None
    }
}

fn whole(value: f64) -> Option<i64> {
    const LIMIT: f64 = 9.0e15;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole and within the limit"
    )]
    (value.fract() == 0.0 && value.abs() < LIMIT).then_some(value as i64)
}
