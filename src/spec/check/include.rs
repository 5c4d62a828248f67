//! Files in files.

use std::{fs, path::Path};

use serde_json::Value;

use super::Checker;
use crate::{
    includes,
    issue::Issue,
    shape::Shape,
    yaml::{self, Node, Span},
};

impl Checker<'_> {
    /// A path, with or without `file:`, replaced by what the file holds.
    pub(super) fn include(&mut self, inner: &Shape, node: &Node) -> Option<Value> {
        let Some(text) = node.as_str() else {
            return self.wanted("the path of a YAML file", node);
        };
        let path = text.strip_prefix("file:").unwrap_or(text).to_owned();
        self.included(&path, node.span, |checker, root| checker.value(inner, root))
    }

    /// Reads a file named at `span` and checks what it holds.
    pub(super) fn included(
        &mut self,
        path: &str,
        span: Span,
        check: impl FnOnce(&mut Self, &Node) -> Option<Value>,
    ) -> Option<Value> {
        let file = super::super::reference::absolute(path, self.sources.folder(span));
        if self.including.contains(&file) || self.including.len() > 30 {
            self.report(Issue::error(span, format!("`{path}` includes itself")));
            return None;
        }
        let name = display_name(&self.sources.get(span.source).name, path);
        let node = match self.open(&file, &name) {
            Ok(node) => node,
            Err(message) => {
                self.report(Issue::error(span, message));
                return None;
            }
        };
        let node = match node {
            Ok(node) => node,
            Err(issue) => {
                self.report(issue.also(span, "included here"));
                return None;
            }
        };
        self.including.push(file);
        let value = check(self, &node);
        self.including.pop();
        value
    }

    fn open(&mut self, file: &Path, name: &str) -> Result<Result<Node, Issue>, String> {
        let text = fs::read_to_string(file).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("There is no file `{name}`"),
            _ => format!("Cannot read `{name}`: {error}"),
        })?;
        let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
        let source = self.sources.add(name.to_owned(), folder, text);
        let mut issues = Vec::new();
        let mut node = yaml::compose(&self.sources.get(source).text, source, &mut issues);
        if let Ok(node) = &mut node {
            includes::add(node, file, name, self.sources);
        }
        self.issues.extend(issues);
        Ok(node)
    }
}

/// The file's name as seen from where the user is: beside the file that names it.
fn display_name(from: &str, path: &str) -> String {
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let joined = folder.join(path);
    super::super::reference::tidy(&joined).display().to_string()
}
