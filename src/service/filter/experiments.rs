//! What experiments can be searched and ordered by.

use super::{
    condition,
    evaluate::{Datum, Listing, select, settle},
    number, order,
    parser::Name,
    text,
};
use api::{Error, Page, Result, experiments::Experiment};
use store::{Condition, Order};

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Id,
    Name,
    CreatedAt,
    UpdatedAt,
    Tag(String),
    /// The id as a number: the order in which they were made.
    Number,
}

/// The experiments that a search asks for, newest first among equals.
pub fn select_experiments(all: Vec<Experiment>, listing: &Listing<'_>) -> Result<Page<Experiment>> {
    let condition = condition(listing.filter, |clause| {
        let field = field(&clause.field)?;
        let test = match &field {
            Field::CreatedAt | Field::UpdatedAt => {
                number(clause, &format!("numeric attribute: {}", clause.field.key))?
            }
            Field::Tag(_) => text(clause, "tag")?,
            Field::Id | Field::Name | Field::Number => text(clause, "attributes")?,
        };
        Ok(Condition::Test(field, test))
    })?;
    let orders = listing.order_by.iter().map(|key| {
        let (name, descending) = order::parse(key)?;
        let field = field(&name)?;
        match field {
            Field::Tag(_) => Err(Error::invalid(format!("Invalid order_by entity: '{key}'"))),
            field => Ok(Order { field, descending }),
        }
    });
    let mut orders = orders.collect::<Result<Vec<_>>>()?;
    let newest = [Field::CreatedAt, Field::Number].map(|field| Order {
        field,
        descending: true,
    });
    settle(&mut orders, newest);
    select(all, listing, &condition, &orders, datum)
}

fn field(name: &Name) -> Result<Field> {
    let key = name.key.as_str();
    match name.entity.as_deref().unwrap_or("attribute") {
        "tag" | "tags" => Ok(Field::Tag(key.to_owned())),
        "attribute" | "attributes" | "attr" | "experiment" => match key {
            "experiment_id" => Ok(Field::Id),
            "name" => Ok(Field::Name),
            "creation_time" => Ok(Field::CreatedAt),
            "last_update_time" => Ok(Field::UpdatedAt),
            _ => Err(Error::invalid(format!(
                "Invalid attribute key '{key}' specified. Valid keys are 'experiment_id', 'name', \
                 'creation_time', 'last_update_time'"
            ))),
        },
        entity => Err(Error::invalid(format!(
            "Invalid entity type '{entity}'. Valid values are ['attribute', 'tag']"
        ))),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds are far below 2^53"
)]
fn datum<'a>(experiment: &'a Experiment, field: &Field) -> Datum<'a> {
    match field {
        Field::Id => Datum::Text(&experiment.id),
        Field::Name => Datum::Text(&experiment.name),
        Field::Number => experiment.id.parse().map_or(Datum::Absent, Datum::Number),
        Field::CreatedAt => Datum::Number(experiment.created_at.0 as f64),
        Field::UpdatedAt => Datum::Number(experiment.updated_at.0 as f64),
        Field::Tag(key) => match experiment.tags.get(key) {
            Some(value) => Datum::Text(value),
            None => Datum::Absent,
        },
    }
}
