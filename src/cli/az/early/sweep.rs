//! `az ml run submit-hyperdrive`: a script with many values of its arguments, as a sweep.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{at, folder, mapping, object_at, submit, submit::Submission, text_at};
use crate::az::{Az, given::Given};
use api::{Error, Result};

pub async fn submit(az: &Az, given: &Given) -> anyhow::Result<Value> {
    let submission = Submission::of(az, given)?;
    let name = given.required("hyperdrive-configuration-name")?;
    let base = folder(az, given);
    let below = base.join(super::CONFIGURATION);
    let plain = submit::found(&[&base, &below], name);
    let with_ending = ["yml", "yaml"].map(|end| format!("{name}.{end}"));
    let others = with_ending
        .iter()
        .map(|name| submit::found(&[&base, &below], name));
    let mut files = std::iter::once(plain.clone()).chain(others);
    let file = files.find(|file| file.is_file()).unwrap_or(plain);
    let configured = mapping(&file)?;
    let sampling = object_at(&configured, "sampling");
    let sampling = sampling.ok_or_else(|| lacks("sampling"))?;
    let (mut space, mut command) = (Map::new(), submission.command.clone());
    for parameter in parameters(sampling)? {
        let (argument, key) = names(&parameter)?;
        space.insert(key.clone(), values(&parameter)?);
        let _ = write!(command, " {argument} ${{{{search_space.{key}}}}}");
    }
    let mut trial = Map::new();
    submission.put_command(&mut trial, &command);
    let number = |key: &str| at(&configured, key).and_then(Value::as_u64);
    let total = number("max_total_runs").ok_or_else(|| lacks("max_total_runs"))?;
    let mut limits = json!({"max_total_trials": total});
    if let Some(at_once) = number("max_concurrent_runs") {
        limits["max_concurrent_trials"] = json!(at_once);
    }
    if let Some(minutes) = number("max_duration_minutes") {
        let seconds = minutes.checked_mul(60).ok_or_else(|| {
            Error::invalid(format!("`{minutes}` are too many minutes"))
                .at("max_duration_minutes")
                .hint("Leave it out for no limit")
        })?;
        limits["timeout"] = json!(seconds);
    }
    let metric = text_at(&configured, "primary_metric_name");
    let metric = metric.ok_or_else(|| lacks("primary_metric_name"))?;
    let goal = text_at(&configured, "primary_metric_goal");
    let goal = goal.unwrap_or_else(|| "maximize".to_owned());
    let algorithm = text_at(sampling, "type").unwrap_or_else(|| "random".to_owned());
    let mut fields = super::super::ids::fields(json!({
        "type": "sweep",
        "trial": trial,
        "search_space": space,
        "sampling_algorithm": algorithm.to_ascii_lowercase(),
        "objective": {"primary_metric": metric, "goal": goal.to_ascii_lowercase()},
        "limits": limits,
    }));
    if let Some(policy) = policy(object_at(&configured, "policy"))? {
        fields.insert("early_termination".to_owned(), policy);
    }
    submission.run(az, given, fields).await
}

fn lacks(key: &str) -> Error {
    Error::invalid(format!(
        "The configuration of the hyperparameters has no `{key}`"
    ))
    .at("--hyperdrive-configuration-name")
}

fn parameters(sampling: &Map<String, Value>) -> Result<Vec<Map<String, Value>>> {
    let listed = at(sampling, "parameter_space").and_then(Value::as_array);
    let listed = listed.ok_or_else(|| lacks("sampling.parameter_space"))?;
    let one = |value: &Value| {
        let fields = value.as_object().cloned();
        fields.ok_or_else(|| Error::invalid(format!("`{value}` is no parameter")))
    };
    listed.iter().map(one).collect()
}

/// The flag of the script that a parameter is, and the name of its values.
fn names(parameter: &Map<String, Value>) -> Result<(String, String)> {
    let name = text_at(parameter, "name").ok_or_else(|| lacks("name` of a parameter"))?;
    let bare = name.trim_start_matches('-');
    let key = bare.replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let argument = if bare.len() == name.len() {
        format!("--{name}")
    } else {
        name.clone()
    };
    Ok((argument, key))
}

