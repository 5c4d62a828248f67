//! UBJSON, as far as `XGBoost` writes it.

use serde_json::{Map, Number, Value};

use api::{Error, Result};

/// How deep values may lie in each other.
const DEEPEST: usize = 64;

pub fn read(bytes: &[u8]) -> Result<Value> {
    let mut reader = Reader { bytes, depth: 0 };
    reader
        .marked()
        .ok_or_else(|| Error::invalid("The model is no UBJSON, or it is not whole"))
}

struct Reader<'a> {
    bytes: &'a [u8],
    depth: usize,
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.bytes.split_first_chunk::<N>()?;
        self.bytes = rest;
        Some(*part)
    }

    fn mark(&mut self) -> Option<u8> {
        self.take::<1>().map(|[mark]| mark)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.first().copied()
    }

    fn marked(&mut self) -> Option<Value> {
        let mark = self.mark()?;
        self.value(mark)
    }

    fn value(&mut self, mark: u8) -> Option<Value> {
        Some(match mark {
            b'Z' => Value::Null,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'i' => i8::from_be_bytes(self.take()?).into(),
            b'U' => u8::from_be_bytes(self.take()?).into(),
            b'I' => i16::from_be_bytes(self.take()?).into(),
            b'l' => i32::from_be_bytes(self.take()?).into(),
            b'L' => i64::from_be_bytes(self.take()?).into(),
            b'd' => real(f64::from(f32::from_be_bytes(self.take()?))),
            b'D' => real(f64::from_be_bytes(self.take()?)),
            b'C' => Value::from(char::from(self.mark()?).to_string()),
            b'S' | b'H' => Value::from(self.text()?),
            b'[' => self.nested(Self::array)?,
            b'{' => self.nested(Self::object)?,
            _ => return None,
        })
    }

    fn nested(&mut self, read: fn(&mut Self) -> Option<Value>) -> Option<Value> {
        self.depth += 1;
        let value = (self.depth < DEEPEST).then(|| read(self)).flatten();
        self.depth -= 1;
        value
    }

    fn length(&mut self) -> Option<usize> {
        let length = self.marked()?;
        usize::try_from(length.as_u64()?).ok()
    }

    fn text(&mut self) -> Option<String> {
        let length = self.length()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        String::from_utf8(text.to_vec()).ok()
    }

    /// The type and the number that all values of a list have, as far as they are said.
    fn said(&mut self) -> Option<(Option<u8>, Option<usize>)> {
        let mut kind = None;
        if self.peek()? == b'$' {
            self.mark()?;
            kind = Some(self.mark()?);
        }
        if self.peek()? != b'#' {
            return Some((kind, None));
        }
        self.mark()?;
        let length = self.length()?;
        // Also of those that need no byte each.
        (length <= self.bytes.len()).then_some((kind, Some(length)))
    }

    fn array(&mut self) -> Option<Value> {
        let (kind, count) = self.said()?;
        let mut all = Vec::new();
        while count.is_none_or(|count| all.len() < count) {
            if count.is_none() && self.peek()? == b']' {
                self.mark()?;
                break;
            }
            let mark = match kind {
                Some(kind) => kind,
                None => self.mark()?,
            };
            all.push(self.value(mark)?);
        }
        Some(Value::Array(all))
    }

    fn object(&mut self) -> Option<Value> {
        let (kind, count) = self.said()?;
        let mut all = Map::new();
        let mut read = 0;
        while count.is_none_or(|count| read < count) {
            if count.is_none() && self.peek()? == b'}' {
                self.mark()?;
                break;
            }
            let name = self.text()?;
            let mark = match kind {
                Some(kind) => kind,
                None => self.mark()?,
            };
            let value = self.value(mark)?;
            all.insert(name, value);
            read += 1;
        }
        Some(Value::Object(all))
    }
}

fn real(number: f64) -> Value {
    Number::from_f64(number).map_or(Value::Null, Value::Number)
}
