//! What models and their versions can be searched and ordered by.
//!
//! Prompts are kept as models. They are found only by a filter that says something of the tag which
//! makes them prompts; every model has that tag here, with the value `false` when it has it not.

use super::{
    condition,
    evaluate::{Datum, Listing, select, settle},
    number, order,
    parser::{Clause, Name, Value},
    text,
};
use api::{
    Error, Page, Result, Time,
    models::Model,
    registered_models::{PROMPT_TAG, RegisteredModel, is_prompt},
};
use store::{Comparison, Condition, ModelFilter, ModelRow, Order, RegisteredModelRow, Test};

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Name,
    Version,
    Stage,
    Run,
    Source,
    CreatedAt,
    UpdatedAt,
    Tag(String),
    Prompt,
}

/// A search for registered models or versions, parsed.
pub struct ModelSearch<'a> {
    listing: &'a Listing<'a>,
    condition: Condition<Field>,
    orders: Vec<Order<Field>>,
}

const OF_MODELS: &[&str] = &["name", "creation_timestamp", "last_updated_timestamp"];
const OF_VERSIONS: &[&str] = &[
    "name",
    "version_number",
    "current_stage",
    "run_id",
    "source_path",
    "creation_timestamp",
    "last_updated_timestamp",
];

impl<'a> ModelSearch<'a> {
    /// A search for registered models, by name unless another order is asked for.
    pub fn of_models(listing: &'a Listing<'a>) -> Result<Self> {
        Self::parse(listing, OF_MODELS, |_| vec![order_by(Field::Name, false)])
    }

    /// A search for versions, changed last first unless another order is asked for.
    pub fn of_versions(listing: &'a Listing<'a>) -> Result<Self> {
        Self::parse(listing, OF_VERSIONS, |asked| {
            let last = (!asked).then(|| order_by(Field::UpdatedAt, true));
            let ties = [order_by(Field::Name, false), order_by(Field::Version, true)];
            last.into_iter().chain(ties).collect()
        })
    }

    /// `ties` is told whether an order is asked for, and completes it.
    fn parse(
        listing: &'a Listing<'a>,
        keys: &[&str],
        ties: impl Fn(bool) -> Vec<Order<Field>>,
    ) -> Result<Self> {
        let mut condition = condition(listing.filter, |clause| test(clause, keys))?;
        if !names_prompts(&condition) {
            let no_prompt = Test::Text(Comparison::Equal, "false".to_owned());
            condition = Condition::All(vec![Condition::Test(Field::Prompt, no_prompt), condition]);
        }
        let mut orders: Vec<Order<Field>> = Vec::new();
        for key in listing.order_by {
            let (name, descending) = order::parse(key)?;
            let field = order_field(&name, keys)?;
            if orders.iter().any(|order| order.field == field) {
                return Err(Error::invalid(format!(
                    "`order_by` contains duplicate fields: {:?}",
                    listing.order_by
                )));
            }
            orders.push(Order { field, descending });
        }
        let ties = ties(!orders.is_empty());
        settle(&mut orders, ties);
        Ok(Self {
            listing,
            condition,
            orders,
        })
    }

    /// What every version that is found has in common, so that no others need to be looked at.
    pub fn common(&self) -> ModelFilter {
        let mut common = ModelFilter::default();
        narrow(&self.condition, &mut common);
        common
    }

    pub fn select_models(&self, all: Vec<RegisteredModelRow>) -> Result<Page<RegisteredModelRow>> {
        select(
            all,
            self.listing,
            &self.condition,
            &self.orders,
            |row, field| of_model(&row.model, field),
        )
    }

    pub fn select_versions(&self, all: Vec<ModelRow>) -> Result<Page<Model>> {
        let page = select(all, self.listing, &self.condition, &self.orders, of_version)?;
        Ok(Page {
            items: page.items.into_iter().map(|row| row.model).collect(),
            next: page.next,
        })
    }
}

fn order_by(field: Field, descending: bool) -> Order<Field> {
    Order { field, descending }
}

fn test(clause: &Clause, keys: &[&str]) -> Result<Condition<Field>> {
    let field = field(&clause.field, keys)?;
    let mut test = match &field {
        Field::CreatedAt | Field::UpdatedAt | Field::Version => {
            let what = format!("numeric attribute: {}", clause.field.key);
            number(&unquoted(clause), &what)?
        }
        Field::Tag(_) | Field::Prompt => text(clause, "tag")?,
        Field::Name | Field::Stage | Field::Run | Field::Source => text(clause, "attributes")?,
    };
    if let (Field::Prompt, Test::Text(_, value)) = (&field, &mut test) {
        value.make_ascii_lowercase();
    }
    Ok(Condition::Test(field, test))
}

