//! How long things may be, which names are allowed, and MLflow's words for what is not.

use serde_json::Value;

use super::{
    error::Failure,
    fields::{invalid_because, missing},
};

type Result<T> = std::result::Result<T, Failure>;

pub const METRICS_PER_BATCH: usize = 1000;
pub const PARAMS_PER_BATCH: usize = 100;
pub const ENTITIES_PER_BATCH: usize = 1000;
pub const DATASETS_PER_CALL: usize = 1000;
pub const KEY: usize = 250;
pub const EXPERIMENT_NAME: usize = 500;
pub const EXPERIMENT_TAG_VALUE: usize = 20_000;
pub const SEARCH_RESULTS: i64 = 50_000;
pub const REGISTERED_MODELS: i64 = 1000;
pub const MODEL_VERSIONS: i64 = 200_000;
pub const REGISTRY_TAG_VALUE: usize = 100_000;
const ALIAS: usize = 255;

/// Accepts the name of a registered model.
pub fn check_model_name(name: &str) -> Result<()> {
    if name.trim().is_empty() {
        return Err(missing("name"));
    }
    if name.contains(['/', ':']) {
        return Err(Failure::invalid(format!(
            "Invalid model name '{name}'. Names cannot contain '/' or ':'."
        )));
    }
    check_path_like("name", name)
}

/// Accepts a tag of a registered model or a version.
pub fn check_registry_tag(key: &str, value: &str) -> Result<()> {
    check_key("key", key)?;
    check_length("key", KEY, key)?;
    check_length("value", REGISTRY_TAG_VALUE, value)
}

/// Accepts what an alias may be called.
pub fn check_alias(alias: &str) -> Result<()> {
    if !alias
        .chars()
        .all(|c| c.is_alphanumeric() || c == '_' || c == '-')
    {
        return Err(Failure::invalid(format!(
            "Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_), and \
             dashes (-)."
        )));
    }
    check_length("Registered model alias name", ALIAS, alias)
}

/// Refuses aliases that mean something already.
pub fn check_alias_is_free(alias: &str) -> Result<()> {
    if alias.eq_ignore_ascii_case("latest") {
        return Err(Failure::invalid(
            "'latest' alias name (case insensitive) is reserved.",
        ));
    }
    let number = alias.strip_prefix(['v', 'V']).unwrap_or_default();
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::invalid(format!(
            "Version alias name '{alias}' is reserved."
        )));
    }
    Ok(())
}

/// Accepts the key of a metric, param or tag; `path` is where it stands in the request.
pub fn check_key(path: &str, key: &str) -> Result<()> {
    let allowed = |c: char| c.is_alphanumeric() || "_/.- :".contains(c);
    if key.chars().all(allowed) {
        return check_path_like(path, key);
    }
    Err(invalid_because(
        path,
        &Value::from(key),
        "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), \
         colon(:) and slashes (/).",
    ))
}

/// Accepts what is a plain relative path, should it ever be taken for one.
fn check_path_like(path: &str, name: &str) -> Result<()> {
    let resolved = normal_path(name);
    if resolved == name && resolved != "." && !name.starts_with("..") && !name.starts_with('/') {
        return Ok(());
    }
    Err(invalid_because(
        path,
        &Value::from(name),
        &format!(
            "Names may be treated as files in certain cases, and must not resolve to other names when \
             treated as such. This name would resolve to '{resolved}'"
        ),
    ))
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
    use super::check_key;

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
}
