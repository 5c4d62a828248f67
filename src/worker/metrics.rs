//! `outputs/metrics.json`: metrics of a run that knows no client.
//!
//! An object of metrics by name. A metric is a number; a list of numbers, one per step from 0; or a
//! list of `{"step": 1, "value": 0.5}`, in which `timestamp` (milliseconds) may be given too.
//! Numbers may be `NaN` and `Infinity`, as Python writes them, or the same words in quotes.

use serde::Deserialize;
use serde_json::Value as Json;

use api::{
    Error, Result,
    metrics::{MetricPoint, Value},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    value: Value,
    step: i64,
    #[serde(default)]
    timestamp: Option<i64>,
}

/// Reads the file's text; points without a time of their own get `written_at`, so that reading it
/// again makes no new points.
pub fn parse(text: &str, written_at: i64) -> Result<Vec<MetricPoint>> {
    let json: Json = serde_json::from_str(&quote_specials(text))
        .map_err(|e| Error::invalid(format!("It is not JSON: {e}")))?;
    let Json::Object(metrics) = json else {
        return Err(Error::invalid("It is not an object of metrics by name"));
    };
    let mut points = Vec::new();
    for (key, json) in metrics {
        let list = match json {
            Json::Array(list) => list,
            one => vec![one],
        };
        for (step, json) in (0..).zip(list) {
            let point = match json {
                Json::Object(_) => serde_json::from_value(json).ok(),
                json => serde_json::from_value(json).ok().map(|value| Point {
                    value,
                    step,
                    timestamp: None,
                }),
            };
            let Some(point) = point else {
                return Err(Error::invalid(format!(
                    "`{key}` is neither a number nor a list of numbers or of {{\"step\", \"value\"}}"
                )));
            };
            points.push(MetricPoint {
                key: key.clone(),
                value: point.value,
                step: point.step,
                timestamp: Some(point.timestamp.unwrap_or(written_at)),
            });
        }
    }
    Ok(points)
}

/// Puts `NaN`, `Infinity` and `-Infinity` into quotes where they are no text already.
fn quote_specials(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut in_text = false;
    while let Some(c) = rest.chars().next() {
        let special = ["NaN", "-Infinity", "Infinity"]
            .into_iter()
            .find(|word| !in_text && rest.starts_with(word));
        let taken = match special {
            Some(word) => {
                out.extend(["\"", word, "\""]);
                word.len()
            }
            None => {
                // What is escaped ends no text.
                let length = match c {
                    '\\' => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                    c => c.len_utf8(),
                };
                in_text ^= c == '"';
                out.push_str(&rest[..length]);
                length
            }
        };
        rest = &rest[taken..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String, i64, i64)>> {
        let points = parse(text, 7)?;
        Ok(points
            .into_iter()
            .map(|p| (p.key, p.value.to_string(), p.step, p.timestamp.unwrap()))
            .collect())
    }

    #[test]
    fn numbers_lists_and_steps_are_metrics() {
        let text = r#"{"loss": 0.5, "acc": [0.25, NaN], "f1": [{"step": 3, "value": "inf"}, {"step": 4, "value": 1, "timestamp": 9}],
                       "a \" NaN": -Infinity, "n": 3}"#;
        let expected = [
            ("loss", "0.5", 0, 7),
            ("acc", "0.25", 0, 7),
            ("acc", "NaN", 1, 7),
            ("f1", "Infinity", 3, 7),
            ("f1", "1", 4, 9),
            ("a \" NaN", "-Infinity", 0, 7),
            ("n", "3", 0, 7),
        ];
        let found = read(text).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|(k, v, s, t)| (k.as_str(), v.as_str(), *s, *t))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn anything_else_is_said_to_be_wrong() {
        for (text, message) in [
            ("[1]", "It is not an object of metrics by name"),
            ("{\"a\": 1", "It is not JSON"),
            ("{\"a\": true}", "`a` is neither a number"),
            ("{\"a\": {\"b\": 1}}", "`a` is neither a number"),
            ("{\"a\": [1, [2]]}", "`a` is neither a number"),
            ("{\"a\": null}", "`a` is neither a number"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.message.starts_with(message), "{text}: {error}");
        }
    }
}
