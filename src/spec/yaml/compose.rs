//! From the parser's events to a tree.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, Span as Range, StrInput};

use super::{Data, Entry, Node, SourceId, Span, scalar, template};
use crate::issue::Issue;

/// More values than any file that a person writes: aliases are copied, so a few lines could ask
/// for billions.
const BUDGET: usize = 200_000;
const DEPTH: usize = 100;

/// Parses one document. An empty text is a `Null`.
///
/// Problems that leave a tree (duplicate keys) are added to `issues`; one that does not is the error.
pub fn compose(text: &str, source: SourceId, issues: &mut Vec<Issue>) -> Result<Node, Issue> {
    let mut found = Vec::new();
    let result = parse(text, source, &mut found);
    if result.is_ok() && found.is_empty() {
        return result;
    }
    // A template is no YAML; what else is said of it is of no help.
    let mut templates = template::find(text, source).into_iter();
    match templates.next() {
        Some(first) => {
            issues.extend(templates);
            Err(first)
        }
        None => {
            issues.append(&mut found);
            result
        }
    }
}

fn parse(text: &str, source: SourceId, issues: &mut Vec<Issue>) -> Result<Node, Issue> {
    let options = granit_parser::options! { emit_comments: false };
    let mut composer = Composer {
        events: Parser::new_from_str_with_options(text, options),
        text,
        source,
        anchors: HashMap::new(),
        left: BUDGET,
        issues,
    };
    composer.document()
}

struct Composer<'a, 'b> {
    events: Parser<'a, StrInput<'a>>,
    text: &'a str,
    source: SourceId,
    anchors: HashMap<usize, Node>,
    /// How many more values may be made.
    left: usize,
    issues: &'b mut Vec<Issue>,
}

