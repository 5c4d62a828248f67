//! The tree itself.

use serde_json::{Map, Number, Value};

use super::Span;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub struct Node {
    pub span: Span,
    pub data: Data,
    /// The text of a scalar as it was written; empty for lists and mappings.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text,
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a mapping with its value.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// Equal when they say the same, wherever they were written.
impl PartialEq for Node {
    fn eq(&self, other: &Self) -> bool {
        match (&self.data, &other.data) {
            (Data::Text, Data::Text) => self.text == other.text,
            (mine, theirs) => mine == theirs,
        }
    }
}

impl Node {
    pub fn text(text: impl Into<String>, span: Span) -> Self {
        Self {
            span,
            data: Data::Text,
            text: text.into(),
        }
    }

    pub fn new(data: Data, span: Span) -> Self {
        Self {
            span,
            data,
            text: String::new(),
        }
    }

    /// The string, if this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self.data {
            Data::Text => Some(&self.text),
            _ => None,
        }
    }

    pub fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        let mut entries = self.entries().iter();
        entries
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    pub fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// What this is, for messages: `a list`.
    pub fn kind(&self) -> &'static str {
        match self.data {
            Data::Null => "nothing",
            Data::Bool(_) => "a boolean",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Text => "a string",
            Data::List(_) => "a list",
            Data::Map(_) => "a mapping",
        }
    }

    /// The plain value. Numbers that JSON does not have become strings.
    pub fn to_value(&self) -> Value {
        match &self.data {
            Data::Null => Value::Null,
            Data::Bool(value) => Value::Bool(*value),
            Data::Int(value) => Value::from(*value),
            Data::Float(value) => {
                Number::from_f64(*value).map_or_else(|| self.text.clone().into(), Value::Number)
            }
            Data::Text => Value::String(self.text.clone()),
            Data::List(items) => items.iter().map(Self::to_value).collect(),
            Data::Map(entries) => {
                let pairs = entries
                    .iter()
                    .map(|entry| (entry.key.clone(), entry.value.to_value()));
                Value::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// The tree of a plain value, all of it at one place.
    pub fn from_value(value: &Value, span: Span) -> Self {
        let data = match value {
            Value::Null => Data::Null,
            Value::Bool(value) => Data::Bool(*value),
            Value::Number(number) => match number.as_i64() {
                Some(int) => Data::Int(int),
                None => Data::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => return Self::text(text.clone(), span),
            Value::Array(items) => Data::List(
                items
                    .iter()
                    .map(|item| Self::from_value(item, span))
                    .collect(),
            ),
            Value::Object(members) => {
                let entries = members.iter().map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: span,
                    value: Self::from_value(value, span),
                });
                Data::Map(entries.collect())
            }
        };
        let text = match value {
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            _ => String::new(),
        };
        Self { span, data, text }
    }
}
