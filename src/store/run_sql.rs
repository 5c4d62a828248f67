//! Conditions on runs, as SQL over the tables of runs.
//!
//! Each test on a metric, param, tag or dataset is one EXISTS on the primary key of its table, so
//! a search costs what the runs it looks at cost, not what was logged to them.

use super::{
    condition::{Comparison, Condition, Test},
    db::Value,
};

/// What a run can be searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunField {
    Name,
    DisplayName,
    Experiment,
    User,
    Status,
    ArtifactUri,
    ExitCode,
    CreatedAt,
    StartedAt,
    EndedAt,
    /// The latest value.
    Metric(String),
    Lowest(String),
    Highest(String),
    Param(String),
    Tag(String),
    Dataset(DatasetField),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetField {
    Name,
    Digest,
    Context,
}

/// A piece of SQL with the values of its placeholders. Expects `r` to be the run.
#[derive(Debug, Default)]
pub struct Sql {
    pub text: String,
    pub values: Vec<Value>,
}

impl Sql {
    pub fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    pub fn bind(&mut self, value: impl Into<Value>) -> &mut Self {
        self.values.push(value.into());
        let number = self.values.len().to_string();
        self.push("?").push(&number)
    }

    /// Appends that a row of `metric_latest` is one of a metric in an experiment.
    pub fn values_of(&mut self, row: &str, experiment: i64, key: &str) -> &mut Self {
        self.push(&format!(" AND {row}.experiment_id = "))
            .bind(experiment);
        self.push(&format!(
            " AND {row}.key_id = (SELECT id FROM metric_keys WHERE key = "
        ));
        self.bind(key.to_owned()).push(")")
    }

    /// Appends the condition as an expression that is never NULL.
    pub fn condition(&mut self, condition: &Condition<RunField>) {
        match condition {
            Condition::All(parts) => self.join(parts, " AND ", "1"),
            Condition::Any(parts) => self.join(parts, " OR ", "0"),
            Condition::Not(part) => {
                self.push("NOT (");
                self.condition(part);
                self.push(")");
            }
            Condition::Test(field, test) => self.test(field, test),
        }
    }

    /// The same for a condition that runs must meet: an index may be used for it, and it may be NULL.
    pub fn required(&mut self, condition: &Condition<RunField>) {
        match condition {
            Condition::Test(field, test) if let Some(column) = column(field) => {
                self.compare(column, test);
            }
            other => self.condition(other),
        }
    }

    fn join(&mut self, parts: &[Condition<RunField>], word: &str, none: &str) {
        if parts.is_empty() {
            self.push(none);
            return;
        }
        self.push("(");
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.push(word);
            }
            self.condition(part);
        }
        self.push(")");
    }

    fn test(&mut self, field: &RunField, test: &Test) {
        if let Some(column) = column(field) {
            self.push("IFNULL(").compare(column, test);
            self.push(", 0)");
            return;
        }
        // An absent row passes only `Present(false)`: there is no row that does not fit.
        if *test == Test::Present(false) {
            self.push("NOT ");
        }
        self.push("EXISTS (SELECT 1 FROM ");
        let value = self.row(field);
        match test {
            Test::Present(_) => {}
            test => {
                self.push(" AND ").compare(value, test);
            }
        }
        self.push(")");
    }

    /// Appends table and key of what is logged to a run; answers the column with the value.
    fn row(&mut self, field: &RunField) -> &'static str {
        match field {
            RunField::Metric(key) => self.metric(key, "x.value"),
            RunField::Lowest(key) => self.metric(key, "x.min"),
            RunField::Highest(key) => self.metric(key, "x.max"),
            RunField::Param(key) => {
                self.push("params x WHERE x.run_id = r.id AND x.key = ")
                    .bind(key.clone());
                "x.value"
            }
            RunField::Tag(key) => {
                self.push("tags x WHERE x.run_id = r.id AND x.key = ")
                    .bind(key.clone());
                "x.value"
            }
            RunField::Dataset(part) => {
                self.push("run_datasets x WHERE x.run_id = r.id");
                match part {
                    DatasetField::Name => "x.name",
                    DatasetField::Digest => "x.digest",
                    DatasetField::Context => "x.context",
                }
            }
            column_field => column(column_field).unwrap_or("NULL"),
        }
    }

    fn metric(&mut self, key: &str, value: &'static str) -> &'static str {
        self.push("metric_latest x WHERE x.run_id = r.id AND x.key_id = (SELECT id FROM metric_keys WHERE key = ")
            .bind(key.to_owned())
            .push(")");
        value
    }

    /// Appends the test on an expression; its result is NULL where the expression is.
    pub fn compare(&mut self, value: &str, test: &Test) -> &mut Self {
        match test {
            // NaN is stored as NULL and differs from every number.
            Test::Number(Comparison::NotEqual, number) => {
                self.push(value).push(" IS NOT ").bind(*number)
            }
            Test::Number(comparison, number) => {
                self.push(value).push(comparison.sql()).bind(*number)
            }
            Test::Text(comparison, text) => {
                self.push(value).push(comparison.sql()).bind(text.clone())
            }
            Test::Like {
                pattern,
                ignore_case: true,
            } => self.push(value).push(" LIKE ").bind(pattern.clone()),
            Test::Like { pattern, .. } => self.push(value).push(" GLOB ").bind(glob(pattern)),
            Test::Matches(pattern) => self.push(value).push(" REGEXP ").bind(pattern.clone()),
            Test::OneOf(texts) => self.list(value, " IN (", texts),
            Test::NoneOf(texts) => self.list(value, " NOT IN (", texts),
            Test::Present(true) => self.push(value).push(" IS NOT NULL"),
            Test::Present(false) => self.push(value).push(" IS NULL"),
        }
    }

    fn list(&mut self, value: &str, word: &str, texts: &[String]) -> &mut Self {
        self.push(value).push(word);
        for (index, text) in texts.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" })
                .bind(text.clone());
        }
        self.push(")")
    }
}

/// The column of a field that every run has, possibly NULL.
pub fn column(field: &RunField) -> Option<&'static str> {
    Some(match field {
        RunField::Name => "r.name",
        RunField::DisplayName => "r.display_name",
        RunField::Experiment => "(SELECT x.name FROM experiments x WHERE x.id = r.experiment_id)",
        RunField::User => "r.user",
        RunField::Status => "r.status",
        RunField::ArtifactUri => {
            "((SELECT x.artifact_location FROM experiments x WHERE x.id = r.experiment_id) \
             || '/' || r.name || '/artifacts')"
        }
        RunField::ExitCode => "r.exit_code",
        RunField::CreatedAt => "r.created_at",
        // One that has not started counts as started when it was made, as clients are told.
        RunField::StartedAt => "IFNULL(r.started_at, r.created_at)",
        RunField::EndedAt => "r.ended_at",
        RunField::Metric(_)
        | RunField::Lowest(_)
        | RunField::Highest(_)
        | RunField::Param(_)
        | RunField::Tag(_)
        | RunField::Dataset(_) => return None,
    })
}

/// A `LIKE` pattern as a `GLOB` pattern, which minds upper and lower case.
fn glob(pattern: &str) -> String {
    let mut glob = String::with_capacity(pattern.len());
    for c in pattern.chars() {
        match c {
            '%' => glob.push('*'),
            '_' => glob.push('?'),
            '*' | '?' | '[' => {
                glob.push('[');
                glob.push(c);
                glob.push(']');
            }
            c => glob.push(c),
        }
    }
    glob
}
