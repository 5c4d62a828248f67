//! Which files a table has and what is done to their rows.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use globset::GlobBuilder;
use serde_json::{Map, Value};

use super::{
    cell::Cell,
    partition::Partition,
    read::{Parts, Reader},
    rows::Rows,
    step::{Step, Transformation, transformation},
};
use api::{Code, Error, Result, paths::is_local};
use spec::{
    issue::Issue,
    list,
    load::{self, Document},
    yaml::{Data, Span},
};

/// The file that says how a folder is read.
pub const MLTABLE: &str = "MLTable";

/// What is read of an `MLTable` file: its paths are not looked at yet.
#[derive(Debug, Clone)]
pub struct Definition {
    folder: PathBuf,
    sources: Vec<Source>,
    reader: Option<Reader>,
    partition: Option<Partition>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Source {
    File(String),
    Folder(String),
    Pattern(String),
}

impl Source {
    fn text(&self) -> &str {
        match self {
            Source::File(text) | Source::Folder(text) | Source::Pattern(text) => text,
        }
    }
}

/// A table whose files are known.
#[derive(Debug, Clone)]
pub struct Table {
    pub files: Vec<TableFile>,
    pub(crate) reader: Reader,
    pub(crate) steps: Vec<Step>,
}

/// How much of a file its first rows need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// It is a row itself.
    Nothing,
    /// Its first lines.
    Beginnings,
    /// Its end, and what that names.
    Parts,
    All,
}

/// A file with rows.
#[derive(Debug, Clone, PartialEq)]
pub struct TableFile {
    pub path: PathBuf,
    /// Its path from the folder of the table.
    pub name: String,
    /// What its path says of all its rows.
    pub columns: Vec<(String, Cell)>,
    /// The ranges of it that are here, where not all of it is.
    pub(crate) parts: Option<Parts>,
}

impl Table {
    /// Of this one of its files only these parts are here: what is beyond them is an error.
    pub fn in_parts(&mut self, file: usize, parts: &Parts) {
        if let Some(file) = self.files.get_mut(file) {
            file.parts = Some(parts.clone());
        }
    }

    /// The same of no files yet.
    #[must_use]
    pub fn without_files(&self) -> Self {
        Self {
            files: Vec::new(),
            reader: self.reader.clone(),
            steps: self.steps.clone(),
        }
    }

    /// How many rows its files have before any step; of more the first so many count, and of one that
    /// cannot be read those before it.
    pub fn unread(&self, most: usize) -> usize {
        let mut plain = self.clone();
        plain.steps.clear();
        if let Reader::Delimited(delimited) = &mut plain.reader {
            delimited.infer = false;
        }
        plain.rows().take(most).take_while(Result::is_ok).count()
    }

    /// How much of its files has to be there for its first rows.
    pub fn needs(&self) -> Needs {
        match &self.reader {
            Reader::Paths => Needs::Nothing,
            Reader::Parquet { .. } if self.steps.is_empty() => Needs::Parts,
            Reader::Parquet { .. } => Needs::All,
            Reader::Delimited(_) | Reader::JsonLines { .. } | Reader::Lines { .. } => {
                Needs::Beginnings
            }
        }
    }
}

impl Definition {
    /// Reads what makes a table of a path: a folder with an `MLTable` file, that file, another file of
    /// rows, or a folder with some.
    pub fn load(path: &Path) -> Result<Self> {
        if path.is_dir() {
            let file = path.join(MLTABLE);
            if file.is_file() {
                return Self::of_file(&file);
            }
            return Self::of_folder(path);
        }
        if path.file_name().is_some_and(|name| name == MLTABLE) {
            return Self::of_file(path);
        }
        let reader = Reader::of_file(path).ok_or_else(|| {
            Error::unsupported(format!("`{}` is not known to have rows", path.display()))
                .hint("Known are CSV, TSV, JSON lines (.jsonl) and Parquet; an MLTable file can say how others are read")
        })?;
        let name = path.file_name().unwrap_or_default();
        Ok(Self {
            folder: path.parent().unwrap_or(Path::new("")).to_owned(),
            sources: vec![Source::File(name.to_string_lossy().into_owned())],
            reader: Some(reader),
            partition: None,
            steps: Vec::new(),
        })
    }

