//! Values in tables, and what texts become when a column has a type.

use std::{cmp::Ordering, fmt};

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
use serde::{Serialize, Serializer};

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Missing,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Time(DateTime<Utc>),
}

/// What the values of a column are to be.
#[derive(Debug, Clone, PartialEq)]
pub enum ColumnType {
    Int,
    Float,
    Text,
    Bool {
        /// Texts that are true, and false; the usual ones when empty.
        yes: Vec<String>,
        no: Vec<String>,
    },
    Time {
        /// As `strptime` takes them; the usual ones when empty.
        formats: Vec<String>,
    },
}

/// Ways in which times are written that are known without being told.
const TIMES: [&str; 5] = [
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
];
const DATES: [&str; 2] = ["%Y-%m-%d", "%Y/%m/%d"];

impl Cell {
    pub fn is_missing(&self) -> bool {
        *self == Cell::Missing
    }

    /// The word for its kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Cell::Missing => "missing",
            Cell::Bool(_) => "boolean",
            Cell::Int(_) => "integer",
            Cell::Float(_) => "float",
            Cell::Text(_) => "string",
            Cell::Time(_) => "datetime",
        }
    }

    pub fn number(&self) -> Option<f64> {
        match self {
            #[expect(clippy::cast_precision_loss, reason = "as good as a float can say it")]
            Cell::Int(number) => Some(*number as f64),
            Cell::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The value as one of this type; missing when it cannot be.
    pub fn to_type(self, wanted: &ColumnType) -> Cell {
        if self.is_missing() {
            return self;
        }
        let made = match wanted {
            ColumnType::Text => Some(Cell::Text(self.to_string())),
            ColumnType::Int => self.to_int().map(Cell::Int),
            ColumnType::Float => match &self {
                Cell::Text(text) => text.trim().parse().ok().map(Cell::Float),
                Cell::Bool(yes) => Some(Cell::Float(f64::from(u8::from(*yes)))),
                other => other.number().map(Cell::Float),
            },
            ColumnType::Bool { yes, no } => self.to_bool(yes, no).map(Cell::Bool),
            ColumnType::Time { formats } => match &self {
                Cell::Time(time) => Some(Cell::Time(*time)),
                Cell::Text(text) => time(text.trim(), formats).map(Cell::Time),
                _ => None,
            },
        };
        made.unwrap_or(Cell::Missing)
    }

    fn to_int(&self) -> Option<i64> {
        let whole = |number: f64| {
            let within = number.fract() == 0.0 && number.abs() < 9.0e18;
            #[expect(clippy::cast_possible_truncation, reason = "it is whole and within")]
            within.then_some(number as i64)
        };
        match self {
            Cell::Int(number) => Some(*number),
            Cell::Bool(yes) => Some(i64::from(*yes)),
            Cell::Float(number) => whole(*number),
            Cell::Text(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| whole(text.parse().ok()?))
            }
            Cell::Missing | Cell::Time(_) => None,
        }
    }

    fn to_bool(&self, yes: &[String], no: &[String]) -> Option<bool> {
        match self {
            Cell::Bool(truth) => Some(*truth),
            Cell::Int(number) => Some(*number != 0),
            Cell::Text(text) if yes.is_empty() && no.is_empty() => {
                match text.trim().to_ascii_lowercase().as_str() {
                    "true" | "yes" | "1" | "t" | "y" => Some(true),
                    "false" | "no" | "0" | "f" | "n" => Some(false),
                    _ => None,
                }
            }
            Cell::Text(text) if yes.contains(text) => Some(true),
            Cell::Text(text) if no.contains(text) => Some(false),
            _ => None,
        }
    }

    /// The order of two values, where they have one.
    pub fn compare(&self, other: &Cell) -> Option<Ordering> {
        match (self, other) {
            (Cell::Text(a), Cell::Text(b)) => Some(a.cmp(b)),
            (Cell::Bool(a), Cell::Bool(b)) => Some(a.cmp(b)),
            (Cell::Time(a), Cell::Time(b)) => Some(a.cmp(b)),
            (Cell::Int(a), Cell::Int(b)) => Some(a.cmp(b)),
            (Cell::Time(a), Cell::Text(b)) => time(b, &[]).map(|b| a.cmp(&b)),
            (a, b) => a.number()?.partial_cmp(&b.number()?),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Missing => Ok(()),
            Cell::Bool(truth) => truth.fmt(f),
            Cell::Int(number) => number.fmt(f),
            Cell::Float(number) => write!(f, "{number:?}"),
            Cell::Text(text) => f.write_str(text),
            Cell::Time(time) => time.format("%Y-%m-%dT%H:%M:%S%.fZ").fmt(f),
        }
    }
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Cell::Missing => serializer.serialize_none(),
            Cell::Bool(truth) => serializer.serialize_bool(*truth),
            Cell::Int(number) => serializer.serialize_i64(*number),
            Cell::Float(number) if number.is_finite() => serializer.serialize_f64(*number),
            Cell::Float(_) | Cell::Text(_) | Cell::Time(_) => serializer.collect_str(self),
        }
    }
}

/// A time as it is usually written, or as one of the formats says.
pub fn time(text: &str, formats: &[String]) -> Option<DateTime<Utc>> {
    let midnight = |date: NaiveDate| date.and_hms_opt(0, 0, 0).map(|time| time.and_utc());
    if !formats.is_empty() {
        return formats.iter().find_map(|format| {
            let at = DateTime::parse_from_str(text, format).map(|time| time.to_utc());
            let at = at.ok();
            let at = at.or_else(|| {
                let naive = NaiveDateTime::parse_from_str(text, format).ok()?;
                Some(naive.and_utc())
            });
            at.or_else(|| midnight(NaiveDate::parse_from_str(text, format).ok()?))
        });
    }
    // Numbers are no times.
    if text.len() < 8 || !text.contains(['-', '/']) {
        return None;
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let naive = TIMES
        .iter()
        .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    naive.map(|time| time.and_utc()).or_else(|| {
        DATES
            .iter()
            .find_map(|format| midnight(NaiveDate::parse_from_str(text, format).ok()?))
    })
}

/// The type that all these texts have.
pub fn inferred<'a>(texts: impl Iterator<Item = &'a str>) -> ColumnType {
    let (mut int, mut float, mut truth, mut times) = (true, true, true, true);
    let mut any = false;
    for text in texts {
        any = true;
        let text = text.trim();
        int = int && text.parse::<i64>().is_ok();
        float = float && text.parse::<f64>().is_ok();
        truth = truth && (text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"));
        times = times && time(text, &[]).is_some();
        if !(int || float || truth || times) {
            break;
        }
    }
    match (any, int, float, truth, times) {
        (true, true, ..) => ColumnType::Int,
        (true, _, true, ..) => ColumnType::Float,
        (true, _, _, true, _) => ColumnType::Bool {
            yes: Vec::new(),
            no: Vec::new(),
        },
        (true, _, _, _, true) => ColumnType::Time {
            formats: Vec::new(),
        },
        _ => ColumnType::Text,
    }
}
