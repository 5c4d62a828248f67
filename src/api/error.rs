//! The one error of the workspace, as it travels.

use serde::{Deserialize, Serialize};

pub type Result<T> = std::result::Result<T, Error>;

/// Who must act on an error. A closed list: each question about it is one exhaustive match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The request is wrong; sending it again will not help.
    Invalid,
    /// No valid token came with the request.
    Unauthenticated,
    /// The caller's role does not allow it.
    Denied,
    NotFound,
    /// The request is right but the state of the workspace does not admit it.
    Conflict,
    /// Right, but not with this edition or this build.
    Unsupported,
    /// A resource is missing for now (server stopping, database busy); try again later.
    Unavailable,
    /// The disk is full; try again when there is room.
    Full,
    /// A defect of AMLite.
    Internal,
}

impl Code {
    pub const ALL: [Code; 9] = [
        Code::Invalid,
        Code::Unauthenticated,
        Code::Denied,
        Code::NotFound,
        Code::Conflict,
        Code::Unsupported,
        Code::Unavailable,
        Code::Full,
        Code::Internal,
    ];

    /// The HTTP status on AMLite's own API.
    pub fn status(self) -> u16 {
        match self {
            Code::Invalid => 400,
            Code::Unauthenticated => 401,
            Code::Denied => 403,
            Code::NotFound => 404,
            Code::Conflict => 409,
            Code::Unsupported => 422,
            Code::Unavailable => 503,
            Code::Full => 507,
            Code::Internal => 500,
        }
    }

    /// Whether the same request may succeed later.
    pub fn retryable(self) -> bool {
        match self {
            Code::Unavailable | Code::Full => true,
            Code::Invalid
            | Code::Unauthenticated
            | Code::Denied
            | Code::NotFound
            | Code::Conflict
            | Code::Unsupported
            | Code::Internal => false,
        }
    }
}

/// A name that nothing has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unknown {
    /// What was asked for: `run`, `compute`, ….
    pub kind: String,
    pub name: String,
    /// What may have been meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nearest: Option<String>,
}

/// An error with all a person needs: what, where, and what to do next.
///
/// On the wire: `{"error": {"code", "message", "target"?, "hints"?, "unknown"?, "others"?}}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    pub code: Code,
    /// A sentence without a full stop.
    pub message: String,
    /// What the error is about: a field, or `file:line:column`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Sentences or commands that can be pasted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// What is not there, when it was asked for by a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<Box<Unknown>>,
    /// What else is wrong with the same request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Error>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            target: None,
            hints: Vec::new(),
            unknown: None,
            others: Vec::new(),
        }
    }

    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::Invalid, message)
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(Code::Conflict, message)
    }

    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(Code::Denied, message)
    }

    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(Code::Unsupported, message)
    }

    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Code::Unavailable, message)
    }

    pub fn full(message: impl Into<String>) -> Self {
        Self::new(Code::Full, message)
    }

    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    #[must_use]
    pub fn at(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What to do where nothing else says it, such as which name may have been meant.
    #[must_use]
    pub fn or_hint(self, hint: impl Into<String>) -> Self {
        if self.hints.is_empty() {
            self.hint(hint)
        } else {
            self
        }
    }

    /// What it is, then what to do, a line each that says it is a hint: for places that keep one text.
    pub fn explained(&self) -> String {
        let hints = self.hints.iter().map(|hint| format!("Hint: {hint}"));
        let lines = std::iter::once(self.to_string()).chain(hints);
        let lines = lines.chain(self.others.iter().map(Error::explained));
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Whether it says that nothing of this kind has the name that was asked for.
    pub fn is_unknown(&self, kind: &str) -> bool {
        self.unknown
            .as_ref()
            .is_some_and(|unknown| unknown.kind == kind)
    }

    /// No `kind` of that name; `nearest` is the existing name closest to it, if any is close.
    pub fn unknown(kind: &str, name: &str, place: &str, nearest: Option<&str>) -> Self {
        let mut error = Self::not_found(format!("No {kind} `{name}`{place}"));
        error.unknown = Some(Box::new(Unknown {
            kind: kind.to_owned(),
            name: name.to_owned(),
            nearest: nearest.map(str::to_owned),
        }));
        match nearest {
            Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
            None => error,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(target) = &self.target {
            write!(f, "{target}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// The body of an error answer.
#[derive(Debug, Serialize, Deserialize)]
pub struct Envelope<E = Error> {
    pub error: E,
}
