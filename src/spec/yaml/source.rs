//! The texts that were read, and places in them.

use std::path::{Path, PathBuf};

/// The name of the text that stands for the flags of a command without a file.
pub const FLAGS: &str = "the command line";

/// Which text a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId(u32);

/// A stretch of a text, in bytes. What no text holds has an empty stretch at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    pub source: SourceId,
    pub start: usize,
    pub end: usize,
}

impl Span {
    /// Only the first byte: where a mapping or list begins rather than all of it.
    #[must_use]
    pub fn head(self) -> Self {
        Self {
            end: self.end.min(self.start + 1),
            ..self
        }
    }

    /// Whether the two have a place in common, if only an end.
    pub fn touches(self, other: Self) -> bool {
        self.source == other.source && self.start <= other.end && other.start <= self.end
    }
}

#[derive(Debug, Clone)]
pub struct Source {
    /// As the user named it, for messages.
    pub name: String,
    /// The folder that relative paths in the text start from.
    pub folder: PathBuf,
    pub text: String,
}

/// All texts of one load: the file, the files it includes, the values of flags.
#[derive(Debug, Default, Clone)]
pub struct Sources(Vec<Source>);

impl Sources {
    pub fn add(&mut self, name: String, folder: PathBuf, text: String) -> SourceId {
        let id = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        self.0.push(Source { name, folder, text });
        SourceId(id)
    }

    pub fn get(&self, id: SourceId) -> &Source {
        &self.0[id.0 as usize]
    }

    /// All of a text.
    pub fn whole(&self, source: SourceId) -> Span {
        Span {
            source,
            start: 0,
            end: self.get(source).text.len(),
        }
    }

    /// The line that a stretch begins on, without its end.
    pub fn line(&self, span: Span) -> Span {
        let text = self.get(span.source).text.as_bytes();
        let (before, after) = text.split_at(span.start.min(text.len()));
        let ends = |byte: &u8| *byte == b'\n';
        Span {
            source: span.source,
            start: before.iter().rposition(ends).map_or(0, |at| at + 1),
            end: before.len() + after.iter().position(ends).unwrap_or(after.len()),
        }
    }

    /// The start of the first text.
    pub fn first(&self) -> Span {
        Span {
            source: SourceId(0),
            start: 0,
            end: 0,
        }
    }

    /// The folder of the text that `span` is in.
    pub fn folder(&self, span: Span) -> &Path {
        &self.get(span.source).folder
    }

    /// Line and column of the start of `span`, both counted from one, in characters.
    pub fn position(&self, span: Span) -> (usize, usize) {
        let text = &self.get(span.source).text;
        let mut start = span.start.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = &text[..start];
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[begin..].chars().count() + 1)
    }

    /// `file:line:column`; of the value of a flag, the flag, and of all of them what they are.
    pub fn place(&self, span: Span) -> String {
        let name = &self.get(span.source).name;
        if name.starts_with("--") || name == FLAGS {
            return name.clone();
        }
        let (line, column) = self.position(span);
        format!("{name}:{line}:{column}")
    }
}
