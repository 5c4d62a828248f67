//! Reads the fields of a request as MLflow's server does: unknown fields are ignored, `camelCase`
//! spelling is accepted, numbers may come as strings, and what is wrong is named in MLflow's words.

use serde_json::{Map, Value};

use super::error::Failure;

type Result<T> = std::result::Result<T, Failure>;

const SEE: &str = " See the API docs for more information about request parameters.";

/// The fields of a request or of an object in it, by their `snake_case` names.
#[derive(Debug, Default)]
pub struct Fields {
    values: Map<String, Value>,
    /// From a query string, where one value of a list looks like a plain value.
    query: bool,
}

impl Fields {
    /// Takes the fields of a JSON object. The same field in both spellings is refused.
    pub fn new(object: Map<String, Value>) -> Result<Self> {
        let mut values = Map::with_capacity(object.len());
        for (key, value) in object {
            let name = snake_case(&key);
            if values.contains_key(&name) {
                return Err(Failure::invalid(format!(
                    "The field '{name}' is given more than once, as '{key}' too."
                )));
            }
            values.insert(name, value);
        }
        Ok(Self {
            values,
            query: false,
        })
    }

    /// Reads a JSON body; an empty one has no fields.
    pub fn parse(body: &[u8]) -> Result<Self> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let malformed =
            |e: serde_json::Error| Failure::invalid(format!("The body is not valid JSON: {e}"));
        let mut value: Value = serde_json::from_slice(body).map_err(malformed)?;
        // Some clients send the object as a string in JSON.
        if let Value::String(text) = &value {
            value = serde_json::from_str(text).map_err(malformed)?;
        }
        match value {
            Value::Object(object) => Self::new(object),
            Value::Null => Ok(Self::default()),
            _ => Err(Failure::invalid("The body is not a JSON object")),
        }
    }

    /// Takes the pairs of a query; a name that is repeated has a list of values.
    pub fn from_query(pairs: Vec<(String, String)>) -> Self {
        let mut values: Map<String, Value> = Map::new();
        for (key, value) in pairs {
            match values.get_mut(&key) {
                Some(Value::Array(items)) => items.push(value.into()),
                Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
                None => drop(values.insert(key, value.into())),
            }
        }
        Self {
            values,
            query: true,
        }
    }

    /// Adds a field that is part of the address.
    pub fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.into());
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name).filter(|value| !value.is_null())
    }

    /// A field as it is, whatever it holds; none when it is absent or null.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.get(name)
    }

    /// An object whose keys are no names of fields and whose values are texts.
    pub fn text_map(&self, name: &str) -> Result<std::collections::BTreeMap<String, String>> {
        let Some(value) = self.get(name) else {
            return Ok(std::collections::BTreeMap::new());
        };
        let object = value.as_object().ok_or_else(|| invalid(name, value))?;
        let text = |(key, item): (&String, &Value)| match item {
            Value::String(text) => Ok((key.clone(), text.clone())),
            _ => Err(invalid(name, value)),
        };
        object.iter().map(text).collect()
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A text that must be there and not be empty.
    pub fn required(&self, name: &str) -> Result<String> {
        self.text(name)?
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name))
    }

    /// The run a call is about, under its new or its old name.
    pub fn run_id(&self) -> Result<String> {
        let old = self.text("run_uuid")?.filter(|id| !id.is_empty());
        match old {
            Some(id) if self.get("run_id").is_none() => Ok(id),
            _ => self.required("run_id"),
        }
    }

    pub fn text(&self, name: &str) -> Result<Option<String>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// A text that counts as absent when it is empty.
    pub fn some_text(&self, name: &str) -> Result<Option<String>> {
        Ok(self.text(name)?.filter(|text| !text.is_empty()))
    }

    pub fn integer(&self, name: &str) -> Result<Option<i64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_i64().or_else(|| {
                number
                    .as_f64()
                    .filter(|float| float.fract() == 0.0 && float.abs() < 9e15)
                    .map(whole)
            }),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(name, value)),
        }
    }

    pub fn flag(&self, name: &str) -> Result<bool> {
        match self.get(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(Value::String(text)) if self.query => match text.to_lowercase().as_str() {
                "true" => Ok(true),
                "false" => Ok(false),
                _ => Err(Failure::invalid(format!(
                    "Invalid boolean value: {text}, must be 'true' or 'false'."
                ))),
            },
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// A floating point number, which may be one of the texts `NaN`, `Infinity` and `-Infinity`.
    pub fn number(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = match value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => Ok(Some(number)),
            None => Err(invalid(name, value)),
        }
    }

    fn list(&self, name: &str) -> Result<&[Value]> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(one) if self.query => Ok(std::slice::from_ref(one)),
            Some(other) => Err(invalid(name, other)),
        }
    }

    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        let all = self.list(name)?;
        let text = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            _ => Err(invalid(name, &Value::Array(all.to_vec()))),
        };
        all.iter().map(text).collect()
    }

    pub fn objects(&self, name: &str) -> Result<Vec<Fields>> {
        let all = self.list(name)?;
        let object = |item: &Value| match item {
            Value::Object(object) => Fields::new(object.clone()),
            _ => Err(invalid(name, &Value::Array(all.to_vec()))),
        };
        all.iter().map(object).collect()
    }

    pub fn object(&self, name: &str) -> Result<Option<Fields>> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(object)) => Fields::new(object.clone()).map(Some),
            Some(other) => Err(invalid(name, other)),
        }
    }

    /// The pairs of a list of `{"key", "value"}`; the last of equal keys counts.
    pub fn pairs(&self, name: &str) -> Result<Vec<(String, String)>> {
        let pair = |(index, item): (usize, &Fields)| {
            let key = item.some_text("key")?;
            let key = key.ok_or_else(|| missing(&format!("{name}[{index}].key")))?;
            Ok((key, item.text("value")?.unwrap_or_default()))
        };
        self.objects(name)?.iter().enumerate().map(pair).collect()
    }

    /// How many results a search may answer. Absent, zero, negative and too large are told apart
    /// by the callers' limits as MLflow's are.
    pub fn max_results(&self, absent: i64, most: i64) -> Result<u32> {
        let wanted = self.integer("max_results")?.unwrap_or(absent);
        if wanted < 1 {
            return Err(Failure::invalid(format!(
                "Invalid value {wanted} for parameter 'max_results' supplied. It must be a positive integer."
            )));
        }
        if wanted > most {
            return Err(Failure::invalid(format!(
                "Invalid value {wanted} for parameter 'max_results' supplied. It must be at most {most}, but got value {wanted}."
            )));
        }
        Ok(u32::try_from(wanted).unwrap_or(u32::MAX))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "checked to be whole and small"
)]
fn whole(float: f64) -> i64 {
    float as i64
}

