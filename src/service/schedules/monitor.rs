//! The job of a schedule that is a monitor: it compares what each signal names by `aml monitor drift`.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::super::{Service, endpoints::find_deployment};
use api::{
    Error, Result,
    monitors::{Metric, needs_enterprise},
    names,
    workspaces::Edition,
};
use spec::{
    kinds::monitor::{Features, MonitorDefinition, ProductionData, ReferenceData, Signal},
    shape::Described,
    words,
};
use store::WorkspaceRow;

/// The signals of a monitor that names none, what each looks at, and what is alarming.
const USUAL: [(&str, &str, (Metric, f64)); 3] = [
    ("data_drift", MODEL_INPUTS, DRIFT),
    ("data_quality", MODEL_INPUTS, MISSING),
    ("prediction_drift", MODEL_OUTPUTS, DRIFT),
];
const MODEL_INPUTS: &str = "model_inputs";
const MODEL_OUTPUTS: &str = "model_outputs";
/// What is alarming when nothing is said.
const DRIFT: (Metric, f64) = (Metric::PopulationStabilityIndex, 0.2);
const MISSING: (Metric, f64) = (Metric::NullValueRate, 0.1);
/// What would be compared otherwise in Azure.
const OTHERWISE: [&str; 7] = [
    "/data_segment",
    "/reference_data/data_window",
    "/production_data/data_window/lookback_window_offset",
    "/production_data/data_window/window_start",
    "/production_data/data_window/window_end",
    "/production_data/pre_processing_component",
    "/reference_data/pre_processing_component",
];
/// How far back data is looked at when nothing is said.
const WEEK: &str = "7d";
/// Where the job runs; it needs nothing of it.
const IMAGE: &str = "ubuntu";

/// What a signal looks at.
enum Compares {
    Input(Value),
    /// Where a deployment collects, of which not all is brought.
    Collected(String),
}

/// What a signal compares.
struct Compared {
    name: String,
    data: Compares,
    /// None for what was collected in the same time before.
    reference: Option<Value>,
    since: Option<String>,
    /// More words of the command line.
    words: Vec<String>,
}

impl Service {
    /// The job of a monitor, described so that it can be created as any other.
    pub(super) async fn job_of_monitor(
        &self,
        row: &WorkspaceRow,
        schedule: &str,
        monitor: &Map<String, Value>,
    ) -> Result<Value> {
        if row.workspace.edition < Edition::Enterprise {
            return Err(needs_enterprise(&row.workspace.name));
        }
        let asked = Value::Object(monitor.clone());
        let read = MonitorDefinition::read(Some(&asked)).map_err(|mismatch| {
            let error = format!("The monitor is not understood: {mismatch}");
            Error::invalid(error).at("create_monitor")
        })?;
        let target = read.monitoring_target.as_ref();
        let target = target.and_then(|target| target.endpoint_deployment_id.as_deref());
        let mut compared = Vec::new();
        for (name, signal) in read.monitoring_signals.iter() {
            let at = format!("create_monitor.monitoring_signals.{name}");
            let one = self.compared(row, target, name, signal).await;
            names::SCHEDULE
                .check(&format!("{schedule}-{name}"))
                .map_err(|e| e.at(&at))?;
            compared.push(one.map_err(|error| error.at(at))?);
        }
        if compared.is_empty() {
            for (name, collection, (metric, alarming)) in USUAL {
                // Not every deployment collects what it answers.
                if let Ok(data) = self.collected(row, target, collection).await {
                    compared.push(Compared {
                        name: name.to_owned(),
                        data,
                        reference: None,
                        since: Some(WEEK.to_owned()),
                        words: threshold("", metric.name(), alarming).to_vec(),
                    });
                }
            }
        }
        if compared.is_empty() {
            let error = self.collected(row, target, MODEL_INPUTS).await.err();
            let nothing = || Error::invalid("The monitor looks at nothing");
            return Err(error.unwrap_or_else(nothing).at("create_monitor"));
        }
        Ok(job(schedule, &compared))
    }

