//! `--set`, `--add`, `--remove`: changes of a tree before it is checked.
//!
//! Paths are keys joined by dots, with `[n]` for a place in a list. What is missing on the way is
//! made. A change inside of what the file only names (`environment: azureml:…`) is refused.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{
    issue::Issue,
    yaml::{Data, Entry, Node, Sources, Span, compose},
};
use api::{Error, Result, names};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edit {
    /// `--set a.b=c`.
    Set { path: String, value: String },
    /// `--add a.list value` or `--add a.list key=value`.
    Add { path: String, value: String },
    /// `--remove a.b` or `--remove a.list 2`.
    Remove { path: String, index: Option<usize> },
}

/// How the values of flags are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// As strings; where a number or boolean is wanted they become one. As `create` does.
    Strings,
    /// As JSON where they are JSON. As `update` does.
    Json,
}

impl Edit {
    /// `a.b=c` of a `--set`.
    pub fn set(text: &str) -> Result<Self> {
        let (path, value) = text.split_once('=').ok_or_else(|| {
            Error::invalid(format!("`{text}` is not KEY=VALUE"))
                .at("--set")
                .hint("Name the key with dots: --set inputs.rate=0.1")
        })?;
        Ok(Self::Set {
            path: path.trim().to_owned(),
            value: value.to_owned(),
        })
    }

    /// The flag that asks for it, for messages. Its value may be a secret and is left out.
    fn flag(&self) -> String {
        match self {
            Self::Set { path, .. } => format!("--set {path}"),
            Self::Add { path, .. } => format!("--add {path}"),
            Self::Remove { path, index: None } => format!("--remove {path}"),
            Self::Remove {
                path,
                index: Some(index),
            } => format!("--remove {path} {index}"),
        }
    }
}

/// Applies changes to a tree, in their order. Paths in their values start from `folder`.
pub fn apply(
    root: &mut Node,
    edits: &[Edit],
    values: Values,
    sources: &mut Sources,
    folder: &Path,
) -> Result<()> {
    for edit in edits {
        let source = sources.add(edit.flag(), PathBuf::from(folder), edit.flag());
        let whole = sources.whole(source);
        match edit {
            Edit::Set { path, value } => {
                let node = read_value(value, values, whole);
                set(root, &steps(path)?, node, whole, path)?;
            }
            Edit::Add { path, value } => {
                let node = match value.split_once('=') {
                    Some((key, value)) if is_key(key) => Node::new(
                        Data::Map(vec![Entry {
                            key: key.to_owned(),
                            key_span: whole,
                            value: read_value(value, values, whole),
                        }]),
                        whole,
                    ),
                    _ => read_value(value, values, whole),
                };
                add(root, &steps(path)?, node, whole, path)?;
            }
            Edit::Remove { path, index } => {
                let mut steps = steps(path)?;
                steps.extend(index.map(Step::Index));
                remove(root, &steps, path)?;
            }
        }
    }
    Ok(())
}

/// Names of steps, inputs and outputs that an edit is about to make and that are nearly those of others.
/// For a step that is an error: what is set inside of it makes no whole one.
pub fn misspelt(root: &Node, edits: &[Edit], sources: &mut Sources, folder: &Path) -> Vec<Issue> {
    let of_edit = |edit: &Edit| {
        let (Edit::Set { path, .. } | Edit::Add { path, .. }) = edit else {
            return None;
        };
        let steps = steps(path).ok()?;
        let mut node = root;
        let mut parent = "";
        for (at, step) in steps.iter().enumerate() {
            let Step::Key(key) = step else {
                return None;
            };
            let Some(inside) = node.get(key) else {
                let Data::Map(entries) = &node.data else {
                    return None;
                };
                let there = entries.iter().map(|entry| entry.key.as_str());
                let nearest = names::nearest(key, there)?;
                let source = sources.add(edit.flag(), PathBuf::from(folder), edit.flag());
                let span = sources.whole(source);
                let issue = match parent {
                    "jobs" if at + 1 < steps.len() => {
                        Issue::error(span, format!("There is no step `{key}`"))
                    }
                    "inputs" => Issue::note(span, format!("The file has no input `{key}`")),
                    "outputs" => Issue::note(span, format!("The file has no output `{key}`")),
                    _ => return None,
                };
                return Some(issue.hint(format!("Did you mean `{nearest}`?")));
            };
            (node, parent) = (inside, key);
        }
        None
    };
    edits.iter().filter_map(of_edit).collect()
}

/// The same changes of what no file holds.
pub fn of_value(
    members: &Map<String, Value>,
    edits: &[Edit],
    values: Values,
) -> Result<Map<String, Value>> {
    let mut sources = Sources::default();
    let source = sources.add(String::new(), PathBuf::new(), String::new());
    let mut root = Node::from_value(&Value::Object(members.clone()), sources.whole(source));
    apply(&mut root, edits, values, &mut sources, Path::new(""))?;
    match root.to_value() {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// `a.b[0].c`, and `a.b.0.c` as well.
fn steps(path: &str) -> Result<Vec<Step>> {
    let wrong = || Error::invalid(format!("`{path}` is not the path of a key")).at("--set");
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indexes) = match part.split_once('[') {
            Some((key, indexes)) => (key, Some(indexes)),
            None => (part, None),
        };
        if !key.is_empty() {
            steps.push(Step::Key(key.to_owned()));
        } else if indexes.is_none() || steps.is_empty() {
            return Err(wrong());
        }
        if let Some(indexes) = indexes {
            for index in indexes.split('[') {
                let number = index.strip_suffix(']').and_then(|index| index.parse().ok());
                steps.push(Step::Index(number.ok_or_else(wrong)?));
            }
        }
    }
    Ok(steps)
}

