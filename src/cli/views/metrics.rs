//! How what was measured of endpoints looks: a table of the whole time, and pictures over time.

use std::fmt::Write as _;

use super::{Show, View, list, render, runs::size};
use api::{
    Time,
    endpoint_metrics::{DeploymentMetrics, EndpointMetrics, Measurement},
};

/// Lines of a picture.
const HEIGHT: usize = 5;
/// Columns of the numbers beside it.
const MARGIN: usize = 10;
/// A cell that is filled from below, by eighths.
const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is drawn: a title, a number of a point, and how it is written.
type Drawn = (
    &'static str,
    fn(&Measurement) -> Option<f64>,
    fn(f64) -> String,
);

#[expect(clippy::cast_precision_loss, reason = "a picture")]
const DRAWN: [Drawn; 4] = [
    ("requests per second", |point| Some(point.rate), number),
    ("milliseconds, 95 % within", |point| point.p95_ms, number),
    ("processors", |point| Some(point.cpu), number),
    (
        "memory",
        |point| (point.memory > 0).then_some(point.memory as f64),
        bytes,
    ),
];

impl Show for EndpointMetrics {
    fn view(&self) -> View {
        let rows = self.deployments.iter().map(row);
        let columns = [
            "deployment",
            "requests",
            "errors",
            "answers",
            "p50 ms",
            "p90 ms",
            "p99 ms",
            "max ms",
            "queued",
            "queue ms",
            "cpu",
            "memory",
            "instances",
        ];
        let mut text = render(list(columns, rows), None);
        let asked = self.deployments.iter().filter(|one| !one.points.is_empty());
        for one in asked {
            for (title, value, shown) in DRAWN {
                let columns = columns_of(self, one, value);
                if columns.iter().flatten().any(|value| *value > 0.0) {
                    let _ = write!(text, "\n{}: {title}\n", one.name);
                    text += &picture(&columns, shown);
                    text += &axis(columns.len(), self.from, self.to);
                }
            }
        }
        View::Text(text)
    }
}

fn row(one: &DeploymentMetrics) -> [String; 13] {
    let total = &one.total;
    let ms = |value: Option<f64>| value.map(number).unwrap_or_default();
    let status = |(status, count): (&u16, &u64)| format!("{status}: {count}");
    let statuses: Vec<String> = total.statuses.iter().map(status).collect();
    let memory = match total.memory {
        0 => String::new(),
        bytes => size(bytes),
    };
    [
        one.name.clone(),
        total.requests.to_string(),
        total.errors.to_string(),
        statuses.join(", "),
        ms(total.p50_ms),
        ms(total.p90_ms),
        ms(total.p99_ms),
        ms(total.max_ms),
        total.queued.to_string(),
        ms(total.queue_ms),
        number(total.cpu),
        memory,
        total.instances.to_string(),
    ]
}

/// A number for each step of the time; none where nothing was measured.
fn columns_of(
    metrics: &EndpointMetrics,
    one: &DeploymentMetrics,
    value: fn(&Measurement) -> Option<f64>,
) -> Vec<Option<f64>> {
    let step = metrics.step_seconds.max(1) * 1000;
    let count = (metrics.to.since(metrics.from) + step - 1) / step;
    let mut columns = vec![None; usize::try_from(count).unwrap_or(0)];
    for point in &one.points {
        let at = usize::try_from(point.from.since(metrics.from) / step).unwrap_or(usize::MAX);
        if let Some(column) = columns.get_mut(at) {
            *column = value(point);
        }
    }
    columns
}

fn picture(columns: &[Option<f64>], shown: fn(f64) -> String) -> String {
    let highest = columns
        .iter()
        .flatten()
        .fold(0.0, |high: f64, value| high.max(*value));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "eighths of a few lines"
    )]
    let eighths = |value: f64| ((value / highest) * (HEIGHT * 8) as f64).ceil() as usize;
    let mut text = String::new();
    for line in 0..HEIGHT {
        let below = (HEIGHT - 1 - line) * 8;
        let cell = |value: &Option<f64>| {
            let filled = value.map_or(0, |value| eighths(value).saturating_sub(below).min(8));
            EIGHTHS[filled]
        };
        let label = if line == 0 {
            shown(highest)
        } else {
            String::new()
        };
        let cells: String = columns.iter().map(cell).collect();
        text += format!("{label:>MARGIN$} │{cells}").trim_end();
        text.push('\n');
    }
    text
}

fn axis(columns: usize, from: Time, to: Time) -> String {
    let format = match to.since(from) {
        ..86_400_000 => "%H:%M",
        _ => "%m-%d %H:%M",
    };
    let local = |time: Time| {
        let time = time.datetime().with_timezone(&chrono::Local);
        time.format(format).to_string()
    };
    let (from, to) = (local(from), local(to));
    let width = columns.saturating_sub(from.len()).max(to.len() + 1);
    let line = "─".repeat(columns);
    format!(
        "{:>MARGIN$} └{line}\n{:>MARGIN$}  {from}{to:>width$}\n",
        "0", ""
    )
}

fn number(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        ..0.01 => format!("{value:.1e}"),
        ..10.0 => format!("{value:.2}"),
        ..1000.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "bytes are whole and not negative"
)]
fn bytes(value: f64) -> String {
    size(value as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_fills_its_column_and_none_is_empty() {
        let picture = picture(
            &[Some(40.0), None, Some(0.0), Some(1.0), Some(20.0)],
            number,
        );
        let lines: Vec<&str> = picture.lines().collect();
        assert_eq!(lines[0], "      40.0 │█");
        assert_eq!(lines[4], "           │█  ▁█");
        assert_eq!(lines[2], "           │█   ▄");
    }

    #[test]
    fn times_stand_below_their_columns() {
        let axis = axis(60, Time(0), Time(3_600_000));
        let lines: Vec<usize> = axis.lines().map(|line| line.chars().count()).collect();
        assert_eq!(lines, [72, 72]);
        assert!(super::axis(2, Time(0), Time(20_000)).lines().count() == 2);
    }
}