    async fn compared(
        &self,
        row: &WorkspaceRow,
        target: Option<&str>,
        name: &str,
        signal: &Signal,
    ) -> Result<Compared> {
        let written = signal.write().unwrap_or_default();
        let (base, features, usual, collection) = match signal {
            Signal::DataDrift(one) => (&one.base, one.features.as_ref(), DRIFT, MODEL_INPUTS),
            Signal::DataQuality(one) => (&one.base, one.features.as_ref(), MISSING, MODEL_INPUTS),
            Signal::PredictionDrift(one) => (&one.base, None, DRIFT, MODEL_OUTPUTS),
            _ => {
                let kind = written.get("type").and_then(Value::as_str);
                return Err(Error::unsupported(format!(
                    "Signals of type `{}` are computed by a service of Azure",
                    kind.unwrap_or_default()
                ))
                .hint("There are data_drift, data_quality and prediction_drift; schedule a job for what is computed otherwise"));
            }
        };
        let production = base.production_data.as_ref();
        let data = match production.and_then(|data| data.input_data.as_ref()) {
            Some(data) => Compares::Input(data.write().unwrap_or_default()),
            None => self.collected(row, target, collection).await?,
        };
        let reference = base.reference_data.as_ref();
        let mut words = threshold_words(written.get("metric_thresholds"), usual)?;
        words.extend(feature_words(features));
        check_understood(&written)?;
        words.extend(override_words(&written));
        if base.alert_enabled == Some(false) {
            words.push("--no-alert".to_owned());
        }
        if let Some(target) = reference.and_then(excluded) {
            words.extend(["--exclude".to_owned(), target]);
        }
        let reference = reference.and_then(|data| data.input_data.as_ref()?.write());
        let mut since = production.map(window).transpose()?.flatten();
        let is_collected = matches!(data, Compares::Collected(_));
        if since.is_none() && (reference.is_none() || is_collected) {
            since = Some(WEEK.to_owned());
        }
        Ok(Compared {
            name: name.to_owned(),
            data,
            reference,
            since,
            words,
        })
    }

    /// What a deployment that is monitored has collected.
    async fn collected(
        &self,
        row: &WorkspaceRow,
        target: Option<&str>,
        collection: &str,
    ) -> Result<Compares> {
        let Some(target) = target else {
            return Err(Error::invalid("Nothing says which data is looked at").hint(
                "Name a deployment: monitoring_target.endpoint_deployment_id: azureml:ENDPOINT:DEPLOYMENT",
            ));
        };
        let plain = target.strip_prefix("azureml:").unwrap_or(target);
        let Some((endpoint, deployment)) = plain.split_once(':') else {
            return Err(Error::invalid(format!("`{target}` names no deployment"))
                .hint("Write azureml:ENDPOINT:DEPLOYMENT"));
        };
        let endpoint = self.find_endpoint(row, endpoint).await?;
        let found = find_deployment(&endpoint, deployment)?;
        let collector = found.deployment.collector.as_ref();
        match collector.and_then(|collector| collector.collections.get(collection)) {
            Some(path) => Ok(Compares::Collected(path.clone())),
            None => Err(Error::conflict(format!(
                "The deployment `{deployment}` does not collect `{collection}`"
            ))
            .hint("Let it: data_collector in its file; then az ml online-deployment update")),
        }
    }
}

fn threshold(kind: &str, metric: &str, value: f64) -> [String; 2] {
    ["--threshold".to_owned(), format!("{kind}{metric}={value}")]
}

/// The thresholds of a signal, for its kinds of features.
fn threshold_words(written: Option<&Value>, usual: (Metric, f64)) -> Result<Vec<String>> {
    let mut words = Vec::new();
    for kind in ["numerical", "categorical"] {
        let of_kind = written.and_then(|written| written.get(kind)?.as_object());
        for (name, value) in of_kind.into_iter().flatten() {
            let Some(value) = value.as_f64() else {
                continue;
            };
            let metric = Metric::called(name).ok_or_else(|| {
                Error::unsupported(format!("`{name}` is not measured")).at("metric_thresholds")
            })?;
            words.extend(threshold(&format!("{kind}."), metric.name(), value));
        }
    }
    if words.is_empty() {
        words.extend(threshold("", usual.0.name(), usual.1));
    }
    Ok(words)
}

/// Refuses what would be compared otherwise in Azure.
fn check_understood(signal: &Value) -> Result<()> {
    let written = |place: &&&str| signal.pointer(place).is_some_and(|value| !value.is_null());
    match OTHERWISE.iter().find(written) {
        None => Ok(()),
        Some(place) => Err(Error::unsupported(format!(
            "`{}` is not understood by monitors here",
            place.trim_start_matches('/').replace('/', ".")
        ))
        .hint(
            "Leave it out, or schedule a job that prepares the data and calls aml monitor drift",
        )),
    }
}

/// Features whose numbers are names.
fn override_words(signal: &Value) -> Vec<String> {
    let kinds = signal
        .get("feature_type_override")
        .and_then(Value::as_object);
    let kinds = kinds.into_iter().flatten();
    let named = kinds.filter(|(_, kind)| kind.as_str() == Some("categorical"));
    named
        .flat_map(|(name, _)| ["--categorical".to_owned(), name.clone()])
        .collect()
}

