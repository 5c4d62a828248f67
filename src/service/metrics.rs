//! What is logged to runs: metrics, params and tags, and which keys and values are allowed.

use std::collections::{BTreeMap, HashSet};

use super::{Action, Caller, Perform, Service};
use api::{
    Done, Error, Page, Result,
    metrics::{GetMetricHistory, LogBatch, MetricPoint},
};
use async_trait::async_trait;
use store::{Batch, NAME_TAG, Place, Point};

const KEY_LENGTH: usize = 250;
/// Bytes of the value of a param or tag.
pub(super) const VALUE_LENGTH: usize = 1 << 20;
/// Points read at once when a caller asks for all.
const ALL_POINTS: usize = usize::MAX - 1;

/// Accepts keys as MLflow does: letters, digits and `_ - . / :` and spaces, a plain relative path.
pub(super) fn check_key(kind: &str, key: &str) -> Result<()> {
    let problem = if key.is_empty() {
        Some(format!("The key of a {kind} cannot be empty"))
    } else if key.chars().count() > KEY_LENGTH {
        Some(format!(
            "The {kind} key is longer than {KEY_LENGTH} characters"
        ))
    } else if let Some(bad) = key
        .chars()
        .find(|c| !c.is_alphanumeric() && !"_-. /:".contains(*c))
    {
        Some(format!("The {kind} key `{key}` has the character `{bad}`"))
    } else if key.split('/').any(|part| matches!(part, "" | "." | "..")) {
        Some(format!("The {kind} key `{key}` is not a plain path"))
    } else {
        None
    };
    match problem {
        None => Ok(()),
        Some(problem) => Err(Error::invalid(problem)
            .at(kind)
            .hint("Keys have letters, digits, spaces and `_` `-` `.` `:`, and `/` between parts")),
    }
}

fn check_pairs(kind: &str, pairs: &BTreeMap<String, String>) -> Result<()> {
    for (key, value) in pairs {
        check_key(kind, key)?;
        if value.len() > VALUE_LENGTH {
            return Err(Error::invalid(format!(
                "The value of the {kind} `{key}` has {} bytes; at most {VALUE_LENGTH} are kept",
                value.len()
            ))
            .at(kind)
            .hint("Write long texts to a file in `outputs/`"));
        }
    }
    Ok(())
}

pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    check_pairs("tag", tags)
}

pub(super) fn check_params(params: &BTreeMap<String, String>) -> Result<()> {
    check_pairs("param", params)
}

#[async_trait]
impl Perform for LogBatch {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        let row = service
            .enter(caller, &self.workspace, Action::WriteRuns)
            .await?;
        let run = service.find_run(&row, &self.run).await?;
        service.allow_run_tree(caller, run).await?;
        check_params(&self.params)?;
        check_tags(&self.tags)?;
        if self.remove_tags.iter().any(|key| key == NAME_TAG) {
            return Err(Error::invalid(format!(
                "The tag `{NAME_TAG}` is the run's display name and cannot be removed"
            ))
            .at("remove_tags"));
        }
        let now = service.now().0;
        let mut points = Vec::with_capacity(self.metrics.len());
        let mut seen = HashSet::new();
        for point in &self.metrics {
            if seen.insert(point.key.as_str()) {
                check_key("metric", &point.key)?;
            }
        }
        for point in self.metrics {
            points.push(Point {
                key: point.key,
                value: point.value.0,
                step: point.step,
                timestamp: point.timestamp.unwrap_or(now),
            });
        }
        let batch = Batch {
            points,
            params: self.params,
            tags: self.tags,
            remove_tags: self.remove_tags,
            model_points: self.model_metrics,
        };
        match service.store.log_batch(run, batch).await? {
            Some(true) => {
                service.advance_due().await;
                Ok(Done {})
            }
            Some(false) => Ok(Done {}),
            None => Err(service.unknown_run(&row, &self.run).await?),
        }
    }
}

#[async_trait]
impl Perform for GetMetricHistory {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<MetricPoint>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let run = service.find_run(&row, &self.run).await?;
        let after = self.page.as_deref().map(parse_cursor).transpose()?;
        let limit = self.limit.map_or(ALL_POINTS, |limit| limit as usize);
        // One more than asked for, to know whether there is more.
        let mut items = service
            .store
            .metric_history(run, self.key, after, limit + 1)
            .await?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = |point: &MetricPoint| {
            let timestamp = point.timestamp.unwrap_or_default();
            let place = Place::new(point.step, timestamp, point.value.0);
            format!("{}.{timestamp}.{}", place.step, place.order_bits)
        };
        Ok(Page {
            next: items.last().filter(|_| more).map(next),
            items,
        })
    }
}

fn parse_cursor(text: &str) -> Result<Place> {
    let mut parts = text.split('.').map(str::parse);
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(step)), Some(Ok(timestamp)), Some(Ok(order_bits)), None) => Ok(Place {
            step,
            timestamp,
            order_bits,
        }),
        _ => Err(super::runs::bad_page(text)),
    }
}
