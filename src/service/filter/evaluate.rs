//! Searches of what is few enough to be looked at one by one.

use std::cmp::Ordering;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{like, matches};
use api::{Error, Page, Result};
use store::{Comparison, Condition, Order, Test};

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
    /// Text that is the same in upper and lower case, but not for LIKE.
    Name(&'a str),
    Absent,
}

/// Adds what decides between equals to an order that may have it already.
pub fn settle<F: PartialEq>(orders: &mut Vec<Order<F>>, ties: impl IntoIterator<Item = Order<F>>) {
    for tie in ties {
        if orders.iter().all(|order| order.field != tie.field) {
            orders.push(tie);
        }
    }
}

/// The part of `items` that a search asks for, in an order that leaves no two equal. A page says
/// after what the next one begins, so that what comes and goes meanwhile moves nothing into it twice
/// or out of it.
pub fn select<T, F>(
    mut items: Vec<T>,
    listing: &Listing<'_>,
    condition: &Condition<F>,
    orders: &[Order<F>],
    field: impl for<'a> Fn(&'a T, &F) -> Datum<'a>,
) -> Result<Page<T>> {
    let after = listing
        .page
        .map(|page| parse_page(page, orders.len()))
        .transpose()?;
    items.retain(|item| holds(condition, &|name| field(item, name)));
    if let Some(after) = &after {
        items.retain(|item| {
            let keys = orders.iter().zip(after).map(|(order, place)| {
                compare(field(item, &order.field), datum(place), order.descending)
            });
            keys.fold(Ordering::Equal, Ordering::then).is_gt()
        });
    }
    sort(&mut items, orders, &field);
    let limit = listing.limit.map_or(usize::MAX, |limit| limit as usize);
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| {
        let place = orders.iter().map(|order| match field(last, &order.field) {
            // As bits in brackets, so that NaN and the infinities come back too.
            Datum::Number(number) => vec![number.to_bits()].into(),
            Datum::Text(text) | Datum::Name(text) => text.into(),
            Datum::Absent => Value::Null,
        });
        BASE64_URL_SAFE_NO_PAD.encode(Value::Array(place.collect()).to_string())
    });
    Ok(Page { items, next })
}

/// Puts items in the order that a search asks for.
fn sort<T, F>(
    items: &mut [T],
    orders: &[Order<F>],
    field: impl for<'a> Fn(&'a T, &F) -> Datum<'a>,
) {
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
}

/// The place after which a page begins, a value for each key of the order.
fn parse_page(page: &str, keys: usize) -> Result<Vec<Value>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(page).ok();
    let place: Option<Vec<Value>> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    place.filter(|place| place.len() == keys).ok_or_else(|| {
        Error::invalid(format!(
            "Invalid page token, `{page}` is not that of an earlier answer to the same search"
        ))
        .at("page")
    })
}

fn datum(value: &Value) -> Datum<'_> {
    match value {
        Value::Array(bits) => {
            let bits = bits.first().and_then(Value::as_u64);
            Datum::Number(bits.map_or(f64::NAN, f64::from_bits))
        }
        Value::String(text) => Datum::Text(text),
        _ => Datum::Absent,
    }
}

/// Numbers and texts first, then NaN, then what is absent, in both directions.
fn compare(a: Datum<'_>, b: Datum<'_>, descending: bool) -> Ordering {
    let rank = |datum| match datum {
        Datum::Number(number) if number.is_nan() => 1,
        Datum::Number(_) | Datum::Text(_) | Datum::Name(_) => 0,
        Datum::Absent => 2,
    };
    let by_value = match (a, b) {
        (Datum::Number(a), Datum::Number(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
        (Datum::Text(a) | Datum::Name(a), Datum::Text(b) | Datum::Name(b)) => a.cmp(b),
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
        (Test::Text(Comparison::Equal, wanted), Datum::Name(name)) => {
            name.eq_ignore_ascii_case(wanted)
        }
        (Test::Text(_, wanted), Datum::Name(name)) => !name.eq_ignore_ascii_case(wanted),
        (
            Test::Like {
                pattern,
                ignore_case,
            },
            Datum::Text(text) | Datum::Name(text),
        ) => like(pattern, text, *ignore_case),
        (Test::Matches(pattern), Datum::Text(text)) => matches(pattern, text),
        (Test::OneOf(wanted), Datum::Text(text)) => wanted.iter().any(|one| one == text),
        (Test::NoneOf(wanted), Datum::Text(text)) => wanted.iter().all(|one| one != text),
        (Test::OneOf(wanted), Datum::Name(name)) => {
            wanted.iter().any(|one| one.eq_ignore_ascii_case(name))
        }
        (Test::NoneOf(wanted), Datum::Name(name)) => {
            !wanted.iter().any(|one| one.eq_ignore_ascii_case(name))
        }
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
