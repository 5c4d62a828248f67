//! `{{NAME}}`: what a script fills in before the file is used.

use super::{SourceId, Span};
use crate::issue::Issue;

/// The first template of a string: `{{NAME}}`, but not the expression `${{name}}`.
pub fn first(text: &str) -> Option<&str> {
    templates(text)
        .next()
        .map(|(at, length)| &text[at..at + length])
}

/// An error for every template of a text.
pub fn find(text: &str, source: SourceId) -> Vec<Issue> {
    let found = templates(text).filter(|(at, _)| {
        let line = &text[text[..*at].rfind('\n').map_or(0, |at| at + 1)..];
        !line.trim_start().starts_with('#')
    });
    let issue = |(at, length): (usize, usize)| {
        let span = Span {
            source,
            start: at,
            end: at + length,
        };
        let template = &text[at..at + length];
        Issue::error(span, unfilled(template)).hint(hint(template))
    };
    found.map(issue).collect()
}

/// That a template is not filled in.
pub fn unfilled(template: &str) -> String {
    format!("`{template}` is a template and must be filled in first")
}

/// How it is filled in.
pub fn hint(template: &str) -> String {
    format!("For example: sed 's/{template}/VALUE/' FILE")
}

/// Where the templates are, and how long.
fn templates(text: &str) -> impl Iterator<Item = (usize, usize)> {
    text.match_indices("{{").filter_map(|(at, _)| {
        let rest = &text[at + 2..];
        let length = rest.find("}}")?;
        let name = rest[..length].trim();
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let expression = text[..at].ends_with('$');
        (!expression && !name.is_empty() && name.chars().all(is_name)).then_some((at, length + 4))
    })
}
