//! The descriptions of plain types.

use serde_json::{Map as Object, Value};

use super::shape::{Described, Mismatch, Shape, Text, Union};

/// A mapping with the user's own keys, in the order of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct Map<T>(pub Vec<(String, T)>);

impl<T> Map<T> {
    pub fn get(&self, key: &str) -> Option<&T> {
        let mut pairs = self.0.iter();
        pairs.find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for Map<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Described> Described for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const REQUIRED: bool = false;

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        match value {
            None | Some(Value::Null) => Ok(None),
            Some(_) => T::read(value).map(Some),
        }
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }
}

impl<T: Described> Described for Box<T> {
    const SHAPE: Shape = T::SHAPE;
    const REQUIRED: bool = T::REQUIRED;

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        T::read(value).map(Box::new)
    }

    fn write(&self) -> Option<Value> {
        (**self).write()
    }
}

impl<T: Described> Described for Vec<T> {
    const SHAPE: Shape = Shape::List(&T::SHAPE);
    const REQUIRED: bool = false;

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        match value {
            None | Some(Value::Null) => Ok(Vec::new()),
            Some(Value::Array(items)) => items
                .iter()
                .enumerate()
                .map(|(at, item)| {
                    T::read(Some(item)).map_err(|mismatch| mismatch.under(&at.to_string()))
                })
                .collect(),
            Some(_) => Err(Mismatch::wanted("a list", value)),
        }
    }

    fn write(&self) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        Some(self.iter().filter_map(T::write).collect())
    }
}

impl<T: Described> Described for Map<T> {
    const SHAPE: Shape = Shape::Map(&T::SHAPE);
    const REQUIRED: bool = false;

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Object(members)) => members
                .iter()
                .map(|(key, value)| {
                    let value = T::read(Some(value)).map_err(|mismatch| mismatch.under(key))?;
                    Ok((key.clone(), value))
                })
                .collect::<Result<_, _>>()
                .map(Self),
            Some(_) => Err(Mismatch::wanted("a mapping", value)),
        }
    }

    fn write(&self) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        let members = self.0.iter().map(|(key, value)| {
            // An entry without a value still is one: an output of the default kind.
            (key.clone(), value.write().unwrap_or(Value::Null))
        });
        Some(Value::Object(members.collect::<Object<_, _>>()))
    }
}

/// A list or mapping that must be there.
#[derive(Debug, Clone, PartialEq)]
pub struct Required<T>(pub T);

impl<T: Described> Described for Required<T> {
    const SHAPE: Shape = T::SHAPE;

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        match value {
            None => Err(Mismatch("is missing".to_owned())),
            Some(_) => T::read(value).map(Self),
        }
    }

    fn write(&self) -> Option<Value> {
        let empty = match T::SHAPE {
            Shape::List(_) => Value::Array(Vec::new()),
            _ => Value::Object(Object::new()),
        };
        Some(self.0.write().unwrap_or(empty))
    }
}

/// `impl Described` for a type that is one JSON value.
macro_rules! plain {
    ($type:ty, $shape:expr, $what:literal, $read:expr, $write:expr) => {
        impl Described for $type {
            const SHAPE: Shape = $shape;

            fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
                let read: fn(&Value) -> Option<Self> = $read;
                let found = value.and_then(read);
                found.ok_or_else(|| Mismatch::wanted($what, value))
            }

            fn write(&self) -> Option<Value> {
                let write: fn(&Self) -> Value = $write;
                Some(write(self))
            }
        }
    };
}

plain!(
    String,
    Shape::Text(&Text::PLAIN),
    "a string",
    |value| value.as_str().map(str::to_owned),
    |text| text.clone().into()
);
plain!(bool, Shape::Bool, "a boolean", Value::as_bool, |value| {
    (*value).into()
});
plain!(i64, Shape::Integer, "an integer", Value::as_i64, |value| {
    (*value).into()
});
plain!(f64, Shape::Number, "a number", Value::as_f64, |value| {
    (*value).into()
});
plain!(
    Value,
    Shape::Any,
    "a value",
    |value| Some(value.clone()),
    Value::clone
);

/// An integer of a range, which has both its ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Within<const FROM: i64, const TO: i64>(pub i64);

/// An integer from 1 up.
pub type Positive = Within<1, { i64::MAX }>;

impl<const FROM: i64, const TO: i64> Within<FROM, TO> {
    /// The number, if it is of the range: one of a request was not looked at as those of files are.
    pub fn checked(self) -> Result<i64, String> {
        let Self(number) = self;
        if (FROM..=TO).contains(&number) {
            return Ok(number);
        }
        Err(format!("`{number}` is not a number from {FROM} to {TO}"))
    }
}

impl<const FROM: i64, const TO: i64> Described for Within<FROM, TO> {
    const SHAPE: Shape = Shape::Within(FROM, TO);

    /// Whether it is of the range was seen where it was written.
    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        i64::read(value).map(Self)
    }

    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}

/// One number, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
}

impl<T> OneOrMore<T> {
    pub fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(all) => all,
        }
    }
}

impl<T: Described> Described for OneOrMore<T> {
    const SHAPE: Shape = Shape::Union(&Union {
        what: "an integer or a list of integers",
        members: &[T::SHAPE, Vec::<T>::SHAPE],
        ..Union::PLAIN
    });

    fn read(value: Option<&Value>) -> Result<Self, Mismatch> {
        match value {
            Some(Value::Array(_)) => Vec::read(value).map(Self::More),
            value => T::read(value).map(Self::One),
        }
    }

    fn write(&self) -> Option<Value> {
        match self {
            Self::One(one) => one.write(),
            Self::More(all) => all.write(),
        }
    }
}

/// A string, number or boolean, kept as what it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Literal(pub Value);

impl Literal {
    /// As a command line or a script sees it: booleans in Python's spelling.
    pub fn to_text(&self) -> String {
        python_text(&self.0)
    }
}

plain!(
    Literal,
    Shape::Literal,
    "a string, number or boolean",
    |value| (!value.is_array() && !value.is_object()).then(|| Literal(value.clone())),
    |literal| literal.0.clone()
);

/// A string that may be written as a number or boolean: a tag, an environment variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scalar(pub String);

plain!(
    Scalar,
    Shape::Scalar,
    "a string, number or boolean",
    |value| (!value.is_array() && !value.is_object()).then(|| Scalar(python_text(value))),
    |scalar| scalar.0.clone().into()
);

/// A version: `1` and `1.0` are strings too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version(pub String);

plain!(
    Version,
    Shape::Version,
    "a version",
    |value| match value {
        Value::String(text) => Some(Version(text.clone())),
        Value::Number(_) => Some(Version(python_text(value))),
        _ => None,
    },
    |version| version.0.clone().into()
);

/// What Python's `str` makes of a value.
pub fn python_text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_f64() => {
            python_float(number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

fn python_float(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-4..1e16).contains(&size) {
        return if value.fract() == 0.0 {
            format!("{value:.1}")
        } else {
            value.to_string()
        };
    }
    // `1e-7` is `1e-07` there.
    let text = format!("{value:e}");
    match text.split_once('e') {
        Some((digits, exponent)) => {
            let (sign, exponent) = match exponent.strip_prefix('-') {
                Some(exponent) => ('-', exponent),
                None => ('+', exponent),
            };
            format!("{digits}e{sign}{exponent:0>2}")
        }
        None => text,
    }
}
