//! Figures about many traces.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Caller, Perform, Service, experiments, filter, runs::bad_page};
use api::{
    Error, Page, Result, Time,
    trace_measures::{Aggregation, CorrelateTraces, Correlation, Figure, MeasureTraces, Measured},
};
use async_trait::async_trait;
use store::{Measure, Measurement};

const TRACE_VALUES: [&str; 6] = [
    "latency",
    "input_tokens",
    "output_tokens",
    "total_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
];
const SPAN_VALUES: [&str; 4] = ["latency", "input_cost", "output_cost", "total_cost"];

/// What can be asked of a metric: whether it is only counted, and its groups. None when there is no
/// such metric.
fn known(of: Measured, metric: &str) -> Option<(bool, &'static [&'static str])> {
    Some(match (of, metric) {
        (Measured::Traces, "trace_count") => (true, &["trace_name", "trace_status"]),
        (Measured::Traces, "session_count") => (true, &[]),
        (Measured::Traces, metric) if TRACE_VALUES.contains(&metric) => (false, &["trace_name"]),
        (Measured::Spans, "span_count") => (
            true,
            &[
                "span_name",
                "span_type",
                "span_status",
                "span_model_name",
                "span_model_provider",
            ],
        ),
        (Measured::Spans, "latency") => (false, &["span_name", "span_status"]),
        (Measured::Spans, metric) if SPAN_VALUES.contains(&metric) => {
            (false, &["span_model_name", "span_model_provider"])
        }
        (Measured::Assessments, "assessment_count") => {
            (true, &["assessment_name", "assessment_value"])
        }
        (Measured::Assessments, "assessment_value") => (false, &["assessment_name"]),
        _ => return None,
    })
}

/// The values of a group, and what counts once.
#[derive(Debug, Default)]
struct Group {
    values: Vec<f64>,
    texts: BTreeSet<String>,
}

type Groups = BTreeMap<(Option<i64>, Vec<String>), Group>;

#[async_trait]
impl Perform for MeasureTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Page<Figure>> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        check(&self)?;
        let skip = match &self.page {
            Some(page) => page.parse::<usize>().map_err(|_| bad_page(page))?,
            None => 0,
        };
        let ids = self.experiment_ids.iter();
        let ids = ids.map(|id| experiments::parse_id(id));
        let conditions = self.filters.iter();
        let conditions = conditions.map(|text| filter::measure_condition(text, self.of));
        let measure = Measure {
            workspace: row.id,
            experiments: ids.collect::<Result<_>>()?,
            of: self.of,
            metric: self.metric.clone(),
            groups: self.groups.clone(),
            conditions: conditions.collect::<Result<_>>()?,
            from: self.from,
            until: self.until,
        };
        let width = self
            .interval_seconds
            .map(|seconds| i64::from(seconds) * 1000);
        let sessions = self.metric == "session_count";
        let add = move |groups: &mut Groups, one: Measurement| {
            if sessions && one.text.is_none() {
                return;
            }
            let begins_at = width.map(|width| one.at.0.div_euclid(width) * width);
            let group = groups.entry((begins_at, one.groups)).or_default();
            match one.text {
                Some(text) => drop(group.texts.insert(text)),
                None => group.values.push(one.value),
            }
        };
        let groups = service
            .store
            .measure_traces(measure, Groups::new(), add)
            .await?;
        let limit = self.limit.max(1) as usize;
        let end = skip.saturating_add(limit);
        let more = groups.len() > end;
        let part = groups.into_iter().skip(skip).take(limit);
        Ok(Page {
            items: part.map(|(key, group)| figure(&self, key, group)).collect(),
            next: more.then(|| end.to_string()),
        })
    }
}

fn check(asked: &MeasureTraces) -> Result<()> {
    let Some((counted, groups)) = known(asked.of, &asked.metric) else {
        return Err(
            Error::invalid(format!("metric_name `{}` is not known here", asked.metric))
                .at("metric"),
        );
    };
    if asked.interval_seconds == Some(0) {
        return Err(Error::invalid("An interval has at least one second").at("interval"));
    }
    for aggregation in &asked.aggregations {
        let fine = match aggregation {
            Aggregation::Count => counted,
            Aggregation::Percentile(percent) => !counted && (0.0..=100.0).contains(percent),
            _ => !counted,
        };
        if !fine {
            return Err(Error::invalid(format!(
                "Found invalid aggregation_type(s): {aggregation:?} cannot be made of `{}`",
                asked.metric
            ))
            .at("aggregations"));
        }
    }
    match asked
        .groups
        .iter()
        .find(|group| !groups.contains(&group.as_str()))
    {
        None => Ok(()),
        Some(group) => Err(Error::invalid(format!(
            "Found invalid dimension(s): ['{group}']. Supported dimensions: {groups:?}"
        ))
        .at("groups")),
    }
}

