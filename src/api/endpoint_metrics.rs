//! What is measured of the deployments of an endpoint: requests, statuses, times, queue, processors and
//! memory.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Done, Time, operation};

/// Spans of time in which answers are counted: each is a sixteenth of a power of two of microseconds,
/// so that a time is known to 1/16 at worst.
pub const SPANS: u16 = 480;
/// Spans up to a power of two.
const PARTS: u32 = 16;

/// The span that a time falls into.
pub fn span(micros: u64) -> u16 {
    let micros = micros.min(u64::from(u32::MAX)).max(1);
    let power = micros.ilog2();
    let index = if power < PARTS.ilog2() {
        micros
    } else {
        let shift = power - PARTS.ilog2();
        u64::from((shift + 1) * PARTS) + (micros >> shift) - u64::from(PARTS)
    };
    u16::try_from(index).unwrap_or(SPANS - 1).min(SPANS - 1)
}

/// Where a span ends, in microseconds; the next one begins there.
pub fn span_end(span: u16) -> u64 {
    let (span, parts) = (u64::from(span), u64::from(PARTS));
    if span < parts {
        return span + 1;
    }
    let shift = span / parts - 1;
    (span % parts + parts + 1) << shift
}

/// What was measured of a deployment in a while. Two of them make one of the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Status → answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub statuses: BTreeMap<u16, u64>,
    /// Span of time → answers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub times: BTreeMap<u16, u64>,
    /// Microseconds of all answers, and of the longest.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub took: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub longest: u64,
    /// Requests that waited for a process, how long all of them did in microseconds, and the most at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queued: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub waited: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub most_queued: u64,
    /// Copies of others' requests that it did not get: too many were on their way, or they were too long.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uncopied: u64,
    /// Microseconds of a processor that its processes used.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cpu: u64,
    /// The most bytes that its processes had in memory.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub memory: u64,
    /// The most processes that answered.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub instances: u64,
    /// Microseconds of which it is known what was used, those of each process together.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lived: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Measured {
    pub fn requests(&self) -> u64 {
        self.statuses.values().sum()
    }

    /// Answers with a status of 400 or more.
    pub fn errors(&self) -> u64 {
        self.statuses.range(400..).map(|(_, count)| count).sum()
    }

    /// Takes up what was measured in another while.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.statuses, &other.statuses),
            (&mut self.times, &other.times),
        ] {
            for (key, count) in theirs {
                *mine.entry(*key).or_default() += count;
            }
        }
        self.took += other.took;
        self.queued += other.queued;
        self.waited += other.waited;
        self.uncopied += other.uncopied;
        self.cpu += other.cpu;
        self.lived += other.lived;
        self.longest = self.longest.max(other.longest);
        self.most_queued = self.most_queued.max(other.most_queued);
        self.memory = self.memory.max(other.memory);
        self.instances = self.instances.max(other.instances);
    }

    /// Milliseconds within which a share of the answers began; none without an answer.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let all: u64 = self.times.values().sum();
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a count"
        )]
        let nth = ((all as f64 * share).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        let (span, _) = self.times.iter().find(|(_, count)| {
            seen += **count;
            seen >= nth
        })?;
        // None took longer than the longest.
        Some(milliseconds(span_end(*span).min(self.longest.max(1))))
    }
}

/// Microseconds in milliseconds.
#[expect(clippy::cast_precision_loss, reason = "shown to a few digits")]
pub fn milliseconds(micros: u64) -> f64 {
    micros as f64 / 1e3
}

/// What was measured of a deployment since the last report, by its host on this machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReportMeasured {
    pub endpoint: i64,
    /// Number of a deployment → what was measured of it.
    pub deployments: BTreeMap<i64, Measured>,
}
operation!(ReportMeasured => Done, "hosts.measured");

