//! What runs can be searched and ordered by.

use super::{Clause, condition, number, order, parser::Name, text};
use api::{Error, Result, names, runs::RunStatus};
use store::{Comparison, Condition, DatasetField, Order, PARENT_TAG, RunField, Test};

/// The condition that a filter puts on runs. A status that there is not is an error, unless it may be
/// any.
pub fn run_condition(filter: &str, any_status: bool) -> Result<Condition<RunField>> {
    condition(filter, |clause| {
        let field = field(&clause.field)?;
        if field == RunField::Status {
            return status(clause, any_status);
        }
        let test = match &field {
            RunField::Metric(_) | RunField::Lowest(_) | RunField::Highest(_) => {
                number(clause, "metric")?
            }
            RunField::CreatedAt | RunField::StartedAt | RunField::EndedAt | RunField::ExitCode => {
                number(clause, &format!("numeric attribute: {}", clause.field.key))?
            }
            RunField::Param(_) => no_list(clause, "parameter")?,
            RunField::Tag(_) => no_list(clause, "tag")?,
            RunField::Dataset(_) => text(clause, "dataset attributes")?,
            RunField::Name
            | RunField::DisplayName
            | RunField::Experiment
            | RunField::User
            | RunField::Status
            | RunField::ArtifactUri => text(clause, "attributes")?,
        };
        Ok(Condition::Test(field, test))
    })
}

/// The order that keys such as `metrics.loss DESC` ask for.
pub fn run_orders(keys: &[String]) -> Result<Vec<Order<RunField>>> {
    let mut orders: Vec<Order<RunField>> = Vec::new();
    for key in keys {
        let (name, descending) = order::parse(key)?;
        let field = field(&name)?;
        if matches!(field, RunField::Dataset(_)) {
            return Err(Error::invalid("Invalid order_by entity type 'dataset'"));
        }
        if orders.iter().any(|order| order.field == field) {
            return Err(Error::invalid(format!(
                "`order_by` contains duplicate fields: {keys:?}"
            )));
        }
        orders.push(Order { field, descending });
    }
    Ok(orders)
}

fn field(name: &Name) -> Result<RunField> {
    let key = name.key.clone();
    let entity = name.entity.as_deref().unwrap_or("attribute");
    Ok(match entity.trim_matches('`') {
        "metric" | "metrics" => RunField::Metric(key),
        "min" => RunField::Lowest(key),
        "max" => RunField::Highest(key),
        "parameter" | "parameters" | "param" | "params" => RunField::Param(key),
        // The run's name is kept once, however it was given.
        "tag" | "tags" if key == "mlflow.runName" => RunField::DisplayName,
        "tag" | "tags" => RunField::Tag(key),
        "attribute" | "attributes" | "attr" | "run" => attribute(&key)?,
        "dataset" | "datasets" => RunField::Dataset(match key.as_str() {
            "name" => DatasetField::Name,
            "digest" => DatasetField::Digest,
            "context" => DatasetField::Context,
            _ => {
                return Err(Error::invalid(format!(
                    "Invalid dataset key '{key}' specified. Valid keys are 'name', 'digest', 'context'"
                )));
            }
        }),
        _ => {
            return Err(Error::invalid(format!(
                "Invalid entity type '{entity}'. Valid values are ['metric', 'parameter', 'tag', 'attribute', 'dataset']"
            )));
        }
    })
}

fn attribute(key: &str) -> Result<RunField> {
    Ok(match key {
        "run_id" => RunField::Name,
        "run_name" | "run name" | "Run name" | "Run Name" | "display_name" => RunField::DisplayName,
        "experiment" => RunField::Experiment,
        "user_id" | "user" => RunField::User,
        "status" => RunField::Status,
        "artifact_uri" => RunField::ArtifactUri,
        "exit_code" => RunField::ExitCode,
        "parent" => RunField::Tag(PARENT_TAG.to_owned()),
        "created_at" => RunField::CreatedAt,
        "start_time" | "created" | "Created" => RunField::StartedAt,
        "end_time" => RunField::EndedAt,
        _ => {
            return Err(Error::invalid(format!(
                "Invalid attribute key '{key}' specified. Valid keys are 'run_id', 'run_name', 'status', \
                 'start_time', 'end_time', 'created_at', 'user_id', 'artifact_uri', 'experiment', 'exit_code'"
            )));
        }
    })
}

fn no_list(clause: &Clause, what: &str) -> Result<Test> {
    match text(clause, what)? {
        Test::OneOf(_) | Test::NoneOf(_) => Err(Error::invalid(
            "Only attributes and datasets support comparison with a list of quoted string values",
        )),
        test => Ok(test),
    }
}

/// A status may be called as `aml` or as MLflow does, which has fewer of them.
fn status(clause: &Clause, any: bool) -> Result<Condition<RunField>> {
    let test = text(clause, "attributes")?;
    let named = match &test {
        Test::Text(_, text) => std::slice::from_ref(text),
        Test::OneOf(texts) | Test::NoneOf(texts) => texts,
        _ => &[],
    };
    if !any {
        named.iter().try_for_each(|text| known(text))?;
    }
    let fits = |wanted: &dyn Fn(&str) -> bool| -> Vec<String> {
        let named = |status: &RunStatus| wanted(status.name()) || wanted(status.mlflow_name());
        let fitting = RunStatus::ALL.into_iter().filter(named);
        fitting.map(|status| status.name().to_owned()).collect()
    };
    let one_of =
        |texts: &[String]| fits(&|name| texts.iter().any(|text| text.eq_ignore_ascii_case(name)));
    let test = match test {
        Test::Text(Comparison::NotEqual, text) => Test::NoneOf(one_of(&[text])),
        Test::Text(_, text) => Test::OneOf(one_of(&[text])),
        Test::OneOf(texts) => Test::OneOf(one_of(&texts)),
        Test::NoneOf(texts) => Test::NoneOf(one_of(&texts)),
        Test::Like {
            pattern,
            ignore_case,
        } => Test::OneOf(fits(&|name| super::like(&pattern, name, ignore_case))),
        Test::Matches(pattern) => Test::OneOf(fits(&|name| super::matches(&pattern, name))),
        test @ (Test::Present(_) | Test::Number(..)) => test,
    };
    Ok(Condition::Test(RunField::Status, test))
}

/// Refuses a status that no run can have.
fn known(status: &str) -> Result<()> {
    let all = RunStatus::ALL.into_iter();
    let all = all.flat_map(|status| [status.mlflow_name(), status.name()]);
    if all.clone().any(|name| name.eq_ignore_ascii_case(status)) {
        return Ok(());
    }
    let error = Error::invalid(format!("There is no status `{status}`")).at("filter");
    Err(match names::nearest(status, all) {
        Some(nearest) => error.hint(format!("Did you mean `{nearest}`?")),
        None => error.hint(format!(
            "There are {}",
            RunStatus::ALL.map(RunStatus::name).join(", ")
        )),
    })
}
