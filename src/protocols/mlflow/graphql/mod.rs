//! GraphQL, as far as MLflow's pages ask in it: `POST /graphql` with a query and its variables. The
//! answer is always 200, with the data and what was wrong, as a list of texts.

mod resolve;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{
    call::Call,
    error::Failure,
    wire::{Answer, answer},
};

/// The longest request.
pub const BODY: usize = 1 << 20;

#[derive(Serialize)]
struct Outcome {
    data: Option<Map<String, Value>>,
    errors: Option<Vec<String>>,
}

pub async fn ask(call: Call) -> Answer {
    let fields = &call.fields;
    let query = fields.required("query")?;
    let operation = fields.some_text("operation_name")?;
    let planned = graphql::plan(&query, operation.as_deref(), &variables(&call)?);
    let (data, errors) = match planned {
        Ok(plan) => {
            let (data, errors) = resolve::execute(&call, &plan).await;
            (Some(data), errors)
        }
        Err(error) => (None, vec![error]),
    };
    let errors = (!errors.is_empty()).then_some(errors);
    answer(&Outcome { data, errors })
}

/// An object, which a query string has as a text.
fn variables(call: &Call) -> Result<Map<String, Value>, Failure> {
    let wrong = || Failure::invalid("The variables of a GraphQL query are a JSON object");
    match call.fields.value("variables") {
        None => Ok(Map::new()),
        Some(Value::Object(variables)) => Ok(variables.clone()),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong()),
        Some(_) => Err(wrong()),
    }
}