    /// Looks at what the `MLTable` file of a folder says, if there is one; the files of the table need not
    /// be there. What others can read and this cannot is no mistake.
    pub fn check(folder: &Path) -> Result<()> {
        let file = folder.join(MLTABLE);
        if !file.is_file() {
            return Ok(());
        }
        match Self::of_file(&file) {
            Err(error) if error.code != Code::Unsupported => Err(error),
            _ => Ok(()),
        }
    }

    fn of_file(file: &Path) -> Result<Self> {
        let document = load::open(file, MLTABLE)?;
        let kind = list::named("mltable")
            .ok_or_else(|| Error::internal("MLTable files are no kind of file"))?;
        let (_, value, report) = document.check_any(&[kind]);
        let Some(Value::Object(fields)) = value else {
            return Err(report.into_error());
        };
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        let mut made = Self {
            folder,
            sources: Vec::new(),
            reader: None,
            partition: None,
            steps: Vec::new(),
        };
        let list = |key: &str| {
            fields
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
        };
        for path in list("paths") {
            let text = |key: &str| path.get(key).and_then(Value::as_str).map(str::to_owned);
            let source = text("file")
                .map(Source::File)
                .or_else(|| text("folder").map(Source::Folder))
                .or_else(|| text("pattern").map(Source::Pattern));
            made.sources.extend(source);
        }
        for (span, read) in transformations(&document, &fields) {
            let place = |error: Error| match error.target {
                Some(_) => error,
                None => error.at(document.sources.place(span)),
            };
            match read.map_err(place)? {
                Transformation::Read(reader) if made.reader.is_none() => made.reader = Some(reader),
                Transformation::Read(_) => {
                    return Err(place(Error::invalid("The files are read once")));
                }
                Transformation::Partition(partition) => made.partition = Some(partition),
                Transformation::Step(step) => made.steps.push(step),
            }
        }
        Ok(made)
    }

    /// All files of a folder that have rows of one kind.
    fn of_folder(folder: &Path) -> Result<Self> {
        let all = files_below(folder, "")?;
        let known = all
            .iter()
            .find_map(|name| Some((name, Reader::of_file(Path::new(name))?)));
        let Some((first, reader)) = known else {
            return Err(Error::unsupported(format!(
                "`{}` has no MLTable file, and no files that are known to have rows",
                folder.display()
            ))
            .hint("Known are CSV, TSV, JSON lines (.jsonl) and Parquet"));
        };
        let extension = Path::new(first).extension().map(std::ffi::OsStr::to_owned);
        let alike = all
            .iter()
            .filter(|name| Path::new(name).extension() == extension.as_deref());
        Ok(Self {
            folder: folder.to_owned(),
            sources: alike.cloned().map(Source::File).collect(),
            reader: Some(reader),
            partition: None,
            steps: Vec::new(),
        })
    }

