//! What is measured of deployments: told by hosts, shown by steps of time, exposed to Prometheus.

use std::fmt::Write as _;

use async_trait::async_trait;

use super::{Action, Caller, Perform, Service, endpoints::find_deployment};
use api::{
    Done, Error, Result, Time,
    endpoint_metrics::{
        DeploymentMetrics, EndpointMetrics, ExposeHostMetrics, ExposeMetrics, GetEndpointMetrics,
        Measured, Measurement, ReportMeasured, milliseconds, span_end,
    },
    endpoints::EndpointState,
};
use store::{DeploymentRow, EndpointRow, FINEST, While, least_length};

/// How far back metrics are shown, and in how many points, when nothing is said.
const HOUR: i64 = 3600;
const POINTS: u32 = 60;
const MOST_POINTS: u32 = 3000;
/// Lengths of a step, in seconds, that people read easily.
const STEPS: [i64; 13] = [
    10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 86_400,
];
/// Bounds of Prometheus' histogram are these powers of two of microseconds: 0.3 ms to 134 s.
const BOUNDS: std::ops::RangeInclusive<u32> = 8..=27;
/// What was seen of a process for so many seconds is how it is.
const FRESH: i64 = 60;

#[async_trait]
impl Perform for ReportMeasured {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<Done> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let Some(row) = service.store.endpoint_by_id(self.endpoint).await? else {
            return Ok(Done {});
        };
        let now = service.now();
        for (deployment, measured) in self.deployments {
            // Of one that was deleted nothing is left behind.
            if row.deployments.iter().any(|one| one.id == deployment) {
                let store = &service.store;
                store.add_measured(row.id, deployment, measured, now)?;
            }
        }
        Ok(Done {})
    }
}

#[async_trait]
impl Perform for GetEndpointMetrics {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<EndpointMetrics> {
        let row = service.enter(caller, &self.workspace, Action::Read).await?;
        let found = service.find_endpoint(&row, &self.name).await?;
        let points = self.points.unwrap_or(POINTS);
        if points == 0 || points > MOST_POINTS {
            let error = Error::invalid(format!("There can be 1 to {MOST_POINTS} points"));
            return Err(error.at("points"));
        }
        let seconds = self.seconds.unwrap_or(HOUR);
        if seconds <= 0 {
            let error = Error::invalid("The time that is looked at has no length");
            return Err(error.at("seconds").hint("Say one such as 1h or 7d"));
        }
        let window = Window::of(service.now(), seconds, points);
        let deployments = match &self.deployment {
            Some(name) => vec![find_deployment(&found, name)?],
            None => found.deployments.iter().collect(),
        };
        let shown = |deployment: &DeploymentRow| -> Result<DeploymentMetrics> {
            let whiles = service.store.measured(found.id, deployment.id)?;
            Ok(window.show(deployment.name.clone(), &whiles))
        };
        Ok(EndpointMetrics {
            from: Time(window.from * 1000),
            to: Time(window.to * 1000),
            step_seconds: window.step,
            deployments: deployments.into_iter().map(shown).collect::<Result<_>>()?,
            endpoint: found.name,
        })
    }
}

/// A time that is looked at, in steps; all in seconds.
struct Window {
    from: i64,
    to: i64,
    step: i64,
}

impl Window {
    fn of(now: Time, seconds: i64, points: u32) -> Self {
        let to = now.0.div_euclid(1000) + 1;
        let asked = to.saturating_sub(seconds).max(0);
        let least = (seconds / i64::from(points)).max(FINEST);
        // What is known by longer whiles only is not shown by shorter ones.
        let least = least.max(least_length(seconds).unwrap_or(STEPS[7]));
        let fits = STEPS.iter().find(|step| **step >= least);
        let longest = STEPS[STEPS.len() - 1];
        let step = fits.copied().unwrap_or((least / longest + 1) * longest);
        Self {
            from: asked - asked.rem_euclid(step),
            to,
            step,
        }
    }

