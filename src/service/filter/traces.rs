//! What traces can be searched and ordered by.

use super::{Clause, condition, number, order, parser::Name, text};
use api::{
    Error, Result,
    trace_measures::Measured,
    traces::{AssessmentKind, TraceState, keys},
};
use store::{Comparison, Condition, MeasureField, Order, SpanField, Test, TraceField};

/// The condition that a filter puts on traces.
pub fn trace_condition(filter: &str) -> Result<Condition<TraceField>> {
    condition(filter, |clause| {
        let field = field(&clause.field)?;
        let test = match &field {
            TraceField::StartedAt | TraceField::Duration | TraceField::EndedAt => {
                number(clause, &format!("numeric attribute: {}", clause.field.key))?
            }
            TraceField::State => state(clause)?,
            TraceField::Prompt => prompt(clause)?,
            TraceField::Assessment(..) | TraceField::Span(SpanField::Attribute(_)) => any(clause)?,
            TraceField::Metadata(_) => text(clause, "request_metadata")?,
            TraceField::Tag(_) => text(clause, "tag")?,
            TraceField::Span(_) | TraceField::Text => text(clause, "span")?,
            TraceField::Id
            | TraceField::ClientRequestId
            | TraceField::Experiment
            | TraceField::Run
            | TraceField::Issue => text(clause, "attribute")?,
        };
        Ok(Condition::Test(field, test))
    })
}

/// The order that keys such as `execution_time DESC` ask for.
pub fn trace_orders(orders: &[String]) -> Result<Vec<Order<TraceField>>> {
    let order = |key: &String| {
        let (name, descending) = order::parse(key)?;
        let field = field(&name)?;
        match field {
            TraceField::Span(_) | TraceField::Text => {
                Err(Error::invalid(format!("Invalid order_by entity: '{key}'")))
            }
            field => Ok(Order { field, descending }),
        }
    };
    orders.iter().map(order).collect()
}

fn field(name: &Name) -> Result<TraceField> {
    let key = name.key.as_str();
    let entity = name.entity.as_deref().unwrap_or("attribute");
    Ok(match entity {
        "tag" | "tags" => TraceField::Tag(key.to_owned()),
        "metadata" | "request_metadata" => match key {
            keys::RUN => TraceField::Run,
            key => TraceField::Metadata(key.to_owned()),
        },
        "attribute" | "attributes" | "trace" => attribute(key)?,
        "span" => TraceField::Span(span(key)?),
        "span.attributes" => TraceField::Span(span(&format!("attributes.{key}"))?),
        "feedback" => TraceField::Assessment(AssessmentKind::Feedback, key.to_owned()),
        "expectation" => TraceField::Assessment(AssessmentKind::Expectation, key.to_owned()),
        "issue" if key == "id" => TraceField::Issue,
        "issue" => {
            return Err(Error::invalid(format!(
                "Invalid issue attribute '{key}'. Supported attributes: id"
            )));
        }
        _ => {
            return Err(Error::invalid(format!(
                "Invalid entity type '{entity}'. Valid values are ['attribute', 'tag', \
                 'request_metadata', 'span', 'feedback', 'expectation', 'issue']"
            )));
        }
    })
}

fn attribute(key: &str) -> Result<TraceField> {
    Ok(match key {
        "request_id" | "trace_id" => TraceField::Id,
        "client_request_id" => TraceField::ClientRequestId,
        "experiment_id" => TraceField::Experiment,
        "timestamp" | "timestamp_ms" | "request_time" => TraceField::StartedAt,
        "execution_time" | "execution_time_ms" | "execution_duration" => TraceField::Duration,
        "end_time" | "end_time_ms" => TraceField::EndedAt,
        "status" | "state" => TraceField::State,
        "name" => TraceField::Tag(keys::NAME.to_owned()),
        "run_id" => TraceField::Run,
        "prompt" => TraceField::Prompt,
        "text" => TraceField::Text,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid attribute key '{key}' specified. Valid keys are 'request_id', 'timestamp', \
                 'timestamp_ms', 'execution_time', 'execution_time_ms', 'end_time', 'end_time_ms', \
                 'status', 'client_request_id', 'name', 'run_id', 'prompt', 'text'"
            )));
        }
    })
}

