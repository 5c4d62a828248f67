//! From a file to a checked value.

use std::{fs, path::Path};

use serde_json::Value;

use super::{
    check::{Checker, issue_of},
    graph, includes,
    issue::{Issue, Report},
    list::{self, Kind},
    overrides::{self, Edit, Values},
    reference,
    shape::{Described, Shape},
    yaml::{self, Node, Sources, Span},
};
use api::Result;

/// A file as it was written, not yet checked.
#[derive(Debug, Clone)]
pub struct Document {
    pub root: Node,
    pub sources: Sources,
    pub issues: Vec<Issue>,
    path: std::path::PathBuf,
}

/// A file that is right.
#[derive(Debug)]
pub struct Checked<T> {
    pub value: T,
    /// The canonical form: what is stored, shown and sent.
    pub canonical: Value,
    /// Notes only.
    pub report: Report,
}

/// Reads and parses a file; `name` is what it is called in messages.
///
/// An error is a file that cannot be read; what is wrong inside comes from [`Document::check`].
pub fn open(path: &Path, name: &str) -> Result<Document> {
    let text = fs::read_to_string(path)
        .map_err(|error| reference::unreadable("file", name, path, &error))?;
    let mut document = parse(text, path, name);
    includes::add(&mut document.root, path, name, &mut document.sources);
    Ok(document)
}

/// Parses a text as if it were the file at `path`.
pub fn parse(text: String, path: &Path, name: &str) -> Document {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut sources = Sources::default();
    let source = sources.add(name.to_owned(), folder, text);
    let mut issues = Vec::new();
    let composed = yaml::compose(&sources.get(source).text, source, &mut issues);
    let root = composed.unwrap_or_else(|issue| {
        let span = issue.span;
        issues.push(issue);
        Node::new(yaml::Data::Null, span)
    });
    Document {
        root,
        sources,
        issues,
        path: path.to_owned(),
    }
}

impl Document {
    /// Nothing was understood of it: what else it lacks is not known.
    fn is_broken(&self) -> bool {
        self.root.is_null() && self.issues.iter().any(Issue::is_error)
    }

    /// Applies `--set` and the like; relative paths in their values start from the file's folder.
    pub fn edit(&mut self, edits: &[Edit], values: Values) -> Result<()> {
        if self.is_broken() {
            return Ok(());
        }
        let folder = self.path.parent().unwrap_or(Path::new("")).to_owned();
        let misspelt = overrides::misspelt(&self.root, edits, &mut self.sources, &folder);
        self.issues.extend(misspelt);
        overrides::apply(&mut self.root, edits, values, &mut self.sources, &folder)
    }

    /// Puts a value at the top, in place of what the file says. Messages call it by `flag`; relative
    /// paths in it start from `folder`.
    pub fn put(&mut self, key: &str, value: &Value, flag: String, folder: &Path) {
        if self.is_broken() {
            return;
        }
        let source = self.sources.add(flag.clone(), folder.to_owned(), flag);
        let span = self.sources.whole(source);
        let value = Node::from_value(value, span);
        if self.root.is_null() {
            // What is missing beside this is not missing in this.
            let own = self.sources.whole(self.root.span.source);
            self.root = Node::new(yaml::Data::Map(Vec::new()), own);
        }
        if let yaml::Data::Map(entries) = &mut self.root.data {
            entries.retain(|entry| entry.key != key);
            entries.push(yaml::Entry {
                key: key.to_owned(),
                key_span: span,
                value,
            });
        }
    }

    /// Where the keys lead that `path` joins by dots: `file:line:column` of the last of them that is
    /// there, in the file that the last one before it names if there is such. None when not even the
    /// first is.
    pub fn place(&self, path: &str) -> Option<String> {
        let (span, node, rest) = self.follow(path)?;
        let named = node.as_str().filter(|_| !rest.is_empty());
        let included = named.and_then(|named| {
            let path = reference::file_path(named);
            let name = includes::display_name(&self.sources.get(node.span.source).name, path);
            let file = reference::absolute(path, self.sources.folder(node.span));
            open(&file, &name).ok()?.place(rest)
        });
        Some(included.unwrap_or_else(|| self.sources.place(span)))
    }

    /// The same, as a place of the text.
    pub fn span(&self, path: &str) -> Option<Span> {
        self.follow(path).map(|(span, ..)| span)
    }