fn is_key(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.chars().all(word)
}

/// The value of a flag. `{…}` and `[…]` that parse are mappings and lists in both modes.
fn read_value(text: &str, values: Values, span: Span) -> Node {
    let structure = text.starts_with(['{', '[']) && !text.starts_with("{{");
    if structure || values == Values::Json {
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(text) {
            return Node::from_value(&value, span);
        }
        if structure && let Ok(mut node) = compose(text, span.source, &mut Vec::new()) {
            place(&mut node, span);
            return node;
        }
    }
    Node::text(text, span)
}

/// Moves a tree to one place.
fn place(node: &mut Node, span: Span) {
    node.span = span;
    match &mut node.data {
        Data::List(items) => items.iter_mut().for_each(|item| place(item, span)),
        Data::Map(entries) => {
            for entry in entries {
                entry.key_span = span;
                place(&mut entry.value, span);
            }
        }
        _ => {}
    }
}

/// What a step leads to, made if it is missing and `next` says what for.
fn descend<'a>(
    node: &'a mut Node,
    step: &Step,
    next: Option<&Step>,
    span: Span,
    path: &str,
) -> Result<&'a mut Node> {
    if node.as_str().is_some() {
        return Err(reference(path));
    }
    let empty = || match next {
        Some(Step::Index(_)) => Node::new(Data::List(Vec::new()), span),
        Some(Step::Key(_)) => Node::new(Data::Map(Vec::new()), span),
        None => Node::new(Data::Null, span),
    };
    if node.is_null() {
        node.data = match step {
            Step::Key(_) => Data::Map(Vec::new()),
            Step::Index(_) => Data::List(Vec::new()),
        };
        node.span = span;
    }
    let index = match step {
        Step::Index(index) => Some(*index),
        Step::Key(key) => key.parse().ok(),
    };
    let kind = node.kind();
    match (&mut node.data, step, index) {
        (Data::Map(entries), Step::Key(key), _) => {
            let at = entries.iter().position(|entry| entry.key == *key);
            let at = at.unwrap_or_else(|| {
                entries.push(Entry {
                    key: key.clone(),
                    key_span: span,
                    value: empty(),
                });
                entries.len() - 1
            });
            Ok(&mut entries[at].value)
        }
        (Data::List(items), _, Some(index)) => {
            let length = items.len();
            if index > length {
                return Err(Error::invalid(format!(
                    "`{path}` asks for place {index} of a list with {length} values"
                )));
            }
            if index == length {
                items.push(empty());
            }
            Ok(&mut items[index])
        }
        _ => Err(Error::invalid(format!("`{path}` leads into {kind}"))),
    }
}

fn find<'a>(root: &'a mut Node, steps: &[Step], span: Span, path: &str) -> Result<&'a mut Node> {
    let mut node = root;
    for (at, step) in steps.iter().enumerate() {
        node = descend(node, step, steps.get(at + 1), span, path)?;
    }
    Ok(node)
}

fn set(root: &mut Node, steps: &[Step], value: Node, span: Span, path: &str) -> Result<()> {
    *find(root, steps, span, path)? = value;
    Ok(())
}

fn add(root: &mut Node, steps: &[Step], value: Node, span: Span, path: &str) -> Result<()> {
    let node = find(root, steps, span, path)?;
    if node.is_null() {
        node.data = Data::List(Vec::new());
        node.span = span;
    }
    let kind = node.kind();
    match &mut node.data {
        Data::List(items) => {
            items.push(value);
            Ok(())
        }
        _ => Err(Error::invalid(format!("`{path}` is {kind}, not a list"))),
    }
}

fn remove(root: &mut Node, steps: &[Step], path: &str) -> Result<()> {
    let missing = || Error::not_found(format!("There is no `{path}` to remove"));
    let (last, way) = steps.split_last().ok_or_else(missing)?;
    let mut node = root;
    for step in way {
        if node.as_str().is_some() {
            return Err(reference(path));
        }
        node = match (&mut node.data, step) {
            (Data::Map(entries), Step::Key(key)) => entries
                .iter_mut()
                .find(|entry| entry.key == *key)
                .map(|entry| &mut entry.value),
            (Data::List(items), Step::Index(index)) => items.get_mut(*index),
            (Data::List(items), Step::Key(key)) => {
                key.parse().ok().and_then(|at: usize| items.get_mut(at))
            }
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    let index = match last {
        Step::Index(index) => Some(*index),
        Step::Key(key) => key.parse().ok(),
    };
    match (&mut node.data, last, index) {
        (Data::Map(entries), Step::Key(key), _) => {
            let at = entries.iter().position(|entry| entry.key == *key);
            entries.remove(at.ok_or_else(missing)?);
        }
        (Data::List(items), _, Some(index)) if index < items.len() => {
            items.remove(index);
        }
        _ => return Err(missing()),
    }
    Ok(())
}

fn reference(path: &str) -> Error {
    Error::invalid(format!(
        "Cannot use '--set' on properties defined by reference strings: --set {path}"
    ))
}
