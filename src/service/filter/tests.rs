//! Filters in, what they mean out.

use std::fmt::Write;

use super::{like, run_condition, run_orders};
use store::{Condition, RunField, Test};

fn describe(condition: &Condition<RunField>) -> String {
    let list = |word: &str, parts: &[Condition<RunField>]| {
        let mut text = format!("({word}");
        for part in parts {
            let _ = write!(text, " {}", describe(part));
        }
        text + ")"
    };
    match condition {
        Condition::All(parts) => list("and", parts),
        Condition::Any(parts) => list("or", parts),
        Condition::Not(part) => format!("(not {})", describe(part)),
        Condition::Test(field, test) => {
            let field = match field {
                RunField::Metric(key) => format!("(metric {key})"),
                RunField::Param(key) => format!("(param {key})"),
                RunField::Tag(key) => format!("(tag {key})"),
                RunField::Dataset(part) => format!("(dataset {part:?})"),
                other => format!("{other:?}"),
            };
            match test {
                Test::Number(comparison, number) => {
                    format!("({} {field} {number})", comparison.sql())
                }
                Test::Text(comparison, text) => format!("({} {field} '{text}')", comparison.sql()),
                Test::Matches(pattern) => format!("(rlike {field} '{pattern}')"),
                Test::Like {
                    pattern,
                    ignore_case: false,
                } => format!("(like {field} '{pattern}')"),
                Test::Like { pattern, .. } => format!("(ilike {field} '{pattern}')"),
                Test::OneOf(texts) => format!("(in {field} {})", texts.join(" ")),
                Test::NoneOf(texts) => format!("(not-in {field} {})", texts.join(" ")),
                Test::Present(true) => format!("(has {field})"),
                Test::Present(false) => format!("(lacks {field})"),
            }
        }
    }
}

#[track_caller]
fn check(filter: &str, expected: &str) {
    let found = match run_condition(filter, true) {
        Ok(condition) => describe(&condition),
        Err(error) => format!("error: {}", error.message),
    };
    assert_eq!(found, expected, "{filter}");
}

#[test]
fn clauses_are_joined_and_nested() {
    check("", "(and)");
    check("  ", "(and)");
    check(
        "metrics.loss < 0.5 and tags.team = 'x'",
        "(and (< (metric loss) 0.5) (= (tag team) 'x'))",
    );
    check(
        "params.a = '1' OR params.b = '2' AND params.c = '3'",
        "(or (= (param a) '1') (and (= (param b) '2') (= (param c) '3')))",
    );
    check(
        "NOT (params.a = '1' OR metrics.m > 1) AND status = 'FAILED'",
        "(and (not (or (= (param a) '1') (> (metric m) 1))) (in Status Failed))",
    );
    check("(metrics.a>1)", "(> (metric a) 1)");
}

#[test]
fn fields_are_called_in_many_ways() {
    check("metric.a.b/c >= -1e-1", "(>= (metric a.b/c) -0.1)");
    check("metrics.`a b` != 2", "(!= (metric a b) 2)");
    check("metrics.\"a b\"=2", "(= (metric a b) 2)");
    check("parameter.lr LIKE '0.%'", "(like (param lr) '0.%')");
    check("param.lr ilike \"A%\"", "(ilike (param lr) 'A%')");
    check("tags.`mlflow.runName` = 'x'", "(= DisplayName 'x')");
    check("`Run name` = 'x'", "(= DisplayName 'x')");
    check("run_id IN ('a', 'b')", "(in Name a b)");
    check("attributes.run_id not in ('a')", "(not-in Name a)");
    check("start_time > 1700000000000", "(> StartedAt 1700000000000)");
    check("created <= 5", "(<= StartedAt 5)");
    check("dataset.name IN ('d')", "(in (dataset Name) d)");
    check("params.x IS NULL", "(lacks (param x))");
    check("tags.x is not null", "(has (tag x))");
    check("tags.quote = 'it''s'", "(= (tag quote) 'it's')");
}