    /// The last of the keys that is there, its value, and the keys that are not.
    fn follow<'a>(&self, path: &'a str) -> Option<(Span, &Node, &'a str)> {
        let mut found = None;
        let (mut node, mut rest) = (&self.root, path);
        while !rest.is_empty() {
            let (key, after) = rest.split_once('.').unwrap_or((rest, ""));
            let yaml::Data::Map(entries) = &node.data else {
                break;
            };
            let Some(entry) = entries.iter().find(|entry| entry.key == key) else {
                break;
            };
            (node, rest) = (&entry.value, after);
            found = Some(entry.key_span);
        }
        found.map(|span| (span, node, rest))
    }

    /// Checks the document as the kind it is: of the kinds it may be, the first that fits, else the
    /// one with the fewest problems, first of all with the keys at the top.
    pub fn check_any(
        &self,
        kinds: &[&'static Kind],
    ) -> (Option<&'static Kind>, Option<Value>, Report) {
        if let [only] = kinds {
            let (value, report) = self.check_as(only);
            return (Some(only), value, report);
        }
        let top: Vec<Span> = match &self.root.data {
            yaml::Data::Map(entries) => entries.iter().map(|entry| entry.key_span).collect(),
            _ => Vec::new(),
        };
        let mut best = None;
        let mut fewest = (usize::MAX, usize::MAX);
        for kind in kinds {
            let (value, report) = self.check_as(kind);
            let of_keys = report.errors().filter(|issue| top.contains(&issue.span));
            let errors = (of_keys.count(), report.errors().count());
            if errors < fewest {
                fewest = errors;
                best = Some((Some(*kind), value, report));
            }
            if errors == (0, 0) {
                break;
            }
        }
        best.unwrap_or_else(|| {
            let mut document = self.clone();
            if !self.issues.iter().any(Issue::is_error) {
                document.issues.push(self.unknown_kind());
            }
            (None, None, document.into_report())
        })
    }

    /// Notes what creating it needs and a flag may still give, which [`Document::check_any`] passes over:
    /// where the steps of a pipeline run. `value` is what it was found to say.
    pub fn note_what_is_left(&self, value: Option<&Value>, report: &mut Report) {
        let job = value.and_then(Value::as_object);
        let job = job.filter(|job| job.get("type").is_some_and(|kind| kind == "pipeline"));
        let wrong = job.map(graph::without_compute).unwrap_or_default();
        let notes = wrong.into_iter().map(|wrong| issue_of(&self.root, wrong));
        report.issues.extend(notes);
        report.issues.sort_by_key(|issue| issue.span);
    }

    /// That it cannot be told what the file is.
    fn unknown_kind(&self) -> Issue {
        let start = self.sources.first();
        if self.root.is_null() {
            return Issue::error(start, "The file is empty");
        }
        let issue = Issue::error(start, "It cannot be told what this file describes");
        if self.root.get("dependencies").is_some() {
            return issue
                .hint("It looks like a conda file; an environment names it as its `conda_file`");
        }
        self.misspelt_mark()
            .unwrap_or_else(|| issue.hint("Say it with --kind, or by a `$schema` in the file"))
    }

    /// That a key is nearly one that would tell what the file is.
    fn misspelt_mark(&self) -> Option<Issue> {
        let yaml::Data::Map(entries) = &self.root.data else {
            return None;
        };
        entries.iter().find_map(|entry| {
            let (kind, mark) = list::nearest_mark(&entry.key)?;
            let message = format!("`{}` tells no kind of file", entry.key);
            let hint = format!("Did you mean `{mark}`, as of the kind {kind}?");
            let mut issue = Issue::error(entry.key_span, message).hint(hint);
            issue.secret = list::secret_keys().contains(mark);
            Some(issue)
        })
    }

    /// What was found in a file of which it is not known what it is.
    pub fn into_report(mut self) -> Report {
        self.issues.sort_by_key(|issue| issue.span);
        hide_if_named(&mut self.issues, &self.sources);
        Report {
            issues: self.issues,
            sources: self.sources,
            partial: None,
        }
    }

    fn check_as(&self, kind: &Kind) -> (Option<Value>, Report) {
        let (mut value, mut report) = self.check_shape(&kind.shape, kind.given_by_flags);
        // What was noted of the flags before does not keep it from being read.
        let complete = report.issues.len() == self.issues.len();
        if let Some(checked) = value.as_ref().filter(|_| complete)
            && let Err(mismatch) = (kind.reads)(checked)
        {
            report.add_mismatch(&mismatch);
            value = None;
        }
        (value, report)
    }

    /// Checks the document as a `T`. `given_by_flags` names keys at the top that may be absent,
    /// because a flag gives them later; their absence is a note.
    pub fn check<T: Described>(
        &self,
        given_by_flags: &[&str],
    ) -> std::result::Result<Checked<T>, Report> {
        let (canonical, mut report) = self.check_shape(&T::SHAPE, given_by_flags);
        let Some(canonical) = canonical else {
            return Err(report);
        };
        match T::read(Some(&canonical)) {
            Ok(value) => Ok(Checked {
                value,
                canonical,
                report,
            }),
            Err(mismatch) => {
                report.add_mismatch(&mismatch);
                Err(report)
            }
        }
    }

    /// Checks the document; the canonical form, if it is right.
    pub fn check_shape(&self, shape: &Shape, given_by_flags: &[&str]) -> (Option<Value>, Report) {
        let broken = self.is_broken();
        let (mut sources, mut issues) = (self.sources.clone(), self.issues.clone());
        let mut value = None;
        if !broken {
            let mut checker = Checker::new(&mut sources, given_by_flags, &self.path);
            value = checker.value(shape, &self.root);
            checker.hide_secrets();
            issues.extend(checker.issues);
        }
        let mut partial = None;
        if issues.iter().any(Issue::is_error) {
            partial = value.take();
        }
        issues.sort_by_key(|issue| issue.span);
        if shape.is_secret() {
            hide(&mut issues);
        } else if broken {
            hide_if_named(&mut issues, &sources);
        }
        let report = Report {
            issues,
            sources,
            partial,
        };
        (value, report)
    }
}

/// Lets the findings be told without the lines of the file.
fn hide(issues: &mut [Issue]) {
    for issue in issues {
        issue.secret = true;
    }
}

/// The same where it is not understood what the file says, but it names what keeps secrets.
fn hide_if_named(issues: &mut [Issue], sources: &Sources) {
    let text = &sources.get(sources.first().source).text;
    if !issues.is_empty() && list::names_secret(text) {
        hide(issues);
    }
}

/// Loads a file as a `T`; all that is wrong with it is in the error.
pub fn load<T: Described>(path: &Path, name: &str, given_by_flags: &[&str]) -> Result<Checked<T>> {
    let document = open(path, name)?;
    document.check(given_by_flags).map_err(Report::into_error)
}
