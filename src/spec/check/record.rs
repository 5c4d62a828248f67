//! Mappings with known keys.

use serde_json::{Map as Object, Value};

use super::Checker;
use crate::graph::of_step;
use crate::{
    issue::Issue,
    shape::{Field, Record, Wrong},
    yaml::{Data, Entry, Node, Span},
};
use api::names;

impl Checker<'_> {
    /// A record, or a `file:` that holds one.
    pub(super) fn record_or_file(&mut self, record: &'static Record, node: &Node) -> Option<Value> {
        if let Some(path) = node.as_str().and_then(|text| text.strip_prefix("file:")) {
            return self.included(path, node.span, |checker, root| {
                checker.record_or_file(record, root)
            });
        }
        if !matches!(node.data, Data::Map(_)) {
            return self.wanted(&format!("a mapping ({})", record.name), node);
        }
        self.depth += 1;
        let bindable = self.bindable;
        self.bindable |= record.bindable;
        let value = if self.is_too_deep(node.span.head()) {
            None
        } else {
            Some(self.record(record, node))
        };
        self.bindable = bindable;
        self.depth -= 1;
        value
    }

    fn record(&mut self, record: &'static Record, node: &Node) -> Value {
        let fields = record.all();
        let before = self.issues.len();
        let mut members = Object::new();
        // Keys that an unknown one is likely meant to be: they are not missing as well.
        let mut meant = Vec::new();
        for entry in node.entries() {
            if let Some(field) = fields.iter().find(|field| field.name == entry.key) {
                self.field(field, entry, &mut members);
            } else if record.open && entry.key != "$schema" {
                members.insert(entry.key.clone(), entry.value.to_value());
            } else if entry.key != "$schema" && !record.is_read_only(&entry.key) {
                meant.extend(self.unknown_key(record, &fields, entry));
            }
        }
        for field in &fields {
            if !members.contains_key(field.name) && !meant.contains(&field.name) {
                self.absent(record, field, node, &mut members);
            }
        }
        if !self.issues[before..].iter().any(Issue::is_error) {
            self.apply_rule(record, node, &members);
        } else if record.in_parts {
            self.apply_rule_in_parts(record, node, &members, before);
        }
        Value::Object(members)
    }

    /// Applies the rule to what is right of a record with steps: of the steps about which something was
    /// said `since`, it is not known what else would be.
    fn apply_rule_in_parts(
        &mut self,
        record: &Record,
        node: &Node,
        members: &Object<String, Value>,
        since: usize,
    ) {
        let Some(rule) = record.rule else { return };
        let said: Vec<String> = self.issues[since..]
            .iter()
            .map(|issue| issue.message.clone())
            .collect();
        let Some(members) = with_named(members, node) else {
            return;
        };
        for wrong in rule(&members) {
            let about = match wrong.path.as_slice() {
                [jobs, step, ..] if jobs == "jobs" => of_step(step),
                _ => String::new(),
            };
            let known = !about.is_empty() && said.iter().any(|said| said.starts_with(&about));
            if !known && !wrong.harmless {
                self.report_wrong(node, wrong);
            }
        }
    }

    fn report_wrong(&mut self, node: &Node, wrong: Wrong) {
        self.report(issue_of(node, wrong));
    }

    fn field(&mut self, field: &Field, entry: &Entry, members: &mut Object<String, Value>) {
        if entry.value.is_null() {
            return;
        }
        if let Some(value) = self.value(&field.shape, &entry.value) {
            members.insert(field.name.to_owned(), value);
        }
    }

    /// A key that the file does not have: its default, or a problem.
    fn absent(
        &mut self,
        record: &Record,
        field: &Field,
        node: &Node,
        members: &mut Object<String, Value>,
    ) {
        let written = node.entries().iter().find(|entry| entry.key == field.name);
        if let Some(default) = field
            .default
            .filter(|_| written.is_none_or(|e| e.value.is_null()))
        {
            members.insert(field.name.to_owned(), default());
            return;
        }
        if !field.required {
            return;
        }
        let issue = match written {
            Some(entry) if entry.value.is_null() => Issue::error(
                entry.key_span,
                format!("`{}` is empty; {} must say it", field.name, record.named()),
            ),
            // It is there and wrong, which was reported.
            Some(_) => return,
            None => {
                let name = record.named();
                let message = format!("`{}` is missing; {name} must have it", field.name);
                Issue {
                    mistaken: true,
                    ..Issue::error(first_key(node), message).maybe(field.hint())
                }
            }
        };
        if self.depth == 1 && self.given_by_flags.contains(&field.name) {
            let note = format!("`{}` is not in the file; give it by a flag", field.name);
            self.report(Issue::note(first_key(node), note));
        } else {
            self.report(issue);
        }
    }

    /// Reports a key that there is not; answers the one that is likely meant.
    fn unknown_key(
        &mut self,
        record: &Record,
        fields: &[&Field],
        entry: &Entry,
    ) -> Option<&'static str> {
        let message = format!("A{} has no key `{}`", &record.named()[1..], entry.key);
        let issue = Issue::error(entry.key_span, message);
        if entry.key.contains("{{") {
            let hint = "Fill in the template first; it cannot be a key";
            self.report(issue.hint(hint));
            return None;
        }
        let known = fields.iter().map(|field| field.name);
        let nearest = names::nearest(&entry.key, known.clone());
        let hint = match nearest {
            Some(nearest) => format!("Did you mean `{nearest}`?"),
            None => format!("Its keys are {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.report(issue.hint(hint));
        nearest
    }

    fn apply_rule(&mut self, record: &Record, node: &Node, members: &Object<String, Value>) {
        for base in record.bases {
            self.apply_rule(base(), node, members);
        }
        let Some(rule) = record.rule else { return };
        for wrong in rule(members) {
            self.report_wrong(node, wrong);
        }
    }
}

