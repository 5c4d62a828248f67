//! The types that a query is checked against.

use std::{collections::HashMap, sync::LazyLock};

use graphql_parser::schema::{
    Definition, EnumType, Field, InputObjectType, ObjectType, Type as OfParser, TypeDefinition,
    parse_schema,
};

pub type Type = OfParser<'static, String>;

/// The named types of the schema; those that are built into the language are not in it.
pub struct Schema(HashMap<String, TypeDefinition<'static, String>>);

pub static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let text = include_str!("schema.graphql");
    let document = parse_schema::<String>(text).map(graphql_parser::schema::Document::into_static);
    let definitions = document.map_or_else(|_| Vec::new(), |document| document.definitions);
    let named = definitions.into_iter().filter_map(|definition| {
        let Definition::TypeDefinition(definition) = definition else {
            return None;
        };
        let name = match &definition {
            TypeDefinition::Scalar(found) => &found.name,
            TypeDefinition::Object(found) => &found.name,
            TypeDefinition::Interface(found) => &found.name,
            TypeDefinition::Union(found) => &found.name,
            TypeDefinition::Enum(found) => &found.name,
            TypeDefinition::InputObject(found) => &found.name,
        };
        Some((name.clone(), definition))
    });
    Schema(named.collect())
});

impl Schema {
    pub fn object(&self, name: &str) -> Option<&ObjectType<'static, String>> {
        match self.0.get(name) {
            Some(TypeDefinition::Object(found)) => Some(found),
            _ => None,
        }
    }

    pub fn input(&self, name: &str) -> Option<&InputObjectType<'static, String>> {
        match self.0.get(name) {
            Some(TypeDefinition::InputObject(found)) => Some(found),
            _ => None,
        }
    }

    pub fn values(&self, name: &str) -> Option<&EnumType<'static, String>> {
        match self.0.get(name) {
            Some(TypeDefinition::Enum(found)) => Some(found),
            _ => None,
        }
    }
}

pub fn field<'a>(
    object: &'a ObjectType<'static, String>,
    name: &str,
) -> Option<&'a Field<'static, String>> {
    object.fields.iter().find(|field| field.name == name)
}

/// The name inside of lists and exclamation marks.
pub fn named(of: &Type) -> &str {
    match of {
        Type::NamedType(name) => name,
        Type::ListType(inner) | Type::NonNullType(inner) => named(inner),
    }
}

#[cfg(test)]
mod tests {
    use graphql_parser::schema::{Type, TypeDefinition};

    use super::{SCHEMA, named};

    #[test]
    fn every_type_that_is_used_is_there() {
        let known = |of: &Type<'static, String>| {
            let name = named(of);
            SCHEMA.0.contains_key(name) || ["String", "Int", "Float", "Boolean"].contains(&name)
        };
        assert!(SCHEMA.object("Query").is_some() && SCHEMA.object("Mutation").is_some());
        for definition in SCHEMA.0.values() {
            match definition {
                TypeDefinition::Object(object) => {
                    for field in &object.fields {
                        assert!(known(&field.field_type), "{}.{}", object.name, field.name);
                        let arguments = field.arguments.iter();
                        assert!(arguments.map(|known| &known.value_type).all(known));
                    }
                }
                TypeDefinition::InputObject(object) => {
                    for field in &object.fields {
                        assert!(known(&field.value_type), "{}.{}", object.name, field.name);
                    }
                }
                _ => {}
            }
        }
    }
}
