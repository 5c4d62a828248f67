//! What the columns of a table are like, found in one go through its rows.

use std::{collections::HashMap, sync::Arc};

use serde::Serialize;

use super::{
    cell::Cell,
    rows::{Columns, Row},
};
use api::Result;

/// Values that are told apart in one column, at most.
const TOLD_APART: usize = 100_000;
/// What all columns may take together, in bytes, to tell values apart.
const MEMORY: usize = 512 << 20;
/// What a value takes beside its text, about, which is kept twice.
const VALUE: usize = 128;

#[derive(Debug, Serialize)]
pub struct Profile {
    pub rows: u64,
    pub columns: Vec<ColumnProfile>,
}

#[derive(Debug, Serialize)]
pub struct ColumnProfile {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// Rows with a value.
    pub count: u64,
    pub missing: u64,
    /// Different values; absent when there are too many to count.
    pub unique: Option<u64>,
    pub min: Cell,
    pub max: Cell,
    pub mean: Option<f64>,
    /// Standard deviation of the values, as of a sample.
    pub std: Option<f64>,
    /// The value that is there most often, and how often.
    pub most: Cell,
    pub most_count: Option<u64>,
}

#[derive(Default)]
struct Column {
    kinds: Vec<&'static str>,
    count: u64,
    values: Option<HashMap<String, (Cell, u64)>>,
    /// What they take, about.
    memory: usize,
    too_many: bool,
    min: Option<Cell>,
    max: Option<Cell>,
    numbers: u64,
    mean: f64,
    squares: f64,
}

impl Profile {
    pub fn of(rows: impl Iterator<Item = Result<Row>>) -> Result<Self> {
        let mut order: Vec<String> = Vec::new();
        let mut columns: Vec<Column> = Vec::new();
        let mut last: Option<(Columns, Vec<usize>)> = None;
        let mut count = 0;
        for row in rows {
            let row = row?;
            count += 1;
            if !last
                .as_ref()
                .is_some_and(|(known, _)| Arc::ptr_eq(known, &row.columns))
            {
                let mut places = Vec::new();
                for name in row.columns.iter() {
                    let known = order.iter().position(|known| known == name);
                    places.push(known.unwrap_or_else(|| {
                        order.push(name.clone());
                        columns.push(Column::default());
                        order.len() - 1
                    }));
                }
                last = Some((row.columns.clone(), places));
            }
            let share = MEMORY / columns.len().max(1);
            let places = last.iter().flat_map(|(_, places)| places);
            for (at, cell) in places.zip(row.cells) {
                columns[*at].add(cell, share);
            }
        }
        let columns = order.into_iter().zip(columns);
        Ok(Self {
            rows: count,
            columns: columns
                .map(|(name, column)| column.end(name, count))
                .collect(),
        })
    }
}

impl Column {
    /// Takes a value into account; at most so many bytes are spent on telling it from others.
    fn add(&mut self, cell: Cell, memory: usize) {
        if cell.is_missing() {
            return;
        }
        self.count += 1;
        if !self.kinds.contains(&cell.kind()) {
            self.kinds.push(cell.kind());
        }
        if let Some(number) = cell.number().filter(|number| !number.is_nan()) {
            // Welford's way, which does not lose small differences of large numbers.
            self.numbers += 1;
            let apart = number - self.mean;
            #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
            let numbers = self.numbers as f64;
            self.mean += apart / numbers;
            self.squares += apart * (number - self.mean);
        }
        let less = |than: &Cell| cell.compare(than).is_some_and(std::cmp::Ordering::is_lt);
        let more = |than: &Cell| cell.compare(than).is_some_and(std::cmp::Ordering::is_gt);
        if self.min.as_ref().is_none_or(less) {
            self.min = Some(cell.clone());
        }
        if self.max.as_ref().is_none_or(more) {
            self.max = Some(cell.clone());
        }
        if self.too_many {
            return;
        }
        let values = self.values.get_or_insert_default();
        let text = cell.to_string();
        let takes = VALUE + 2 * text.len();
        let known = values.entry(text).or_insert((cell, 0));
        known.1 += 1;
        if known.1 == 1 {
            self.memory += takes;
        }
        if values.len() > TOLD_APART || self.memory > memory {
            self.too_many = true;
            self.values = None;
        }
    }

    fn end(self, name: String, rows: u64) -> ColumnProfile {
        let values = self.values.unwrap_or_default();
        let unique = (!self.too_many).then_some(values.len() as u64);
        let most = values.into_values().max_by(|a, b| {
            a.1.cmp(&b.1)
                .then_with(|| b.0.to_string().cmp(&a.0.to_string()))
        });
        let kind = match self.kinds.as_slice() {
            [] => "missing".to_owned(),
            kinds if kinds.iter().all(|kind| ["integer", "float"].contains(kind)) => {
                let float = kinds.contains(&"float");
                if float { "float" } else { "integer" }.to_owned()
            }
            [one] => (*one).to_owned(),
            _ => "mixed".to_owned(),
        };
        #[expect(clippy::cast_precision_loss, reason = "a count of rows")]
        let std = (self.numbers > 1).then(|| (self.squares / (self.numbers - 1) as f64).sqrt());
        ColumnProfile {
            name,
            kind,
            count: self.count,
            missing: rows - self.count,
            unique,
            min: self.min.unwrap_or(Cell::Missing),
            max: self.max.unwrap_or(Cell::Missing),
            mean: (self.numbers > 0).then_some(self.mean),
            std,
            most_count: most.as_ref().map(|most| most.1),
            most: most.map_or(Cell::Missing, |most| most.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_apart_as_long_as_they_take_little() {
        let mut column = Column::default();
        for number in 0..10 {
            column.add(Cell::Text(format!("{number:0>1000}")), 1 << 20);
        }
        column.add(Cell::Text("last".to_owned()), 1 << 20);
        column.add(Cell::Text("last".to_owned()), 1 << 20);
        let (told, taken) = (column.values.as_ref().map(HashMap::len), column.memory);
        assert_eq!((told, taken), (Some(11), 10 * (VALUE + 2000) + VALUE + 8));
        column.add(Cell::Text("more".to_owned()), taken);
        let column = column.end("c".to_owned(), 13);
        assert_eq!((column.count, column.unique), (13, None));
        assert!(column.most.is_missing(), "nobody knows");
    }
}
