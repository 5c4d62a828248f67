//! Metrics, params and tags of runs, and how metric values travel.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Done, Page, Time, logged_models::ModelMetric, operation};

/// A metric value. NaN and the infinities are legal and travel as `"NaN"`, `"Infinity"`, `"-Infinity"`.
#[derive(Debug, Clone, Copy)]
pub struct Value(pub f64);

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.0.total_cmp(&other.0).is_eq()
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.special() {
            Some(text) => f.write_str(text),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Value {
    fn special(self) -> Option<&'static str> {
        match self.0 {
            v if v.is_nan() => Some("NaN"),
            f64::INFINITY => Some("Infinity"),
            f64::NEG_INFINITY => Some("-Infinity"),
            _ => None,
        }
    }

    /// Reads what people and programs write: decimal numbers, `nan`, `inf`, `Infinity`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        text.trim().parse().ok().map(Value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.special() {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_f64(self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Value;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a number, or \"NaN\", \"Infinity\", \"-Infinity\"")
            }
            fn visit_f64<E: de::Error>(self, v: f64) -> Result<Value, E> {
                Ok(Value(v))
            }
            #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
            fn visit_i64<E: de::Error>(self, v: i64) -> Result<Value, E> {
                Ok(Value(v as f64))
            }
            #[expect(clippy::cast_precision_loss, reason = "metrics are floating point")]
            fn visit_u64<E: de::Error>(self, v: u64) -> Result<Value, E> {
                Ok(Value(v as f64))
            }
            fn visit_str<E: de::Error>(self, v: &str) -> Result<Value, E> {
                Value::parse(v).ok_or_else(|| E::invalid_value(de::Unexpected::Str(v), &self))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// One point of a metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricPoint {
    pub key: String,
    pub value: Value,
    #[serde(default)]
    pub step: i64,
    /// Milliseconds since 1970; the time of arrival when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<i64>,
}

/// Logs metrics, params and tags to one run, all or nothing. A point that is there already is no
/// error; a param with another value than before is invalid. A run that was deleted is a conflict.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LogBatch {
    pub workspace: String,
    pub run: String,
    #[serde(default)]
    pub metrics: Vec<MetricPoint>,
    #[serde(default)]
    pub params: BTreeMap<String, String>,
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    #[serde(default)]
    pub remove_tags: Vec<String>,
    /// Those of the metrics that measure a logged model; an unknown model is not found.
    #[serde(default)]
    pub model_metrics: Vec<ModelMetric>,
}
operation!(LogBatch => Done, "runs.log");

/// What is known of one metric of a run without reading its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricSummary {
    /// The point with the greatest (step, timestamp, value).
    pub last: Value,
    pub step: i64,
    pub timestamp: Time,
    /// Smallest and largest value that is a number; absent when there is none.
    #[serde(default)]
    pub min: Option<Value>,
    #[serde(default)]
    pub max: Option<Value>,
    pub count: u64,
}

/// The points of one metric of a run, by step, timestamp, value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetMetricHistory {
    pub workspace: String,
    pub run: String,
    pub key: String,
    /// At most so many points; all when absent.
    #[serde(default)]
    pub limit: Option<u32>,
    #[serde(default)]
    pub page: Option<String>,
}
operation!(GetMetricHistory => Page<MetricPoint>, "runs.metric_history");

/// One point of a metric, and the run that logged it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunPoint {
    pub run: String,
    #[serde(flatten)]
    pub point: MetricPoint,
}

/// The points of one metric of several runs, run by run, each by step, timestamp and value. Unknown
/// runs have none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetMetricHistories {
    pub workspace: String,
    pub runs: Vec<String>,
    pub key: String,
    /// At most so many points of all runs together.
    pub limit: u32,
}
operation!(GetMetricHistories => Vec<RunPoint>, "runs.metric_histories");

/// A sample of one metric's history for each of several runs: all points at some of the steps that
/// they have, the same steps for all runs and evenly spread. The first and last step of each run are
/// always among them. Unknown runs have none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SampleMetricHistories {
    pub workspace: String,
    pub runs: Vec<String>,
    pub key: String,
    /// Only steps from the first to the second of these.
    #[serde(default)]
    pub steps: Option<(i64, i64)>,
    /// About so many steps.
    pub samples: u32,
    /// At most so many points of each run.
    pub limit: u32,
}
operation!(SampleMetricHistories => Vec<RunPoint>, "runs.sample_metric");
