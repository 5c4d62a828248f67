//! Conditions and orders on traces, as SQL over the tables of traces.

use super::{
    Store,
    condition::{Condition, Order, Test},
    db::{params_of, to_json},
    run_sql::Sql,
    traces::{TraceRow, fill, select, trace},
};
use api::{
    Result,
    traces::{AssessmentKind, keys},
};

/// Which traces a listing has.
#[derive(Debug, Clone)]
pub struct TraceFilter {
    pub workspace: i64,
    pub experiments: Vec<i64>,
    pub condition: Condition<TraceField>,
    /// Newest first when empty.
    pub orders: Vec<Order<TraceField>>,
    pub from: TraceCursor,
    pub limit: u32,
}

/// Where in its order a listing begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceCursor {
    /// After so many traces.
    Skip(u32),
    /// After the trace with this (`started_at`, id); only without another order.
    After(i64, i64),
}

/// What a trace can be searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceField {
    Id,
    ClientRequestId,
    Experiment,
    StartedAt,
    Duration,
    EndedAt,
    State,
    /// The run that made it, and those it was said to belong to.
    Run,
    /// A prompt it has used, as `name/version`.
    Prompt,
    Metadata(String),
    Tag(String),
    /// All that its spans hold.
    Text,
    Span(SpanField),
    Assessment(AssessmentKind, String),
    /// The ids of the issues it shows.
    Issue,
}

/// What one of a trace's spans can be searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanField {
    Name,
    Kind,
    Status,
    Attribute(String),
}

impl Store {
    /// The traces of a listing.
    pub async fn list_traces(&self, filter: TraceFilter) -> Result<Vec<TraceRow>> {
        self.db
            .read(move |tx| {
                let sql = listing(&filter)?;
                let mut rows = tx.all(&select(&sql.text), &params_of(&sql.values), trace)?;
                fill(tx, &mut rows)?;
                Ok(rows)
            })
            .await
    }

    /// How many traces there are that pass `all`; and of those, how many pass the first, the second
    /// and both of two conditions.
    pub async fn count_traces(
        &self,
        workspace: i64,
        experiments: Vec<i64>,
        all: Condition<TraceField>,
        (first, second): (Condition<TraceField>, Condition<TraceField>),
    ) -> Result<[i64; 4]> {
        self.db
            .read(move |tx| {
                let mut sql = Sql::default();
                sql.push(
                    "SELECT COUNT(*), COALESCE(SUM(a), 0), COALESCE(SUM(b), 0), \
                          COALESCE(SUM(a AND b), 0) FROM (SELECT ",
                );
                condition(&mut sql, &first);
                sql.push(" AS a, ");
                condition(&mut sql, &second);
                sql.push(" AS b FROM traces t ");
                scope(&mut sql, workspace, &experiments)?;
                sql.push(" AND ");
                condition(&mut sql, &all);
                sql.push(")");
                let counts = tx.one(&sql.text, &params_of(&sql.values), |row| {
                    Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
                })?;
                Ok(counts.unwrap_or_default())
            })
            .await
    }
}

/// Appends which traces are looked at.
pub(super) fn scope(sql: &mut Sql, workspace: i64, experiments: &[i64]) -> Result<()> {
    sql.push("WHERE t.workspace_id = ").bind(workspace);
    sql.push(" AND t.experiment_id IN (SELECT value FROM json_each(")
        .bind(to_json(&experiments)?)
        .push("))");
    Ok(())
}

