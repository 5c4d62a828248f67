//! Transformations of rows, as they are written in an `MLTable` file.

use serde_json::Value;

use super::{
    cell::ColumnType,
    filter::Filter,
    partition::Partition,
    read::{Delimited, Header, Reader},
    settings::{Settings, columns},
};
use api::{Error, Result, names};

/// What is done to rows.
#[derive(Debug, Clone)]
pub enum Step {
    Keep(Vec<String>),
    Drop(Vec<String>),
    Take(u64),
    Skip(u64),
    Sample { probability: f64, seed: u64 },
    Filter(Filter),
    Convert(Vec<(Vec<String>, ColumnType)>),
}

/// What one transformation is.
pub enum Transformation {
    Read(Reader),
    Partition(Partition),
    Step(Step),
}

const NAMES: [&str; 13] = [
    "read_delimited",
    "read_json_lines",
    "read_parquet",
    "convert_column_types",
    "keep_columns",
    "drop_columns",
    "take",
    "skip",
    "take_random_sample",
    "filter",
    "extract_columns_from_partition_format",
    "extract_partition_format_into_columns",
    "read_text_lines",
];

/// Reads one: its name alone, or its name with settings.
pub fn transformation(written: &Value) -> Result<Transformation> {
    let null = Value::Null;
    let (name, value) = match written {
        Value::String(name) => (name.as_str(), &null),
        Value::Object(one) if one.len() == 1 => match one.iter().next() {
            Some((name, value)) => (name.as_str(), value),
            None => ("", &null),
        },
        _ => {
            return Err(Error::invalid(
                "A transformation is a name with its settings",
            ));
        }
    };
    Ok(match name {
        "read_delimited" => Transformation::Read(Reader::Delimited(delimited(value)?)),
        "read_json_lines" => {
            let mut settings = Settings::new(name, value)?;
            let drop = settings.word("invalid_lines", &["error", "drop"])? == "drop";
            let encoding = settings.text("encoding")?;
            let path = settings.truth("include_path_column")?.unwrap_or_default();
            settings.done()?;
            Transformation::Read(Reader::JsonLines {
                drop,
                encoding,
                path,
            })
        }
        "read_parquet" => {
            let mut settings = Settings::new(name, value)?;
            let path = settings.truth("include_path_column")?.unwrap_or_default();
            settings.done()?;
            Transformation::Read(Reader::Parquet { path })
        }
        "read_text_lines" => {
            let mut settings = Settings::new(name, value)?;
            let encoding = settings.text("encoding")?;
            let path = settings.truth("include_path_column")?.unwrap_or_default();
            settings.done()?;
            Transformation::Read(Reader::Lines { encoding, path })
        }
        "extract_columns_from_partition_format" | "extract_partition_format_into_columns" => {
            let mut settings = match value {
                Value::String(_) => {
                    Settings::new(name, &serde_json::json!({"partition_format": value}))?
                }
                _ => Settings::new(name, value)?,
            };
            let format = settings.text("partition_format")?.unwrap_or_default();
            settings.done()?;
            Transformation::Partition(Partition::parse(&format)?)
        }
        "keep_columns" => Transformation::Step(Step::Keep(columns(name, value)?)),
        "drop_columns" => Transformation::Step(Step::Drop(columns(name, value)?)),
        "take" => Transformation::Step(Step::Take(number(name, value)?)),
        "skip" => Transformation::Step(Step::Skip(number(name, value)?)),
        "take_random_sample" => Transformation::Step(sample(value)?),
        "filter" => {
            let text = value.as_str();
            let text = text.ok_or_else(|| Error::invalid("`filter` takes a condition"))?;
            Transformation::Step(Step::Filter(Filter::parse(text)?))
        }
        "convert_column_types" => Transformation::Step(Step::Convert(conversions(value)?)),
        "read_delta_lake" => {
            return Err(Error::unsupported("Delta tables are not read here")
                .hint("Write the table as Parquet"));
        }
        name => {
            let nearest = names::nearest(name, NAMES);
            let error = Error::unknown("transformation", name, "", nearest);
            return Err(match nearest {
                Some(_) => error,
                None => error.hint(format!("There are {}", NAMES.join(", "))),
            });
        }
    })
}