    fn show(&self, name: String, whiles: &[While]) -> DeploymentMetrics {
        let mut total = Measured::default();
        let mut steps: Vec<(i64, Measured)> = Vec::new();
        for one in whiles.iter().filter(|one| one.at >= self.from) {
            total.add(&one.measured);
            let at = one.at - one.at.rem_euclid(self.step);
            match steps.last_mut() {
                Some((last, measured)) if *last == at => measured.add(&one.measured),
                _ => steps.push((at, one.measured.clone())),
            }
        }
        // What was not there yet is no part of an average.
        let first = whiles.iter().map(|one| one.at).find(|at| *at >= self.from);
        let point = |(at, measured): &(i64, Measured)| {
            let end = self.to.min(at + self.step);
            let begin = first.map_or(*at, |first| first.max(*at));
            Measurement {
                seconds: (end - at).max(1),
                ..measurement(*at, (end - begin).max(1), measured)
            }
        };
        let measured_seconds = first.map_or(0, |first| (self.to - first).max(1));
        DeploymentMetrics {
            name,
            total: Measurement {
                seconds: self.to - self.from,
                measured_seconds,
                ..measurement(self.from, measured_seconds.max(1), &total)
            },
            points: steps.iter().map(point).collect(),
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown to a few digits")]
fn measurement(from: i64, seconds: i64, measured: &Measured) -> Measurement {
    let requests = measured.requests();
    let each = |sum: u64, count: u64| (count > 0).then(|| milliseconds(sum) / count as f64);
    Measurement {
        from: Time(from * 1000),
        seconds,
        requests,
        errors: measured.errors(),
        statuses: measured.statuses.clone(),
        rate: requests as f64 / seconds as f64,
        p50_ms: measured.quantile(0.5),
        p90_ms: measured.quantile(0.9),
        p95_ms: measured.quantile(0.95),
        p99_ms: measured.quantile(0.99),
        mean_ms: each(measured.took, requests),
        max_ms: (requests > 0).then(|| milliseconds(measured.longest)),
        queued: measured.queued,
        queue_ms: each(measured.waited, measured.queued),
        most_queued: measured.most_queued,
        uncopied: measured.uncopied,
        cpu: measured.cpu as f64 / 1e6 / seconds as f64,
        memory: measured.memory,
        instances: measured.instances,
        measured_seconds: seconds,
        process_seconds: milliseconds(measured.lived) / 1e3,
    }
}

#[async_trait]
impl Perform for ExposeMetrics {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<String> {
        let workspaces = match &self.workspace {
            Some(name) => vec![service.enter(caller, name, Action::Read).await?],
            None => service.store.list_workspaces().await?,
        };
        let mut endpoints = Vec::new();
        for row in workspaces {
            if service.allow(caller, &row, Action::Read).await.is_ok() {
                endpoints.extend(service.store.list_endpoints(Some(row.id)).await?);
            }
        }
        service.exposition(endpoints)
    }
}

#[async_trait]
impl Perform for ExposeHostMetrics {
    async fn perform(self, service: &Service, caller: &Caller) -> Result<String> {
        service.allow_admin(caller, "serve endpoints of the server")?;
        let row = service.store.endpoint_by_id(self.endpoint).await?;
        service.exposition(row.into_iter().collect())
    }
}

/// A deployment as Prometheus is told of it.
struct Exposed {
    /// `workspace="…",endpoint="…",deployment="…"`
    labels: String,
    total: Measured,
    /// How much memory its processes had when they were seen last, if they still are.
    memory: u64,
    healthy: bool,
    instances: u32,
}

impl Service {
    fn exposition(&self, endpoints: Vec<EndpointRow>) -> Result<String> {
        let mut all = Vec::new();
        for row in endpoints {
            let measured: Vec<Vec<While>> = row
                .deployments
                .iter()
                .map(|one| self.store.measured(row.id, one.id))
                .collect::<Result<_>>()?;
            let workspace = row.workspace_name.clone();
            let endpoint = self.show_endpoint(row);
            for (one, whiles) in endpoint.deployments.iter().zip(measured) {
                let mut total = Measured::default();
                for one in &whiles {
                    total.add(&one.measured);
                }
                let since = self.now().0.div_euclid(1000) - FRESH;
                let fresh = whiles.iter().filter(|one| one.at + one.seconds > since);
                let mut memory = fresh
                    .map(|one| one.measured.memory)
                    .filter(|bytes| *bytes > 0);
                let healthy = one.state == EndpointState::Healthy;
                all.push(Exposed {
                    labels: format!(
                        "workspace=\"{}\",endpoint=\"{}\",deployment=\"{}\"",
                        escaped(&workspace),
                        escaped(&endpoint.name),
                        escaped(&one.name)
                    ),
                    memory: memory.next_back().filter(|_| healthy).unwrap_or(0),
                    total,
                    healthy,
                    instances: one
                        .load
                        .filter(|_| healthy)
                        .map_or(0, |load| load.instances),
                });
            }
        }
        Ok(text(&all))
    }
}

fn escaped(label: &str) -> String {
    label
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}

/// The text format of Prometheus, version 0.0.4.
fn text(all: &[Exposed]) -> String {
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, help: &str, lines: &dyn Fn(&Exposed) -> String| {
        let name = format!("aml_endpoint_{name}");
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for one in all {
            text.push_str(&lines(one));
        }
    };
    let seconds = |micros: u64| milliseconds(micros) / 1e3;
    let line = |name: &str, one: &Exposed, value: &dyn std::fmt::Display| {
        format!("aml_endpoint_{name}{{{}}} {value}\n", one.labels)
    };
    family(
        "requests_total",
        "counter",
        "Answers to requests, by status.",
        &|one| {
            let status = |(status, count): (&u16, &u64)| {
                let labels = &one.labels;
                format!("aml_endpoint_requests_total{{{labels},status=\"{status}\"}} {count}\n")
            };
            one.total.statuses.iter().map(status).collect()
        },
    );
    let help = "Time until an answer began, in seconds.";
    family("request_duration_seconds", "histogram", help, &|one| {
        histogram(one)
    });
    let help = "Requests that waited for a process.";
    family("queued_requests_total", "counter", help, &|one| {
        line("queued_requests_total", one, &one.total.queued)
    });
    let help = "How long requests have waited for a process, in seconds.";
    family("queue_seconds_total", "counter", help, &|one| {
        line("queue_seconds_total", one, &seconds(one.total.waited))
    });
    let help = "Copies of others' requests that it did not get.";
    family("dropped_copies_total", "counter", help, &|one| {
        line("dropped_copies_total", one, &one.total.uncopied)
    });
    let help = "Time of a processor that the processes have used, in seconds.";
    family("cpu_seconds_total", "counter", help, &|one| {
        line("cpu_seconds_total", one, &seconds(one.total.cpu))
    });
    let help = "Memory that the processes have, in bytes.";
    family("memory_bytes", "gauge", help, &|one| {
        line("memory_bytes", one, &one.memory)
    });
    family("instances", "gauge", "Processes that answer.", &|one| {
        line("instances", one, &one.instances)
    });
    family("up", "gauge", "Whether the deployment answers.", &|one| {
        line("up", one, &u8::from(one.healthy))
    });
    text
}

fn histogram(one: &Exposed) -> String {
    let (labels, total) = (&one.labels, &one.total);
    let name = "aml_endpoint_request_duration_seconds";
    let mut text = String::new();
    for power in BOUNDS {
        let bound = 1_u64 << power;
        let within = total
            .times
            .iter()
            .filter(|(span, _)| span_end(**span) <= bound);
        let count: u64 = within.map(|(_, count)| count).sum();
        let bound = milliseconds(bound) / 1e3;
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let count: u64 = total.times.values().sum();
    let sum = milliseconds(total.took) / 1e3;
    let _ = writeln!(
        text,
        "{name}_bucket{{{labels},le=\"+Inf\"}} {count}\n{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_no_shorter_than_what_is_known() {
        let now = Time(1_700_000_123_456);
        let step = |seconds, points| Window::of(now, seconds, points).step;
        assert_eq!(step(60, 60), 10);
        assert_eq!(step(HOUR, 60), 60);
        assert_eq!(step(HOUR, 3000), 10);
        assert_eq!(step(86_400, 3000), 60);
        assert_eq!(step(7 * 86_400, 3000), 900);
        assert_eq!(step(40 * 86_400, 3000), 1800);
        assert_eq!(step(1000 * 86_400, 60), 17 * 86_400);
        let window = Window::of(now, HOUR, 60);
        assert!(window.from <= 1_700_000_124 - HOUR && window.from % 60 == 0);
    }

    #[test]
    fn what_was_before_the_first_measurement_is_in_no_average() {
        let window = Window {
            from: 0,
            to: 120,
            step: 60,
        };
        let one = |at, count| While {
            at,
            seconds: 10,
            measured: Measured {
                statuses: [(200, count)].into(),
                ..Measured::default()
            },
        };
        let shown = window.show("d".to_owned(), &[one(50, 20), one(60, 120)]);
        let rates: Vec<f64> = shown.points.iter().map(|point| point.rate).collect();
        assert_eq!((rates, vec![shown.total.rate]), (vec![2.0, 2.0], vec![2.0]));
        let seconds = |point: &Measurement| (point.seconds, point.measured_seconds);
        assert_eq!(
            shown.points.iter().map(seconds).collect::<Vec<_>>(),
            [(60, 10), (60, 60)]
        );
    }

    #[test]
    fn labels_and_bounds_are_what_prometheus_reads() {
        let one = Exposed {
            labels: format!("deployment=\"{}\"", escaped("a\"b\\c\nd")),
            total: Measured {
                statuses: [(200, 2), (503, 1)].into(),
                times: [(api::endpoint_metrics::span(2000), 3)].into(),
                took: 6000,
                ..Measured::default()
            },
            memory: 5,
            healthy: true,
            instances: 1,
        };
        let text = text(&[one]);
        let has = |line: &str| assert!(text.contains(line), "{line} in\n{text}");
        has("aml_endpoint_requests_total{deployment=\"a\\\"b\\\\c\\nd\",status=\"503\"} 1\n");
        has("le=\"0.001024\"} 0\n");
        has("le=\"0.002048\"} 3\n");
        has("le=\"+Inf\"} 3\n");
        has("_sum{deployment=\"a\\\"b\\\\c\\nd\"} 0.006\n");
    }
}
