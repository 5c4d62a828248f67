//! The description of a kind as a JSON Schema (draft 7), for editors.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_json::{Map as Object, Value, json};

use super::{
    list::Kind,
    shape::{Choice, Record, Shape, Text},
};

/// The schema of a kind. What a flag may give is not required.
pub fn of_kind(kind: &Kind) -> Value {
    let mut writer = Writer {
        given_by_flags: kind.given_by_flags,
        ..Writer::default()
    };
    let root = writer.top(&kind.shape);
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": kind.name,
        "description": kind.doc,
    });
    if let (Value::Object(schema), Value::Object(root)) = (&mut schema, root) {
        schema.extend(root);
        schema.insert("definitions".to_owned(), Value::Object(writer.definitions));
    }
    schema
}

#[derive(Default)]
struct Writer {
    definitions: Object<String, Value>,
    /// The names of definitions by record and whether expressions are allowed in it.
    names: BTreeMap<(usize, bool), String>,
    given_by_flags: &'static [&'static str],
    bindable: bool,
}

impl Writer {
    /// The whole file: what flags may give is not required.
    fn top(&mut self, shape: &Shape) -> Value {
        match shape {
            Shape::Union(union) => {
                let members: Vec<Value> =
                    union.flat().iter().map(|shape| self.top(shape)).collect();
                json!({ "anyOf": members })
            }
            Shape::Record(record) => {
                let record = record();
                self.object(record, self.given_by_flags)
            }
            other => self.shape(other),
        }
    }

    fn shape(&mut self, shape: &Shape) -> Value {
        let plain = match shape {
            Shape::Any => return json!({}),
            Shape::Bool => json!({ "type": "boolean" }),
            Shape::Integer => json!({ "type": "integer" }),
            Shape::Within(from, i64::MAX) => json!({ "type": "integer", "minimum": from }),
            Shape::Within(from, to) => {
                json!({ "type": "integer", "minimum": from, "maximum": to })
            }
            Shape::Number => json!({ "type": "number" }),
            Shape::Literal | Shape::Scalar => json!({ "type": ["string", "number", "boolean"] }),
            Shape::Version => json!({ "type": ["string", "number"] }),
            Shape::Text(text) => return string(text),
            Shape::Choice(choice) => words(choice),
            Shape::List(item) => json!({ "type": "array", "items": self.shape(item) }),
            Shape::Map(value) => {
                let value = self.shape(value);
                // An output with nothing after its name is one of the default kind.
                let value = json!({ "anyOf": [value, { "type": "null" }] });
                json!({ "type": "object", "additionalProperties": value })
            }
            Shape::Record(record) => return self.reference(record()),
            Shape::Union(union) => {
                let members: Vec<Value> = union
                    .members
                    .iter()
                    .map(|member| self.shape(member))
                    .collect();
                let mut schema = json!({ "anyOf": members });
                let doc = union.doc.trim();
                schema["description"] = if doc.is_empty() { union.what } else { doc }.into();
                schema
            }
            Shape::Include(_) => {
                return json!({ "type": "string", "description": "The path of a YAML file." });
            }
        };
        if self.bindable {
            return json!({ "anyOf": [plain, expression()] });
        }
        plain
    }

    /// A record inside of the file: by name, since records contain each other; or a file that holds it.
    fn reference(&mut self, record: &'static Record) -> Value {
        let bindable = self.bindable || record.bindable;
        let key = (std::ptr::from_ref(record).addr(), bindable);
        let name = match self.names.get(&key) {
            Some(name) => name.clone(),
            None => {
                let name = self.new_name(record);
                self.names.insert(key, name.clone());
                self.definitions.insert(name.clone(), Value::Null);
                let outside = std::mem::replace(&mut self.bindable, bindable);
                let object = self.object(record, &[]);
                self.bindable = outside;
                let file = json!({
                    "type": "string",
                    "pattern": "^file:",
                    "description": "The path of a YAML file that holds it.",
                });
                self.definitions
                    .insert(name.clone(), json!({ "anyOf": [object, file] }));
                name
            }
        };
        json!({ "$ref": format!("#/definitions/{name}") })
    }

    fn new_name(&self, record: &Record) -> String {
        let base = record.name.replace(' ', "-").replace(['(', ')'], "");
        let mut name = base.clone();
        let mut number = 1;
        while self.definitions.contains_key(&name) {
            number += 1;
            name = format!("{base}-{number}");
        }
        name
    }

    fn object(&mut self, record: &'static Record, optional: &[&str]) -> Value {
        let mut properties = Object::new();
        let mut required = Vec::new();
        properties.insert("$schema".to_owned(), json!({ "type": "string" }));
        for field in record.all() {
            let mut schema = self.shape(&field.shape);
            if let Some(schema) = schema.as_object_mut() {
                let doc = field.doc.trim();
                // Beside a `$ref` other keys do not count in draft 7.
                if let Some(target) = schema.remove("$ref") {
                    schema.insert("allOf".to_owned(), json!([{ "$ref": target }]));
                }
                if !doc.is_empty() {
                    schema.insert("description".to_owned(), doc.replace('\n', " ").into());
                }
                if let Some(default) = field.default {
                    schema.insert("default".to_owned(), default());
                }
            }
            properties.insert(field.name.to_owned(), schema);
            if field.required && !optional.contains(&field.name) {
                required.push(field.name);
            }
        }
        read_only(record, &mut properties);
        let mut schema = json!({
            "type": "object",
            "properties": properties,
            "additionalProperties": record.open,
        });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        let doc = record.doc.trim();
        if !doc.is_empty() {
            schema["description"] = doc.replace('\n', " ").into();
        }
        schema
    }
}

/// Keys that are dropped may still be there.
fn read_only(record: &Record, properties: &mut Object<String, Value>) {
    for name in record.read_only {
        properties
            .entry((*name).to_owned())
            .or_insert_with(|| json!({ "readOnly": true }));
    }
    for base in record.bases {
        read_only(base(), properties);
    }
}

fn string(text: &Text) -> Value {
    let mut schema = json!({ "type": "string" });
    if let Some(pattern) = text.pattern {
        schema["pattern"] = pattern.into();
    }
    if text.what != Text::PLAIN.what {
        schema["description"] = text.what.into();
    }
    schema
}

fn expression() -> Value {
    json!({ "type": "string", "pattern": r"\$\{\{" })
}

/// The words for completion, and a pattern that lets other cases and styles through.
fn words(choice: &Choice) -> Value {
    let patterns: Vec<String> = choice.words.iter().map(|word| any_style(word)).collect();
    let pattern = format!("^({})$", patterns.join("|"));
    let any = json!({ "type": "string", "pattern": pattern });
    if choice
        .words
        .iter()
        .any(|word| ["true", "false"].contains(word))
    {
        return json!({ "anyOf": [{ "enum": choice.words }, any, { "type": "boolean" }] });
    }
    json!({ "anyOf": [{ "enum": choice.words }, any] })
}

/// `ro_mount` also as `RoMount` and `RO-MOUNT`.
fn any_style(word: &str) -> String {
    let mut pattern = String::new();
    for c in word.chars() {
        match c {
            '_' | '-' | ' ' => pattern += "[_ -]?",
            c if c.is_ascii_alphabetic() => {
                let (lower, upper) = (c.to_ascii_lowercase(), c.to_ascii_uppercase());
                pattern += "[_-]?";
                pattern.push('[');
                pattern.push(lower);
                pattern.push(upper);
                pattern.push(']');
            }
            c => pattern.push(c),
        }
    }
    pattern.replacen("[_-]?", "", 1)
}
