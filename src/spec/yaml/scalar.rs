//! What a scalar without quotes means: YAML 1.1, as Azure ML's own client reads it.
//!
//! `yes`, `no`, `on`, `off` are booleans; `010` is eight; `1:30` is ninety; `1e-3`, having no dot,
//! is a string (and becomes a number where a number is wanted).

use super::Data;

/// The value of a plain scalar.
pub fn resolve(text: &str) -> Data {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Data::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Data::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Data::Bool(false);
        }
        _ => {}
    }
    integer(text)
        .map(Data::Int)
        .or_else(|| float(text).map(Data::Float))
        .unwrap_or(Data::Text)
}

/// Splits off a sign; the rest begins with a digit or a dot.
fn sign(text: &str) -> (bool, &str) {
    match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    }
}

fn integer(text: &str) -> Option<i64> {
    let (negative, rest) = sign(text);
    if !rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = rest.replace('_', "");
    let value = if rest == "0" {
        0
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i64::from_str_radix(binary, 2).ok()?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        i64::from_str_radix(hex, 16).ok()?
    } else if let Some(octal) = digits.strip_prefix('0') {
        i64::from_str_radix(octal, 8).ok()?
    } else if rest.contains(':') {
        sexagesimal(&digits)?
    } else {
        digits.parse().ok()?
    };
    Some(if negative { -value } else { value })
}

/// `1:30` is 90.
fn sexagesimal(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let mut value: i64 = parts.next()?.parse().ok()?;
    for part in parts {
        let digits: i64 = part.parse().ok()?;
        if part.starts_with(['+', '-']) || digits > 59 || part.len() > 2 {
            return None;
        }
        value = value.checked_mul(60)?.checked_add(digits)?;
    }
    Some(value)
}

fn float(text: &str) -> Option<f64> {
    let (negative, rest) = sign(text);
    let value = match rest {
        ".inf" | ".Inf" | ".INF" => f64::INFINITY,
        ".nan" | ".NaN" | ".NAN" if rest.len() == text.len() => f64::NAN,
        _ => decimal(rest, rest.len() != text.len())?,
    };
    Some(if negative { -value } else { value })
}

/// Digits with a dot, and an exponent only when it has a sign.
fn decimal(rest: &str, signed: bool) -> Option<f64> {
    let first = rest.as_bytes().first()?;
    if !first.is_ascii_digit() && (signed || *first != b'.') {
        return None;
    }
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let is_mantissa = |c: char| c.is_ascii_digit() || c == '.' || c == '_';
    if mantissa.matches('.').count() != 1
        || !mantissa.chars().all(is_mantissa)
        || mantissa == "."
        || mantissa.starts_with("._")
    {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-'])?;
        if digits.is_empty() || !digits.chars().all(|c| c.is_ascii_digit()) {
            return None;
        }
    }
    rest.replace('_', "").parse().ok()
}
