//! Runs, experiments and metrics, as people see them.

use std::collections::BTreeMap;

use super::{Show, View, list, pairs, record, time};
use api::{
    Time,
    experiments::Experiment,
    metrics::{MetricPoint, MetricSummary, Value},
    runs::{Best, Git, Job, Run, StatusChange},
};

/// Tags that MLflow and the service set; what they say is shown elsewhere.
const SYSTEM_TAGS: &str = "mlflow.";

/// A number to six significant digits.
pub fn number(value: Value) -> String {
    let v = value.0;
    let size = v.abs();
    if !v.is_finite() || (v.fract() == 0.0 && size < 1e15) {
        return value.to_string();
    }
    let trim = |text: String| {
        if !text.contains('.') {
            return text;
        }
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    };
    if (1e-4..1e15).contains(&size) {
        let before = format!("{size:.0}").len();
        let zeros = (1..4).filter(|n| size < 0.1_f64.powi(*n)).count();
        let decimals = if size >= 1.0 {
            6_usize.saturating_sub(before)
        } else {
            6 + zeros
        };
        return trim(format!("{v:.decimals$}"));
    }
    let text = format!("{v:.5e}");
    match text.split_once('e') {
        Some((digits, exponent)) => format!("{}e{exponent}", trim(digits.to_owned())),
        None => text,
    }
}

