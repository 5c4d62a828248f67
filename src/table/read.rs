//! Reading the rows of one file.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
    ops::Range,
    path::Path,
    sync::Arc,
};

use encoding_rs::Encoding;
use encoding_rs_io::DecodeReaderBytesBuilder;

use super::{
    cell::Cell,
    definition::TableFile,
    rows::{Columns, Row},
};
use api::{Error, Result, names};

#[cfg(feature = "parquet")]
mod parquet;
#[cfg(not(feature = "parquet"))]
mod parquet {
    use super::{Chunk, Error, Parts, Path, RawRows, Result};

    pub fn rows(path: &Path, _parts: Option<&Parts>) -> Result<RawRows> {
        Err(unread(path))
    }

    pub fn first_chunks(path: &Path, _parts: &Parts, _rows: usize) -> Result<Vec<Chunk>> {
        Err(unread(path))
    }

    fn unread(path: &Path) -> Error {
        Error::unsupported(format!(
            "`{}` is Parquet, which this build does not read",
            path.display()
        ))
        .hint("Build it with the feature parquet, or write the table as CSV")
    }
}

pub use parquet::first_chunks;

/// How files become rows.
#[derive(Debug, Clone, PartialEq)]
pub enum Reader {
    Delimited(Delimited),
    JsonLines {
        /// Leave out lines that are no objects, instead of an error.
        drop: bool,
        encoding: Option<String>,
        path: bool,
    },
    Parquet {
        path: bool,
    },
    Lines {
        encoding: Option<String>,
        path: bool,
    },
    /// A row for each file: its path.
    Paths,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Delimited {
    pub delimiter: u8,
    pub header: Header,
    pub encoding: Option<String>,
    /// An empty field is an empty text, not a missing value.
    pub empty_as_string: bool,
    pub infer: bool,
    /// The first column is the path of the file.
    pub path: bool,
}

impl Delimited {
    pub fn by(delimiter: u8) -> Self {
        Self {
            delimiter,
            header: Header::Same,
            encoding: None,
            empty_as_string: false,
            infer: true,
            path: false,
        }
    }
}

/// Which lines are the names of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The first of each file; they are the same.
    Same,
    /// The first of the first file.
    First,
    /// The first of each file.
    Each,
    None,
}

/// Where a column of some rows is in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    pub range: Range<u64>,
    /// How much of it comes before the values: a dictionary.
    pub head: u64,
}

/// Ranges of bytes of a file.
pub type Parts = Arc<Vec<Range<u64>>>;

pub type RawRows = Box<dyn Iterator<Item = Result<Row>> + Send>;

impl Reader {
    /// The reader for a file of this name.
    pub fn of_file(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "csv" => Reader::Delimited(Delimited::by(b',')),
            "tsv" | "tab" => Reader::Delimited(Delimited::by(b'\t')),
            "jsonl" | "ndjson" | "json" => Reader::JsonLines {
                drop: false,
                encoding: None,
                path: false,
            },
            "parquet" | "pq" => Reader::Parquet { path: false },
            _ => return None,
        })
    }

    /// Whether each row begins with the path of its file.
    pub fn with_path(&self) -> bool {
        match self {
            Reader::Delimited(delimited) => delimited.path,
            Reader::JsonLines { path, .. }
            | Reader::Parquet { path }
            | Reader::Lines { path, .. } => *path,
            Reader::Paths => true,
        }
    }

    /// Whether the texts of columns are to become what they look like.
    pub fn infers(&self) -> bool {
        matches!(self, Reader::Delimited(delimited) if delimited.infer)
    }

    /// The rows of a file. `columns` are those of the first file, once they are known.
    pub fn rows(&self, file: &TableFile, columns: Option<&Columns>) -> Result<RawRows> {
        let path = &file.path;
        match self {
            Reader::Delimited(delimited) => delimited.rows(path, columns),
            Reader::JsonLines { drop, encoding, .. } => {
                json_lines(path, encoding.as_deref(), *drop)
            }
            Reader::Parquet { .. } => parquet::rows(path, file.parts.as_ref()),
            Reader::Lines { encoding, .. } => {
                let names: Columns = Arc::new(vec!["Line".to_owned()]);
                let shown = path.clone();
                let lines = BufReader::new(open(path, encoding.as_deref())?).lines();
                Ok(Box::new(lines.map(move |line| {
                    let line = line.map_err(|e| unreadable(&shown, &e))?;
                    Ok(Row::new(names.clone(), vec![Cell::Text(line)]))
                })))
            }
            Reader::Paths => Ok(Box::new(std::iter::once(Ok(Row::new(
                Columns::default(),
                Vec::new(),
            ))))),
        }
    }
}

