//! The order of a search: its keys as SQL, and marks, by which a listing goes on behind the last run
//! that was seen, whatever is written meanwhile.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value as Json;

use super::{
    condition::Order,
    db::Value,
    metrics::{order_bits, value_of},
    run_sql::{RunField, Sql, column},
};

/// One expression of an ORDER BY.
#[derive(Debug)]
pub struct Key {
    pub expression: String,
    pub descending: bool,
    /// Where it can be NULL, that comes last.
    pub nullable: bool,
    /// Known beforehand: the same for all runs that are looked for.
    pub fixed: bool,
}

impl Key {
    fn new(expression: impl Into<String>, descending: bool) -> Self {
        Self {
            expression: expression.into(),
            descending,
            nullable: false,
            fixed: false,
        }
    }

    fn or_null(self) -> Self {
        Self {
            nullable: true,
            ..self
        }
    }

    fn fix(&mut self, value: &str) {
        value.clone_into(&mut self.expression);
        self.fixed = true;
    }
}

/// What sorts before what, of the runs `r`. The n-th order reads the row `o<n>`, see [`join`].
pub fn keys(orders: &[Order<RunField>]) -> Vec<Key> {
    let mut keys = Vec::new();
    for (index, Order { field, descending }) in orders.iter().enumerate() {
        match (field, column(field)) {
            // Names are unique; one collation of an index goes with one order.
            (RunField::Name, _) => keys.push(Key::new("r.name COLLATE BINARY", *descending)),
            (RunField::EndedAt | RunField::ExitCode, Some(column)) => {
                keys.push(Key::new(column, *descending).or_null());
            }
            (_, Some(column)) => keys.push(Key::new(column, *descending)),
            (_, None) => {
                if part(field).0 == "metric_latest" {
                    let rank = format!(
                        "CASE WHEN o{index}.run_id IS NULL THEN 2 ELSE {} IS NULL END",
                        value(index, field)
                    );
                    keys.push(Key::new(rank, false));
                }
                keys.push(Key::new(value(index, field), *descending).or_null());
            }
        }
    }
    if !orders.iter().any(|order| order.field == RunField::Name) {
        keys.push(Key::new("r.created_at", true));
        keys.push(Key::new("r.id", true));
    }
    keys
}

/// Numbers come first, then NaN, then runs without the metric: fixes the keys of the first order,
/// which is by a metric, for one of these kinds.
pub fn fix_rank(keys: &mut [Key], rank: usize) {
    if let [first, second, ..] = keys {
        first.fix(&rank.to_string());
        if rank == 0 {
            second.nullable = false;
        } else {
            second.fix("NULL");
        }
    }
}

fn value(index: usize, field: &RunField) -> String {
    format!("o{index}.{}", part(field).1)
}

/// Table and column of what is logged to runs.
fn part(field: &RunField) -> (&'static str, &'static str) {
    match field {
        RunField::Lowest(_) => ("metric_latest", "min"),
        RunField::Highest(_) => ("metric_latest", "max"),
        RunField::Param(_) => ("params", "value"),
        RunField::Tag(_) => ("tags", "value"),
        _ => ("metric_latest", "value"),
    }
}

/// Appends the joins that the keys of the orders from `from` on need.
pub fn join(sql: &mut Sql, orders: &[Order<RunField>], from: usize) {
    for (index, Order { field, .. }) in orders.iter().enumerate().skip(from) {
        let (table, _) = part(field);
        match field {
            RunField::Metric(key) | RunField::Lowest(key) | RunField::Highest(key) => {
                sql.push(&format!(
                    " LEFT JOIN {table} o{index} ON o{index}.run_id = r.id AND o{index}.key_id = \
                     (SELECT id FROM metric_keys WHERE key = "
                ))
                .bind(key.clone())
                .push(")");
            }
            RunField::Param(key) | RunField::Tag(key) => {
                sql.push(&format!(
                    " LEFT JOIN {table} o{index} ON o{index}.run_id = r.id AND o{index}.key = "
                ))
                .bind(key.clone());
            }
            _ => {}
        }
    }
}

/// Appends the keys as an ORDER BY has them.
pub fn order(sql: &mut Sql, keys: &[Key]) {
    let mut word = " ORDER BY ";
    for key in keys.iter().filter(|key| !key.fixed) {
        sql.push(word).push(&key.expression);
        sql.push(match (key.descending, key.nullable) {
            (true, _) => " DESC",
            (false, true) => " NULLS LAST",
            (false, false) => "",
        });
        word = ", ";
    }
}

/// The place of a run in an order: the values of its keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark(pub Vec<Value>);

impl Mark {
    /// As clients get it and send it back.
    pub fn to_text(&self) -> String {
        let json = |value: &Value| match value {
            Value::Integer(number) => Json::from(*number),
            // In brackets, so that every number comes back as it was.
            Value::Real(number) => Json::from(vec![order_bits(*number)]),
            Value::Text(text) => Json::from(text.as_str()),
            Value::Null | Value::Blob(_) => Json::Null,
        };
        let all: Vec<Json> = self.0.iter().map(json).collect();
        BASE64_URL_SAFE_NO_PAD.encode(Json::from(all).to_string())
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let all: Vec<Json> = serde_json::from_slice(&bytes).ok()?;
        let value = |json: &Json| match json {
            Json::Null => Some(Value::Null),
            Json::String(text) => Some(Value::Text(text.clone())),
            Json::Array(real) => Some(Value::Real(value_of(real.first()?.as_i64()?))),
            json => json.as_i64().map(Value::Integer),
        };
        all.iter().map(value).collect::<Option<_>>().map(Self)
    }

    /// Appends the condition that a run comes after this place.
    pub fn after(&self, sql: &mut Sql, keys: &[Key]) {
        let keys: Vec<(&Key, &Value)> = keys
            .iter()
            .zip(&self.0)
            .filter(|(key, _)| !key.fixed)
            .collect();
        // What follows from the rest, said so that an index can begin there.
        if let Some((key, value)) = keys.first()
            && !key.nullable
        {
            let comparison = if key.descending { " <= " } else { " >= " };
            sql.push(" AND ")
                .push(&key.expression)
                .push(comparison)
                .bind((*value).clone());
        }
        sql.push(" AND ");
        after(sql, &keys);
    }
}

fn after(sql: &mut Sql, keys: &[(&Key, &Value)]) {
    let Some(((key, value), rest)) = keys.split_first() else {
        sql.push("0");
        return;
    };
    let expression = &key.expression;
    if **value == Value::Null {
        sql.push("(").push(expression).push(" IS NULL AND ");
        after(sql, rest);
        sql.push(")");
        return;
    }
    let comparison = if key.descending { " < " } else { " > " };
    sql.push("(")
        .push(expression)
        .push(comparison)
        .bind((*value).clone());
    if key.nullable {
        sql.push(" OR ").push(expression).push(" IS NULL");
    }
    sql.push(" OR (")
        .push(expression)
        .push(" = ")
        .bind((*value).clone())
        .push(" AND ");
    after(sql, rest);
    sql.push("))");
}

#[cfg(test)]
mod tests {
    use super::{Mark, Value};

    #[test]
    fn a_mark_comes_back_from_its_text() {
        let mark = Mark(vec![
            Value::Integer(-7),
            Value::Real(0.1),
            Value::Real(f64::NEG_INFINITY),
            Value::Text("ä'\"".to_owned()),
            Value::Null,
        ]);
        assert_eq!(Mark::parse(&mark.to_text()), Some(mark));
        for text in ["", "x", "3", "W10x", "e30"] {
            assert_eq!(Mark::parse(text), None, "{text}");
        }
    }
}