/// A time span: `0.42s`, `12.3s`, `3m 05s`, `2h 14m`.
pub fn duration(milliseconds: i64) -> String {
    let seconds = milliseconds / 1000;
    match milliseconds {
        i64::MIN..10_000 => format!("{}.{:02}s", seconds, milliseconds % 1000 / 10),
        10_000..60_000 => format!("{}.{}s", seconds, milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

/// A size in the unit people would use.
pub fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// The command as it could be typed.
pub fn command(job: &Job) -> String {
    if let [line] = job.command.as_slice() {
        return line.clone();
    }
    let quote = |word: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    job.command.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// `main at 1a2b3c4, with uncommitted changes`.
pub fn git(git: &Git) -> String {
    let commit = git.commit.get(..10).unwrap_or(&git.commit);
    let branch = git
        .branch
        .as_ref()
        .map_or(String::new(), |b| format!("{b} at "));
    let dirty = if git.dirty {
        ", with uncommitted changes"
    } else {
        ""
    };
    let remote = git
        .remote
        .as_ref()
        .map_or(String::new(), |r| format!(" ({r})"));
    format!("{branch}{commit}{dirty}{remote}")
}

fn lines<'a>(entries: impl IntoIterator<Item = (&'a String, String)>) -> String {
    let entries: Vec<_> = entries.into_iter().collect();
    let width = entries.iter().map(|(key, _)| key.chars().count()).max();
    let width = width.unwrap_or(0);
    let line = |(key, value): &(&String, String)| format!("{key:width$}  {value}");
    entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn metric(summary: &MetricSummary) -> String {
    let last = number(summary.last);
    match (summary.count, summary.min, summary.max) {
        (2.., Some(min), Some(max)) => format!(
            "{last}  (step {}, {} values from {} to {})",
            summary.step,
            summary.count,
            number(min),
            number(max)
        ),
        _ => last,
    }
}

fn history(changes: &[StatusChange]) -> String {
    let line = |change: &StatusChange| {
        let reason = change
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!("  {reason}"));
        let status = change.status;
        format!("{}  {status:15}{reason}", time(change.at))
            .trim_end()
            .to_owned()
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl Show for Best {
    fn view(&self) -> View {
        self.run.view()
    }
}

impl Show for Run {
    fn view(&self) -> View {
        let display_name = Some(&self.display_name).filter(|shown| **shown != self.name);
        let code = self.exit_code.map(|code| code.to_string());
        let identity = [
            ("Name", self.name.clone()),
            ("Display name", display_name.cloned().unwrap_or_default()),
            ("Experiment", self.experiment.clone()),
            ("Status", self.status.to_string()),
            ("Deleted", if self.deleted { "yes" } else { "" }.to_owned()),
            ("Reason", self.reason.clone().unwrap_or_default()),
            ("Exit code", code.unwrap_or_default()),
            ("User", self.user.clone()),
            ("Parent", self.parent.clone().unwrap_or_default()),
        ];
        let made_from = match &self.job {
            Some(job) => job_lines(self, job).to_vec(),
            None => source_lines(self),
        };
        record(
            identity
                .into_iter()
                .chain(made_from)
                .chain(course(self))
                .chain(results(self)),
        )
    }
}

/// What was to be executed.
fn job_lines(run: &Run, job: &Job) -> [(&'static str, String); 6] {
    let code = run.snapshot.as_ref().map(|tree| {
        let files = if tree.files == 1 { "file" } else { "files" };
        let (count, size) = (tree.files, size(tree.size));
        format!("{count} {files}, {size}  {}", &tree.hash.hex()[..10])
    });
    [
        ("Command", command(job)),
        ("Environment", job.environment.name().to_owned()),
        ("Variables", pairs(&job.environment_variables)),
        ("Secrets", pairs(&job.secrets)),
        ("Code", code.unwrap_or_default()),
        ("Git", job.git.as_ref().map(git).unwrap_or_default()),
    ]
}

/// What the client that logs to the run says of its program.
fn source_lines(run: &Run) -> Vec<(&'static str, String)> {
    let tag = |name: &str| run.tags.get(name).cloned();
    let git_state = tag("mlflow.source.git.commit").map(|commit| {
        git(&Git {
            commit,
            branch: tag("mlflow.source.git.branch"),
            remote: tag("mlflow.source.git.repoURL"),
            dirty: tag("mlflow.source.git.dirty").is_some_and(|dirty| dirty == "true"),
        })
    });
    vec![
        ("Source", tag("mlflow.source.name").unwrap_or_default()),
        ("Git", git_state.unwrap_or_default()),
    ]
}

/// When and where it ran, and what that took.
fn course(run: &Run) -> [(&'static str, String); 6] {
    let at = |at: Option<Time>| at.map(time).unwrap_or_default();
    let used = run.usage.map(|usage| {
        let memory = size(usage.peak_memory);
        format!("{:.2}s of CPU, {memory} of memory", usage.cpu_seconds)
    });
    [
        ("Created", time(run.created_at)),
        ("Started", at(run.started_at)),
        ("Ended", at(run.ended_at)),
        (
            "Duration",
            run.duration_ms().map(duration).unwrap_or_default(),
        ),
        ("Used", used.unwrap_or_default()),
        ("Node", run.node.clone().unwrap_or_default()),
    ]
}

fn results(run: &Run) -> [(&'static str, String); 4] {
    let params = run.params.iter().map(|(key, value)| (key, value.clone()));
    let metrics = run
        .metrics
        .iter()
        .map(|(key, summary)| (key, metric(summary)));
    let own = run
        .tags
        .iter()
        .filter(|(key, _)| !key.starts_with(SYSTEM_TAGS));
    let tags = own.map(|(key, value)| (key, value.clone()));
    [
        ("Params", lines(params)),
        ("Metrics", lines(metrics)),
        ("Tags", lines(tags)),
        ("History", history(&run.history)),
    ]
}

impl Show for BTreeMap<String, MetricSummary> {
    fn view(&self) -> View {
        let extreme = |value: Option<Value>| value.map(number).unwrap_or_default();
        list(
            ["metric", "last", "step", "min", "max", "values"],
            self.iter().map(|(key, summary)| {
                [
                    key.clone(),
                    number(summary.last),
                    summary.step.to_string(),
                    extreme(summary.min),
                    extreme(summary.max),
                    summary.count.to_string(),
                ]
            }),
        )
    }
}

impl Show for Vec<MetricPoint> {
    fn view(&self) -> View {
        list(
            ["step", "time", "value"],
            self.iter().map(|point| {
                [
                    point.step.to_string(),
                    point.timestamp.map(|at| time(Time(at))).unwrap_or_default(),
                    number(point.value),
                ]
            }),
        )
    }
}

impl Show for Experiment {
    fn view(&self) -> View {
        record([
            ("Name", self.name.clone()),
            ("Id", self.id.clone()),
            ("Runs", self.runs.to_string()),
            ("Deleted", if self.deleted { "yes" } else { "" }.to_owned()),
            ("Artifacts", self.artifact_location.clone()),
            ("Tags", pairs(&self.tags)),
            ("Created", time(self.created_at)),
            ("Updated", time(self.updated_at)),
        ])
    }
}

impl Show for Vec<Experiment> {
    fn view(&self) -> View {
        list(
            ["name", "id", "runs", "created"],
            self.iter().map(|e| {
                [
                    e.name.clone(),
                    e.id.clone(),
                    e.runs.to_string(),
                    time(e.created_at),
                ]
            }),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, number};
    use api::metrics::Value;

    #[test]
    fn numbers_have_six_significant_digits() {
        let shown = |v: f64| number(Value(v));
        assert_eq!(shown(0.973_333_333_333), "0.973333");
        assert_eq!(shown(12.345_678_9), "12.3457");
        assert_eq!(shown(150.0), "150");
        assert_eq!(shown(0.001_234_567_89), "0.00123457");
        assert_eq!(shown(1.5e-9), "1.5e-9");
        assert_eq!(shown(-2.25), "-2.25");
        assert_eq!(shown(f64::NAN), "NaN");
        assert_eq!(shown(123_456_789.5), "123456790");
        assert_eq!(shown(1e300), "1e300");
    }

    #[test]
    fn durations_have_the_unit_people_would_use() {
        let shown = [420, 12_340, 185_000, 8_040_000].map(duration);
        assert_eq!(shown, ["0.42s", "12.3s", "3m 05s", "2h 14m"]);
    }
}
