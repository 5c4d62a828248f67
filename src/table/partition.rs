//! Columns from the paths of files: `/{Store}/{Date:yyyy/MM/dd}/data.csv`.

use regex::Regex;

use super::cell::{Cell, time};
use api::{Error, Result};

#[derive(Debug, Clone)]
pub struct Partition {
    pattern: Regex,
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    /// Of a time.
    format: Option<String>,
}

/// Letters of a time's format, what they look like, and the same for `strptime`.
const PARTS: [(&str, &str, &str); 6] = [
    ("yyyy", r"\d{4}", "%Y"),
    ("MM", r"\d{2}", "%m"),
    ("dd", r"\d{2}", "%d"),
    ("HH", r"\d{2}", "%H"),
    ("mm", r"\d{2}", "%M"),
    ("ss", r"\d{2}", "%S"),
];

impl Partition {
    pub fn parse(format: &str) -> Result<Self> {
        let wrong = |why: &str| {
            Error::invalid(format!("`{format}` is no partition format: {why}"))
                .hint("Write it as /{Country}/{Date:yyyy/MM/dd}/data.csv")
        };
        let mut pattern = String::from("(?:^|/)");
        let mut columns: Vec<Column> = Vec::new();
        let mut rest = format.trim_start_matches('/');
        while let Some(at) = rest.find(['{', '*']) {
            pattern += &regex::escape(&rest[..at]);
            if rest[at..].starts_with('*') {
                pattern += "[^/]*";
                rest = &rest[at + 1..];
                continue;
            }
            let end = rest[at..]
                .find('}')
                .ok_or_else(|| wrong("a brace is open"))?
                + at;
            let inside = &rest[at + 1..end];
            let (name, format) = match inside.split_once(':') {
                Some((name, format)) => (name, Some(format)),
                None => (inside, None),
            };
            if name.is_empty() || columns.iter().any(|column| column.name == name) {
                return Err(wrong("each column has a name of its own"));
            }
            let looks = match format {
                None => "[^/]+?".to_owned(),
                Some(format) => of_time(format, |part| part.1),
            };
            pattern.push('(');
            pattern += &looks;
            pattern.push(')');
            columns.push(Column {
                name: name.to_owned(),
                format: format.map(|format| of_time(format, |part| part.2)),
            });
            rest = &rest[end + 1..];
        }
        if columns.is_empty() {
            return Err(wrong("it names no column"));
        }
        pattern += &regex::escape(rest);
        pattern.push('$');
        let pattern = Regex::new(&pattern).map_err(|e| wrong(&e.to_string()))?;
        Ok(Self { pattern, columns })
    }

    /// The columns of a file; none when its path is not as the format says.
    pub fn of(&self, path: &str) -> Option<Vec<(String, Cell)>> {
        let found = self.pattern.captures(path)?;
        let cell = |(at, column): (usize, &Column)| {
            let text = found.get(at + 1).map_or("", |found| found.as_str());
            let cell = match &column.format {
                None => Cell::Text(text.to_owned()),
                Some(format) => of_parts(text, format).unwrap_or(Cell::Missing),
            };
            (column.name.clone(), cell)
        };
        Some(self.columns.iter().enumerate().map(cell).collect())
    }
}

/// A time of which perhaps only the year and month are given.
fn of_parts(text: &str, format: &str) -> Option<Cell> {
    let (mut text, mut format) = (text.to_owned(), format.to_owned());
    for (part, first) in [("%Y", "1900"), ("%m", "01"), ("%d", "01")] {
        if !format.contains(part) {
            format = format!("{format} {part}");
            text = format!("{text} {first}");
        }
    }
    if format.contains("%H") && !format.contains("%M") {
        format += " %M";
        text += " 00";
    }
    time(&text, &[format]).map(Cell::Time)
}

type Part = (&'static str, &'static str, &'static str);

fn of_time(format: &str, as_what: impl Fn(&Part) -> &'static str) -> String {
    let mut made = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        match PARTS.iter().find(|part| rest.starts_with(part.0)) {
            Some(part) => {
                made += as_what(part);
                rest = &rest[part.0.len()..];
            }
            None => {
                made.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    made
}
