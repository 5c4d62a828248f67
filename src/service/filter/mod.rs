//! Filters and orders of searches: one grammar for the command line and the MLflow protocol.
//!
//! `lexer` and `parser` know the grammar, the other files what each kind of thing can be asked.
//!
//! ```text
//! filter = either
//! either = both { OR both }
//! both   = factor { AND factor }
//! factor = NOT factor | "(" either ")" | clause
//! clause = field operator value | field [NOT] IN ( 'a', 'b' ) | field IS [NOT] NULL
//! field  = [ entity "." ] key          ; the key may be in backticks or double quotes
//! ```

mod evaluate;
mod experiments;
mod lexer;
mod logged_models;
mod models;
mod order;
mod parser;
mod runs;
#[cfg(test)]
mod tests;
mod traces;

pub use evaluate::Listing;
pub use experiments::select_experiments;
pub use logged_models::select_logged_models;
pub use models::ModelSearch;
pub use runs::{run_condition, run_orders};
pub use traces::{measure_condition, trace_condition, trace_orders};

use api::{Error, Result};
use parser::{Clause, Expression, Operator, Value};
use store::{Comparison, Condition, Test};

/// Parses `filter` and finds out what each clause means.
fn condition<F>(
    filter: &str,
    clause: impl Fn(&Clause) -> Result<Condition<F>>,
) -> Result<Condition<F>> {
    match parser::parse(filter)? {
        None => Ok(Condition::always()),
        Some(expression) => bind(&expression, &clause),
    }
}

fn bind<F>(
    expression: &Expression,
    clause: &impl Fn(&Clause) -> Result<Condition<F>>,
) -> Result<Condition<F>> {
    let all = |parts: &[Expression]| -> Result<Vec<_>> {
        parts.iter().map(|part| bind(part, clause)).collect()
    };
    Ok(match expression {
        Expression::And(parts) => Condition::All(all(parts)?),
        Expression::Or(parts) => Condition::Any(all(parts)?),
        Expression::Not(part) => Condition::Not(Box::new(bind(part, clause)?)),
        Expression::Clause(found) => clause(found)?,
    })
}

impl Operator {
    fn name(self) -> &'static str {
        match self {
            Operator::Compare(comparison) => comparison.sql(),
            Operator::Like => "LIKE",
            Operator::ILike => "ILIKE",
            Operator::RLike => "RLIKE",
            Operator::In => "IN",
            Operator::NotIn => "NOT IN",
            Operator::IsNull => "IS NULL",
            Operator::IsNotNull => "IS NOT NULL",
        }
    }
}

/// The test of a clause on a field that holds numbers.
fn number(clause: &Clause, what: &str) -> Result<Test> {
    match (clause.operator, &clause.value) {
        (Operator::Compare(comparison), Value::Number(number)) => {
            Ok(Test::Number(comparison, *number))
        }
        (Operator::IsNull, _) => Ok(Test::Present(false)),
        (Operator::IsNotNull, _) => Ok(Test::Present(true)),
        (Operator::Compare(_), value) => Err(Error::invalid(format!(
            "Expected numeric value type for {what}. Found {value}"
        ))),
        (operator, _) => Err(comparator(operator, "= != < <= > >= IS NULL IS NOT NULL")),
    }
}

/// The test of a clause on a field that holds text.
fn text(clause: &Clause, what: &str) -> Result<Test> {
    let quoted = |value: &Value| match value {
        Value::Text(text) => Ok(text.clone()),
        other => Err(Error::invalid(format!(
            "Expected a quoted string value for {what} (e.g. 'my-value'). Got value {other}"
        ))),
    };
    match (clause.operator, &clause.value) {
        (
            Operator::Compare(comparison @ (Comparison::Equal | Comparison::NotEqual)),
            Value::List(_),
        ) => Err(Error::invalid(format!(
            "A list of values goes with IN and NOT IN, not with {}",
            comparison.sql()
        ))),
        (Operator::Compare(comparison @ (Comparison::Equal | Comparison::NotEqual)), value) => {
            Ok(Test::Text(comparison, quoted(value)?))
        }
        (operator @ (Operator::Like | Operator::ILike), value) => Ok(Test::Like {
            pattern: quoted(value)?,
            ignore_case: operator == Operator::ILike,
        }),
        (Operator::RLike, value) => {
            let pattern = quoted(value)?;
            match regex::Regex::new(&pattern) {
                Ok(_) => Ok(Test::Matches(pattern)),
                Err(e) => Err(Error::invalid(format!(
                    "`{pattern}` is not a regular expression: {e}"
                ))),
            }
        }
        (Operator::In, Value::List(texts)) => Ok(Test::OneOf(texts.clone())),
        (Operator::NotIn, Value::List(texts)) => Ok(Test::NoneOf(texts.clone())),
        (Operator::IsNull, _) => Ok(Test::Present(false)),
        (Operator::IsNotNull, _) => Ok(Test::Present(true)),
        (operator, _) => Err(comparator(
            operator,
            "= != LIKE ILIKE RLIKE IN NOT IN IS NULL IS NOT NULL",
        )),
    }
}

fn comparator(operator: Operator, valid: &str) -> Error {
    Error::invalid(format!(
        "Invalid comparator '{}' not one of '{valid}'",
        operator.name()
    ))
}

/// Whether a part of a text is as a regular expression says.
fn matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// Whether a text is like a pattern in which `%` is any text and `_` any character.
fn like(pattern: &str, text: &str, ignore_case: bool) -> bool {
    let fold = |text: &str| -> Vec<char> {
        if ignore_case {
            text.to_lowercase().chars().collect()
        } else {
            text.chars().collect()
        }
    };
    let (pattern, text) = (fold(pattern), fold(text));
    // Where the last `%` was and what it has swallowed so far; on a mismatch it swallows one more.
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        if at < pattern.len() && pattern[at] == '%' {
            star = Some((at, from));
            at += 1;
        } else if at < pattern.len() && (pattern[at] == '_' || pattern[at] == text[from]) {
            at += 1;
            from += 1;
        } else if let Some((percent, swallowed)) = star {
            star = Some((percent, swallowed + 1));
            at = percent + 1;
            from = swallowed + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|c| *c == '%')
}
