//! Which of several shapes a value is meant to have.

use serde_json::Value;

use super::{Checker, as_record};
use crate::spec::{
    issue::Issue,
    shape::{Record, Shape, Union},
    yaml::{Data, Node},
};

impl Checker<'_> {
    pub(super) fn union(&mut self, union: &Union, node: &Node) -> Option<Value> {
        let members = union.flat();
        let is_file = node.as_str().is_some_and(|text| text.starts_with("file:"));
        if is_file && members.iter().any(|member| as_record(member).is_some()) {
            let path = node.text["file:".len()..].to_owned();
            return self.included(&path, node.span, |checker, root| checker.union(union, root));
        }
        let fitting: Vec<Shape> = members
            .iter()
            .copied()
            .filter(|member| may_be(member, node))
            .collect();
        if fitting.is_empty() {
            return self.wanted(union.what, node);
        }
        if let Data::Map(_) = node.data {
            return self.union_of_mappings(union, &fitting, node);
        }
        self.first_that_fits(&fitting, node)
    }

    /// The `type` decides; without one, or among several of that type, the best fit.
    fn union_of_mappings(
        &mut self,
        union: &Union,
        fitting: &[Shape],
        node: &Node,
    ) -> Option<Value> {
        let typed = |member: &Shape| as_record(member).and_then(Record::types);
        let given = node.get("type").filter(|value| !value.is_null());
        let wanted = match (given, union.default_type) {
            (Some(value), _) => value.text.clone(),
            (None, Some(default)) => default.to_owned(),
            (None, None) => String::new(),
        };
        let mut chosen: Vec<Shape> = Vec::new();
        for member in fitting {
            let fits = match typed(member) {
                Some((choice, _)) if !wanted.is_empty() => choice.find(&wanted).is_some(),
                Some((_, required)) => !required,
                None => true,
            };
            if fits {
                chosen.push(*member);
            }
        }
        if chosen.iter().all(|member| typed(member).is_none()) && given.is_some() {
            // No member of that type, and others only if they have no type at all.
            let words: Vec<&'static str> = fitting
                .iter()
                .filter_map(typed)
                .flat_map(|(choice, _)| choice.words.iter().copied())
                .collect();
            if let (Some(value), false) = (given, words.is_empty()) {
                return self.unknown_type(union, words, value);
            }
        }
        if chosen.is_empty() {
            chosen = fitting.to_vec();
        }
        self.first_that_fits(&chosen, node)
    }

    fn unknown_type(
        &mut self,
        union: &Union,
        mut words: Vec<&'static str>,
        node: &Node,
    ) -> Option<Value> {
        words.dedup();
        let mut unique: Vec<&'static str> = Vec::new();
        for word in words {
            if !unique.contains(&word) {
                unique.push(word);
            }
        }
        let what = format!("the type of {}", union.what);
        let nearest = crate::api::names::nearest(&node.text, unique.iter().copied());
        let listed: Vec<String> = unique.iter().map(|word| format!("`{word}`")).collect();
        let listed = format!("Possible are {}", listed.join(", "));
        let hint = match nearest {
            Some(nearest) => format!("Did you mean `{nearest}`? {listed}"),
            None => listed,
        };
        let message = format!("`{}` is not {what}", node.text);
        self.report(Issue::error(node.span, message).hint(hint));
        None
    }

    /// The first member without problems; if all have some, those of the one that has fewest.
    fn first_that_fits(&mut self, members: &[Shape], node: &Node) -> Option<Value> {
        if let [only] = members {
            return self.value(only, node);
        }
        let before = self.issues.len();
        let mut best: Option<Vec<Issue>> = None;
        for member in members {
            let value = self.value(member, node);
            let found = self.issues.split_off(before);
            if value.is_some() && !found.iter().any(Issue::is_error) {
                self.issues.extend(found);
                return value;
            }
            if best
                .as_ref()
                .is_none_or(|best| weight(&found) < weight(best))
            {
                best = Some(found);
            }
        }
        self.issues.extend(best.unwrap_or_default());
        None
    }
}

/// How far from right: unknown keys say more against a member than missing ones.
fn weight(issues: &[Issue]) -> usize {
    issues
        .iter()
        .map(|issue| {
            if issue.message.contains("has no key") {
                3
            } else {
                2
            }
        })
        .sum()
}

/// Whether a value of this kind may be meant.
fn may_be(shape: &Shape, node: &Node) -> bool {
    let scalar = !matches!(node.data, Data::List(_) | Data::Map(_) | Data::Null);
    match shape {
        Shape::Any => true,
        Shape::Bool => matches!(node.data, Data::Bool(_) | Data::Text),
        Shape::Integer | Shape::Number => {
            matches!(node.data, Data::Int(_) | Data::Float(_))
                || node
                    .as_str()
                    .is_some_and(|text| text.trim().parse::<f64>().is_ok())
        }
        Shape::Literal | Shape::Scalar | Shape::Choice(_) => scalar,
        Shape::Version => matches!(node.data, Data::Int(_) | Data::Float(_) | Data::Text),
        Shape::Text(_) | Shape::Include(_) => node.as_str().is_some(),
        Shape::List(_) => matches!(node.data, Data::List(_)),
        Shape::Map(_) | Shape::Record(_) => matches!(node.data, Data::Map(_)),
        Shape::Union(union) => union.members.iter().any(|member| may_be(member, node)),
    }
}
