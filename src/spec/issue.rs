//! What is wrong with a file, where, and what to do about it.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use serde_json::Value;

use super::{
    shape::Mismatch,
    yaml::{Sources, Span},
};
use api::Error;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// Right, but the file cannot be used without something else.
    Note,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Issue {
    pub severity: Severity,
    pub span: Span,
    /// A sentence without a full stop.
    pub message: String,
    pub hint: Option<String>,
    /// Other places that matter, with what they are.
    pub labels: Vec<(Span, String)>,
    /// The line may hold a secret and is not shown.
    pub secret: bool,
    /// It speaks against what the thing was taken for: it says to be another, or lacks what one has.
    pub mistaken: bool,
}

impl Issue {
    pub fn error<S: Into<String>>(span: Span, message: S) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            hint: None,
            labels: Vec::new(),
            secret: false,
            mistaken: false,
        }
    }

    pub fn note<S: Into<String>>(span: Span, message: S) -> Self {
        Self {
            severity: Severity::Note,
            ..Self::error(span, message)
        }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub fn maybe(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into).or(self.hint);
        self
    }

    #[must_use]
    pub fn also(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, label.into()));
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// The line of a file that it is about, below a sentence; nothing where there is no line to show.
    fn excerpt(&self, sources: &Sources) -> String {
        let source = sources.get(self.span.source);
        // What a flag gave is named as the place.
        if self.secret || source.text == source.name || source.text.trim().is_empty() {
            return String::new();
        }
        let alone = Self {
            hint: None,
            ..self.clone()
        };
        let shown = alone.render(sources, false);
        // The title and the place are said already.
        let lines = shown.lines().skip_while(|line| !line.contains("--> "));
        lines
            .skip(1)
            .fold(String::new(), |text, line| text + "\n" + line)
    }

    /// The finding with its line, as compilers print it.
    pub fn render(&self, sources: &Sources, color: bool) -> String {
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let (level, word) = match self.severity {
            Severity::Error => (Level::ERROR, "error"),
            Severity::Note => (Level::NOTE, "note"),
        };
        if self.secret {
            let place = sources.place(self.span);
            let hint = self.hint.as_ref();
            let hint = hint.map_or(String::new(), |hint| format!("\nhelp: {hint}"));
            return format!(
                "{word}: {}\n --> {place} (the line may hold a secret and is not shown){hint}",
                self.message
            );
        }
        let mut group = level
            .primary_title(&self.message)
            .element(snippet(sources, self.span, None));
        for (span, label) in &self.labels {
            group = group.element(snippet(sources, *span, Some(label)));
        }
        let mut report = vec![group];
        if let Some(hint) = &self.hint {
            report.push(Group::with_title(Level::HELP.secondary_title(hint)));
        }
        renderer.render(&report)
    }
}

/// The line of a place, with the place underlined.
fn snippet<'a>(
    sources: &'a Sources,
    span: Span,
    label: Option<&'a str>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let source = sources.get(span.source);
    let text = &source.text;
    let start = floor(text, span.start);
    let line = text[..start].rfind('\n').map_or(0, |at| at + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
    let end = floor(text, span.end.clamp(start, line_end));
    let number = text[..line].matches('\n').count() + 1;
    let kind = if label.is_some() {
        AnnotationKind::Context
    } else {
        AnnotationKind::Primary
    };
    let mut annotation = kind.span(start - line..end - line);
    if let Some(label) = label {
        annotation = annotation.label(label);
    }
    Snippet::source(&text[line..line_end])
        .line_start(number)
        .path(source.name.as_str())
        .annotation(annotation)
}

/// The nearest boundary of a character at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Everything that was found in a file and the files it includes.
#[derive(Debug)]
pub struct Report {
    pub issues: Vec<Issue>,
    pub sources: Sources,
    /// What is right of a file in which something is wrong: enough to see what else is.
    pub partial: Option<Value>,
}

impl Report {
    pub fn errors(&self) -> impl Iterator<Item = &Issue> {
        self.issues.iter().filter(|issue| issue.is_error())
    }

    /// What passed the check cannot be read: the description and the type disagree, a defect.
    pub fn add_mismatch(&mut self, mismatch: &Mismatch) {
        let message = format!("The checked file cannot be read back: {mismatch}");
        let start = self.sources.first();
        self.issues.push(Issue::error(start, message));
    }

    /// All findings with their lines.
    pub fn render(&self, color: bool) -> String {
        let mut text = String::new();
        for issue in &self.issues {
            let _ = writeln!(text, "{}\n", issue.render(&self.sources, color));
        }
        text
    }

    /// The errors as the error of a command: one alone, or all of them in one text.
    pub fn into_error(self) -> Error {
        let errors: Vec<&Issue> = self.errors().collect();
        let Some(first) = errors.first() else {
            return Error::internal("A file without errors was refused");
        };
        let place = self.sources.place(first.span);
        if errors.len() == 1 {
            let mut message = first.message.clone();
            message += &first.excerpt(&self.sources);
            let error = Error::invalid(message).at(place);
            return match &first.hint {
                Some(hint) => error.hint(hint.clone()),
                None => error,
            };
        }
        let name = &self.sources.get(first.span.source).name;
        let mut message = format!("{} errors in {name}", errors.len());
        for issue in errors {
            let _ = write!(message, "\n\n{}", issue.render(&self.sources, false));
        }
        Error::invalid(message)
    }
}
