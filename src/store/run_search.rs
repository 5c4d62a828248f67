//! Conditions and orders on runs, as SQL over the tables of runs.
//!
//! Each test on a metric, param, tag or dataset is one EXISTS on the primary key of its table, so
//! a search costs what the runs it looks at cost, not what was logged to them.

use std::collections::BTreeMap;

use super::{
    Store,
    condition::{Condition, Order, Test},
    db::{Value, params_from_iter},
    runs::{RunRow, fill, run, select},
};
use crate::api::{
    Result,
    runs::{RunStatus, View},
};

/// Which runs a listing has.
#[derive(Debug, Clone)]
pub struct RunFilter {
    pub workspace: i64,
    /// Of these experiments; of all when absent.
    pub experiments: Option<Vec<i64>>,
    pub status: Option<RunStatus>,
    pub tags: BTreeMap<String, String>,
    pub condition: Condition<RunField>,
    /// Newest first when empty.
    pub orders: Vec<Order<RunField>>,
    pub view: View,
    pub from: RunCursor,
    pub limit: u32,
}

/// Where in its order a listing begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunCursor {
    /// After so many runs.
    Skip(u32),
    /// After the run with this (`created_at`, id); only without another order.
    After(i64, i64),
}

impl Store {
    /// The runs of a listing.
    pub async fn list_runs(&self, filter: RunFilter) -> Result<Vec<RunRow>> {
        self.db
            .read(move |tx| {
                let sql = listing(&filter);
                let mut rows = tx.all(&select(&sql.text), params_from_iter(sql.values), run)?;
                fill(tx, &mut rows)?;
                Ok(rows)
            })
            .await
    }
}

fn listing(filter: &RunFilter) -> Sql {
    let mut sql = Sql::default();
    sql.push("WHERE r.workspace_id = ").bind(filter.workspace);
    match filter.experiments.as_deref() {
        None => {}
        Some([one]) => drop(sql.push(" AND r.experiment_id = ").bind(*one)),
        Some(several) => {
            let ids: Vec<String> = several.iter().map(ToString::to_string).collect();
            sql.push(" AND r.experiment_id IN (")
                .push(&ids.join(", "))
                .push(")");
        }
    }
    sql.push(match filter.view {
        View::Active => " AND r.deleted = 0",
        View::Deleted => " AND r.deleted = 1",
        View::All => "",
    });
    if let Some(status) = filter.status {
        sql.push(" AND r.status = ").bind(status.name().to_owned());
    }
    for (key, value) in &filter.tags {
        sql.push(" AND EXISTS (SELECT 1 FROM tags g WHERE g.run_id = r.id AND g.key = ")
            .bind(key.clone())
            .push(" AND g.value = ")
            .bind(value.clone())
            .push(")");
    }
    sql.push(" AND ").condition(&filter.condition);
    if let RunCursor::After(at, id) = filter.from {
        sql.push(" AND (r.created_at, r.id) < (").bind(at);
        sql.push(", ").bind(id).push(")");
    }
    sql.push(" ORDER BY ").order(&filter.orders);
    sql.push("r.created_at DESC, r.id DESC LIMIT ")
        .bind(i64::from(filter.limit));
    if let RunCursor::Skip(skip) = filter.from {
        sql.push(" OFFSET ").bind(i64::from(skip));
    }
    sql
}

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

/// A piece of SQL with the values of its placeholders. Expects `r` to be the run and `e` its experiment.
#[derive(Default)]
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
            RunField::Metric(key) => {
                self.push("metric_latest x WHERE x.run_id = r.id AND x.key_id = (SELECT id FROM metric_keys WHERE key = ")
                    .bind(key.clone())
                    .push(")");
                "x.value"
            }
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

    fn compare(&mut self, value: &str, test: &Test) -> &mut Self {
        match test {
            // NaN is stored as NULL and differs from every number.
            Test::Number(super::Comparison::NotEqual, number) => {
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

    /// Appends the keys of an ORDER BY, each followed by a comma: numbers and texts first, then
    /// NaN, then what is missing, in both directions.
    pub fn order(&mut self, orders: &[Order<RunField>]) {
        for Order { field, descending } in orders {
            let direction = if *descending { " DESC, " } else { ", " };
            if let Some(column) = column(field) {
                self.push(column).push(" IS NULL, ");
                self.push(column).push(direction);
                continue;
            }
            let mut row = Sql {
                text: String::new(),
                values: std::mem::take(&mut self.values),
            };
            let value = row.row(field);
            self.values = row.values;
            let row = row.text;
            self.push(&format!(
                "IFNULL((SELECT {value} IS NULL FROM {row}), 2), (SELECT {value} FROM {row}){direction}"
            ));
        }
    }
}

/// The column of a field that every run has, possibly NULL.
fn column(field: &RunField) -> Option<&'static str> {
    Some(match field {
        RunField::Name => "r.name",
        RunField::DisplayName => "r.display_name",
        RunField::Experiment => "e.name",
        RunField::User => "r.user",
        RunField::Status => "r.status",
        RunField::ArtifactUri => "(e.artifact_location || '/' || r.name || '/artifacts')",
        RunField::ExitCode => "r.exit_code",
        RunField::CreatedAt => "r.created_at",
        RunField::StartedAt => "r.started_at",
        RunField::EndedAt => "r.ended_at",
        RunField::Metric(_) | RunField::Param(_) | RunField::Tag(_) | RunField::Dataset(_) => {
            return None;
        }
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
