//! Durations as ISO 8601 writes them, such as `P1DT2H30M`.

/// How many seconds a duration of days, hours, minutes and seconds has, a part of one counting as one;
/// none when the text is no such duration.
pub fn seconds(text: &str) -> Option<i64> {
    let (days, time) = match text.strip_prefix('P')?.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text.strip_prefix('P')?, ""),
    };
    let mut sum = 0_i64;
    let mut said = false;
    let units = [('D', 24 * 60 * 60), ('H', 60 * 60), ('M', 60), ('S', 1)];
    for (mut rest, units) in [(days, &units[..1]), (time, &units[1..])] {
        for (unit, length) in units {
            if let Some((number, after)) = rest.split_once(*unit) {
                let number = match number.split_once('.').filter(|_| *unit == 'S') {
                    Some((whole, part)) => count(whole)?.checked_add((count(part)? > 0).into())?,
                    None => count(number)?,
                };
                sum = sum.checked_add(number.checked_mul(*length)?)?;
                (rest, said) = (after, true);
            }
        }
        if !rest.is_empty() {
            return None;
        }
    }
    said.then_some(sum)
}

fn count(digits: &str) -> Option<i64> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn all_parts_count_and_nothing_else_is_taken() {
        for (text, expected) in [
            ("PT30S", 30),
            ("PT1M30S", 90),
            ("PT0.5S", 1),
            ("PT2H", 7200),
            ("P1D", 86_400),
            ("P1DT2H30M", 95_400),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "30",
            "P",
            "PT",
            "P1DT",
            "PT30",
            "1M",
            "PT-1S",
            "PT+1S",
            "PT1.5M",
            "PT1S1M",
            "PT99999999999999999H",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
