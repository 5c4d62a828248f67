//! Values that a query gives, in its text or as variables, checked against their types.

use std::collections::HashMap;

use graphql_parser::query::{Value as Literal, VariableDefinition};
use serde_json::{Map, Number, Value};

use super::schema::{SCHEMA, Type};

type Result<T> = std::result::Result<T, String>;

/// The variables that have a value, by name; those that are only declared have none.
pub type Variables = HashMap<String, Option<Value>>;

pub fn variables(
    declared: &[VariableDefinition<String>],
    given: &Map<String, Value>,
) -> Result<Variables> {
    let mut found = HashMap::new();
    for variable in declared {
        let name = &variable.name;
        let of = own(&variable.var_type);
        let value = match (given.get(name), &variable.default_value) {
            (Some(value), _) => Some(
                json(value, &of)
                    .map_err(|e| format!("Variable \"${name}\" got invalid value: {e}"))?,
            ),
            (None, Some(default)) => literal(default, &of, &HashMap::new())?,
            (None, None) if matches!(of, Type::NonNullType(_)) => {
                return Err(format!(
                    "Variable \"${name}\" of required type \"{of}\" was not provided."
                ));
            }
            (None, None) => None,
        };
        if found.insert(name.clone(), value).is_some() {
            return Err(format!("There can be only one variable named \"${name}\"."));
        }
    }
    Ok(found)
}

fn own(of: &graphql_parser::query::Type<String>) -> Type {
    match of {
        graphql_parser::query::Type::NamedType(name) => Type::NamedType(name.clone()),
        graphql_parser::query::Type::ListType(inner) => Type::ListType(Box::new(own(inner))),
        graphql_parser::query::Type::NonNullType(inner) => Type::NonNullType(Box::new(own(inner))),
    }
}

/// A value in the text of the query; none for a variable without a value.
pub fn literal(value: &Literal<String>, of: &Type, variables: &Variables) -> Result<Option<Value>> {
    let value = match value {
        Literal::Variable(name) => {
            let found = variables.get(name);
            let found = found.ok_or(format!("Variable \"${name}\" is not defined."))?;
            match found {
                None => return Ok(None),
                Some(value) => value.clone(),
            }
        }
        other => match plain(other, variables)? {
            None => return Ok(None),
            Some(value) => value,
        },
    };
    json(&value, of).map(Some)
}

/// A literal as JSON, whatever its type. An enum's value and a text are alike then, as in variables.
fn plain(value: &Literal<String>, variables: &Variables) -> Result<Option<Value>> {
    Ok(Some(match value {
        Literal::Variable(name) => match variables.get(name) {
            None => return Err(format!("Variable \"${name}\" is not defined.")),
            Some(None) => return Ok(None),
            Some(Some(value)) => value.clone(),
        },
        Literal::Int(number) => number.as_i64().into(),
        Literal::Float(number) => Number::from_f64(*number).map_or(Value::Null, Value::Number),
        Literal::String(text) => text.clone().into(),
        Literal::Enum(name) => name.clone().into(),
        Literal::Boolean(flag) => (*flag).into(),
        Literal::Null => Value::Null,
        Literal::List(items) => {
            let mut list = Vec::with_capacity(items.len());
            for item in items {
                list.push(plain(item, variables)?.unwrap_or_default());
            }
            list.into()
        }
        Literal::Object(fields) => {
            let mut object = Map::new();
            for (name, field) in fields {
                if let Some(field) = plain(field, variables)? {
                    object.insert(name.clone(), field);
                }
            }
            object.into()
        }
    }))
}

/// Checks a value against its type. One value is a list of one where a list is expected.
fn json(value: &Value, of: &Type) -> Result<Value> {
    let name = match of {
        Type::NonNullType(inner) => {
            if value.is_null() {
                return Err(format!("Expected value of type \"{of}\", found null."));
            }
            return json(value, inner);
        }
        _ if value.is_null() => return Ok(Value::Null),
        Type::ListType(inner) => {
            let items = value
                .as_array()
                .map_or(std::slice::from_ref(value), Vec::as_slice);
            let items: Result<Vec<Value>> = items.iter().map(|item| json(item, inner)).collect();
            return Ok(items?.into());
        }
        Type::NamedType(name) => name,
    };
    if let Some(input) = SCHEMA.input(name) {
        let unlike = || format!("Expected value of type \"{name}\", found {value}.");
        let mut checked = Map::new();
        for (field, value) in value.as_object().ok_or_else(unlike)? {
            let known = input.fields.iter().find(|known| known.name == *field);
            let known = known.ok_or(format!(
                "Field \"{field}\" is not defined by type \"{name}\"."
            ))?;
            checked.insert(field.clone(), json(value, &known.value_type)?);
        }
        return Ok(checked.into());
    }
    let fits = match (name.as_str(), value) {
        ("String" | "ID", Value::String(_))
        | ("Boolean", Value::Bool(_))
        | ("Float", Value::Number(_)) => true,
        ("Int", Value::Number(number)) => number
            .as_i64()
            .is_some_and(|number| i32::try_from(number).is_ok()),
        ("LongString", Value::Number(number)) => number.is_i64(),
        ("LongString", Value::String(text)) => text.trim().parse::<i64>().is_ok(),
        (name, Value::String(text)) => SCHEMA
            .values(name)
            .is_some_and(|known| known.values.iter().any(|value| value.name == *text)),
        _ => false,
    };
    if fits {
        return Ok(value.clone());
    }
    Err(format!("Expected value of type \"{name}\", found {value}."))
}
