//! Reads a batch as stock clients send it straight from its bytes. A body that is different in any
//! way is not read here: `fields` accepts the other forms and says what is wrong.

use std::{borrow::Cow, collections::HashSet};

use serde::Deserialize;

use super::limits;
use api::metrics::{LogBatch, MetricPoint, Value};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body<'a> {
    run_id: String,
    #[serde(borrow, default)]
    metrics: Vec<Metric<'a>>,
    #[serde(borrow, default)]
    params: Vec<Pair<'a>>,
    #[serde(borrow, default)]
    tags: Vec<Pair<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Metric<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    value: f64,
    timestamp: i64,
    #[serde(default)]
    step: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    value: String,
}

/// The batch of a body with nothing unusual or wrong about it.
pub fn batch(body: &[u8], workspace: &str) -> Option<LogBatch> {
    let body: Body = serde_json::from_slice(body).ok()?;
    if body.run_id.is_empty() || !is_plain(&body) {
        return None;
    }
    let point = |metric: Metric| MetricPoint {
        key: metric.key.into_owned(),
        value: Value(metric.value),
        step: metric.step,
        timestamp: Some(metric.timestamp),
    };
    let pair = |pair: Pair| (pair.key.into_owned(), pair.value);
    Some(LogBatch {
        workspace: workspace.to_owned(),
        run: body.run_id,
        metrics: body.metrics.into_iter().map(point).collect(),
        params: body.params.into_iter().map(pair).collect(),
        tags: body.tags.into_iter().map(pair).collect(),
        ..LogBatch::default()
    })
}

fn is_plain(body: &Body) -> bool {
    let (metrics, params, tags) = (body.metrics.len(), body.params.len(), body.tags.len());
    metrics <= limits::METRICS_PER_BATCH
        && params <= limits::PARAMS_PER_BATCH
        && tags <= limits::PARAMS_PER_BATCH
        && metrics + params + tags <= limits::ENTITIES_PER_BATCH
        && body.metrics.iter().all(|metric| metric.timestamp >= 0)
        && plain_keys(body.metrics.iter().map(|metric| &metric.key)).is_some()
        && plain_keys(body.tags.iter().map(|tag| &tag.key)).is_some()
        && plain_keys(body.params.iter().map(|param| &param.key)) == Some(params)
}

/// How many different keys there are; none when one of them is no good. Each is looked at once.
fn plain_keys<'a>(keys: impl Iterator<Item = &'a Cow<'a, str>>) -> Option<usize> {
    let keys: HashSet<&str> = keys.map(AsRef::as_ref).collect();
    let good = |key: &&str| key.len() <= limits::KEY && limits::check_key("key", key).is_ok();
    keys.iter().all(good).then_some(keys.len())
}

#[cfg(test)]
mod tests {
    use super::batch;

    #[test]
    fn a_plain_batch_is_read() {
        let body =
            br#"{"run_id": "r", "metrics": [{"key": "a/b", "value": 1, "timestamp": 5, "step": -2},
            {"key": "a/b", "value": 0.1, "timestamp": 6}],
            "params": [{"key": "p", "value": ""}], "tags": [{"key": "t", "value": "x\ny"}]}"#;
        let batch = batch(body, "ws").unwrap();
        assert_eq!((batch.workspace.as_str(), batch.run.as_str()), ("ws", "r"));
        let points: Vec<_> = batch
            .metrics
            .iter()
            .map(|p| (p.step, p.timestamp))
            .collect();
        assert_eq!(points, [(-2, Some(5)), (0, Some(6))]);
        assert_eq!(batch.metrics[1].value.0.to_bits(), 0.1_f64.to_bits());
        assert_eq!(batch.params["p"], "");
        assert_eq!(batch.tags["t"], "x\ny");
    }

    #[test]
    fn whatever_needs_a_second_look_is_left_alone() {
        for body in [
            r#"{"run_id": "r", "metrics": [{"key": "a", "value": "NaN", "timestamp": 5}]}"#,
            r#"{"run_id": "r", "metrics": [{"key": "a", "value": 1, "timestamp": "5"}]}"#,
            r#"{"run_id": "r", "metrics": [{"key": "a", "value": 1, "timestamp": -5}]}"#,
            r#"{"run_id": "r", "metrics": [{"key": "a", "value": 1, "timestamp": 5, "model_id": "m"}]}"#,
            r#"{"run_id": "r", "metrics": [{"key": "a//b", "value": 1, "timestamp": 5}]}"#,
            r#"{"run_id": "r", "metrics": [{"key": "", "value": 1, "timestamp": 5}]}"#,
            r#"{"run_id": "r", "params": [{"key": "a", "value": "1"}, {"key": "a", "value": "1"}]}"#,
            r#"{"run_id": "r", "params": [{"key": "a"}]}"#,
            r#"{"run_id": "r", "metrics": null}"#,
            r#"{"runId": "r"}"#,
            r#"{"run_id": ""}"#,
            r#"{"run_id": "r"} x"#,
            "",
        ] {
            assert!(batch(body.as_bytes(), "ws").is_none(), "{body}");
        }
    }
}