/// Something wrong inside of a record, with its place.
pub fn issue_of(node: &Node, wrong: Wrong) -> Issue {
    let span = locate(node, &wrong.path);
    let new = if wrong.harmless {
        Issue::note::<String>
    } else {
        Issue::error::<String>
    };
    new(span, wrong.fault.message).maybe(wrong.fault.hint)
}

/// Where the keys lead, as far as they are in this file: the value if it is one line, else its key.
fn locate(node: &Node, path: &[String]) -> Span {
    let mut node = node;
    let mut span = first_key(node);
    for key in path {
        let (inner, key_span) = match &node.data {
            Data::Map(entries) => match entries.iter().find(|entry| entry.key == *key) {
                Some(entry) => (&entry.value, entry.key_span),
                None => break,
            },
            Data::List(items) => match key.parse().ok().and_then(|at: usize| items.get(at)) {
                Some(item) => (item, item.span.head()),
                None => break,
            },
            _ => break,
        };
        span = match inner.data {
            Data::List(_) | Data::Null => key_span,
            // What a flag changed is what matters.
            Data::Map(ref entries) => {
                let mut spans = entries.iter().map(|entry| entry.value.span);
                let changed = spans.find(|span| span.source != key_span.source);
                changed.unwrap_or(key_span)
            }
            _ => inner.span,
        };
        node = inner;
    }
    span
}

/// Where a mapping begins; a flag that added something is no beginning.
fn first_key(node: &Node) -> Span {
    let own = |entry: &&Entry| entry.key_span.source == node.span.source;
    match node.entries().iter().find(own) {
        Some(entry) => entry.key_span,
        None => node.span.head(),
    }
}

/// The keys that are right, with the names of inputs and the like that are there and wrong: an
/// expression that names one is right. None where they are no mapping, and nobody knows what is named.
fn with_named(members: &Object<String, Value>, node: &Node) -> Option<Object<String, Value>> {
    let mut members = members.clone();
    for key in ["inputs", "outputs", "search_space"] {
        let Some(written) = node.get(key).filter(|written| !written.is_null()) else {
            continue;
        };
        let Data::Map(entries) = &written.data else {
            return None;
        };
        let named = members
            .entry(key)
            .or_insert_with(|| Value::Object(Object::new()));
        for entry in entries {
            if let Some(named) = named.as_object_mut() {
                named.entry(entry.key.clone()).or_insert(Value::Null);
            }
        }
    }
    Some(members)
}
