//! Reads one key of an order: `metrics.loss DESC`.

use super::parser::{Name, name};
use api::{Error, Result};

/// The field of an order key, and whether the order is descending.
pub fn parse(order: &str) -> Result<(Name, bool)> {
    let text = order.trim();
    let (field, direction) = match text.rsplit_once(char::is_whitespace) {
        Some((field, last)) if !last.ends_with(['`', '"']) => (field.trim(), last),
        _ => (text, "asc"),
    };
    if field.is_empty() {
        return Err(Error::invalid(format!(
            "Invalid order_by clause '{order}'. Could not be parsed."
        )));
    }
    let descending = match direction.to_ascii_lowercase().as_str() {
        "asc" => false,
        "desc" => true,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid ordering key in order_by clause '{order}'."
            )));
        }
    };
    Ok((name(field), descending))
}