/// All features are compared where those that weigh most are asked for.
fn feature_words(features: Option<&Features>) -> Vec<String> {
    let Some(Features::Some(names)) = features else {
        return Vec::new();
    };
    let word = |name: &String| ["--feature".to_owned(), name.clone()];
    names.iter().flat_map(word).collect()
}

/// The column of the target, which is no feature.
fn excluded(reference: &ReferenceData) -> Option<String> {
    let named = reference.data_column_names.get("target_column");
    named
        .cloned()
        .or_else(|| reference.target_column_name.clone())
}

/// How far back the data is looked at, in the words of the command line.
fn window(production: &ProductionData) -> Result<Option<String>> {
    let Some(text) = production
        .data_window
        .as_ref()
        .and_then(|w| w.lookback_window_size.as_deref())
    else {
        return Ok(None);
    };
    let odd = || {
        Error::invalid(format!("`{text}` is no span of time"))
            .at("data_window.lookback_window_size")
            .hint("Write it as P7D, or PT12H")
    };
    let rest = text.strip_prefix('P').ok_or_else(odd)?;
    let (number, unit) = match rest.strip_prefix('T') {
        Some(time) => (
            time.strip_suffix(['H', 'M', 'S']),
            &time[time.len().saturating_sub(1)..],
        ),
        None => (
            rest.strip_suffix(['D', 'W']),
            &rest[rest.len().saturating_sub(1)..],
        ),
    };
    let number: u64 = number.and_then(|n| n.parse().ok()).ok_or_else(odd)?;
    Ok(Some(match unit {
        "W" => format!("{}d", number.checked_mul(7).ok_or_else(odd)?),
        unit => format!("{number}{}", unit.to_lowercase()),
    }))
}

/// A word of a command line for `sh`; an input is filled in later, as a word.
fn quoted(word: &str) -> String {
    if word.starts_with("${{inputs.") {
        word.to_owned()
    } else {
        words::quoted(word)
    }
}

/// What an input is called in the report: its address.
fn named(option: &str, input: &Value) -> Vec<String> {
    let path = input.get("path").and_then(Value::as_str);
    path.map(|path| vec![option.to_owned(), path.to_owned()])
        .unwrap_or_default()
}

fn job(schedule: &str, compared: &[Compared]) -> Value {
    let mut inputs = Map::new();
    let mut command = String::from("code=0\n");
    for (nth, one) in compared.iter().enumerate() {
        let mut words = vec!["--data".to_owned()];
        match &one.data {
            Compares::Collected(path) => words.extend([path.clone(), "--collected".to_owned()]),
            Compares::Input(input) => {
                let data = format!("data_{nth}");
                words.push(format!("${{{{inputs.{data}}}}}"));
                words.extend(named("--data-name", input));
                inputs.insert(data, input.clone());
            }
        }
        if let Some(reference) = &one.reference {
            let name = format!("reference_{nth}");
            words.extend(["--reference".to_owned(), format!("${{{{inputs.{name}}}}}")]);
            words.extend(named("--reference-name", reference));
            inputs.insert(name, reference.clone());
        }
        if let Some(since) = &one.since {
            words.extend(["--since".to_owned(), since.clone()]);
        }
        words.extend(one.words.iter().cloned());
        words.extend(["--name".to_owned(), format!("{schedule}-{}", one.name)]);
        let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
        let _ = writeln!(
            command,
            "aml monitor drift {} --exit-zero -o table || code=$?",
            words.join(" ")
        );
    }
    command.push_str("exit $code\n");
    json!({
        "type": "command",
        "command": command,
        "inputs": inputs,
        "environment": {"image": IMAGE},
        "display_name": format!("{schedule} ${{{{creation_context.trigger_time}}}}"),
        "experiment_name": schedule,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_of_any_kind_stays_one_word() {
        assert_eq!(quoted("a.b=1"), "a.b=1");
        assert_eq!(quoted("${{inputs.data_0}}"), "${{inputs.data_0}}");
        assert_eq!(quoted("$HOME"), "'$HOME'");
        assert_eq!(quoted("it's; rm"), "'it'\\''s; rm'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn windows_are_spans_of_iso_8601() {
        let of = |text: &str| {
            let data = json!({"data_window": {"lookback_window_size": text}});
            window(&ProductionData::read(Some(&data)).unwrap())
        };
        assert_eq!(of("P7D").unwrap().as_deref(), Some("7d"));
        assert_eq!(of("P2W").unwrap().as_deref(), Some("14d"));
        assert_eq!(of("PT12H").unwrap().as_deref(), Some("12h"));
        for odd in ["", "7D", "P", "PT", "P1M", "P-1D", "PT1D"] {
            assert!(of(odd).is_err(), "{odd}");
        }
    }
}
