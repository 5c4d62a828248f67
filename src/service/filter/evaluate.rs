//! Searches of what is few enough to be looked at one by one.

use std::cmp::Ordering;

use super::like;
use crate::{
    api::{Error, Page, Result},
    store::{Comparison, Condition, Order, Test},
};

/// What a search asks for.
pub struct Listing<'a> {
    pub filter: &'a str,
    pub order_by: &'a [String],
    /// At most so many; all when absent.
    pub limit: Option<u32>,
    pub page: Option<&'a str>,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Datum<'a> {
    Number(f64),
    Text(&'a str),
    Absent,
}

/// The part of `items` that a search asks for. They come in the order that goes for equals.
pub fn select<T, F>(
    mut items: Vec<T>,
    listing: &Listing<'_>,
    condition: &Condition<F>,
    orders: &[Order<F>],
    field: impl for<'a> Fn(&'a T, &F) -> Datum<'a>,
) -> Result<Page<T>> {
    let skip = match listing.page {
        None => 0,
        Some(page) => page.parse::<usize>().map_err(|_| {
            Error::invalid(format!("`{page}` is not the `next` of an earlier answer")).at("page")
        })?,
    };
    items.retain(|item| holds(condition, &|name| field(item, name)));
    items.sort_by(|a, b| {
        let keys = orders.iter().map(|order| {
            compare(
                field(a, &order.field),
                field(b, &order.field),
                order.descending,
            )
        });
        keys.fold(Ordering::Equal, Ordering::then)
    });
    let limit = listing.limit.map_or(usize::MAX, |limit| limit as usize);
    let end = skip.saturating_add(limit);
    let next = (items.len() > end).then(|| end.to_string());
    Ok(Page {
        items: items.into_iter().skip(skip).take(limit).collect(),
        next,
    })
}

/// Numbers and texts first, then NaN, then what is absent, in both directions.
fn compare(a: Datum<'_>, b: Datum<'_>, descending: bool) -> Ordering {
    let rank = |datum| match datum {
        Datum::Number(number) if number.is_nan() => 1,
        Datum::Number(_) | Datum::Text(_) => 0,
        Datum::Absent => 2,
    };
    let by_value = match (a, b) {
        (Datum::Number(a), Datum::Number(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Datum::Text(a), Datum::Text(b)) => a.cmp(b),
        _ => Ordering::Equal,
    };
    rank(a).cmp(&rank(b)).then(if descending {
        by_value.reverse()
    } else {
        by_value
    })
}

fn holds<'a, F>(condition: &Condition<F>, field: &impl Fn(&F) -> Datum<'a>) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().all(|part| holds(part, field)),
        Condition::Any(parts) => parts.iter().any(|part| holds(part, field)),
        Condition::Not(part) => !holds(part, field),
        Condition::Test(name, test) => passes(test, field(name)),
    }
}

fn passes(test: &Test, datum: Datum<'_>) -> bool {
    match (test, datum) {
        (Test::Present(wanted), datum) => *wanted == (datum != Datum::Absent),
        (Test::Number(comparison, wanted), Datum::Number(number)) => {
            fits(*comparison, number.partial_cmp(wanted))
        }
        (Test::Text(comparison, wanted), Datum::Text(text)) => {
            fits(*comparison, Some(text.cmp(wanted.as_str())))
        }
        (
            Test::Like {
                pattern,
                ignore_case,
            },
            Datum::Text(text),
        ) => like(pattern, text, *ignore_case),
        (Test::OneOf(wanted), Datum::Text(text)) => wanted.iter().any(|one| one == text),
        (Test::NoneOf(wanted), Datum::Text(text)) => wanted.iter().all(|one| one != text),
        _ => false,
    }
}

/// Whether a value that compares so fits; NaN compares with nothing and only differs.
fn fits(comparison: Comparison, ordering: Option<Ordering>) -> bool {
    match comparison {
        Comparison::Equal => ordering == Some(Ordering::Equal),
        Comparison::NotEqual => ordering != Some(Ordering::Equal),
        Comparison::Less => ordering == Some(Ordering::Less),
        Comparison::LessOrEqual => ordering.is_some_and(Ordering::is_le),
        Comparison::Greater => ordering == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => ordering.is_some_and(Ordering::is_ge),
    }
}
