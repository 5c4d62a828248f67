//! What differs between two runs, piece by piece.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use imara_diff::{Algorithm, BasicLineDiffPrinter, Diff, InternedInput, UnifiedDiffConfig};
use serde::Serialize;

use api::{
    Result,
    environments::Environment,
    files::{GetTree, Hash, TreeEntry},
    runs::Run,
};
use client::Client;

/// Larger files are named, not shown.
const SHOWN: u64 = 1 << 20;

/// A value on both sides; absent where there is none.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Change<T> {
    a: Option<T>,
    b: Option<T>,
}

impl<T: PartialEq> Change<T> {
    /// None when both are the same.
    pub fn of(a: Option<T>, b: Option<T>) -> Option<Self> {
        (a != b).then_some(Self { a, b })
    }

    /// `a → b`, or a diff when a side has more than one line.
    pub fn text(&self, show: impl Fn(&T) -> String) -> String {
        let side = |side: &Option<T>| side.as_ref().map_or_else(|| "-".to_owned(), &show);
        let (a, b) = (side(&self.a), side(&self.b));
        if a.contains('\n') || b.contains('\n') {
            return changed_lines(&a, &b);
        }
        format!("{a} → {b}")
    }
}

/// The lines that differ, marked with `-` and `+`.
fn changed_lines(a: &str, b: &str) -> String {
    let (input, diff) = compared(a, b);
    let mut text = String::new();
    for hunk in diff.hunks() {
        let gone = &input.before[hunk.before.start as usize..hunk.before.end as usize];
        let come = &input.after[hunk.after.start as usize..hunk.after.end as usize];
        let signed = gone.iter().map(|line| ('-', line));
        for (sign, line) in signed.chain(come.iter().map(|line| ('+', line))) {
            let _ = writeln!(text, "{sign}{}", input.interner[*line].trim_end());
        }
    }
    text
}

/// The lines of both and which of them differ.
fn compared<'a>(a: &'a str, b: &'a str) -> (InternedInput<&'a str>, Diff) {
    let input = InternedInput::new(a, b);
    let mut diff = Diff::compute(Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    (input, diff)
}

/// The keys whose values differ.
pub fn maps<T: PartialEq + Clone>(
    a: &BTreeMap<String, T>,
    b: &BTreeMap<String, T>,
) -> BTreeMap<String, Change<T>> {
    let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let change = |key: &String| Change::of(a.get(key).cloned(), b.get(key).cloned());
    keys.into_iter()
        .filter_map(|key| Some((key.clone(), change(key)?)))
        .collect()
}

/// One change a line.
pub fn table<T: PartialEq>(
    changes: &BTreeMap<String, Change<T>>,
    show: impl Fn(&T) -> String,
) -> String {
    let width = changes.keys().map(|key| key.chars().count()).max();
    let width = width.unwrap_or(0);
    let line =
        |(key, change): (&String, &Change<T>)| format!("{key:width$}  {}\n", change.text(&show));
    changes.iter().map(line).collect()
}

/// An environment in words, one fact a line.
pub fn environment(environment: &Environment) -> String {
    let name = environment.name().to_owned();
    match environment {
        Environment::Host => name,
        Environment::HostPath { path } => format!("{name}\nPATH={path}"),
        Environment::Python {
            version,
            requirements,
            conda,
            ..
        } => {
            let python = version.as_ref().map(|version| format!("python {version}"));
            let lines = [name].into_iter().chain(python);
            let left_out = conda.iter().flat_map(|conda| conda.left_out.clone());
            lines
                .chain(requirements.clone())
                .chain(left_out)
                .collect::<Vec<_>>()
                .join("\n")
        }
    }
}

/// How the files of two runs differ.
#[derive(Debug, Default, Serialize)]
pub struct CodeDiff {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<FileDiff>,
}

#[derive(Debug, Serialize)]
pub struct FileDiff {
    pub path: String,
    /// Unified; absent for what is no text or too large.
    pub diff: Option<String>,
}

impl CodeDiff {
    pub fn text(&self) -> String {
        let mut text = String::new();
        for path in &self.added {
            let _ = writeln!(text, "added   {path}");
        }
        for path in &self.removed {
            let _ = writeln!(text, "removed {path}");
        }
        for FileDiff { path, diff } in &self.changed {
            let _ = writeln!(text, "changed {path}");
            text += diff.as_deref().unwrap_or_default();
        }
        text
    }
}

/// Compares the snapshots of two runs; only files that differ are fetched.
pub async fn code(client: &Client, workspace: &str, a: &Run, b: &Run) -> Result<CodeDiff> {
    let snapshot = |run: &Run| run.job.as_ref().and_then(|job| job.snapshot);
    trees(client, workspace, snapshot(a), snapshot(b)).await
}

/// Compares two trees of files.
pub async fn trees(
    client: &Client,
    workspace: &str,
    a: Option<Hash>,
    b: Option<Hash>,
) -> Result<CodeDiff> {
    let mut code = CodeDiff::default();
    if a == b {
        return Ok(code);
    }
    let a = Side::get(client, workspace, a).await?;
    let b = Side::get(client, workspace, b).await?;
    let paths: BTreeSet<&String> = a.files.keys().chain(b.files.keys()).collect();
    for path in paths {
        match (a.files.get(path), b.files.get(path)) {
            (None, _) => code.added.push(path.clone()),
            (_, None) => code.removed.push(path.clone()),
            (Some(old), Some(new)) if old == new => {}
            (Some(_), Some(_)) => code.changed.push(FileDiff {
                path: path.clone(),
                diff: unified(path, a.text(path).await?, b.text(path).await?),
            }),
        }
    }
    Ok(code)
}

/// The code of one run.
struct Side<'a> {
    client: &'a Client,
    workspace: &'a str,
    tree: Option<Hash>,
    files: BTreeMap<String, TreeEntry>,
}

