//! `--set`, `--add`, `--remove`: changes of a tree before it is checked.
//!
//! Paths are keys joined by dots, with `[n]` for a place in a list, `[-n]` from its end, and
//! `[name=x]` for the one mapping in it with that value. What is missing on the way is made. A change
//! inside of what the file only names (`environment: azureml:…`) is refused.

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
    /// `--add a.list value` or `--add a.list key=value`. Pairs that follow each other are one mapping.
    Add { path: String, values: Vec<String> },
    /// `--remove a.b` or `--remove a.list 2`, with `-1` for the last.
    Remove { path: String, index: Option<isize> },
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
        let mut open = false;
        let sign = text.find(|c| {
            open = c == '[' || open && c != ']';
            c == '=' && !open
        });
        let parts = sign.map(|at| (&text[..at], &text[at + 1..]));
        let (path, value) = parts.ok_or_else(|| {
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
            Edit::Add {
                path,
                values: words,
            } => {
                let steps = steps(path)?;
                for node in added(words, values, whole) {
                    add(root, &steps, node, whole, path)?;
                }
            }
            Edit::Remove { path, index } => {
                let mut steps = steps(path)?;
                steps.extend(index.map(Step::place));
                remove(root, &steps, path)?;
            }
        }
    }
    Ok(())
}

/// The values that words make: a mapping of pairs that follow each other, and each other word.
fn added(words: &[String], values: Values, span: Span) -> Vec<Node> {
    let mut added = Vec::new();
    let mut pairs: Vec<Entry> = Vec::new();
    let mapping = |pairs: &mut Vec<Entry>| {
        let pairs = std::mem::take(pairs);
        (!pairs.is_empty()).then(|| Node::new(Data::Map(pairs), span))
    };
    for word in words {
        match word.split_once('=') {
            Some((key, value)) if is_key(key) => {
                pairs.retain(|pair| pair.key != key);
                pairs.push(Entry {
                    key: key.to_owned(),
                    key_span: span,
                    value: read_value(value, values, span),
                });
            }
            _ => {
                added.extend(mapping(&mut pairs));
                added.push(read_value(word, values, span));
            }
        }
    }
    added.extend(mapping(&mut pairs));
    added
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
    /// `[-1]`: how far from the end.
    FromEnd(usize),
    /// `[name=x]`: the only mapping in which the key has the value.
    Where(String, String),
}

impl Step {
    fn place(place: isize) -> Self {
        match usize::try_from(place) {
            Ok(index) => Self::Index(index),
            Err(_) => Self::FromEnd(place.unsigned_abs()),
        }
    }

    /// The place in a list that is meant; none where the list is no list, or there is none so far
    /// from its end.
    fn index(&self, list: &Node, path: &str) -> Result<Option<usize>> {
        let items = match &list.data {
            Data::List(items) => items.as_slice(),
            _ => &[],
        };
        Ok(match self {
            Self::Key(key) => key.parse().ok(),
            Self::Index(index) => Some(*index),
            Self::FromEnd(back) => items.len().checked_sub(*back),
            Self::Where(key, value) => {
                let wanted = serde_json::from_str::<Value>(value);
                let is_meant = |item: &Node| {
                    item.get(key).is_some_and(|own| {
                        own.as_str() == Some(value)
                            || wanted
                                .as_ref()
                                .is_ok_and(|wanted| own.to_value() == *wanted)
                    })
                };
                let mut found = (0..items.len()).filter(|at| is_meant(&items[*at]));
                match (found.next(), found.next()) {
                    (Some(at), None) => Some(at),
                    (first, _) => {
                        let many = if first.is_some() {
                            "more than one"
                        } else {
                            "none"
                        };
                        return Err(Error::invalid(format!(
                            "`{path}` asks for the one with the {key} `{value}`: there is {many}"
                        )));
                    }
                }
            }
        })
    }
}

/// `a.b[0].c`, `a.b.0.c` as well, `a.b[-1]`, and `a.b[name=x].c`.
fn steps(path: &str) -> Result<Vec<Step>> {
    let wrong = || Error::invalid(format!("`{path}` is not the path of a key")).at("--set");
    let mut steps = Vec::new();
    let mut open = false;
    let parts = path.split(|c| {
        open = c == '[' || open && c != ']';
        c == '.' && !open
    });
    for part in parts {
        let (key, mut places) = part.split_at(part.find('[').unwrap_or(part.len()));
        if !key.is_empty() {
            steps.push(Step::Key(key.to_owned()));
        } else if places.is_empty() || steps.is_empty() {
            return Err(wrong());
        }
        while !places.is_empty() {
            let inside = places.strip_prefix('[').ok_or_else(wrong)?;
            let (place, rest) = inside.split_once(']').ok_or_else(wrong)?;
            steps.push(match place.split_once('=') {
                Some((key, value)) => Step::Where(key.to_owned(), value.to_owned()),
                None => Step::place(place.parse().map_err(|_| wrong())?),
            });
            places = rest;
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
        Some(Step::Key(_)) => Node::new(Data::Map(Vec::new()), span),
        Some(_) => Node::new(Data::List(Vec::new()), span),
        None => Node::new(Data::Null, span),
    };
    if node.is_null() {
        node.data = match step {
            Step::Key(_) => Data::Map(Vec::new()),
            _ => Data::List(Vec::new()),
        };
        node.span = span;
    }
    let index = step.index(node, path)?;
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
        (Data::List(items), Step::FromEnd(back), None) => Err(Error::invalid(format!(
            "`{path}` asks for place -{back} of a list with {} values",
            items.len()
        ))),
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
        let index = step.index(node, path)?;
        node = match (&mut node.data, step) {
            (Data::Map(entries), Step::Key(key)) => entries
                .iter_mut()
                .find(|entry| entry.key == *key)
                .map(|entry| &mut entry.value),
            (Data::List(items), _) => index.and_then(|at| items.get_mut(at)),
            _ => None,
        }
        .ok_or_else(missing)?;
    }
    let index = last.index(node, path)?;
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