/// A number may come in quotes, as clients write versions.
fn unquoted(clause: &Clause) -> Clause {
    let mut clause = clause.clone();
    if let Value::Text(text) = &clause.value
        && let Ok(number) = text.parse::<u32>()
    {
        clause.value = Value::Number(number.into());
    }
    clause
}

fn field(name: &Name, keys: &[&str]) -> Result<Field> {
    let key = name.key.as_str();
    match name.entity.as_deref().unwrap_or("attribute") {
        "tag" | "tags" if key == PROMPT_TAG => Ok(Field::Prompt),
        "tag" | "tags" => Ok(Field::Tag(key.to_owned())),
        "attribute" | "attributes" | "attr" => attribute(key, keys).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid attribute key '{key}' specified. Valid keys are '{}'",
                keys.join("', '")
            ))
        }),
        entity => Err(Error::invalid(format!(
            "Invalid entity type '{entity}'. Valid entity types are ('attribute', 'tag', 'tags')"
        ))),
    }
}

fn attribute(key: &str, keys: &[&str]) -> Option<Field> {
    let field = match key {
        "name" => Field::Name,
        "version_number" => Field::Version,
        "current_stage" => Field::Stage,
        "run_id" => Field::Run,
        "source_path" => Field::Source,
        "creation_timestamp" => Field::CreatedAt,
        "last_updated_timestamp" => Field::UpdatedAt,
        _ => return None,
    };
    keys.contains(&key).then_some(field)
}

fn order_field(name: &Name, keys: &[&str]) -> Result<Field> {
    let entity = name.entity.as_deref().unwrap_or("attribute");
    if !entity.starts_with("attr") {
        return Err(Error::invalid(format!("Invalid order_by entity: {entity}")));
    }
    match name.key.as_str() {
        "timestamp" => Ok(Field::UpdatedAt),
        key => attribute(key, keys).ok_or_else(|| {
            Error::invalid(format!(
                "Invalid order by key '{key}' specified. Valid keys are '{}'",
                keys.join("', '")
            ))
        }),
    }
}

fn names_prompts(condition: &Condition<Field>) -> bool {
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().any(names_prompts),
        Condition::Not(part) => names_prompts(part),
        Condition::Test(field, _) => *field == Field::Prompt,
    }
}

fn narrow(condition: &Condition<Field>, common: &mut ModelFilter) {
    match condition {
        Condition::All(parts) => parts.iter().for_each(|part| narrow(part, common)),
        Condition::Test(Field::Name, Test::Text(Comparison::Equal, name)) => {
            common.name = Some(name.clone());
        }
        Condition::Test(Field::Run, Test::Text(Comparison::Equal, run)) => {
            common.run = Some(run.clone());
        }
        Condition::Any(_) | Condition::Not(_) | Condition::Test(..) => {}
    }
}

fn of_model<'a>(model: &'a RegisteredModel, field: &Field) -> Datum<'a> {
    match field {
        Field::Name => Datum::Name(&model.name),
        Field::CreatedAt => at(model.created_at),
        Field::UpdatedAt => at(model.updated_at),
        Field::Tag(key) => maybe(model.tags.get(key)),
        Field::Prompt => yes_or_no(is_prompt(&model.tags)),
        Field::Version | Field::Stage | Field::Run | Field::Source => Datum::Absent,
    }
}

#[expect(clippy::cast_precision_loss, reason = "versions are far below 2^53")]
fn of_version<'a>(row: &'a ModelRow, field: &Field) -> Datum<'a> {
    let model = &row.model;
    match field {
        Field::Name => Datum::Name(&model.name),
        Field::Version => Datum::Number(model.version as f64),
        Field::Stage => Datum::Name(model.stage.name()),
        Field::Run => maybe(model.lineage.run.as_ref()),
        Field::Source => maybe(model.source.as_ref()),
        Field::CreatedAt => at(model.created_at),
        Field::UpdatedAt => at(model.updated_at),
        Field::Tag(key) => maybe(model.tags.get(key)),
        Field::Prompt => yes_or_no(row.of_prompt || is_prompt(&model.tags)),
    }
}

fn maybe(text: Option<&String>) -> Datum<'_> {
    text.map_or(Datum::Absent, |text| Datum::Text(text))
}

fn yes_or_no(yes: bool) -> Datum<'static> {
    Datum::Text(if yes { "true" } else { "false" })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds are far below 2^53"
)]
fn at(time: Time) -> Datum<'static> {
    Datum::Number(time.0 as f64)
}
