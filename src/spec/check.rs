//! A tree against a description: every problem is found, and what is right comes out in the
//! canonical form.
//!
//! Canonical: keys in snake case, choices as their words, defaults filled in, local paths absolute,
//! included files in place, read-only keys gone.

mod include;
mod record;
mod scalar;
mod union;

use std::{
    iter,
    path::{Path, PathBuf},
};

use serde_json::{Map as Object, Value};

use super::{
    expression::is_open,
    graph::called_by,
    issue::Issue,
    shape::{Record, Shape, Text},
    yaml::{Data, Node, Sources, Span, template},
};
pub use record::issue_of;

/// Checks trees, collects what is wrong.
pub struct Checker<'a> {
    pub sources: &'a mut Sources,
    pub issues: Vec<Issue>,
    /// Keys at the top whose absence is only noted, since a flag may give them.
    pub given_by_flags: &'a [&'a str],
    /// Values may be expressions here.
    bindable: bool,
    /// In what may hold secrets.
    secret: bool,
    /// All that does.
    secrets: Vec<Span>,
    /// Files that are being included, the outermost first.
    including: Vec<PathBuf>,
    depth: usize,
}

impl<'a> Checker<'a> {
    pub fn new(sources: &'a mut Sources, given_by_flags: &'a [&'a str], file: &Path) -> Self {
        Self {
            sources,
            issues: Vec::new(),
            given_by_flags,
            bindable: false,
            secret: false,
            secrets: Vec::new(),
            including: vec![file.to_owned()],
            depth: 0,
        }
    }

    /// The canonical form of `node`. Where a problem was reported it is what is right of it, or nothing.
    pub fn value(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        if self.secret || !shape.is_secret() {
            return self.read(shape, node);
        }
        self.secrets.push(node.span);
        self.secret = true;
        let value = self.read(shape, node);
        self.secret = false;
        value
    }

    /// Hides the lines on which something stands that may hold secrets.
    pub fn hide_secrets(&mut self) {
        for issue in &mut self.issues {
            let mut shown = issue.labels.iter().map(|(span, _)| span);
            issue.secret |= iter::once(&issue.span).chain(&mut shown).any(|span| {
                let line = self.sources.line(*span);
                self.secrets.iter().any(|secret| line.touches(*secret))
            });
        }
    }

    fn read(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        if self.is_expression(shape, node) {
            return Some(node.to_value());
        }
        match shape {
            Shape::Any => Some(node.to_value()),
            Shape::Bool => self.boolean(node),
            Shape::Integer => self.integer(node),
            Shape::Within(from, to) => self.within(*from, *to, node),
            Shape::Number => self.number(node),
            Shape::Literal => self.literal(node),
            Shape::Scalar => self.scalar(node),
            Shape::Version => self.version(node),
            Shape::Text(text) => self.text(text, node),
            Shape::Choice(choice) => self.choice(choice, node),
            Shape::List(item) => self.list(item, node),
            Shape::Map(value) => self.map(value, node),
            Shape::Record(record) => self.record_or_file(record(), node),
            Shape::Union(union) => self.union(union, node),
            Shape::Include(inner) => self.include(inner, node),
        }
    }

    /// `${{…}}` where another kind of value is wanted. What it stands for is checked with the graph.
    fn is_expression(&self, shape: &Shape, node: &Node) -> bool {
        self.bindable
            && node.as_str().is_some_and(is_open)
            && !matches!(shape, Shape::Text(_) | Shape::Record(_) | Shape::Include(_))
    }

    fn list(&mut self, item: &Shape, node: &Node) -> Option<Value> {
        let Data::List(items) = &node.data else {
            return self.wanted("a list", node);
        };
        let mut values = Vec::with_capacity(items.len());
        let mut right = true;
        for item_node in items {
            match self.value(item, item_node) {
                Some(value) => values.push(value),
                None => right = false,
            }
        }
        right.then_some(Value::Array(values))
    }

    fn map(&mut self, shape: &Shape, node: &Node) -> Option<Value> {
        let Data::Map(entries) = &node.data else {
            return self.wanted("a mapping", node);
        };
        let mut members = Object::new();
        for entry in entries {
            if is_own(shape, &entry.value) {
                continue;
            }
            let before = self.issues.len();
            // `score:` with nothing after it is an output of the default kind.
            let value = if entry.value.is_null() {
                Some(Value::Null)
            } else {
                self.value(shape, &entry.value)
            };
            if let Some(what) = called(shape) {
                self.name(&called_by(what, &entry.key), before);
            }
            // What is wrong is there all the same: others may name it.
            members.insert(entry.key.clone(), value.unwrap_or_default());
        }
        Some(Value::Object(members))
    }

    /// Lets what was reported since say what it is about.
    fn name(&mut self, prefix: &str, before: usize) {
        for issue in self.issues.iter_mut().skip(before) {
            if !issue.message.starts_with(prefix) {
                issue.message.insert_str(0, prefix);
            }
        }
    }

    fn text(&mut self, text: &Text, node: &Node) -> Option<Value> {
        let Some(given) = node.as_str() else {
            let hint = match node.data {
                _ if text.secret => Some("Put it in quotes".to_owned()),
                Data::Bool(_) | Data::Int(_) | Data::Float(_) => {
                    Some(format!("Put it in quotes: \"{}\"", node.text))
                }
                _ => None,
            };
            let message = format!("Expected {}, found {}", text.what, node.kind());
            self.report(Issue::error(node.span, message).maybe(hint));
            return None;
        };
        match (text.read)(given, self.sources.folder(node.span)) {
            Ok(kept) => Some(Value::String(kept)),
            Err(fault) => {
                let issue = match template::first(given) {
                    Some(found) => Issue::error(node.span, template::unfilled(found))
                        .hint(template::hint(found)),
                    None => Issue::error(node.span, fault.message).maybe(fault.hint),
                };
                self.report(issue);
                None
            }
        }
    }

    /// Reports that something else was expected.
    fn wanted<T>(&mut self, what: &str, node: &Node) -> Option<T> {
        let span = match node.data {
            Data::List(_) | Data::Map(_) => node.span.head(),
            _ => node.span,
        };
        let message = format!("Expected {what}, found {}", node.kind());
        self.report(Issue::error(span, message));
        None
    }

    fn report(&mut self, mut issue: Issue) {
        issue.secret |= self.secret;
        self.issues.push(issue);
    }

    /// Whether a file would be included without end; reports it.
    fn is_too_deep(&mut self, span: Span) -> bool {
        let deep = self.depth > 60;
        if deep {
            self.report(Issue::error(span, "Nested too deep"));
        }
        deep
    }
}

/// Whether it is one of those that only the service makes.
fn is_own(shape: &Shape, node: &Node) -> bool {
    let Shape::Record(record) = shape else {
        return false;
    };
    record().own.as_ref().is_some_and(|own| {
        let value = node.get(own.key).and_then(Node::as_str);
        value.is_some_and(own.has)
    })
}

fn called(shape: &Shape) -> Option<&'static str> {
    match shape {
        Shape::Union(union) => union.called,
        _ => None,
    }
}

/// The record that a shape is, looking through nothing.
fn as_record(shape: &Shape) -> Option<&'static Record> {
    match shape {
        Shape::Record(record) => Some(record()),
        _ => None,
    }
}
