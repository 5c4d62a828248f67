//! What a finished command left: its output and exit code, as text that is the same on every machine.

use std::{fmt, path::PathBuf};

use regex_lite::Regex;
use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Output {
    pub line: String,
    pub stdout: String,
    pub stderr: String,
    /// Exit code; 128 + signal when a signal ended it.
    pub status: i32,
    pub(super) root: PathBuf,
}

impl Output {
    /// The standard output of a command that must have succeeded.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "failed: {}\n{self}", self.line);
        self.stdout
    }

    /// The normalised standard error of a command that must have failed with `status`.
    #[track_caller]
    pub fn failed(self, status: i32) -> String {
        assert_eq!(self.status, status, "{}\n{self}", self.line);
        self.normal(&self.stderr)
    }

    /// The standard output of a command that must have succeeded, read as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let line = self.line.clone();
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("no JSON from {line}: {e}\n{text}"))
    }

    /// Text with what differs between runs of the test replaced: folders, ports, ids, times.
    pub fn normal(&self, text: &str) -> String {
        let text = text.replace(&*self.root.to_string_lossy(), "$ROOT");
        let replace = |text: String, pattern: &str, with: &str| {
            let pattern = Regex::new(pattern).expect("the pattern is right");
            pattern.replace_all(&text, with).into_owned()
        };
        let text = replace(
            text,
            r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
            "<uuid>",
        );
        let text = replace(
            text,
            r"\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.\d+)?(Z|\+00:00)?",
            "<time>",
        );
        replace(text, r"127\.0\.0\.1:\d+", "127.0.0.1:PORT")
    }
}

/// Normalised: standard output, then standard error and the exit code where there is one to show.
impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.normal(&self.stdout))?;
        if !self.stderr.is_empty() {
            write!(f, "--- stderr\n{}", self.normal(&self.stderr))?;
        }
        if self.status != 0 {
            writeln!(f, "[exit {}]", self.status)?;
        }
        Ok(())
    }
}