    /// Paths that are not on this machine: what they mean has to be brought first.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        let all = self.sources.iter().map(Source::text);
        all.filter(|text| !is_local(text))
    }

    /// Finds the files. `brought` has where each address is now.
    pub fn open(self, brought: &BTreeMap<String, PathBuf>) -> Result<Table> {
        let mut files = Vec::new();
        for source in &self.sources {
            let text = source.text();
            if let Some(path) = brought.get(text) {
                add(path, &name_of(path), &mut files)?;
                continue;
            }
            let plain = text.strip_prefix("file://").unwrap_or(text);
            let plain = plain.trim_start_matches("./");
            match source {
                Source::File(_) | Source::Folder(_) => {
                    add(&self.folder.join(plain), plain, &mut files)?;
                }
                Source::Pattern(_) => self.matching(plain, &mut files)?,
            }
        }
        if let Some(partition) = &self.partition {
            for file in &mut files {
                file.columns = partition.of(&file.name).ok_or_else(|| {
                    Error::invalid(format!(
                        "The path `{}` is not as the partition format says",
                        file.name
                    ))
                    .at(MLTABLE)
                })?;
            }
        }
        Ok(Table {
            files,
            reader: self.reader.unwrap_or(Reader::Paths),
            steps: self.steps,
        })
    }

    fn matching(&self, pattern: &str, files: &mut Vec<TableFile>) -> Result<()> {
        let glob = GlobBuilder::new(pattern).literal_separator(true).build();
        let glob = glob.map_err(|e| Error::invalid(format!("`{pattern}` is no pattern: {e}")))?;
        let fits = glob.compile_matcher();
        // An absolute pattern is looked for from its first plain folders.
        let root = if pattern.starts_with('/') {
            let plain = pattern.split(['*', '?', '[', '{']).next().unwrap_or("/");
            PathBuf::from(plain.rsplit_once('/').map_or("/", |(root, _)| root))
        } else {
            self.folder.clone()
        };
        let absolute = pattern.starts_with('/');
        for name in files_below(&root, "")? {
            let path = root.join(&name);
            let shown = if absolute {
                path.to_string_lossy().into_owned()
            } else {
                name
            };
            if fits.is_match(&shown) {
                files.push(TableFile {
                    path,
                    name: shown,
                    columns: Vec::new(),
                    parts: None,
                });
            }
        }
        Ok(())
    }
}

/// What is wrong with the transformations of an `MLTable` file that is right as YAML, `fields`. One that
/// others can read and this cannot is noted.
pub fn issues(document: &Document, fields: &Map<String, Value>) -> Vec<Issue> {
    let read = transformations(document, fields);
    let wrong = read.filter_map(|(span, read)| Some((span, read.err()?)));
    let issue = |(span, error): (Span, Error)| {
        let issue = if error.code == Code::Unsupported {
            Issue::note(span, error.message)
        } else {
            Issue::error(span, error.message)
        };
        issue.maybe(error.hints.into_iter().next())
    };
    wrong.map(issue).collect()
}

/// The transformations of an `MLTable` file, each with its place.
fn transformations<'a>(
    document: &'a Document,
    fields: &'a Map<String, Value>,
) -> impl Iterator<Item = (Span, Result<Transformation>)> + 'a {
    let nodes = match document.root.get("transformations").map(|it| &it.data) {
        Some(Data::List(nodes)) => &nodes[..],
        _ => &[],
    };
    let written = fields.get("transformations").and_then(Value::as_array);
    let both = nodes.iter().zip(written.into_iter().flatten());
    both.map(|(node, written)| (node.span, transformation(written)))
}

impl Table {
    pub fn rows(&self) -> Rows<'_> {
        Rows::new(self)
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// Adds a file, or all files of a folder.
fn add(path: &Path, name: &str, files: &mut Vec<TableFile>) -> Result<()> {
    if path.is_dir() {
        let name = name.trim_end_matches('/');
        for below in files_below(path, "")? {
            if below == MLTABLE {
                continue;
            }
            let shown = match name {
                "" | "." => below.clone(),
                name => format!("{name}/{below}"),
            };
            files.push(TableFile {
                path: path.join(&below),
                name: shown,
                columns: Vec::new(),
                parts: None,
            });
        }
        return Ok(());
    }
    if !path.exists() {
        return Err(Error::not_found(format!("There is no file `{name}`")).at(MLTABLE));
    }
    files.push(TableFile {
        path: path.to_owned(),
        name: name.to_owned(),
        columns: Vec::new(),
        parts: None,
    });
    Ok(())
}

/// The paths of all files below a folder, in the order of their names; hidden ones are no data.
fn files_below(folder: &Path, below: &str) -> Result<Vec<String>> {
    let failed =
        |e: std::io::Error| Error::invalid(format!("Cannot read `{}`: {e}", folder.display()));
    let mut entries = std::fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(failed)?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(['.', '_']) {
            continue;
        }
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            found.extend(files_below(&entry.path(), &path)?);
        } else if entry.path().is_file() {
            found.push(path);
        }
    }
    Ok(found)
}
