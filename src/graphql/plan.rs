//! Makes a plan of a query: its fragments put in place, its variables filled in, every field known.

use std::collections::HashMap;

use graphql_parser::query::{
    Definition, Directive, Document, Field, FragmentDefinition, OperationDefinition, Selection,
    SelectionSet, TypeCondition, VariableDefinition,
};
use serde_json::{Map, Value};

use super::{
    input::{self, Variables},
    schema::{self, SCHEMA, Type},
};

type Result<T> = std::result::Result<T, String>;
type Set<'a> = SelectionSet<'a, String>;

const DEPTH: usize = 10;
const SELECTIONS: usize = 1000;
const ROOT_FIELDS: usize = 10;
const ALIASES: usize = 10;

/// A field to be answered under `key`.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    pub key: String,
    pub name: String,
    /// None for `__typename`.
    pub of: Option<Type>,
    pub arguments: Map<String, Value>,
    pub selected: Vec<Planned>,
}

/// The root type of the operation and what is asked of it.
pub struct Plan {
    pub root: &'static str,
    pub fields: Vec<Planned>,
}

pub fn plan(query: &str, operation: Option<&str>, given: &Map<String, Value>) -> Result<Plan> {
    let document = graphql_parser::parse_query::<String>(query)
        .map_err(|e| format!("Syntax Error: {}", one_line(&e.to_string())))?;
    let fragments = fragments(&document)?;
    let operations: Vec<Operation> = document.definitions.iter().filter_map(of).collect();
    for operation in &operations {
        check_size(operation.set, &fragments)?;
    }
    let chosen = choose(operations, operation)?;
    let Some(root) = chosen.root else {
        return Err("Schema is not configured to execute subscription operation.".to_owned());
    };
    let planner = Planner {
        fragments,
        variables: input::variables(chosen.variables, given)?,
    };
    planner.check_directives(chosen.directives, &["component", "include", "skip"])?;
    let mut fields = Vec::new();
    planner.collect(root, chosen.set, &mut fields)?;
    Ok(Plan { root, fields })
}

/// The parser's errors have a line for each thing that it would have understood.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Operation<'a> {
    name: Option<&'a str>,
    root: Option<&'static str>,
    variables: &'a [VariableDefinition<'a, String>],
    directives: &'a [Directive<'a, String>],
    set: &'a Set<'a>,
}

fn of<'a>(definition: &'a Definition<'a, String>) -> Option<Operation<'a>> {
    let Definition::Operation(operation) = definition else {
        return None;
    };
    Some(match operation {
        OperationDefinition::SelectionSet(set) => Operation {
            name: None,
            root: Some("Query"),
            variables: &[],
            directives: &[],
            set,
        },
        OperationDefinition::Query(query) => Operation {
            name: query.name.as_deref(),
            root: Some("Query"),
            variables: &query.variable_definitions,
            directives: &query.directives,
            set: &query.selection_set,
        },
        OperationDefinition::Mutation(mutation) => Operation {
            name: mutation.name.as_deref(),
            root: Some("Mutation"),
            variables: &mutation.variable_definitions,
            directives: &mutation.directives,
            set: &mutation.selection_set,
        },
        OperationDefinition::Subscription(subscription) => Operation {
            name: subscription.name.as_deref(),
            root: None,
            variables: &subscription.variable_definitions,
            directives: &subscription.directives,
            set: &subscription.selection_set,
        },
    })
}

fn choose<'a>(mut all: Vec<Operation<'a>>, name: Option<&str>) -> Result<Operation<'a>> {
    let found = match name {
        Some(name) => all
            .iter()
            .position(|operation| operation.name == Some(name))
            .ok_or_else(|| format!("Unknown operation named \"{name}\"."))?,
        None if all.len() > 1 => {
            return Err(
                "Must provide operation name if query contains multiple operations.".to_owned(),
            );
        }
        None => 0,
    };
    if all.is_empty() {
        return Err("Must provide an operation.".to_owned());
    }
    Ok(all.swap_remove(found))
}

type Fragments<'a> = HashMap<&'a str, &'a FragmentDefinition<'a, String>>;

fn fragments<'a>(document: &'a Document<'a, String>) -> Result<Fragments<'a>> {
    let mut found = HashMap::new();
    for definition in &document.definitions {
        if let Definition::Fragment(fragment) = definition
            && found.insert(fragment.name.as_str(), fragment).is_some()
        {
            return Err(format!(
                "There can be only one fragment named \"{}\".",
                fragment.name
            ));
        }
    }
    Ok(found)
}

/// What an operation asks for, counted with its fragments in place. A spread counts as a field, so
/// that fragments of fragments end somewhere.
struct Size<'a, 'b> {
    fragments: &'b Fragments<'a>,
    selections: usize,
    roots: usize,
    aliases: usize,
}

fn check_size(set: &Set, fragments: &Fragments) -> Result<()> {
    let mut size = Size {
        fragments,
        selections: 0,
        roots: 0,
        aliases: 0,
    };
    size.add(set, 1)?;
    for (what, found, most) in [
        ("root fields", size.roots, ROOT_FIELDS),
        ("aliases", size.aliases, ALIASES),
    ] {
        if found > most {
            return Err(format!(
                "GraphQL queries should have at most {most} {what}, got {found} {what}."
            ));
        }
    }
    Ok(())
}