fn number(step: &str, value: &Value) -> Result<u64> {
    let count = match value {
        Value::Object(settings) => settings.get("count").and_then(Value::as_u64),
        value => value.as_u64(),
    };
    count.ok_or_else(|| Error::invalid(format!("`{step}` takes a number of rows, not `{value}`")))
}

fn sample(value: &Value) -> Result<Step> {
    let mut settings = Settings::new("take_random_sample", value)?;
    let probability = settings.take("probability");
    let probability = probability.as_ref().and_then(Value::as_f64);
    let Some(probability) = probability.filter(|p| (0.0..=1.0).contains(p)) else {
        return Err(Error::invalid(
            "`probability` of `take_random_sample` is a number from 0 to 1",
        ));
    };
    let seed = settings.take("seed").as_ref().and_then(Value::as_u64);
    settings.done()?;
    Ok(Step::Sample {
        probability,
        seed: seed.unwrap_or(0),
    })
}

fn delimited(value: &Value) -> Result<Delimited> {
    let step = "read_delimited";
    let mut settings = Settings::new(step, value)?;
    let delimiter = settings
        .text("delimiter")?
        .unwrap_or_else(|| ",".to_owned());
    let delimiter = match delimiter.as_str() {
        "\\t" => b'\t',
        text => match text.as_bytes() {
            [byte] => *byte,
            _ => {
                return Err(Error::invalid(format!(
                    "`delimiter` of `{step}` is one letter, not `{text}`"
                )));
            }
        },
    };
    let headers = [
        "all_files_same_headers",
        "from_first_file",
        "all_files_different_headers",
        "no_header",
    ];
    let header = match settings.word("header", &headers)? {
        "from_first_file" => Header::First,
        "all_files_different_headers" => Header::Each,
        "no_header" => Header::None,
        _ => Header::Same,
    };
    let made = Delimited {
        delimiter,
        header,
        encoding: settings.text("encoding")?,
        empty_as_string: settings.truth("empty_as_string")?.unwrap_or_default(),
        infer: settings.truth("infer_column_types")?.unwrap_or(true),
        path: settings.truth("include_path_column")?.unwrap_or_default(),
    };
    // Quoted line ends are always part of their field.
    settings.truth("support_multi_line")?;
    settings.done()?;
    Ok(made)
}

fn conversions(value: &Value) -> Result<Vec<(Vec<String>, ColumnType)>> {
    let step = "convert_column_types";
    let one = |value: &Value| {
        let mut settings = Settings::new(step, value)?;
        let names = columns(step, &settings.take("columns").unwrap_or_default())?;
        let kind = column_type(&settings.take("column_type").unwrap_or_default())?;
        settings.done()?;
        Ok((names, kind))
    };
    match value {
        Value::Array(all) => all.iter().map(one).collect(),
        value => Ok(vec![one(value)?]),
    }
}

fn column_type(value: &Value) -> Result<ColumnType> {
    let null = Value::Null;
    let (word, settings) = match value {
        Value::String(word) => (word.as_str(), &null),
        Value::Object(one) if one.len() == 1 => match one.iter().next() {
            Some((word, settings)) => (word.as_str(), settings),
            None => ("", &null),
        },
        _ => ("", &null),
    };
    let mut settings = Settings::new(word, settings)?;
    let texts = |value: Option<Value>| match value {
        Some(value) => columns(word, &value),
        None => Ok(Vec::new()),
    };
    let found = match word.to_ascii_lowercase().as_str() {
        "int" | "long" | "integer" => ColumnType::Int,
        "float" | "double" | "decimal" | "number" => ColumnType::Float,
        "string" | "str" => ColumnType::Text,
        "boolean" | "bool" => {
            let (yes, no) = (settings.take("true_values"), settings.take("false_values"));
            settings.take("mismatch_as");
            ColumnType::Bool {
                yes: texts(yes)?,
                no: texts(no)?,
            }
        }
        "datetime" | "date" => {
            let formats = settings.take("formats");
            settings.take("date_constant");
            ColumnType::Time {
                formats: texts(formats)?,
            }
        }
        _ => {
            return Err(Error::invalid(format!("`{value}` is no type of a column"))
                .hint("The types are int, float, string, boolean and datetime"));
        }
    };
    settings.done()?;
    Ok(found)
}
