//! What is to be scored: a table in one of the forms that MLflow and Azure take.

use serde_json::{Map, Value};

use api::{Error, Result};

/// Names of what holds the table.
const NAMES: [&str; 7] = [
    "input_data",
    "data",
    "dataframe_split",
    "dataframe_records",
    "instances",
    "inputs",
    "Inputs",
];

/// A table as it came.
#[derive(Debug)]
pub struct Rows {
    /// Names of the columns, when they were said.
    columns: Option<Vec<String>>,
    rows: Vec<Value>,
}

impl Rows {
    pub fn read(body: &[u8]) -> Result<Self> {
        let mut document: Value = serde_json::from_slice(body)
            .map_err(|e| Error::invalid(format!("The input is no JSON: {e}")))?;
        let usual = || {
            Error::invalid("The input is not a table")
                .hint("Send it as {\"input_data\": [[1, 2], [3, 4]]}")
        };
        if let Value::Object(members) = &mut document {
            let name = NAMES.into_iter().find(|name| members.contains_key(*name));
            let Some(found) = name.and_then(|name| members.shift_remove(name)) else {
                return Err(usual());
            };
            document = found;
        }
        match document {
            Value::Array(rows) => Self::of_rows(rows),
            Value::Object(mut members) => match members.shift_remove("data") {
                Some(Value::Array(rows)) => {
                    let columns = members.get("columns").and_then(Value::as_array);
                    let columns = columns.map(|names| names.iter().map(name).collect());
                    Ok(Self { columns, rows })
                }
                Some(_) => Err(usual()),
                None => Self::of_columns(&members).ok_or_else(usual),
            },
            _ => Err(usual()),
        }
    }

    /// Rows as lists, or as objects, each with the columns of the first.
    fn of_rows(rows: Vec<Value>) -> Result<Self> {
        let Some(Value::Object(first)) = rows.first() else {
            return Ok(Self {
                columns: None,
                rows,
            });
        };
        let columns: Vec<String> = first.keys().cloned().collect();
        let list = |row: &Value| {
            let row = row.as_object()?;
            let values = columns.iter().map(|name| row.get(name).cloned());
            Some(Value::Array(
                values.map(Option::unwrap_or_default).collect(),
            ))
        };
        let lists: Option<Vec<Value>> = rows.iter().map(list).collect();
        Ok(Self {
            rows: lists.ok_or_else(|| Error::invalid("Some rows are objects and some are not"))?,
            columns: Some(columns),
        })
    }

    /// A list of values for each column.
    fn of_columns(members: &Map<String, Value>) -> Option<Self> {
        let lists: Option<Vec<&Vec<Value>>> = members.values().map(Value::as_array).collect();
        let lists = lists?;
        let length = lists.first()?.len();
        if lists.iter().any(|list| list.len() != length) {
            return None;
        }
        let row = |at: usize| lists.iter().map(|list| list[at].clone()).collect();
        Some(Self {
            columns: Some(members.keys().cloned().collect()),
            rows: (0..length).map(|at| Value::Array(row(at))).collect(),
        })
    }

    pub fn values(&self) -> &[Value] {
        &self.rows
    }

    /// The values of a column, by its name, else by its place.
    pub fn column(&self, name: &str, place: usize) -> Result<Vec<&Value>> {
        let named = self.columns.as_ref();
        let named = named.and_then(|names| names.iter().position(|known| known == name));
        let place = match (named, &self.columns) {
            (Some(place), _) => place,
            (None, None) => place,
            (None, Some(_)) => {
                return Err(Error::invalid(format!("The input has no column `{name}`")));
            }
        };
        let values = self.rows.iter().map(|row| match row {
            Value::Array(row) => row.get(place),
            row => (place == 0).then_some(row),
        });
        values
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Error::invalid(format!("A row has no value for the column `{name}`")))
    }

    /// Where the columns are that the model names. None where it names none of them, or they have no
    /// names: then their places count.
    fn order(&self, names: &[String]) -> Result<Option<Vec<usize>>> {
        let Some(columns) = &self.columns else {
            return Ok(None);
        };
        // Some frameworks keep no blanks.
        let same = |a: &str, b: &str| a == b || a.replace(' ', "_") == b;
        let place = |name: &String| columns.iter().position(|known| same(known, name));
        let places: Vec<Option<usize>> = names.iter().map(place).collect();
        if places.iter().all(Option::is_none) {
            return Ok(None);
        }
        let missing = names.iter().zip(&places).find(|(_, place)| place.is_none());
        match missing {
            Some((name, _)) => Err(Error::invalid(format!("The input has no column `{name}`"))),
            None => Ok(Some(places.into_iter().flatten().collect())),
        }
    }

    /// The rows as numbers, `width` in each, in the order of `names` when the columns have
    /// all of these names. What is missing is NaN.
    pub fn table(&self, names: &[String], width: usize) -> Result<Vec<Vec<f64>>> {
        let order = self.order(names)?;
        let one = |(number, row): (usize, &Value)| {
            let values = row.as_array().ok_or_else(|| {
                Error::invalid(format!("Row {} is not a list of numbers", number + 1))
            })?;
            let read: Option<Vec<f64>> = match &order {
                Some(order) => order
                    .iter()
                    .map(|place| values.get(*place).and_then(real))
                    .collect(),
                None => values.iter().map(real).collect(),
            };
            let read = read.ok_or_else(|| {
                Error::invalid(format!("Row {} has values that are no numbers", number + 1))
            })?;
            if read.len() != width {
                return Err(Error::invalid(format!(
                    "Row {} has {} values; the model takes {width}",
                    number + 1,
                    read.len()
                )));
            }
            Ok(read)
        };
        self.rows.iter().enumerate().map(one).collect()
    }
}

fn name(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A number; null is one that is missing.
pub fn real(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(f64::from(u8::from(*truth))),
        Value::Null => Some(f64::NAN),
        Value::String(text) => match text.as_str() {
            "NaN" | "nan" => Some(f64::NAN),
            _ => text.parse().ok(),
        },
        Value::Array(_) | Value::Object(_) => None,
    }
}