impl<'a> Composer<'a, '_> {
    fn document(&mut self) -> Result<Node, Issue> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(Issue::error(
                        span,
                        "A second document begins here; a file holds one",
                    ));
                }
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                Event::StreamEnd => {
                    return Ok(root.unwrap_or_else(|| Node::new(Data::Null, span)));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), Issue> {
        let end = self.span(self.text.len(), self.text.len());
        match self.events.next_event() {
            None => Ok((Event::StreamEnd, end)),
            Some(Ok((event, range))) => {
                let span = self.place(&range);
                Ok((event, span))
            }
            Some(Err(error)) => {
                let at = error.marker().byte_offset().unwrap_or(self.text.len());
                let mut message = error.info();
                if let Some(first) = message.get(..1) {
                    message.replace_range(..1, &first.to_uppercase());
                }
                let issue = Issue::error(self.span(at, at + 1), message);
                let around = self.text.get(at.saturating_sub(1)..at + 2);
                // Braces of a mapping begin where those of an expression are meant.
                Err(if around.is_some_and(|around| around.contains("${")) {
                    issue.hint("Put the expression in quotes: '${{…}}'")
                } else {
                    issue
                })
            }
        }
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Issue> {
        self.spend(1, span)?;
        if depth > DEPTH {
            return Err(Issue::error(
                span,
                format!("Nested deeper than {DEPTH} levels"),
            ));
        }
        let (node, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let core = tag.as_ref().and_then(|tag| tag.core_suffix());
                let data = match (core, style) {
                    (Some("str"), _) => Data::Text,
                    (Some(_), _) | (None, ScalarStyle::Plain) => scalar::resolve(&text),
                    (None, _) => Data::Text,
                };
                let text = text.into_owned();
                (Node { span, data, text }, anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end,
                        (event, span) => items.push(self.node(event, span, depth + 1)?),
                    }
                };
                (Node::new(Data::List(items), join(span, end)), anchor)
            }
            Event::MappingStart(_, anchor, _) => (self.mapping(span, depth)?, anchor),
            Event::Alias(id) => {
                let Some(copy) = self.anchors.get(&id).cloned() else {
                    return Err(Issue::error(span, "An alias inside of what it names"));
                };
                self.spend(size(&copy), span)?;
                (copy, 0)
            }
            _ => return Err(Issue::error(span, "A value was expected here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn mapping(&mut self, begin: Span, depth: usize) -> Result<Node, Issue> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut merged: Vec<Entry> = Vec::new();
        let mut known = Keys::default();
        let end = loop {
            let (event, key_span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                break key_span;
            }
            let plain = matches!(&event, Event::Scalar(_, ScalarStyle::Plain, ..));
            let key = self.node(event, key_span, depth + 1)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if matches!(key.data, Data::List(_) | Data::Map(_)) {
                self.issues.push(Issue::error(
                    key.span.head(),
                    format!("A key is a string, not {}", key.kind()),
                ));
            } else if plain && key.text == "<<" {
                self.merge(value, &mut merged);
            } else if let Some(first) = known.find(&entries, &key.text) {
                let issue = Issue::error(key.span, format!("`{}` is given twice", key.text))
                    .also(first.key_span, "first given here");
                self.issues.push(issue);
            } else {
                entries.push(Entry {
                    key: key.text,
                    key_span: key.span,
                    value,
                });
            }
        };
        for entry in merged {
            if !entries.iter().any(|own| own.key == entry.key) {
                entries.push(entry);
            }
        }
        Ok(Node::new(Data::Map(entries), join(begin, end)))
    }

    /// `<<`: the keys of one mapping, or of several of which the first wins.
    fn merge(&mut self, value: Node, merged: &mut Vec<Entry>) {
        match value.data {
            Data::Map(entries) => {
                for entry in entries {
                    if !merged.iter().any(|other| other.key == entry.key) {
                        merged.push(entry);
                    }
                }
            }
            Data::List(items) if items.iter().all(|item| matches!(item.data, Data::Map(_))) => {
                for item in items {
                    self.merge(item, merged);
                }
            }
            _ => self.issues.push(Issue::error(
                value.span,
                "`<<` merges a mapping or a list of mappings",
            )),
        }
    }

    fn spend(&mut self, values: usize, span: Span) -> Result<(), Issue> {
        match self.left.checked_sub(values) {
            Some(left) => self.left = left,
            None => {
                return Err(Issue::error(
                    span,
                    format!("The file stands for more than {BUDGET} values, counting aliases"),
                ));
            }
        }
        Ok(())
    }

    fn place(&self, range: &Range) -> Span {
        let (start, mut end) = match range.byte_range() {
            Some(bytes) => (bytes.start, bytes.end),
            None => (self.text.len(), self.text.len()),
        };
        // A block scalar ends before the blank lines and the key that follow it.
        end = end.min(self.text.len());
        let written = self.text.get(start..end).unwrap_or_default().trim_end();
        self.span(start, start + written.len())
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let length = self.text.len();
        Span {
            source: self.source,
            start: start.min(length),
            end: end.min(length),
        }
    }
}

fn join(begin: Span, end: Span) -> Span {
    Span {
        end: end.end.max(begin.end),
        ..begin
    }
}

fn size(node: &Node) -> usize {
    match &node.data {
        Data::List(items) => 1 + items.iter().map(size).sum::<usize>(),
        Data::Map(entries) => {
            1 + entries
                .iter()
                .map(|entry| size(&entry.value))
                .sum::<usize>()
        }
        _ => 1,
    }
}

/// More keys than this are looked up, not gone through.
const MANY: usize = 32;

/// Where the keys of a mapping are.
#[derive(Default)]
struct Keys(HashMap<String, usize>);

impl Keys {
    fn find<'a>(&mut self, entries: &'a [Entry], key: &str) -> Option<&'a Entry> {
        if entries.len() <= MANY {
            return entries.iter().find(|entry| entry.key == key);
        }
        for (at, entry) in entries.iter().enumerate().skip(self.0.len()) {
            self.0.insert(entry.key.clone(), at);
        }
        self.0.get(key).and_then(|at| entries.get(*at))
    }
}
