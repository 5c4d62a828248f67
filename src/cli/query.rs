//! JMESPath as Azure's command line understands it.
//!
//! Two things are other than in the language's own words. What stands between backticks and is no
//! JSON is a string. And what whole numbers make together is a whole number.

use std::sync::LazyLock;

use jpx_core::{
    Context, Expression, JmespathError, Runtime, SearchResult,
    functions::{ArgumentType, CustomFunction, Signature, number_value},
};
use serde_json::Value;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut runtime = Runtime::new();
    runtime.register_builtin_functions();
    let numbers = || ArgumentType::TypedArray(Box::new(ArgumentType::Number));
    for (name, takes, function) in [
        ("sum", numbers(), sum as OfOne),
        ("abs", ArgumentType::Number, size),
        ("ceil", ArgumentType::Number, |value| {
            rounded(value, f64::ceil)
        }),
        ("floor", ArgumentType::Number, |value| {
            rounded(value, f64::floor)
        }),
    ] {
        let of_one = move |given: &[Value], _: &mut Context<'_>| -> SearchResult {
            Ok(given.first().map(function).unwrap_or_default())
        };
        let signature = Signature::new(vec![takes], None);
        let function = CustomFunction::new(signature, Box::new(of_one));
        runtime.register_function(name, Box::new(function));
    }
    runtime
});

type OfOne = fn(&Value) -> Value;

pub fn compile(query: &str) -> Result<Expression<'static>, JmespathError> {
    RUNTIME.compile(&strict_literals(query))
}

/// What a query makes of a document.
pub fn search(query: &str, document: &Value) -> Result<Value, JmespathError> {
    compile(query)?.search(document)
}

fn sum(numbers: &Value) -> Value {
    let numbers = numbers.as_array().map(Vec::as_slice).unwrap_or_default();
    let add = |sum: i64, number: &Value| sum.checked_add(number.as_i64()?);
    match numbers.iter().try_fold(0, add) {
        Some(whole) => whole.into(),
        None => number_value(numbers.iter().filter_map(Value::as_f64).sum()),
    }
}

/// The size of a number, whole if it is.
fn size(number: &Value) -> Value {
    match number.as_i64().and_then(i64::checked_abs) {
        Some(whole) => whole.into(),
        None => number_value(number.as_f64().unwrap_or_default().abs()),
    }
}

/// A number after it was rounded.
fn rounded(number: &Value, round: fn(f64) -> f64) -> Value {
    if number.is_i64() {
        return number.clone();
    }
    // What is rounded up to 0 is not below it.
    let float = round(number.as_f64().unwrap_or_default()) + 0.0;
    serde_json::from_str(&format!("{float:.0}")).unwrap_or_else(|_| number_value(float))
}

/// The query with a JSON string in the place of what between backticks is no JSON.
fn strict_literals(query: &str) -> String {
    let mut strict = String::with_capacity(query.len());
    let mut rest = query;
    while let Some(at) = rest.find(['`', '\'', '"']) {
        let (before, quoted) = rest.split_at(at);
        strict += before;
        let length = quoted_length(quoted);
        let (quoted, after) = quoted.split_at(length);
        match quoted
            .strip_prefix('`')
            .and_then(|text| text.strip_suffix('`'))
        {
            Some(text) if length > 1 => {
                strict.push('`');
                strict += &literal(text);
                strict.push('`');
            }
            _ => strict += quoted,
        }
        rest = after;
    }
    strict + rest
}

/// How long a text is that begins with a quote, both quotes included; all of it where none ends it.
fn quoted_length(text: &str) -> usize {
    let mut letters = text.char_indices();
    let quote = letters.next().map(|(_, quote)| quote);
    while let Some((at, letter)) = letters.next() {
        if letter == '\\' {
            letters.next();
        } else if Some(letter) == quote {
            return at + letter.len_utf8();
        }
    }
    text.len()
}

fn literal(text: &str) -> String {
    let plain = text.replace("\\`", "`");
    let string = format!("\"{}\"", plain.trim_start());
    let is_json = |text: &str| serde_json::from_str::<Value>(text).is_ok();
    if !is_json(&plain) && is_json(&string) {
        return string.replace('`', "\\`");
    }
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{compile, search};

    fn of(query: &str, document: &Value) -> Value {
        search(query, document).unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    #[test]
    fn what_is_no_json_between_backticks_is_a_string() {
        let all = json!([{"name": "cpu-cluster", "n": 1}, {"name": "a`b", "n": 2}]);
        for (query, expected) in [
            ("[?name==`cpu-cluster`].n", json!([1])),
            ("[?name==`\"cpu-cluster\"`].n", json!([1])),
            ("[?name==` cpu-cluster`].n | [0]", json!(1)),
            (r"[?name==`a\`b`].n", json!([2])),
            ("[?n>`1`].n", json!([2])),
            ("`true`", json!(true)),
            ("`null`", json!(null)),
            ("`[1, 2]`", json!([1, 2])),
            ("``", json!("")),
            ("[?name=='a`b'].n", json!([2])),
            (r"'it\'s `x`'", json!("it's `x`")),
            ("{\"a `k`\": length(@)}", json!({"a `k`": 2})),
            (r"`tab\tin`", json!("tab\tin")),
            ("`ü` == 'ü' && contains(`ä b`, 'ä')", json!(true)),
        ] {
            assert_eq!(of(query, &all), expected, "{query}");
        }
        for query in ["`", "`a", "[?name==`a\"b`]", r"`a\", "'a", "\"a"] {
            assert!(compile(query).is_err(), "{query}");
        }
    }

    #[test]
    fn whole_numbers_make_whole_numbers() {
        let all = json!({"whole": [10, 30], "mixed": [1, 0.5], "one": [2.0]});
        for (query, expected) in [
            ("sum(whole)", "40"),
            ("sum(`[]`)", "0"),
            ("sum(mixed)", "1.5"),
            ("sum(one)", "2.0"),
            ("avg(whole)", "20.0"),
            ("abs(`-3`)", "3"),
            ("abs(`-3.0`)", "3.0"),
            ("abs(`-3.5`)", "3.5"),
            ("sum(`[9223372036854775807, 1]`)", "9.223372036854776e+18"),
            ("ceil(`1.5`)", "2"),
            ("ceil(`-0.5`)", "0"),
            ("ceil(`2.0`)", "2"),
            ("floor(`-1.5`)", "-2"),
            ("floor(`7`)", "7"),
        ] {
            assert_eq!(of(query, &all).to_string(), expected, "{query}");
        }
        assert!(search("sum(`[\"a\"]`)", &all).is_err());
    }
}