fn listing(filter: &TraceFilter) -> Result<Sql> {
    let mut sql = Sql::default();
    scope(&mut sql, filter.workspace, &filter.experiments)?;
    sql.push(" AND ");
    condition(&mut sql, &filter.condition);
    if let TraceCursor::After(at, id) = filter.from {
        sql.push(" AND (t.started_at, t.id) < (").bind(at);
        sql.push(", ").bind(id).push(")");
    }
    sql.push(" ORDER BY ");
    for Order { field, descending } in &filter.orders {
        let direction = if *descending { " DESC, " } else { ", " };
        if let Some(column) = column(field) {
            sql.push(column).push(" IS NULL, ");
            sql.push(column).push(direction);
            continue;
        }
        // What a trace has several of is ordered by the first.
        for ending in [" IS NULL, ", direction] {
            sql.push("(SELECT MIN(v) FROM (");
            values(&mut sql, field, false);
            sql.push("))").push(ending);
        }
    }
    sql.push("t.started_at DESC, t.id DESC LIMIT ")
        .bind(i64::from(filter.limit));
    if let TraceCursor::Skip(skip) = filter.from {
        sql.push(" OFFSET ").bind(i64::from(skip));
    }
    Ok(sql)
}

/// The column of a field that every trace has, possibly NULL.
fn column(field: &TraceField) -> Option<&'static str> {
    Some(match field {
        TraceField::Id => "t.name",
        TraceField::ClientRequestId => "t.client_request_id",
        TraceField::Experiment => "t.experiment_id",
        TraceField::StartedAt => "t.started_at",
        TraceField::Duration => "t.duration",
        TraceField::EndedAt => "(t.started_at + COALESCE(t.duration, 0))",
        TraceField::State => "t.state",
        TraceField::Run
        | TraceField::Prompt
        | TraceField::Metadata(_)
        | TraceField::Tag(_)
        | TraceField::Text
        | TraceField::Span(_)
        | TraceField::Assessment(..)
        | TraceField::Issue => return None,
    })
}

/// Appends the condition as an expression that is never NULL. Expects `t` to be the trace.
pub(super) fn condition(sql: &mut Sql, wanted: &Condition<TraceField>) {
    match wanted {
        Condition::All(parts) => {
            let (of_a_span, others): (Vec<_>, Vec<_>) =
                parts.iter().partition(|part| is_of_a_span(part));
            sql.push("(1");
            if !of_a_span.is_empty() {
                sql.push(" AND ");
                one_span(sql, &of_a_span);
            }
            for part in others {
                sql.push(" AND ");
                condition(sql, part);
            }
            sql.push(")");
        }
        Condition::Any(parts) => {
            sql.push("(0");
            for part in parts {
                sql.push(" OR ");
                condition(sql, part);
            }
            sql.push(")");
        }
        Condition::Not(part) => {
            sql.push("NOT ");
            condition(sql, part);
        }
        Condition::Test(field, wanted) => test(sql, field, wanted),
    }
}

fn is_of_a_span(part: &Condition<TraceField>) -> bool {
    matches!(part, Condition::Test(TraceField::Span(_), test) if *test != Test::Present(false))
}

/// What is asked of spans side by side is asked of the same span.
fn one_span(sql: &mut Sql, parts: &[&Condition<TraceField>]) {
    sql.push("EXISTS (SELECT 1 FROM spans s WHERE s.trace_id = t.id");
    for part in parts {
        if let Condition::Test(TraceField::Span(field), test) = part {
            sql.push(" AND ");
            let mut value = Sql {
                text: String::new(),
                values: std::mem::take(&mut sql.values),
            };
            span_value(&mut value, field, matches!(test, Test::Number(..)));
            sql.values = value.values;
            sql.compare(&value.text, test);
        }
    }
    sql.push(")");
}

pub(super) fn test(sql: &mut Sql, field: &TraceField, test: &Test) {
    if let Some(column) = column(field) {
        sql.push("IFNULL(").compare(column, test).push(", 0)");
        return;
    }
    if *test == Test::Present(false) {
        sql.push("NOT ");
    }
    sql.push("EXISTS (SELECT 1 FROM (");
    values(sql, field, matches!(test, Test::Number(..)));
    sql.push(") y");
    let value = match test {
        Test::Present(_) => &Test::Present(true),
        test => test,
    };
    sql.push(" WHERE ").compare("y.v", value).push(")");
}

