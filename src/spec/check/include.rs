//! Files in files.

use std::{
    fs,
    io::{self, ErrorKind},
    path::Path,
};

use serde_json::Value;

use super::Checker;
use crate::{
    includes,
    issue::Issue,
    reference::{absolute, file_path, where_it_may_be},
    shape::Shape,
    yaml::{self, Node, Span},
};

impl Checker<'_> {
    /// A path, with or without `file:`, replaced by what the file holds.
    pub(super) fn include(&mut self, inner: &Shape, node: &Node) -> Option<Value> {
        let Some(text) = node.as_str() else {
            return self.wanted("the path of a YAML file", node);
        };
        let path = file_path(text).to_owned();
        self.included(&path, node.span, |checker, root| checker.value(inner, root))
    }

    /// Reads a file named at `span` and checks what it holds.
    pub(super) fn included(
        &mut self,
        path: &str,
        span: Span,
        check: impl FnOnce(&mut Self, &Node) -> Option<Value>,
    ) -> Option<Value> {
        let file = absolute(path, self.sources.folder(span));
        if self.including.contains(&file) || self.including.len() > 30 {
            self.report(Issue::error(span, format!("`{path}` includes itself")));
            return None;
        }
        let name = includes::display_name(&self.sources.get(span.source).name, path);
        let node = match self.open(&file, &name) {
            Ok(node) => node,
            Err(error) => {
                let issue = match error.kind() {
                    ErrorKind::NotFound => Issue::error(span, format!("There is no file `{name}`"))
                        .hint(where_it_may_be(&file)),
                    _ => Issue::error(span, format!("Cannot read `{name}`: {error}")),
                };
                self.report(issue);
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

    fn open(&mut self, file: &Path, name: &str) -> io::Result<Result<Node, Issue>> {
        let text = fs::read_to_string(file)?;
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