#[test]
fn a_status_is_known_by_both_names() {
    check("status = 'FINISHED'", "(in Status Completed)");
    check("status = 'completed'", "(in Status Completed)");
    check("status != 'SCHEDULED'", "(not-in Status NotStarted Queued)");
    check("status LIKE 'FI%'", "(in Status Completed)");
    check("status = 'nonsense'", "(in Status )");
    for filter in [
        "status = 'Faild'",
        "status IN ('Completed', 'Faild')",
        "NOT status != 'faild'",
    ] {
        let error = run_condition(filter, false).expect_err(filter);
        assert_eq!(error.hints, ["Did you mean `Failed`?"], "{filter}");
    }
    for filter in ["status = 'RUNNING'", "status LIKE 'x%'", "status IS NULL"] {
        assert!(run_condition(filter, false).is_ok(), "{filter}");
    }
}

#[test]
fn mistakes_are_named() {
    let invalid = "error: Invalid clause(s) in filter string: ";
    check(
        "metrics.loss == 1",
        &format!("{invalid}`==` is not a valid comparator"),
    );
    check(
        "metrics.loss < 1 AND",
        &format!("{invalid}expected a clause at the end"),
    );
    check(
        "metrics.loss < 1 metrics.a = 1",
        &format!("{invalid}unexpected `metrics.a`"),
    );
    check(
        "(metrics.loss < 1",
        &format!("{invalid}a parenthesis is not closed"),
    );
    check("metrics.loss < 1;", &format!("{invalid}unexpected `;`"));
    check("tags.a = 'x", &format!("{invalid}'x has no closing '"));
    check(
        "metrics.loss = 'a'",
        "error: Expected numeric value type for metric. Found 'a'",
    );
    check(
        "params.a = 5",
        "error: Expected a quoted string value for parameter (e.g. 'my-value'). Got value 5",
    );
    check(
        "params.a > '5'",
        "error: Invalid comparator '>' not one of '= != LIKE ILIKE RLIKE IN NOT IN IS NULL IS NOT NULL'",
    );
    check(
        "m.loss = 1",
        "error: Invalid entity type 'm'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']",
    );
    let deep = format!("{}metrics.a = 1{}", "(".repeat(60), ")".repeat(60));
    check(
        &deep,
        &format!("{invalid}more than 50 levels of parentheses"),
    );
}

#[test]
fn orders_have_a_direction() {
    let check = |keys: &[&str], expected: &str| {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let found = match run_orders(&keys) {
            Ok(orders) => orders
                .iter()
                .map(|order| format!("{:?} {}", order.field, order.descending))
                .collect::<Vec<_>>()
                .join(", "),
            Err(error) => format!("error: {}", error.message),
        };
        assert_eq!(found, expected, "{keys:?}");
    };
    check(
        &["metrics.loss DESC", "params.lr"],
        "Metric(\"loss\") true, Param(\"lr\") false",
    );
    check(&["metrics.`val loss` asc"], "Metric(\"val loss\") false");
    check(&["`Run Name`"], "DisplayName false");
    check(
        &["start_time", "created DESC"],
        "error: `order_by` contains duplicate fields: [\"start_time\", \"created DESC\"]",
    );
    check(
        &["metrics.a sideways"],
        "error: Invalid ordering key in order_by clause 'metrics.a sideways'.",
    );
}

#[test]
fn like_knows_any_text_and_any_character() {
    for (pattern, text, fits) in [
        ("%", "", true),
        ("a%c", "abbc", true),
        ("a%c", "abbcd", false),
        ("a_c", "abc", true),
        ("a_c", "ac", false),
        ("%b%b%", "abab", true),
        ("A%", "abc", false),
    ] {
        assert_eq!(like(pattern, text, false), fits, "{pattern} {text}");
    }
    assert!(like("A%", "abc", true));
}