/// Appends a query for all values `v` that a trace has of a field.
fn values(sql: &mut Sql, field: &TraceField, numbers: bool) {
    match field {
        TraceField::Run => {
            sql.push(
                "SELECT m.value AS v FROM trace_metadata m WHERE m.trace_id = t.id AND m.key = ",
            )
            .bind(keys::RUN.to_owned())
            .push(
                " UNION ALL SELECT r.name FROM trace_runs l JOIN runs r ON r.id = l.run_id \
                     WHERE l.trace = t.name AND r.workspace_id = t.workspace_id",
            );
        }
        TraceField::Prompt => {
            // Clients keep them in a tag as well.
            sql.push(
                "SELECT p.name || '/' || p.version AS v FROM trace_prompts p WHERE p.trace_id = t.id \
                 UNION ALL SELECT json_extract(j.value, '$.name') || '/' || json_extract(j.value, '$.version') \
                 FROM trace_tags g, json_each(CASE WHEN json_valid(g.value) THEN g.value ELSE '[]' END) j \
                 WHERE g.trace_id = t.id AND j.type = 'object' AND g.key = ",
            )
            .bind(keys::PROMPTS.to_owned());
        }
        TraceField::Metadata(key) => {
            sql.push(
                "SELECT m.value AS v FROM trace_metadata m WHERE m.trace_id = t.id AND m.key = ",
            )
            .bind(key.clone());
        }
        TraceField::Tag(key) => {
            sql.push("SELECT g.value AS v FROM trace_tags g WHERE g.trace_id = t.id AND g.key = ")
                .bind(key.clone());
        }
        TraceField::Text => {
            sql.push("SELECT s.content AS v FROM spans s WHERE s.trace_id = t.id");
        }
        TraceField::Span(field) => {
            sql.push("SELECT ");
            span_value(sql, field, numbers);
            sql.push(" AS v FROM spans s WHERE s.trace_id = t.id");
        }
        TraceField::Assessment(kind, name) => assessments(sql, *kind, name, numbers),
        TraceField::Issue => {
            sql.push("SELECT x.name AS v FROM assessments x WHERE x.trace_id = t.id AND x.kind = ")
                .bind(AssessmentKind::Issue.name().to_owned());
        }
        other => {
            sql.push("SELECT ")
                .push(column(other).unwrap_or("NULL"))
                .push(" AS v");
        }
    }
}

/// Those of the trace, and those that are about the session it belongs to.
fn assessments(sql: &mut Sql, kind: AssessmentKind, name: &str, numbers: bool) {
    let value = if numbers { "x.number" } else { "x.text" };
    let named = |sql: &mut Sql| {
        sql.push(" AND x.valid AND x.kind = ")
            .bind(kind.name().to_owned())
            .push(" AND x.name = ")
            .bind(name.to_owned());
    };
    sql.push("SELECT ").push(value);
    sql.push(" AS v FROM assessments x WHERE x.trace_id = t.id");
    named(sql);
    sql.push(" UNION ALL SELECT ").push(value);
    sql.push(
        " FROM assessments x JOIN traces o ON o.id = x.trace_id AND o.experiment_id = t.experiment_id \
         WHERE x.session = (SELECT m.value FROM trace_metadata m WHERE m.trace_id = t.id AND m.key = ",
    )
    .bind(keys::SESSION.to_owned())
    .push(") AND x.trace_id <> t.id");
    named(sql);
}

/// Appends the value of a field of the span `s`.
pub(super) fn span_value(sql: &mut Sql, field: &SpanField, numbers: bool) {
    let SpanField::Attribute(name) = field else {
        sql.push(match field {
            SpanField::Kind => "s.kind",
            SpanField::Status => "s.status",
            SpanField::Name | SpanField::Attribute(_) => "s.name",
        });
        return;
    };
    let path = format!("$.attributes.\"{name}\"");
    if numbers {
        sql.push("(CASE WHEN json_type(s.content, ")
            .bind(path.clone());
        sql.push(") IN ('integer', 'real') THEN json_extract(s.content, ");
        sql.bind(path).push(") END)");
        return;
    }
    sql.push("(CASE json_type(s.content, ").bind(path.clone());
    sql.push(
        ") WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(json_extract(s.content, ",
    );
    sql.bind(path).push(") AS TEXT) END)");
}
