//! AutoML: jobs that look for the best model of a table. They become sweeps over algorithms, and a script
//! of ours is what each trial runs.

use serde_json::{Map, Value, json};

use super::{minibatch::Driver, sweeps::Plan};
use api::{Error, Result, files::Hash};
use spec::{
    kinds::automl::{AutomlNode, logged},
    shape::Described as _,
};

type Members = Map<String, Value>;

/// The script.
pub const DRIVER: Driver = Driver {
    path: ".aml_automl_driver.py",
    text: include_str!("driver.py"),
};
/// The type of such jobs.
pub const TYPE: &str = "automl";
/// The variable that holds what the script is told.
const VARIABLE: &str = "AML_AUTOML";
const ENVIRONMENT: &str = "azureml://registries/azureml/environments/AutoML/labels/latest";
/// The output that is the best model.
const MODEL: &str = "best_model";
/// The tables of a job, and how the script is told where they are.
const DATA: [(&str, &str); 3] = [
    ("training_data", "training"),
    ("validation_data", "validation"),
    ("test_data", "test"),
];
/// What a trial varies besides the algorithm; the script says what they mean.
const KNOBS: [&str; 3] = ["size", "rate", "penalty"];
/// In the middle they are what is usually good.
const USUAL: f64 = 0.5;
/// A process takes no longer variable: Linux has room for 128 KiB of one.
const LONGEST: usize = 120 << 10;
/// What the script is told of the job: all that decides which model is found, so that another such job is
/// another step to who reuses steps.
const TOLD: [&str; 12] = [
    "task",
    "primary_metric",
    "training",
    "target_column_name",
    "n_cross_validations",
    "cv_split_column_names",
    "validation_data_size",
    "test_data_size",
    "weight_column_name",
    "featurization",
    "forecasting",
    "limits",
];
/// What a sweep has as the job has it.
const KEPT: [&str; 11] = [
    "name",
    "description",
    "display_name",
    "experiment_name",
    "tags",
    "properties",
    "services",
    "compute",
    "identity",
    "queue_settings",
    "inputs",
];
/// Limits that Azure's AutoML has where none is said.
const TRIALS: i64 = 1000;
const AT_ONCE: i64 = 1;
const MINUTES: i64 = 360;
const MINUTES_OF_TRIAL: i64 = 30;

/// Algorithms for classes, those first that are good most often.
const CLASSIFICATION: [&str; 11] = [
    "light_gbm",
    "logistic_regression",
    "random_forest",
    "gradient_boosting",
    "extreme_random_trees",
    "knn",
    "sgd",
    "linear_svm",
    "decision_tree",
    "bernoulli_naive_bayes",
    "xg_boost_classifier",
];
/// Those that are slow or seldom good: only when they are asked for.
const ASKED_FOR: [&str; 2] = ["svm", "multinomial_naive_bayes"];
/// Algorithms for numbers.
const REGRESSION: [&str; 10] = [
    "light_gbm",
    "elastic_net",
    "random_forest",
    "gradient_boosting",
    "extreme_random_trees",
    "xg_boost_regressor",
    "lasso_lars",
    "knn",
    "decision_tree",
    "sgd",
];
/// What forecasts go by besides [`REGRESSION`].
const SERIES: [&str; 4] = ["seasonal_naive", "naive", "average", "seasonal_average"];

/// The job with its tables among its inputs.
pub fn with_inputs(job: &Members) -> Members {
    let mut moved = job.clone();
    let inputs = moved.shift_remove("inputs");
    let mut inputs = match inputs {
        Some(Value::Object(inputs)) => inputs,
        _ => Members::new(),
    };
    for (key, _) in DATA {
        let Some(mut table) = moved.shift_remove(key).filter(|table| !table.is_null()) else {
            continue;
        };
        // The script reads what the `MLTable` file says.
        if let Some(table) = table.as_object_mut()
            && table.get("mode").is_none_or(|mode| mode != "download")
        {
            table.shift_remove("mode");
        }
        inputs.insert(key.to_owned(), table);
    }
    moved.insert("inputs".to_owned(), Value::Object(inputs));
    moved
}

