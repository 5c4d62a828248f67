//! What logged models can be searched and ordered by.

use super::{
    condition,
    evaluate::{Datum, Listing, select, settle},
    number, order,
    parser::Name,
    text,
};
use api::{
    Error, Page, Result,
    logged_models::{DatasetName, LoggedModel, MeasuredMetric},
};
use store::{Condition, Order};

#[derive(Debug, Clone, PartialEq)]
enum Field {
    Id,
    Name,
    Kind,
    Status,
    Run,
    CreatedAt,
    UpdatedAt,
    Metric(String),
    Param(String),
    Tag(String),
}

/// The logged models that a search asks for, newest first among equals. With `datasets`, only
/// metrics measured on one of them count.
pub fn select_logged_models(
    all: Vec<LoggedModel>,
    listing: &Listing<'_>,
    datasets: &[DatasetName],
) -> Result<Page<LoggedModel>> {
    let condition = condition(listing.filter, |clause| {
        let field = field(&clause.field)?;
        let test = match &field {
            Field::CreatedAt | Field::UpdatedAt => {
                number(clause, &format!("numeric attribute: {}", clause.field.key))?
            }
            Field::Metric(_) => number(clause, "metric")?,
            Field::Param(_) => text(clause, "parameter")?,
            Field::Tag(_) => text(clause, "tag")?,
            Field::Id | Field::Name | Field::Kind | Field::Status | Field::Run => {
                text(clause, "attributes")?
            }
        };
        Ok(Condition::Test(field, test))
    })?;
    let orders = listing.order_by.iter().map(|key| {
        let (name, descending) = order::parse(key)?;
        let field = field(&name)?;
        Ok(Order { field, descending })
    });
    let mut orders = orders.collect::<Result<Vec<_>>>()?;
    let tie = |field, descending| Order { field, descending };
    settle(
        &mut orders,
        [tie(Field::CreatedAt, true), tie(Field::Id, false)],
    );
    select(all, listing, &condition, &orders, |model, field| {
        datum(model, field, datasets)
    })
}

fn field(name: &Name) -> Result<Field> {
    let key = name.key.clone();
    let entity = name.entity.as_deref().unwrap_or("attributes");
    Ok(match entity.to_lowercase().as_str() {
        "metric" | "metrics" => Field::Metric(key),
        "parameter" | "parameters" | "param" | "params" => Field::Param(key),
        "tag" | "tags" => Field::Tag(key),
        "attribute" | "attributes" | "attr" => match key.as_str() {
            "model_id" => Field::Id,
            "name" => Field::Name,
            "model_type" => Field::Kind,
            "status" => Field::Status,
            "source_run_id" => Field::Run,
            "creation_timestamp" | "creation_time" => Field::CreatedAt,
            "last_updated_timestamp" | "last_updated_time" => Field::UpdatedAt,
            _ => {
                return Err(Error::invalid(format!(
                    "Invalid attribute key '{key}' specified. Valid keys are 'name', 'model_id', 'model_type', \
                     'status', 'source_run_id', 'creation_timestamp', 'last_updated_timestamp'"
                )));
            }
        },
        _ => {
            return Err(Error::invalid(format!(
                "Invalid entity type '{entity}'. Valid values are ['attributes', 'metrics', 'params', 'tags']"
            )));
        }
    })
}

#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds are far below 2^53"
)]
fn datum<'a>(model: &'a LoggedModel, field: &Field, datasets: &[DatasetName]) -> Datum<'a> {
    let text = |found: Option<&'a String>| found.map_or(Datum::Absent, |text| Datum::Text(text));
    match field {
        Field::Id => Datum::Text(&model.id),
        Field::Name => Datum::Text(&model.name),
        Field::Kind => Datum::Text(&model.kind),
        Field::Status => Datum::Text(
            model
                .status
                .mlflow_name()
                .trim_start_matches("LOGGED_MODEL_"),
        ),
        Field::Run => text(model.run.as_ref()),
        Field::CreatedAt => Datum::Number(model.created_at.0 as f64),
        Field::UpdatedAt => Datum::Number(model.updated_at.0 as f64),
        Field::Param(key) => text(model.params.get(key)),
        Field::Tag(key) => text(model.tags.get(key)),
        Field::Metric(key) => {
            let counts = |found: &&MeasuredMetric| {
                let on = |dataset: &DatasetName| dataset.fits(&found.metric);
                found.metric.point.key == *key && (datasets.is_empty() || datasets.iter().any(on))
            };
            let latest = model
                .metrics
                .iter()
                .filter(counts)
                .max_by_key(|found| (found.metric.point.step, found.metric.point.timestamp));
            latest.map_or(Datum::Absent, |found| {
                Datum::Number(found.metric.point.value.0)
            })
        }
    }
}
