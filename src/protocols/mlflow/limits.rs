//! How long things may be, which names are allowed, and MLflow's words for what is not.

use serde_json::Value;

use super::{error::Failure, fields::invalid_because};

type Result<T> = std::result::Result<T, Failure>;

pub const METRICS_PER_BATCH: usize = 1000;
pub const PARAMS_PER_BATCH: usize = 100;
pub const ENTITIES_PER_BATCH: usize = 1000;
pub const DATASETS_PER_CALL: usize = 1000;
pub const KEY: usize = 250;
pub const PARAM_VALUE: usize = 6000;
pub const TAG_VALUE: usize = 8000;
pub const EXPERIMENT_NAME: usize = 500;
pub const EXPERIMENT_TAG_VALUE: usize = 20_000;
pub const SEARCH_RESULTS: i64 = 50_000;

/// Accepts the key of a metric, param or tag; `path` is where it stands in the request.
pub fn check_key(path: &str, key: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || "_/.- :".contains(c);
    let reason = if key.chars().all(allowed) {
        let resolved = normal_path(key);
        let plain =
            resolved == key && resolved != "." && !key.starts_with("..") && !key.starts_with('/');
        if plain {
            return Ok(());
        }
        format!(
            "Names may be treated as files in certain cases, and must not resolve to other names when \
             treated as such. This name would resolve to '{resolved}'"
        )
    } else {
        "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
         colon(:) and slashes (/)."
            .to_owned()
    };
    Err(invalid_because(path, &Value::from(key), &reason))
}

/// What a path is after `.`, `..` and empty parts are worked out.
fn normal_path(path: &str) -> String {
    let absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if absolute => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (absolute, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

pub fn check_length(what: &str, limit: usize, text: &str) -> Result<()> {
    if text.chars().count() <= limit {
        Ok(())
    } else {
        Err(Failure::invalid(format!(
            "'{what}' exceeds the maximum length of {limit} characters"
        )))
    }
}

/// Cuts a value to the length that is kept, as MLflow does.
pub fn cut(mut text: String, limit: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(limit) {
        text.truncate(end);
    }
    text
}

pub fn check_batch(what: &str, limit: usize, length: usize) -> Result<()> {
    if length <= limit {
        return Ok(());
    }
    Err(Failure::invalid(format!(
        "A batch logging request can contain at most {limit} {what}. Got {length} {what}. Please split up \
         {what} across multiple requests and try again."
    )))
}

#[cfg(test)]
mod tests {
    use super::{check_key, cut};

    #[test]
    fn keys_are_plain_relative_paths() {
        for key in ["loss", "a/b c.d-e:f", "ü"] {
            assert!(check_key("key", key).is_ok(), "{key}");
        }
        for (key, resolved) in [
            ("/a", "/a"),
            ("a//b", "a/b"),
            ("../a", "../a"),
            ("./a", "a"),
            ("a/..", "."),
            ("", "."),
        ] {
            let message = check_key("key", key).err().map(|failure| failure.message);
            let ending = format!("resolve to '{resolved}'");
            assert!(
                message.is_some_and(|message| message.ends_with(&ending)),
                "{key}"
            );
        }
        assert!(check_key("key", "a?b").is_err());
    }

    #[test]
    fn long_values_are_cut_between_characters() {
        assert_eq!(cut("äöü".to_owned(), 2), "äö");
        assert_eq!(cut("ab".to_owned(), 2), "ab");
    }
}
