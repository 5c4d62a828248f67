//! Settings of transformations, as they are written.

use serde_json::{Map, Value};

use api::{Error, Result, names};

/// The settings of one transformation; what is never asked for is an error.
pub struct Settings {
    step: String,
    given: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Settings {
    pub fn new(step: &str, value: &Value) -> Result<Self> {
        let given = match value {
            Value::Object(given) => given.clone(),
            Value::Null => Map::new(),
            other => {
                return Err(Error::invalid(format!(
                    "`{step}` takes settings by name, not `{other}`"
                )));
            }
        };
        Ok(Self {
            step: step.to_owned(),
            given,
            known: Vec::new(),
        })
    }

    pub fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.given
            .shift_remove(key)
            .filter(|value| !value.is_null())
    }

    pub fn text(&mut self, key: &'static str) -> Result<Option<String>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(key, "text", &other)),
        }
    }

    pub fn truth(&mut self, key: &'static str) -> Result<Option<bool>> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Bool(truth)) => Ok(Some(truth)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(other) => Err(self.wrong(key, "true or false", &other)),
        }
    }

    /// One of several words, in any case.
    pub fn word(&mut self, key: &'static str, words: &[&'static str]) -> Result<&'static str> {
        let Some(text) = self.text(key)? else {
            return Ok(words[0]);
        };
        let found = words.iter().find(|word| word.eq_ignore_ascii_case(&text));
        found.copied().ok_or_else(|| {
            let error = Error::invalid(format!(
                "`{text}` is no value of `{key}` of `{}`",
                self.step
            ));
            error.hint(format!("Possible are {}", words.join(", ")))
        })
    }

    pub fn wrong(&self, key: &str, wanted: &str, found: &Value) -> Error {
        Error::invalid(format!(
            "`{key}` of `{}` is {wanted}, not `{found}`",
            self.step
        ))
    }

    /// Refuses what was given and means nothing.
    pub fn done(self) -> Result<()> {
        match self.given.keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::unknown(
                "setting",
                key,
                &format!(" of `{}`", self.step),
                names::nearest(key, self.known.iter().copied()),
            )),
        }
    }
}

/// Names of columns: one, or a list.
pub fn columns(step: &str, value: &Value) -> Result<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let names: Option<Vec<String>> = match value {
        Value::String(name) => Some(vec![name.clone()]),
        Value::Array(names) => names.iter().map(text).collect(),
        _ => None,
    };
    names.ok_or_else(|| {
        Error::invalid(format!(
            "`{step}` takes the names of columns, not `{value}`"
        ))
    })
}
