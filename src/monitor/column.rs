//! The values of columns, as far as they are needed to compare them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;

use api::{Error, Result};
use table::{Cell, Row, Table, of_json, time};

/// The values of a column.
#[derive(Debug, Clone, Default)]
pub struct Column {
    pub numbers: Vec<f64>,
    texts: BTreeMap<String, u64>,
    rows: u64,
}

impl Column {
    fn add(&mut self, cell: &Cell) {
        self.rows += 1;
        match cell.number() {
            Some(number) if number.is_finite() => self.numbers.push(number),
            // Not a number is no value, as in pandas.
            Some(number) if number.is_nan() => {}
            _ if cell.is_missing() => {}
            _ => *self.texts.entry(cell.to_string()).or_default() += 1,
        }
    }

    /// Values that are no numbers.
    pub fn texts(&self) -> u64 {
        self.texts.values().sum()
    }

    pub fn present(&self) -> u64 {
        self.texts() + self.numbers.len() as u64
    }

    #[expect(clippy::cast_precision_loss, reason = "a share of a count")]
    pub fn missing_rate(&self) -> f64 {
        match self.rows {
            0 => 0.0,
            rows => (rows - self.present()) as f64 / rows as f64,
        }
    }

    pub fn is_numerical(&self) -> bool {
        self.texts.is_empty() && !self.numbers.is_empty()
    }

    /// How often each value is there, by its text.
    pub fn categories(&self) -> BTreeMap<String, u64> {
        let mut categories = self.texts.clone();
        for number in &self.numbers {
            *categories.entry(number.to_string()).or_default() += 1;
        }
        categories
    }
}

/// Times of collected data: from, until before.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub from: DateTime<Utc>,
    pub until: DateTime<Utc>,
}

impl Window {
    /// The folders in which a deployment keeps what it collects in this time: of days, or of months where
    /// there are many.
    pub fn folders(&self) -> Vec<String> {
        let format = match (self.until - self.from).num_days() {
            0..=62 => "%Y/%m/%d",
            _ => "%Y/%m",
        };
        let last = self.until.date_naive();
        let days = self.from.date_naive().iter_days();
        let mut folders: Vec<String> = days
            .take_while(|day| *day <= last)
            .map(|day| day.format(format).to_string())
            .collect();
        folders.dedup();
        folders
    }
}

/// Columns by name, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Columns {
    names: Vec<String>,
    all: Vec<Column>,
    rows: u64,
}

impl Columns {
    /// Reads a table. What a deployment has collected is lines of events, each with rows of its own; of
    /// them those of a window, if one is given.
    pub fn read(table: &Table, window: Option<Window>) -> Result<Self> {
        let mut columns = Self::default();
        for row in table.rows() {
            let row = row?;
            if row.get("specversion").is_some() && row.get("data").is_some() {
                columns.add_event(&row, window)?;
            } else if window.is_some() {
                return Err(Error::invalid(
                    "Only what a deployment has collected has times to look back at",
                )
                .hint("Leave the time out and name a reference"));
            } else {
                let names = row.columns.iter().map(String::as_str);
                columns.add(names.zip(row.cells));
            }
        }
        Ok(columns)
    }

    fn add_event(&mut self, event: &Row, window: Option<Window>) -> Result<()> {
        let at = event.get("time").and_then(|cell| match cell {
            Cell::Time(at) => Some(*at),
            other => time(&other.to_string(), &[]),
        });
        let outside = |window: Window| at.is_none_or(|at| at < window.from || at >= window.until);
        if window.is_some_and(outside) {
            return Ok(());
        }
        let text = event
            .get("data")
            .map(ToString::to_string)
            .unwrap_or_default();
        let document: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        let rows = match document {
            Value::Array(rows) => rows,
            Value::Object(_) => vec![document],
            _ => Vec::new(),
        };
        for row in rows {
            let Value::Object(fields) = row else {
                return Err(Error::invalid(
                    "What was collected is no table: its rows are no objects",
                )
                .hint(
                    "Collect a DataFrame by azureml-ai-monitoring, or compare another collection",
                ));
            };
            self.add(
                fields
                    .iter()
                    .map(|(name, value)| (name.as_str(), of_json(value.clone()))),
            );
        }
        Ok(())
    }

    /// Adds a row.
    pub fn add<'a>(&mut self, row: impl Iterator<Item = (&'a str, Cell)>) {
        self.rows += 1;
        for (nth, (name, cell)) in row.enumerate() {
            // Rows mostly have the same columns.
            let at = match self.names.get(nth) {
                Some(known) if known == name => nth,
                _ => self.place(name),
            };
            self.all[at].add(&cell);
        }
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(at) = self.names.iter().position(|known| known == name) {
            return at;
        }
        self.names.push(name.to_owned());
        self.all.push(Column {
            // Rows before had none of it.
            rows: self.rows - 1,
            ..Column::default()
        });
        self.names.len() - 1
    }

    pub fn rows(&self) -> u64 {
        self.rows
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub fn get(&self, name: &str) -> Option<&Column> {
        let at = self.names.iter().position(|known| known == name)?;
        self.all.get(at)
    }
}