/// The job, with its tables among its inputs, as a sweep.
pub fn as_sweep(job: &Members) -> Result<Members> {
    let written = settings_of(job)?;
    let word = |key: &str| written.get(key).and_then(Value::as_str).unwrap_or_default();
    let algorithms = algorithms(word("task"), written.get("training"))?;
    let inputs = job.get("inputs").and_then(Value::as_object);
    let has = |key: &str| inputs.is_some_and(|inputs| inputs.contains_key(key));
    if !has(DATA[0].0) {
        let error = Error::invalid("The job has no data to train on").at(DATA[0].0);
        return Err(error.hint("Name a table: training_data: {type: mltable, path: ./data}"));
    }
    if word("task") == "forecasting" {
        let named = written.get("forecasting");
        if named.is_none_or(|settings| settings.get("time_column_name").is_none()) {
            return Err(Error::invalid("A forecast needs the column of the times")
                .at("forecasting.time_column_name"));
        }
    }
    let mut command = vec!["python".to_owned(), DRIVER.path.to_owned()];
    let tried = ["algorithm"].into_iter().chain(KNOBS);
    command.extend(tried.map(|name| format!("--{name} ${{{{search_space.{name}}}}}")));
    let given = DATA.into_iter().filter(|(key, _)| has(key));
    command.extend(given.map(|(key, option)| format!("--{option} \"${{{{inputs.{key}}}}}\"")));
    command.push(format!("--model \"${{{{outputs.{MODEL}}}}}\""));
    let mut space = Members::new();
    space.insert(
        "algorithm".to_owned(),
        json!({"type": "choice", "values": algorithms}),
    );
    for knob in KNOBS {
        let uniform = json!({"type": "uniform", "min_value": 0.0, "max_value": 1.0});
        space.insert(knob.to_owned(), uniform);
    }
    let mut outputs = match job.get("outputs") {
        Some(Value::Object(outputs)) => outputs.clone(),
        _ => Members::new(),
    };
    outputs
        .entry(MODEL)
        .or_insert_with(|| json!({"type": "mlflow_model"}));
    let (metric, goal) = logged(word("primary_metric"));
    let mut sweep: Members = KEPT
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), job.get(*key)?.clone())))
        .collect();
    let trial = json!({
        "command": command.join(" "), "environment": ENVIRONMENT, "resources": resources(job),
        "environment_variables": variables(job, &written)?,
    });
    sweep.extend([
        ("type".to_owned(), Value::from("sweep")),
        ("trial".to_owned(), trial),
        ("search_space".to_owned(), Value::Object(space)),
        ("sampling_algorithm".to_owned(), Value::from("bayesian")),
        (
            "objective".to_owned(),
            json!({"goal": goal, "primary_metric": metric}),
        ),
        ("limits".to_owned(), limits(&written)),
        ("outputs".to_owned(), Value::Object(outputs)),
    ]);
    Ok(sweep)
}

/// The same as a step of a pipeline, whose trial says what it is given.
pub fn as_step(job: &Members) -> Result<Members> {
    let mut sweep = as_sweep(job)?;
    let given = sweep.get("inputs").and_then(Value::as_object);
    let given = given.into_iter().flat_map(Map::keys);
    let takes: Members = given
        .map(|name| (name.clone(), json!({"type": "mltable"})))
        .collect();
    if let Some(Value::Object(trial)) = sweep.get_mut("trial") {
        trial.insert("inputs".to_owned(), Value::Object(takes));
    }
    Ok(sweep)
}

/// Says what makes the sweep of a job one of AutoML: what its trials run, with what it begins, and when
/// it has found enough.
pub fn complete(plan: &mut Plan, job: &Members, driver: Hash) {
    plan.job.snapshot = Some(driver);
    let algorithms = plan.settings.get("search_space");
    let algorithms = algorithms.and_then(|space| space.get("algorithm")?.get("values")?.as_array());
    let usual = |algorithm: &Value| {
        let knobs = KNOBS.iter().map(|_| Value::from(USUAL));
        [algorithm.clone()].into_iter().chain(knobs).collect()
    };
    plan.first = algorithms.into_iter().flatten().map(usual).collect();
    // As it is understood, not as it is written: a number may be a text there.
    let written = settings_of(job).unwrap_or_default();
    let limit = |key: &str| written.get("limits").and_then(|limits| limits.get(key));
    plan.enough = limit("exit_score").and_then(Value::as_f64);
    plan.tires = limit("enable_early_termination") != Some(&Value::Bool(false));
}

/// The job as it is shown: as it was `written`, with the metric that was found where none was.
pub fn shown(mut written: Members, job: &Members) -> Members {
    if !written.contains_key("primary_metric")
        && let Ok(mut settings) = settings_of(job)
        && let Some(metric) = settings.remove("primary_metric")
    {
        written.insert("primary_metric".to_owned(), metric);
    }
    written
}

