//! The path and query of a request, with whatever a person typed made safe.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// `/api/v1/<segments>?<query>`; each part is encoded, so that none can become two.
pub fn address(segments: &[&str], query: &[(&str, &str)]) -> String {
    below("/api/v1", segments, query)
}

/// The same below another root.
pub fn below(root: &str, segments: &[&str], query: &[(&str, &str)]) -> String {
    let mut text = root.to_owned();
    for segment in segments {
        text.push('/');
        text.extend(utf8_percent_encode(segment, PLAIN));
    }
    for (index, (key, value)) in query.iter().enumerate() {
        text.push(if index == 0 { '?' } else { '&' });
        text.push_str(key);
        text.push('=');
        text.extend(utf8_percent_encode(value, PLAIN));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::address;

    #[test]
    fn no_part_becomes_two() {
        assert_eq!(
            address(
                &["runs", "a/b?c", "log"],
                &[("workspace", "x&y=ü"), ("offset", "0")]
            ),
            "/api/v1/runs/a%2Fb%3Fc/log?workspace=x%26y%3D%C3%BC&offset=0"
        );
    }
}