impl<'a> Side<'a> {
    async fn get(client: &'a Client, workspace: &'a str, tree: Option<Hash>) -> Result<Self> {
        let entries = match tree {
            Some(hash) => {
                let workspace = workspace.to_owned();
                client.call(&GetTree { workspace, hash }).await?.entries
            }
            None => Vec::new(),
        };
        let by_path = entries.into_iter().map(|entry| (entry.path.clone(), entry));
        Ok(Self {
            client,
            workspace,
            tree,
            files: by_path.collect(),
        })
    }

    /// A file's content, if it is text and not too large to show.
    async fn text(&self, path: &str) -> Result<Option<String>> {
        let small = self
            .files
            .get(path)
            .is_some_and(|entry| entry.size <= SHOWN);
        let Some(tree) = self.tree.filter(|_| small) else {
            return Ok(None);
        };
        let bytes = self
            .client
            .read_tree_file(self.workspace, tree, path)
            .await?;
        let text = String::from_utf8(bytes.to_vec()).ok();
        Ok(text.filter(|text| !text.contains('\0')))
    }
}

fn unified(path: &str, a: Option<String>, b: Option<String>) -> Option<String> {
    let (a, b) = (a?, b?);
    if a == b {
        return Some("mode changed\n".to_owned());
    }
    let (input, diff) = compared(&a, &b);
    let printer = BasicLineDiffPrinter(&input.interner);
    let hunks = diff.unified_diff(&printer, UnifiedDiffConfig::default(), &input);
    Some(format!("--- {path}\n+++ {path}\n{hunks}"))
}

#[cfg(test)]
mod tests {
    use super::{Change, maps};

    #[test]
    fn only_what_differs_is_left() {
        let a = [("C", "0.1"), ("n", "5")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let b = [("C", "0.2"), ("n", "5"), ("x", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let changes = maps(&a.into(), &b.into());
        let shown: Vec<String> = changes
            .iter()
            .map(|(k, c)| format!("{k} {}", c.text(String::clone)))
            .collect();
        assert_eq!(shown, ["C 0.1 → 0.2", "x - → 1"]);
    }

    #[test]
    fn long_texts_are_shown_by_the_lines_that_differ() {
        let side = |version| Some(format!("e\nnumpy=={version}\nx"));
        let change = Change::of(side(1), side(2));
        assert_eq!(
            change.unwrap().text(String::clone),
            "-numpy==1\n+numpy==2\n"
        );
    }
}