impl Size<'_, '_> {
    fn add(&mut self, set: &Set, depth: usize) -> Result<()> {
        if depth > DEPTH {
            return Err(format!("Query exceeds maximum depth of {DEPTH}"));
        }
        for selection in &set.items {
            self.selections += 1;
            if self.selections > SELECTIONS {
                return Err(format!(
                    "Query exceeds maximum total selections of {SELECTIONS}"
                ));
            }
            match selection {
                Selection::Field(field) => {
                    self.roots += usize::from(depth == 1);
                    self.aliases += usize::from(field.alias.is_some());
                    if !field.selection_set.items.is_empty() {
                        self.add(&field.selection_set, depth + 1)?;
                    }
                }
                Selection::InlineFragment(inline) => {
                    self.add(&inline.selection_set, depth)?;
                }
                Selection::FragmentSpread(spread) => {
                    if let Some(fragment) = self.fragments.get(spread.fragment_name.as_str()) {
                        self.add(&fragment.selection_set, depth)?;
                    }
                }
            }
        }
        Ok(())
    }
}

struct Planner<'a> {
    fragments: Fragments<'a>,
    variables: Variables,
}

impl Planner<'_> {
    /// Adds what a set asks of a type.
    fn collect(&self, of: &str, set: &Set, into: &mut Vec<Planned>) -> Result<()> {
        for selection in &set.items {
            match selection {
                Selection::Field(field) => {
                    if self.included(&field.directives)? {
                        merge(into, self.field(of, field)?)?;
                    }
                }
                Selection::InlineFragment(inline) => {
                    if let Some(condition) = &inline.type_condition {
                        check_condition(of, condition)?;
                    }
                    if self.included(&inline.directives)? {
                        self.collect(of, &inline.selection_set, into)?;
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name.as_str();
                    let fragment = self.fragments.get(name);
                    let fragment = fragment.ok_or(format!("Unknown fragment \"{name}\"."))?;
                    check_condition(of, &fragment.type_condition)?;
                    if self.included(&spread.directives)? {
                        self.collect(of, &fragment.selection_set, into)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn field(&self, of: &str, field: &Field<String>) -> Result<Planned> {
        let name = field.name.as_str();
        let planned = Planned {
            key: field.alias.clone().unwrap_or_else(|| field.name.clone()),
            name: field.name.clone(),
            of: None,
            arguments: Map::new(),
            selected: Vec::new(),
        };
        if name == "__typename" {
            return Ok(planned);
        }
        let object = SCHEMA.object(of);
        let known = object.and_then(|object| schema::field(object, name));
        let known = known.ok_or(format!("Cannot query field \"{name}\" on type \"{of}\"."))?;
        let mut arguments = Map::new();
        for (argument, value) in &field.arguments {
            let expected = known.arguments.iter().find(|known| known.name == *argument);
            let expected = expected.ok_or(format!(
                "Unknown argument \"{argument}\" on field \"{of}.{name}\"."
            ))?;
            if let Some(value) = input::literal(value, &expected.value_type, &self.variables)? {
                arguments.insert(argument.clone(), value);
            }
        }
        let inner = schema::named(&known.field_type);
        let mut selected = Vec::new();
        match (SCHEMA.object(inner), field.selection_set.items.is_empty()) {
            (Some(_), true) => {
                return Err(format!(
                    "Field \"{name}\" of type \"{}\" must have a selection of subfields. Did you mean \
                     \"{name} {{ ... }}\"?",
                    known.field_type
                ));
            }
            (None, false) => {
                return Err(format!(
                    "Field \"{name}\" must not have a selection since type \"{}\" has no subfields.",
                    known.field_type
                ));
            }
            (Some(_), false) => self.collect(inner, &field.selection_set, &mut selected)?,
            (None, true) => {}
        }
        Ok(Planned {
            of: Some(known.field_type.clone()),
            arguments,
            selected,
            ..planned
        })
    }

    fn check_directives(&self, all: &[Directive<String>], known: &[&str]) -> Result<()> {
        match all.iter().find(|one| !known.contains(&one.name.as_str())) {
            Some(other) => Err(format!("Unknown directive \"@{}\".", other.name)),
            None => Ok(()),
        }
    }

    fn included(&self, directives: &[Directive<String>]) -> Result<bool> {
        self.check_directives(directives, &["include", "skip"])?;
        let boolean = Type::NonNullType(Box::new(Type::NamedType("Boolean".to_owned())));
        for directive in directives {
            let condition = directive.arguments.iter().find(|(name, _)| name == "if");
            let (_, value) = condition.ok_or(format!(
                "Directive \"@{}\" argument \"if\" of type \"Boolean!\" is required, but it was not \
                 provided.",
                directive.name
            ))?;
            let value = input::literal(value, &boolean, &self.variables)?;
            if value != Some(Value::Bool(directive.name == "include")) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// There are no interfaces or unions: a fragment is on the type itself or on nothing.
fn check_condition(of: &str, TypeCondition::On(on): &TypeCondition<String>) -> Result<()> {
    if on == of {
        return Ok(());
    }
    if SCHEMA.object(on).is_none() {
        return Err(format!("Unknown type \"{on}\"."));
    }
    Err(format!(
        "Fragment cannot be spread here as objects of type \"{of}\" can never be of type \"{on}\"."
    ))
}

/// Adds a field; the same one asked for twice is one.
fn merge(into: &mut Vec<Planned>, field: Planned) -> Result<()> {
    let Some(known) = into.iter_mut().find(|known| known.key == field.key) else {
        into.push(field);
        return Ok(());
    };
    if known.name != field.name || known.arguments != field.arguments {
        return Err(format!(
            "Fields \"{0}\" conflict because they ask for different things. Use different aliases on the \
             fields to fetch both if this was intentional.",
            field.key
        ));
    }
    for selected in field.selected {
        merge(&mut known.selected, selected)?;
    }
    Ok(())
}
