//! Answers as `az` prints them: JSON unless another format is asked for.

use serde_json::{Map, Value};

use crate::{query as jmespath, ui::Ui};
use api::{Error, Result};

/// Keys that a table leaves out, also where a query asks for them.
const NOT_IN_TABLES: [&str; 3] = ["id", "type", "etag"];

/// Prints an answer; nothing when it is, or the query makes it, null.
pub fn print(ui: &Ui, format: &str, query: Option<&str>, answer: Value) -> anyhow::Result<()> {
    if answer.is_null() {
        // The command has shown what it had to, with what was asked of it, or has nothing to show.
        return Ok(());
    }
    // Before the query, as keys that it names itself stay where it puts them.
    let answer = sorted(answer);
    let answer = match query {
        Some(query) => search(query, &answer)?,
        None => answer,
    };
    if answer.is_null() || format == "none" {
        return Ok(());
    }
    match format {
        "tsv" => ui.print(&tsv(&answer)),
        "table" => ui.print(&table(&answer)),
        "yaml" | "yamlc" => ui.print(&serde_saphyr::to_string(&sorted(answer))?),
        "jsonc" => ui.print_json(&sorted(answer), true),
        _ => ui.print_json(&sorted(answer), false),
    }
}

/// Checks the query of a flag before anything is done.
pub fn check_query(flag: &str, query: &str) -> Result<()> {
    match jmespath::compile(query) {
        Ok(_) => Ok(()),
        Err(e) => Err(Error::invalid(format!(
            "argument --{flag}: invalid jmespath_type value: '{query}' ({e})"
        ))),
    }
}

/// What a query makes of an answer.
pub fn search(query: &str, answer: &Value) -> Result<Value> {
    jmespath::search(query, answer).map_err(|e| Error::invalid(format!("The query failed: {e}")))
}

/// Keys in the order of the alphabet, at every depth.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            let fields = fields.into_iter().map(|(key, value)| (key, sorted(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => items.into_iter().map(sorted).collect(),
        other => other,
    }
}

/// A line for each value of a list, tabs between what is in one. A mapping or list inside is no
/// text: an empty field, and its length.
fn tsv(value: &Value) -> String {
    let rows = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let inside = |value: &Value| match value {
        Value::Array(items) => items.len().to_string(),
        Value::Object(_) => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => scalar(other),
    };
    let row = |row: &Value| match row {
        Value::Array(items) => items.iter().map(inside).collect::<Vec<_>>().join("\t"),
        Value::Object(fields) => fields.values().map(inside).collect::<Vec<_>>().join("\t"),
        other => scalar(other),
    };
    rows.iter().map(|value| row(value) + "\n").collect()
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "None".to_owned(),
        other => other.to_string(),
    }
}

/// Columns under their names, of what is no mapping or list.
fn table(value: &Value) -> String {
    let rows = match value {
        Value::Array(items) => items.as_slice(),
        other => std::slice::from_ref(other),
    };
    let rows: Vec<Vec<(String, String)>> = rows.iter().map(cells).collect();
    let mut columns: Vec<(&str, usize)> = Vec::new();
    for (name, cell) in rows.iter().flatten() {
        let lines = cell.lines().map(|line| line.chars().count());
        let width = lines.fold(name.chars().count(), usize::max);
        match columns.iter_mut().find(|(known, _)| known == name) {
            Some((_, widest)) => *widest = width.max(*widest),
            None => columns.push((name, width)),
        }
    }
    if columns.is_empty() {
        return String::new();
    }
    let line = |cell: &dyn Fn(&str, usize) -> String| {
        let cells: Vec<String> = columns
            .iter()
            .map(|(name, width)| format!("{:width$}", cell(name, *width)))
            .collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let mut text = line(&|name, _| name.to_owned()) + &line(&|_, width| "-".repeat(width));
    for row in &rows {
        // A cell of several lines makes its row as high.
        let height = row.iter().map(|(_, cell)| cell.lines().count());
        for at in 0..height.fold(1, usize::max) {
            text += &line(&|name, _| {
                let found = row.iter().find(|(column, _)| column == name);
                let cell = found.and_then(|(_, cell)| cell.lines().nth(at));
                cell.unwrap_or_default().to_owned()
            });
        }
    }
    text
}

fn cells(row: &Value) -> Vec<(String, String)> {
    let plain = |value: &Value| !value.is_object() && !value.is_array() && !value.is_null();
    match row {
        Value::Object(fields) => fields
            .iter()
            .filter(|(key, value)| plain(value) && !NOT_IN_TABLES.contains(&key.as_str()))
            .map(|(key, value)| (title(key), truth(value)))
            .collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .filter(|(_, value)| plain(value) || value.is_null())
            .map(|(at, value)| {
                let cell = if value.is_null() {
                    String::new()
                } else {
                    truth(value)
                };
                (format!("Column{}", at + 1), cell)
            })
            .collect(),
        other => vec![("Result".to_owned(), truth(other))],
    }
}

fn truth(value: &Value) -> String {
    match value {
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => scalar(other),
    }
}

pub fn title(key: &str) -> String {
    let mut letters = key.chars();
    match letters.next() {
        Some(first) => first.to_uppercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{sorted, table, tsv};

    #[test]
    fn tsv_is_a_line_for_each_value() {
        assert_eq!(tsv(&json!("a b")), "a b\n");
        assert_eq!(tsv(&json!([])), "");
        assert_eq!(tsv(&json!(["a", true, null])), "a\ntrue\nNone\n");
        assert_eq!(
            tsv(&json!({"z": "x", "a": true, "m": {"k": 1}, "l": [1, 2]})),
            "x\tTrue\t\t2\n"
        );
        assert_eq!(tsv(&json!([["a"], ["b"]])), "a\nb\n");
    }

    #[test]
    fn a_table_has_columns_of_what_is_plain() {
        let rows = json!([{"name": "group", "id": "x", "deep": {}}, {"name": "w", "n": 1}]);
        assert_eq!(table(&rows), "Name   N\n-----  -\ngroup\nw      1\n");
        assert_eq!(table(&json!(["a"])), "Result\n------\na\n");
        assert_eq!(table(&json!([])), "");
        let rows = json!([{"note": "one\ntwo\n", "of": "a"}, {"note": "b", "of": "long"}]);
        assert_eq!(
            table(&rows),
            "Note  Of\n----  ----\none   a\ntwo\nb     long\n"
        );
    }

    #[test]
    fn keys_are_in_the_order_of_the_alphabet() {
        let value = sorted(json!({"b": [{"d": 1, "c": 2}], "a": 1}));
        assert_eq!(value.to_string(), r#"{"a":1,"b":[{"c":2,"d":1}]}"#);
    }
}