/// What a deployment was asked, and used, in a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub from: Time,
    pub seconds: i64,
    pub requests: u64,
    /// Answers with a status of 400 or more.
    pub errors: u64,
    /// Status → answers.
    pub statuses: BTreeMap<u16, u64>,
    /// Requests in a second, since the first of what was measured.
    pub rate: f64,
    /// Milliseconds until answers began: the median, other percentiles, the mean, the longest.
    pub p50_ms: Option<f64>,
    pub p90_ms: Option<f64>,
    pub p95_ms: Option<f64>,
    pub p99_ms: Option<f64>,
    pub mean_ms: Option<f64>,
    pub max_ms: Option<f64>,
    /// Requests that waited for a process, how long on average, and the most at once.
    pub queued: u64,
    pub queue_ms: Option<f64>,
    pub most_queued: u64,
    /// Copies of others' requests that it did not get: too many were on their way, or they were too long.
    #[serde(default)]
    pub uncopied: u64,
    /// Processors that were in use on average, since the first of what was measured.
    pub cpu: f64,
    /// The most bytes of memory.
    pub memory: u64,
    /// The most processes that answered.
    pub instances: u64,
    /// Seconds since the first of what was measured in this time.
    pub measured_seconds: i64,
    /// Seconds of which it is known what was used, those of each process together.
    pub process_seconds: f64,
}

/// What was measured of one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentMetrics {
    pub name: String,
    /// All of the time.
    pub total: Measurement,
    /// In steps of the same length, oldest first; where nothing was measured there is none.
    pub points: Vec<Measurement>,
}

/// What was measured of the deployments of an endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndpointMetrics {
    pub endpoint: String,
    pub from: Time,
    pub to: Time,
    pub step_seconds: i64,
    pub deployments: Vec<DeploymentMetrics>,
}

/// What was measured of an endpoint's deployments. Of the last hour it is known by ten seconds, of the
/// last day by minutes, of the last 30 days by quarters of an hour; of what was before, only the sum.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetEndpointMetrics {
    pub workspace: String,
    pub name: String,
    /// All when absent.
    #[serde(default)]
    pub deployment: Option<String>,
    /// How far back; an hour when absent.
    #[serde(default)]
    pub seconds: Option<i64>,
    /// The most points of each deployment; 60 when absent.
    #[serde(default)]
    pub points: Option<u32>,
}
operation!(GetEndpointMetrics => EndpointMetrics, "endpoints.metrics");

/// What was measured of all endpoints that the caller may see, in the text format of Prometheus.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ExposeMetrics {
    /// Those of one workspace.
    #[serde(default)]
    pub workspace: Option<String>,
}
operation!(ExposeMetrics => String, "endpoints.expose_metrics");

/// The same of one endpoint by its number, for its host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExposeHostMetrics {
    pub endpoint: i64,
}
operation!(ExposeHostMetrics => String, "hosts.expose_metrics");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_in_a_span_that_is_at_most_a_sixteenth_wide() {
        for micros in (1..100_000_u64).chain([1 << 20, (1 << 30) - 1, u64::MAX]) {
            let span = span(micros);
            assert!(span < SPANS);
            let (begin, end) = (
                if span == 0 { 0 } else { span_end(span - 1) },
                span_end(span),
            );
            let micros = micros.min(u64::from(u32::MAX));
            assert!(
                begin <= micros && micros < end,
                "{micros} in {begin}..{end}"
            );
            assert!(end - begin <= 1 + begin / 16, "{begin}..{end}");
        }
    }

    #[test]
    fn quantiles_of_the_whole_are_those_of_its_parts_together() {
        let (mut whole, mut parts) = (
            Measured::default(),
            [Measured::default(), Measured::default()],
        );
        for ms in 1..=1000_u64 {
            for measured in [&mut whole, &mut parts[usize::from(ms > 700)]] {
                *measured.times.entry(span(ms * 1000)).or_default() += 1;
                measured.longest = measured.longest.max(ms * 1000);
            }
        }
        let [mut sum, second] = parts;
        sum.add(&second);
        assert_eq!(sum, whole);
        for (share, ms) in [(0.5, 500.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = whole.quantile(share).unwrap();
            assert!(found >= ms && found <= ms * 17.0 / 16.0, "{found} for {ms}");
        }
        assert_eq!(whole.quantile(1.0), Some(1000.0));
        assert_eq!(Measured::default().quantile(0.5), None);
    }
}