fn span(key: &str) -> Result<SpanField> {
    if let Some(attribute) = key.strip_prefix("attributes.") {
        let attribute = attribute.trim_matches('`');
        // Where it is in the stored span cannot be said otherwise.
        if attribute.is_empty() || attribute.contains('"') {
            return Err(Error::invalid(format!(
                "'{attribute}' cannot be the name of a span's attribute"
            )));
        }
        return Ok(SpanField::Attribute(attribute.to_owned()));
    }
    match key {
        "name" => Ok(SpanField::Name),
        "type" => Ok(SpanField::Kind),
        "status" => Ok(SpanField::Status),
        _ => Err(Error::invalid(format!(
            "Invalid span attribute '{key}'. Supported attributes: name, status, type, \
             attributes.<attribute_name>."
        ))),
    }
}

/// A number is compared with numbers, a text with texts.
fn any(clause: &Clause) -> Result<Test> {
    match clause.value {
        super::Value::Number(_) => number(clause, "number"),
        _ => text(clause, "attribute"),
    }
}

/// A prompt is asked for as a whole.
fn prompt(clause: &Clause) -> Result<Test> {
    match text(clause, "prompt")? {
        Test::Text(Comparison::Equal, text) if text.matches('/').count() == 1 => {
            Ok(Test::Text(Comparison::Equal, text))
        }
        Test::Text(Comparison::Equal, text) => Err(Error::invalid(format!(
            "Invalid prompts filter value '{text}'. Expected format: prompt = \"name/version\""
        ))),
        _ => Err(Error::invalid(
            "Invalid comparator for prompts filter. Only '=' is supported with format: \
             prompt = \"name/version\"",
        )),
    }
}

/// A state may be written in lower case, and `UNSPECIFIED` stands for its long name.
fn state(clause: &Clause) -> Result<Test> {
    let known = |text: String| {
        let upper = text.to_uppercase();
        match upper.as_str() {
            "UNSPECIFIED" => TraceState::StateUnspecified.name().to_owned(),
            _ => upper,
        }
    };
    let all = |texts: Vec<String>| texts.into_iter().map(known).collect();
    Ok(match text(clause, "attribute")? {
        Test::Text(comparison, text) => Test::Text(comparison, known(text)),
        Test::OneOf(texts) => Test::OneOf(all(texts)),
        Test::NoneOf(texts) => Test::NoneOf(all(texts)),
        test => test,
    })
}

/// The condition that a filter puts on what is measured of traces.
pub fn measure_condition(filter: &str, of: Measured) -> Result<Condition<MeasureField>> {
    condition(filter, |clause| {
        let field = measure_field(&clause.field, of)?;
        let test = match &field {
            MeasureField::Trace(TraceField::State) => state(clause)?,
            _ => text(clause, "filter")?,
        };
        Ok(Condition::Test(field, test))
    })
}

fn measure_field(name: &Name, of: Measured) -> Result<MeasureField> {
    let entity = name.entity.as_deref().unwrap_or_default();
    // A key in quotes is all that comes after the second dot.
    let full = format!("{entity}.{}", name.key);
    let parts: Vec<&str> = full.splitn(3, '.').collect();
    Ok(match parts.as_slice() {
        ["trace", "status"] => MeasureField::Trace(TraceField::State),
        ["trace", "tag", key] => MeasureField::Trace(TraceField::Tag((*key).to_owned())),
        ["trace", "metadata", key] => MeasureField::Trace(TraceField::Metadata((*key).to_owned())),
        ["span", key] => MeasureField::Span(span(key)?),
        ["assessment", "name"] if of == Measured::Assessments => MeasureField::AssessmentName,
        ["assessment", "type"] if of == Measured::Assessments => MeasureField::AssessmentKind,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid identifier '{full}'. Columns should be specified as 'trace.status', \
                 'trace.tag.<key>', 'trace.metadata.<key>', 'span.name', 'span.type', 'span.status', \
                 and for assessments 'assessment.name', 'assessment.type'"
            )));
        }
    })
}