pub fn missing(name: &str) -> Failure {
    Failure::invalid(format!(
        "Missing value for required parameter '{name}'.{SEE}"
    ))
}

fn invalid(name: &str, value: &Value) -> Failure {
    let kind = match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    };
    invalid_because(
        name,
        value,
        &format!(" Hint: Value was of type '{kind}'.{SEE}"),
    )
}

/// MLflow's sentence for a value that does not fit.
pub fn invalid_because(name: &str, value: &Value, reason: &str) -> Failure {
    Failure::invalid(format!(
        "Invalid value {value} for parameter '{name}' supplied: {reason}"
    ))
}

pub fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::Fields;

    fn message<T: std::fmt::Debug>(result: super::Result<T>) -> String {
        match result {
            Ok(value) => format!("{value:?}"),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn values_come_in_several_forms() {
        let fields = Fields::parse(
            br#"{"runId": "r", "timestamp": "5", "step": 3.0, "value": "NaN", "list": ["a"], "max_results": 0}"#,
        )
        .unwrap();
        assert_eq!(message(fields.run_id()), "\"r\"");
        assert_eq!(message(fields.integer("timestamp")), "Some(5)");
        assert_eq!(message(fields.integer("step")), "Some(3)");
        assert_eq!(message(fields.number("value")), "Some(NaN)");
        assert_eq!(message(fields.texts("list")), "[\"a\"]");
        assert_eq!(
            message(fields.max_results(10, 100)),
            "Invalid value 0 for parameter 'max_results' supplied. It must be a positive integer."
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fields = Fields::parse(br#"{"key": 31, "tags": {"a": 1}, "empty": ""}"#).unwrap();
        let see = super::SEE;
        assert_eq!(
            message(fields.text("key")),
            format!(
                "Invalid value 31 for parameter 'key' supplied:  Hint: Value was of type 'int'.{see}"
            )
        );
        assert_eq!(
            message(fields.pairs("tags")),
            format!(
                "Invalid value {{\"a\":1}} for parameter 'tags' supplied:  Hint: Value was of type 'dict'.{see}"
            )
        );
        assert_eq!(
            message(fields.required("empty")),
            format!("Missing value for required parameter 'empty'.{see}")
        );
        assert!(Fields::parse(br#"{"run_id": "a", "runId": "b"}"#).is_err());
        assert!(Fields::parse(br#"{"value": NaN}"#).is_err());
    }

    #[test]
    fn a_query_repeats_names_for_lists() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let fields = Fields::from_query(vec![
            pair("run_ids", "a"),
            pair("run_ids", "b"),
            pair("one", "c"),
            pair("allow_deleted", "true"),
        ]);
        assert_eq!(message(fields.texts("run_ids")), "[\"a\", \"b\"]");
        assert_eq!(message(fields.texts("one")), "[\"c\"]");
        assert_eq!(message(fields.flag("allow_deleted")), "true");
    }
}
