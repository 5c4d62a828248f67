//! What a command is told of a thing: a YAML file, flags before it, `--set` before both.

use std::path::Path;

use serde_json::{Map, Value};

use api::{Error, Result};
use spec::{
    issue::Report,
    list,
    load::{self, Document},
    overrides::{Edit, Values},
    yaml::FLAGS,
};

/// The changes that `--set` asks for.
pub fn edits(set: &[String]) -> Result<Vec<Edit>> {
    set.iter().map(|set| Edit::set(set)).collect()
}

/// An error, and all that come with it, about keys of a file with their lines.
pub fn located(document: &Document, error: Error) -> Error {
    let locate = |mut error: Error| {
        let place = error.target.as_deref().and_then(|at| document.place(at));
        error.target = place.or(error.target);
        error
    };
    let mut error = locate(error);
    error.others = error.others.into_iter().map(locate).collect();
    error
}

/// A file, if there is one, to which flags are added.
pub struct Draft {
    document: Document,
    folder: std::path::PathBuf,
}

impl Draft {
    /// Reads the file; without one the flags say everything. `folder` is where the command was called.
    pub fn open(file: Option<&str>, folder: &Path) -> Result<Self> {
        let document = match file {
            Some(file) => load::open(&folder.join(file), file)?,
            None => load::parse(String::new(), &folder.join("flags"), FLAGS),
        };
        Ok(Self {
            document,
            folder: folder.to_owned(),
        })
    }

    /// What is there already, to be changed.
    pub fn of(value: &Map<String, Value>, folder: &Path) -> Self {
        let text = Value::Object(value.clone()).to_string();
        Self {
            document: load::parse(text, &folder.join("flags"), "what is there"),
            folder: folder.to_owned(),
        }
    }

    /// Says a key by a flag, in place of what the file says.
    pub fn put(&mut self, key: &str, value: impl Into<Value>, flag: &str) {
        let value = value.into();
        let shown = match &value {
            Value::String(text) => format!("{flag} {text}"),
            _ => flag.to_owned(),
        };
        self.document.put(key, &value, shown, &self.folder);
    }

    pub fn has(&self, key: &str) -> bool {
        self.document.root.get(key).is_some()
    }

    /// What a key says now, if it is a string.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.document.root.get(key)?.as_str()
    }

    /// Applies `--set` and the like.
    pub fn edit(&mut self, edits: &[Edit], values: Values) -> Result<()> {
        self.document.edit(edits, values)
    }

    /// What it says without being checked, such as a part of a thing that is changed by it.
    pub fn unchecked(&self) -> Result<Map<String, Value>> {
        match self.document.root.to_value() {
            Value::Object(fields) => Ok(fields),
            Value::Null => Ok(Map::new()),
            _ => Err(Error::invalid("The file is no mapping")),
        }
    }

    /// An error of the workspace with the line it is about: of the key that it names, else of the one that
    /// names what is not there.
    pub fn located(&self, mut error: Error) -> Error {
        let is_there = |key: &String| self.document.place(key).is_some();
        if !error.target.as_ref().is_some_and(is_there)
            && let Some(unknown) = &error.unknown
        {
            // A `batch endpoint` is an endpoint there.
            let kind = unknown.kind.rsplit(' ').next().unwrap_or_default();
            let keys = [kind.to_owned(), format!("{kind}_name")];
            error.target = keys.into_iter().find(is_there).or(error.target);
        }
        located(&self.document, error)
    }

    /// Checks it as a kind by name; the canonical form. All that is wrong is in the error.
    pub fn check(&self, kind: &str) -> Result<Map<String, Value>> {
        let kind = list::named(kind)
            .ok_or_else(|| Error::internal(format!("There is no kind `{kind}`")))?;
        let (value, report) = self.document.check_shape(&kind.shape, &[]);
        match value {
            Some(Value::Object(fields)) => Ok(fields),
            _ => Err(Report::into_error(report)),
        }
    }
}