fn unreadable(path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::invalid(format!("Cannot read `{}`: {why}", path.display()))
}

/// A file as UTF-8.
fn open(path: &Path, encoding: Option<&str>) -> Result<Box<dyn Read + Send>> {
    let file = File::open(path).map_err(|e| unreadable(path, &e))?;
    let known = match encoding.map(|name| name.to_ascii_lowercase().replace(['-', '_'], "")) {
        None => None,
        Some(name) => match name.as_str() {
            "utf8" | "utf8sig" | "ascii" => None,
            "latin1" | "iso88591" | "windows1252" | "cp1252" => Some(encoding_rs::WINDOWS_1252),
            "utf16" | "utf16le" => Some(encoding_rs::UTF_16LE),
            "utf16be" => Some(encoding_rs::UTF_16BE),
            other => Some(Encoding::for_label(other.as_bytes()).ok_or_else(|| {
                let all = [
                    "utf8",
                    "ascii",
                    "latin1",
                    "utf16",
                    "windows1252",
                    "iso88591",
                    "utf8sig",
                ];
                let nearest = names::nearest(other, all);
                Error::unknown("encoding", other, "", nearest)
            })?),
        },
    };
    // A mark at the beginning of the file says more than a setting.
    Ok(Box::new(
        DecodeReaderBytesBuilder::new()
            .encoding(known.or(Some(encoding_rs::UTF_8)))
            .bom_override(true)
            .build(file),
    ))
}

impl Delimited {
    fn rows(&self, path: &Path, columns: Option<&Columns>) -> Result<RawRows> {
        let input = open(path, self.encoding.as_deref())?;
        let mut lines = csv::ReaderBuilder::new()
            .delimiter(self.delimiter)
            .has_headers(false)
            .flexible(true)
            .from_reader(BufReader::with_capacity(1 << 16, input))
            .into_records();
        let shown = path.to_owned();
        let has_header = match self.header {
            Header::Same | Header::Each => true,
            Header::First => columns.is_none(),
            Header::None => false,
        };
        let mut names = columns.filter(|_| !has_header).cloned();
        if has_header && let Some(first) = lines.next() {
            let first = first.map_err(|e| unreadable(&shown, &e))?;
            names = Some(Arc::new(first.iter().map(str::to_owned).collect()));
        }
        let empty = if self.empty_as_string {
            Cell::Text(String::new())
        } else {
            Cell::Missing
        };
        Ok(Box::new(lines.map(move |line| {
            let line = line.map_err(|e| unreadable(&shown, &e))?;
            let names = names
                .get_or_insert_with(|| Arc::new(numbered(line.len())))
                .clone();
            let mut cells: Vec<Cell> = line
                .iter()
                .take(names.len())
                .map(|field| match field {
                    "" => empty.clone(),
                    field => Cell::Text(field.to_owned()),
                })
                .collect();
            cells.resize(names.len(), Cell::Missing);
            Ok(Row::new(names, cells))
        })))
    }
}

fn numbered(count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("Column{number}"))
        .collect()
}

fn json_lines(path: &Path, encoding: Option<&str>, drop: bool) -> Result<RawRows> {
    let shown = path.to_owned();
    let lines = BufReader::new(open(path, encoding)?).lines();
    let mut last = Columns::default();
    let row = move |(number, line): (usize, std::io::Result<String>)| {
        let line = line.map_err(|e| unreadable(&shown, &e));
        let line = match line {
            Ok(line) if line.trim().is_empty() => return None,
            Ok(line) => line,
            Err(error) => return Some(Err(error)),
        };
        let read: serde_json::Result<serde_json::Map<_, _>> = serde_json::from_str(&line);
        let fields = match read {
            Ok(fields) => fields,
            Err(_) if drop => return None,
            Err(e) => {
                let place = format!("{}:{}", shown.display(), number + 1);
                return Some(Err(Error::invalid(format!(
                    "The line is no JSON object: {e}"
                ))
                .at(place)
                .hint("To leave such lines out: invalid_lines: drop")));
            }
        };
        if !fields.keys().eq(last.iter()) {
            last = Arc::new(fields.keys().cloned().collect());
        }
        let cells = fields
            .into_iter()
            .map(|(_, value)| of_json(value))
            .collect();
        Some(Ok(Row::new(last.clone(), cells)))
    };
    Ok(Box::new(lines.enumerate().filter_map(row)))
}

pub fn of_json(value: serde_json::Value) -> Cell {
    use serde_json::Value;
    match value {
        Value::Null => Cell::Missing,
        Value::Bool(truth) => Cell::Bool(truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Cell::Int(whole),
            None => Cell::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cell::Text(text),
        other => Cell::Text(other.to_string()),
    }
}