/// What values a parameter takes, in the words of a sweep.
fn values(parameter: &Map<String, Value>) -> Result<Value> {
    let expression = text_at(parameter, "expression").unwrap_or_else(|| "choice".to_owned());
    let given = at(parameter, "values").cloned().unwrap_or(Value::Null);
    let listed = match given {
        Value::Array(listed) => listed,
        one => vec![one],
    };
    let named = |keys: &[&str]| {
        if listed.len() != keys.len() {
            let keys = keys.join(", ");
            let message = format!("`{expression}` takes the values {keys}");
            return Err(Error::invalid(message).at("parameter_space"));
        }
        let pairs = keys.iter().map(|key| (*key).to_owned());
        let mut all: Map<String, Value> = pairs.zip(listed.iter().cloned()).collect();
        all.insert("type".to_owned(), json!(expression));
        Ok(Value::Object(all))
    };
    match expression.as_str() {
        "choice" => Ok(json!({"type": "choice", "values": listed})),
        "randint" => named(&["upper"]),
        "uniform" | "loguniform" => named(&["min_value", "max_value"]),
        "quniform" | "qloguniform" => named(&["min_value", "max_value", "q"]),
        "normal" | "lognormal" => named(&["mu", "sigma"]),
        "qnormal" | "qlognormal" => named(&["mu", "sigma", "q"]),
        _ => Err(
            Error::invalid(format!("`{expression}` is no way to choose values"))
                .at("parameter_space"),
        ),
    }
}

/// When trials are given up, in the words of a sweep.
fn policy(policy: Option<&Map<String, Value>>) -> Result<Option<Value>> {
    let Some(policy) = policy else {
        return Ok(None);
    };
    let name = text_at(policy, "type").unwrap_or_default();
    let kind = match name.to_ascii_lowercase().trim_end_matches("policy") {
        "bandit" => "bandit",
        "medianstopping" => "median_stopping",
        "truncationselection" => "truncation_selection",
        "" | "notermination" => return Ok(None),
        _ => {
            let message = format!("`{name}` is no policy");
            return Err(Error::invalid(message).at("policy.type"));
        }
    };
    let mut all = policy.clone();
    all.insert("type".to_owned(), json!(kind));
    Ok(Some(Value::Object(all)))
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, Value, json};

    use super::{names, policy, values};

    fn fields(value: Value) -> Map<String, Value> {
        crate::az::ids::fields(value)
    }

    #[test]
    fn parameters_become_a_search_space() {
        let of = |value| values(&fields(value));
        assert_eq!(
            of(json!({"name": "--c", "expression": "choice", "values": [1, 2]})).unwrap(),
            json!({"type": "choice", "values": [1, 2]})
        );
        assert_eq!(
            of(json!({"expression": "quniform", "values": [0, 1, 0.5]})).unwrap(),
            json!({"min_value": 0, "max_value": 1, "q": 0.5, "type": "quniform"})
        );
        assert_eq!(
            of(json!({"expression": "randint", "values": 8})).unwrap(),
            json!({"upper": 8, "type": "randint"})
        );
        assert!(of(json!({"expression": "uniform", "values": [1]})).is_err());
        let named = |name: &str| names(&fields(json!({"name": name}))).unwrap();
        assert_eq!(
            named("--batch-size"),
            ("--batch-size".into(), "batch_size".into())
        );
        assert_eq!(named("rate"), ("--rate".into(), "rate".into()));
    }

    #[test]
    fn policies_have_their_names_of_today() {
        let given = fields(json!({"type": "BanditPolicy", "slack_factor": 0.1}));
        let expected = json!({"type": "bandit", "slack_factor": 0.1});
        assert_eq!(policy(Some(&given)).unwrap(), Some(expected));
        let none = fields(json!({"type": "NoTerminationPolicy"}));
        assert_eq!(policy(Some(&none)).unwrap(), None);
    }
}
