//! Values of many traces, spans and assessments, with the groups they belong to.

use super::{
    Store,
    condition::{Condition, Test},
    db::params_of,
    run_sql::Sql,
    trace_search::{SpanField, TraceField, scope, span_value, test},
};
use api::{
    Result, Time,
    trace_measures::Measured,
    traces::{attributes, keys},
};

/// What is measured. Names are those of the operation, checked by the service.
#[derive(Debug, Clone)]
pub struct Measure {
    pub workspace: i64,
    pub experiments: Vec<i64>,
    pub of: Measured,
    pub metric: String,
    pub groups: Vec<String>,
    pub conditions: Vec<Condition<MeasureField>>,
    pub from: Option<Time>,
    pub until: Option<Time>,
}

/// What the measured things can be searched by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MeasureField {
    Trace(TraceField),
    /// Of the span that is measured; of any span of the trace when spans are not measured.
    Span(SpanField),
    AssessmentName,
    AssessmentKind,
}

/// One measured thing.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    pub at: Time,
    pub groups: Vec<String>,
    pub value: f64,
    /// What is counted once however often it is there.
    pub text: Option<String>,
}

impl Store {
    /// Hands over all measurements, one by one. What lacks the value or one of the groups is left out.
    pub async fn measure_traces<T: Send + 'static>(
        &self,
        measure: Measure,
        mut into: T,
        mut add: impl FnMut(&mut T, Measurement) + Send + 'static,
    ) -> Result<T> {
        self.db
            .read(move |tx| {
                let sql = query(&measure)?;
                let groups = measure.groups.len();
                tx.all(&sql.text, &params_of(&sql.values), |row| {
                    let group = |index: usize| row.get::<Option<String>>(index + 3);
                    let named: Option<Vec<String>> =
                        (0..groups).map(group).collect::<rusqlite::Result<_>>()?;
                    let value: Option<f64> = row.get(1)?;
                    if let (Some(groups), Some(value)) = (named, value) {
                        let measurement = Measurement {
                            at: row.get(0)?,
                            groups,
                            value,
                            text: row.get(2)?,
                        };
                        add(&mut into, measurement);
                    }
                    Ok(())
                })?;
                Ok(into)
            })
            .await
    }
}

fn query(measure: &Measure) -> Result<Sql> {
    let mut sql = Sql::default();
    sql.push("SELECT t.started_at, ");
    value(&mut sql, measure.of, &measure.metric);
    for group in &measure.groups {
        sql.push(", ");
        group_value(&mut sql, group);
    }
    sql.push(" FROM traces t ").push(match measure.of {
        Measured::Traces => "",
        Measured::Spans => "JOIN spans s ON s.trace_id = t.id ",
        Measured::Assessments => "JOIN assessments x ON x.trace_id = t.id AND x.valid ",
    });
    scope(&mut sql, measure.workspace, &measure.experiments)?;
    for (bound, comparison) in [(measure.from, ">= "), (measure.until, "<= ")] {
        if let Some(bound) = bound {
            sql.push(" AND t.started_at ")
                .push(comparison)
                .bind(bound.0);
        }
    }
    for condition in &measure.conditions {
        sql.push(" AND ");
        holds(&mut sql, measure.of, condition);
    }
    Ok(sql)
}

/// Appends the value as a number, and as a text where that is what counts.
fn value(sql: &mut Sql, of: Measured, metric: &str) {
    match (of, metric) {
        (_, "trace_count" | "span_count" | "assessment_count") => sql.push("1.0, NULL"),
        (_, "session_count") => {
            sql.push("1.0, ");
            metadata(sql, keys::SESSION)
        }
        (Measured::Traces, "latency") => sql.push("CAST(t.duration AS REAL), NULL"),
        (Measured::Spans, "latency") => {
            sql.push("CAST((s.ended_at - s.started_at) / 1000000 AS REAL), NULL")
        }
        (Measured::Assessments, _) => sql.push(
            "COALESCE(x.number, CASE x.text WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 END), NULL",
        ),
        (Measured::Spans, part) => {
            sql.push("CAST(json_extract(s.content, ")
                .bind(format!("$.attributes.\"{}\".{part}", attributes::COST));
            sql.push(") AS REAL), NULL")
        }
        (Measured::Traces, part) => {
            sql.push("CAST((SELECT json_extract(CASE WHEN json_valid(v) THEN v END, ")
                .bind(format!("$.{part}"))
                .push(") FROM (SELECT ");
            metadata(sql, keys::USAGE);
            sql.push(" AS v)) AS REAL), NULL")
        }
    };
}

fn metadata<'a>(sql: &'a mut Sql, key: &str) -> &'a mut Sql {
    sql.push("(SELECT m.value FROM trace_metadata m WHERE m.trace_id = t.id AND m.key = ")
        .bind(key.to_owned())
        .push(")")
}

fn group_value(sql: &mut Sql, group: &str) {
    match group {
        "trace_name" => {
            sql.push("(SELECT g.value FROM trace_tags g WHERE g.trace_id = t.id AND g.key = ")
                .bind(keys::NAME.to_owned())
                .push(")");
        }
        "trace_status" => drop(sql.push("t.state")),
        "span_name" => drop(sql.push("s.name")),
        "span_type" => drop(sql.push("s.kind")),
        "span_status" => drop(sql.push("s.status")),
        "span_model_name" => attribute(sql, attributes::MODEL),
        "span_model_provider" => attribute(sql, attributes::PROVIDER),
        "assessment_name" => drop(sql.push("x.name")),
        _ => drop(sql.push("x.text")),
    }
}

fn attribute(sql: &mut Sql, name: &str) {
    span_value(sql, &SpanField::Attribute(name.to_owned()), false);
}

fn holds(sql: &mut Sql, of: Measured, condition: &Condition<MeasureField>) {
    let (parts, word, none) = match condition {
        Condition::All(parts) => (parts, " AND ", "1"),
        Condition::Any(parts) => (parts, " OR ", "0"),
        Condition::Not(part) => {
            sql.push("NOT ");
            return holds(sql, of, part);
        }
        Condition::Test(field, test) => return passes(sql, of, field, test),
    };
    sql.push("(").push(none);
    for part in parts {
        sql.push(word);
        holds(sql, of, part);
    }
    sql.push(")");
}

fn passes(sql: &mut Sql, of: Measured, field: &MeasureField, wanted: &Test) {
    let column = match (field, of) {
        (MeasureField::Trace(field), _) => return test(sql, field, wanted),
        (MeasureField::Span(field), Measured::Spans) => {
            let mut value = Sql {
                text: String::new(),
                values: std::mem::take(&mut sql.values),
            };
            span_value(&mut value, field, false);
            sql.values = value.values;
            value.text
        }
        (MeasureField::Span(field), _) => {
            return test(sql, &TraceField::Span(field.clone()), wanted);
        }
        (MeasureField::AssessmentName, _) => "x.name".to_owned(),
        (MeasureField::AssessmentKind, _) => "x.kind".to_owned(),
    };
    sql.push("IFNULL(").compare(&column, wanted).push(", 0)");
}