/// What the job says, in the words of Azure's YAML and with defaults.
fn settings_of(job: &Members) -> Result<Members> {
    let task = job.get("task").and_then(Value::as_str).unwrap_or_default();
    if task.starts_with("image") || task.starts_with("text") {
        return Err(Error::unsupported(format!(
            "AutoML of the task `{task}` is not done here: it trains deep networks, which takes GPUs and their libraries"
        ))
        .at("task")
        .hint("What is done are classification, regression and forecasting of tables"));
    }
    let mut plain = job.clone();
    plain.shift_remove("inputs");
    let read = AutomlNode::read(Some(&Value::Object(plain)));
    let node = read.map_err(|mismatch| {
        Error::invalid(format!("The AutoML job is not understood: {mismatch}"))
    })?;
    match node.write() {
        Some(Value::Object(settings)) => Ok(settings),
        _ => Err(Error::internal("An AutoML job is written as nothing")),
    }
}

/// What is tried, in this order.
fn algorithms(task: &str, training: Option<&Value>) -> Result<Vec<&'static str>> {
    let usual: Vec<&'static str> = match task {
        "classification" => CLASSIFICATION.to_vec(),
        "regression" => REGRESSION.to_vec(),
        _ => {
            // One that learns, the best of those that do not, and the others.
            let mut all = REGRESSION.to_vec();
            all.splice(1..1, SERIES[..1].iter().copied());
            all.extend(&SERIES[1..]);
            all
        }
    };
    let named = |key: &str| -> Vec<&str> {
        let named = training.and_then(|training| training.get(key)?.as_array());
        let named = named.into_iter().flatten();
        named.filter_map(Value::as_str).collect()
    };
    let (allowed, blocked) = (
        named("allowed_training_algorithms"),
        named("blocked_training_algorithms"),
    );
    let asked_for = ASKED_FOR
        .iter()
        .copied()
        .filter(|name| allowed.contains(name));
    let all = usual.iter().copied().chain(asked_for);
    let tried: Vec<&'static str> = all
        .filter(|name| allowed.is_empty() || allowed.contains(name))
        .filter(|name| !blocked.contains(name))
        .collect();
    if tried.is_empty() {
        let key = if allowed.is_empty() {
            "blocked_training_algorithms"
        } else {
            "allowed_training_algorithms"
        };
        return Err(Error::invalid("No algorithm is left that is known here")
            .at(format!("training.{key}"))
            .hint(format!("Known are {}", usual.join(", "))));
    }
    Ok(tried)
}

fn limits(written: &Members) -> Value {
    let limit = |key: &str, usual: i64| {
        let said = written.get("limits").and_then(|limits| limits.get(key));
        said.and_then(Value::as_i64).unwrap_or(usual)
    };
    let seconds = |minutes: i64| minutes.saturating_mul(60);
    json!({
        "max_total_trials": limit("max_trials", TRIALS),
        "max_concurrent_trials": limit("max_concurrent_trials", AT_ONCE),
        "timeout": seconds(limit("timeout_minutes", MINUTES)),
        "trial_timeout": seconds(limit("trial_timeout_minutes", MINUTES_OF_TRIAL)),
    })
}

/// The machine of a trial.
fn resources(job: &Members) -> Value {
    let kind = job
        .get("resources")
        .and_then(|all| all.get("instance_type"));
    match kind.filter(|kind| !kind.is_null()) {
        Some(kind) => json!({"instance_type": kind}),
        None => Value::Null,
    }
}

fn variables(job: &Members, written: &Members) -> Result<Members> {
    let mut told: Members = TOLD
        .iter()
        .filter_map(|key| Some(((*key).to_owned(), written.get(*key)?.clone())))
        .collect();
    let cores = written.get("limits").and_then(|limits| {
        let cores = limits.get("max_cores_per_trial")?.as_i64()?;
        (cores != 0).then_some(cores)
    });
    told.insert("cores".to_owned(), Value::from(cores.unwrap_or(1)));
    let own = job.get("environment_variables").and_then(Value::as_object);
    let mut variables = own.cloned().unwrap_or_default();
    let text = Value::Object(told.clone()).to_string();
    if text.len() > LONGEST {
        let longest = told
            .iter()
            .max_by_key(|(_, value)| value.to_string().len())
            .map_or("", |(key, _)| key);
        return Err(Error::invalid(format!(
            "What the job says besides its data is longer than {} KiB, which no process can be told",
            LONGEST >> 10
        ))
        .at(longest)
        .hint("Name fewer columns there"));
    }
    variables.insert(VARIABLE.to_owned(), Value::from(text));
    Ok(variables)
}