fn figure(
    asked: &MeasureTraces,
    (begins_at, named): (Option<i64>, Vec<String>),
    mut group: Group,
) -> Figure {
    group.values.sort_by(f64::total_cmp);
    let value = |aggregation: &Aggregation| aggregate(*aggregation, &group);
    Figure {
        group: asked.groups.iter().cloned().zip(named).collect(),
        begins_at: begins_at.map(Time),
        values: asked.aggregations.iter().map(value).collect(),
    }
}

/// What is made of sorted values.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn aggregate(aggregation: Aggregation, Group { values, texts }: &Group) -> Option<f64> {
    let (first, last) = (values.first().copied(), values.last().copied());
    match aggregation {
        Aggregation::Count => Some((values.len() + texts.len()) as f64),
        Aggregation::Sum => first.map(|_| values.iter().sum()),
        Aggregation::Average => first.map(|_| values.iter().sum::<f64>() / values.len() as f64),
        Aggregation::Min => first,
        Aggregation::Max => last,
        Aggregation::Percentile(percent) => percentile(values, percent),
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a position among the values"
)]
fn percentile(sorted: &[f64], percent: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = percent / 100.0 * last as f64;
    let below = (place.floor() as usize).min(last);
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    Some(low + (high - low) * place.fract())
}

#[async_trait]
impl Perform for CorrelateTraces {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Correlation> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let ids = self.experiment_ids.iter();
        let ids = ids.map(|id| experiments::parse_id(id));
        let among = filter::trace_condition(self.among.as_deref().unwrap_or_default())?;
        let first = filter::trace_condition(&self.first)?;
        let second = filter::trace_condition(&self.second)?;
        let counts = service
            .store
            .count_traces(row.id, ids.collect::<Result<_>>()?, among, (first, second))
            .await?;
        let [total, first, second, both] = counts.map(|count| u64::try_from(count).unwrap_or(0));
        let held = first > 0 && second > 0;
        let cases = [
            both,
            first - both,
            second - both,
            total + both - first - second,
        ];
        let unsmoothed = || match both {
            0 => Some(-1.0),
            _ => npmi(cases, 0.0),
        };
        Ok(Correlation {
            total,
            first,
            second,
            both,
            npmi: held.then(unsmoothed).flatten(),
            npmi_smoothed: held.then(|| npmi(cases, 0.5)).flatten(),
        })
    }
}

/// Of how often both hold, only the first, only the second, and neither.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn npmi(cases: [u64; 4], more: f64) -> Option<f64> {
    if cases[1..] == [0, 0, 0] {
        return Some(1.0);
    }
    let [both, first, second, neither] = cases.map(|count| count as f64 + more);
    let total = both + first + second + neither;
    let together = both.ln() - total.ln();
    let apart = (both + first).ln() + (both + second).ln() - 2.0 * total.ln();
    let value = (together - apart) / -together;
    value.is_finite().then(|| value.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::{npmi, percentile};

    #[test]
    fn percentiles_lie_between_values() {
        let values = [1.0, 2.0, 4.0];
        for (percent, expected) in [(0.0, 1.0), (50.0, 2.0), (75.0, 3.0), (100.0, 4.0)] {
            assert_eq!(percentile(&values, percent), Some(expected));
        }
        assert_eq!(percentile(&[], 50.0), None);
    }

    #[test]
    fn what_goes_together_has_a_large_npmi() {
        assert_eq!(npmi([5, 0, 0, 0], 0.0), Some(1.0));
        // Independent of each other.
        assert!(npmi([1, 1, 1, 1], 0.0).unwrap().abs() < 1e-9);
        let often = npmi([6, 0, 1, 3], 0.0).unwrap();
        assert!((0.6..0.8).contains(&often), "{often}");
    }
}
