//! Which of several shapes a value is meant to have.

use serde_json::Value;

use super::{Checker, as_record};
use crate::{
    issue::Issue,
    reference::file_path,
    shape::{Shape, Union},
    yaml::{Data, Node},
};

impl Checker<'_> {
    pub(super) fn union(&mut self, union: &Union, node: &Node) -> Option<Value> {
        let members = union.flat();
        let is_file = node.as_str().is_some_and(|text| text.starts_with("file:"));
        let is_include = |member: &Shape| matches!(member, Shape::Include(_));
        if is_file
            && !members.iter().any(is_include)
            && members.iter().any(|member| as_record(member).is_some())
        {
            let path = node.text["file:".len()..].to_owned();
            return self.included(&path, node.span, |checker, root| checker.union(union, root));
        }
        let mut fitting = fits(&members, |member| may_be(member, node));
        // A string names something or a file, never either.
        if let Some(text) = node.as_str() {
            let names = text.starts_with("azureml:") && file_path(text) == text
                || text.starts_with("/subscriptions/");
            if fitting.iter().any(is_include) {
                fitting = fits(&fitting, |member| is_include(member) != names);
            }
        }
        if fitting.is_empty() {
            return self.wanted(union.what, node);
        }
        if let Data::Map(_) = node.data {
            return self.union_of_mappings(union, &fitting, node);
        }
        self.first_that_fits(&fitting, node)
    }

    /// The `type` decides, then the `task` and the like; among several of these, the best fit.
    fn union_of_mappings(
        &mut self,
        union: &Union,
        fitting: &[Shape],
        node: &Node,
    ) -> Option<Value> {
        let mut chosen: Vec<Shape> = fitting.to_vec();
        for key in DECIDING {
            let given = node.get(key).filter(|value| !value.is_null());
            let default = union.default_type.filter(|_| key == "type");
            let wanted = given.map(|value| value.text.as_str()).or(default);
            let choice = |member: &Shape| as_record(member).and_then(|record| record.choice(key));
            let of_that: Vec<Shape> = match wanted {
                Some(wanted) => fits(&chosen, |member| {
                    choice(member).is_none_or(|(choice, _)| choice.find(wanted).is_some())
                }),
                None => fits(&chosen, |member| {
                    choice(member).is_none_or(|(_, required)| !required)
                }),
            };
            let decided = of_that.iter().any(|member| choice(member).is_some());
            let choices = chosen.iter().filter_map(choice);
            let words: Vec<&str> = choices
                .flat_map(|(choice, _)| choice.words)
                .copied()
                .collect();
            if let (Some(value), false, false) = (given, decided, words.is_empty()) {
                return self.unknown_type(union, key, words, value);
            }
            if !of_that.is_empty() {
                chosen = of_that;
            }
        }
        self.first_that_fits(&chosen, node)
    }

    fn unknown_type(
        &mut self,
        union: &Union,
        key: &str,
        words: Vec<&str>,
        node: &Node,
    ) -> Option<Value> {
        let mut unique: Vec<&str> = Vec::new();
        for word in words {
            if !unique.contains(&word) {
                unique.push(word);
            }
        }
        let what = format!("the {key} of {}", union.what);
        let nearest = api::names::nearest(&node.text, unique.iter().copied());
        let listed: Vec<String> = unique.iter().map(|word| format!("`{word}`")).collect();
        let listed = format!("Possible are {}", listed.join(", "));
        let hint = match nearest {
            Some(nearest) => format!("Did you mean `{nearest}`? {listed}"),
            None => listed,
        };
        let message = format!("`{}` is not {what}", node.text);
        let mut issue = Issue::error(node.span, message).hint(hint);
        issue.mistaken = true;
        self.report(issue);
        None
    }

    /// The first member without problems; if all have some, those of the nearest.
    fn first_that_fits(&mut self, members: &[Shape], node: &Node) -> Option<Value> {
        if let [only] = members {
            return self.value(only, node);
        }
        let before = self.issues.len();
        let mut best: Option<(usize, Vec<Issue>, Option<Value>)> = None;
        for member in members {
            let value = self.value(member, node);
            let found = self.issues.split_off(before);
            if value.is_some() && !found.iter().any(Issue::is_error) {
                self.issues.extend(found);
                return value;
            }
            // So a step is of the kind that its component says to be.
            let mistaken = found.iter().filter(|issue| issue.mistaken).count();
            let distance = (strange_keys(member, node) + mistaken) * 1000 + found.len();
            if best.as_ref().is_none_or(|(least, ..)| distance < *least) {
                best = Some((distance, found, value));
            }
        }
        let (_, issues, value) = best?;
        self.issues.extend(issues);
        value
    }
}

/// Keys whose word tells the members of a union apart, the first first.
const DECIDING: [&str; 4] = ["type", "task", "model_provider", "kind"];

fn fits(members: &[Shape], test: impl Fn(&Shape) -> bool) -> Vec<Shape> {
    let chosen = members.iter().copied();
    chosen.filter(|member| test(member)).collect()
}

/// How many keys the member does not know: they say more against it than what else is wrong.
fn strange_keys(member: &Shape, node: &Node) -> usize {
    let Some(record) = as_record(member) else {
        return 0;
    };
    let known =
        |key: &str| key == "$schema" || record.field(key).is_some() || record.is_read_only(key);
    node.entries()
        .iter()
        .filter(|entry| !known(&entry.key))
        .count()
}

/// Whether a value of this kind may be meant.
fn may_be(shape: &Shape, node: &Node) -> bool {
    let scalar = !matches!(node.data, Data::List(_) | Data::Map(_) | Data::Null);
    match shape {
        Shape::Any => true,
        Shape::Bool => matches!(node.data, Data::Bool(_) | Data::Text),
        Shape::Integer | Shape::Within(..) | Shape::Number => {
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
