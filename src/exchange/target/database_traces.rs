//! Traces in a database of MLflow's since 3.3.

use rusqlite::params;
use serde_json::{Value as Json, json};

use super::{
    STAMP,
    database::{Database, name_for},
};
use crate::record::Trace;
use api::{
    Result,
    imports::Outcome,
    span_files::{dumped, written},
    traces::{Assessment, AssessmentKind, Span},
};

impl Database {
    /// Whether the database has a place for spans and assessments.
    pub fn takes_traces(&self) -> Result<bool> {
        let tables = "SELECT COUNT(*) FROM sqlite_master \
                      WHERE name IN ('spans', 'assessments', 'entity_associations')";
        Ok(self.one::<i64>(tables, [])? == Some(3))
    }

    /// The state of a trace that was written before.
    pub fn trace_stamp(&self, id: &str) -> Result<Option<String>> {
        let sql = "SELECT value FROM trace_tags WHERE request_id = ?1 AND key = ?2";
        self.one(sql, [id, STAMP])
    }

    /// Writes a trace with its spans; answers whether it was there before.
    pub fn trace(&self, experiment: &str, trace: &Trace, spans: &[Span]) -> Result<Outcome> {
        let experiment = self.experiment_id(experiment)?.to_owned();
        let record = &trace.record;
        let id = &record.origin;
        let known = "SELECT 1 FROM trace_info WHERE request_id = ?1";
        let known = self.one::<i64>(known, [id])?.is_some();
        self.execute(
            "INSERT INTO trace_info(request_id, experiment_id, timestamp_ms, execution_time_ms, status, \
             client_request_id, request_preview, response_preview) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
             ON CONFLICT(request_id) DO UPDATE SET experiment_id = ?2, timestamp_ms = ?3, \
             execution_time_ms = ?4, status = ?5, client_request_id = ?6, request_preview = ?7, \
             response_preview = ?8",
            params![
                id,
                experiment,
                record.started_at.0,
                record.duration_ms,
                record.state.name(),
                record.client_request_id,
                record.request_preview,
                record.response_preview
            ],
        )?;
        let mut tags = record.tags.clone();
        let place = format!("mlflow-artifacts:/{}", self.trace_folder(&experiment, id));
        tags.insert(Trace::PLACE_TAG.to_owned(), place);
        tags.insert(Trace::SPANS_TAG.to_owned(), "TRACKING_STORE".to_owned());
        tags.extend(trace.stamp().map(|stamp| (STAMP.to_owned(), stamp)));
        self.pairs("trace_tags", ("request_id", id), &tags)?;
        self.pairs(
            "trace_request_metadata",
            ("request_id", id),
            &record.metadata,
        )?;
        self.assessments(id, &record.assessments)?;
        self.spans(&experiment, id, spans)?;
        for run in &record.runs {
            self.execute(
                "INSERT INTO entity_associations(association_id, source_type, source_id, destination_type, \
                 destination_id, created_time) VALUES (?1, 'trace', ?2, 'run', ?3, ?4) ON CONFLICT DO NOTHING",
                params![name_for(&["trace", id, "run", run]), id, run, record.started_at.0],
            )?;
        }
        Ok(if known {
            Outcome::Updated
        } else {
            Outcome::New
        })
    }

    /// The folder of a trace's files, below that of the server's artifacts.
    pub fn trace_folder(&self, experiment: &str, id: &str) -> String {
        format!("{experiment}/traces/{id}/artifacts")
    }

    fn assessments(&self, trace: &str, assessments: &[Assessment]) -> Result<()> {
        self.execute("DELETE FROM assessments WHERE trace_id = ?1", [trace])?;
        for one in assessments {
            let value = match one.kind {
                AssessmentKind::Issue => json!({"issue_name": one.value}),
                AssessmentKind::Feedback | AssessmentKind::Expectation => one.value.clone(),
            };
            let error = one.error.as_ref().map(|error| {
                json!({
                    "error_code": error.code,
                    "error_message": error.message,
                    "stack_trace": error.stack_trace,
                })
            });
            let metadata = Some(&one.metadata).filter(|metadata| !metadata.is_empty());
            self.execute(
                "INSERT INTO assessments(assessment_id, trace_id, name, assessment_type, value, error, \
                 created_timestamp, last_updated_timestamp, source_type, source_id, span_id, rationale, \
                 overrides, valid, assessment_metadata) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) \
                 ON CONFLICT(assessment_id) DO NOTHING",
                params![
                    one.id,
                    trace,
                    one.name,
                    one.kind.name(),
                    dumped(&value),
                    error.as_ref().map(dumped),
                    one.created_at.0,
                    one.updated_at.0,
                    one.source,
                    one.source_id,
                    one.span,
                    one.rationale,
                    one.overrides,
                    one.valid,
                    metadata.map(|metadata| dumped(&json!(metadata)))
                ],
            )?;
        }
        Ok(())
    }

    fn spans(&self, experiment: &str, trace: &str, spans: &[Span]) -> Result<()> {
        self.execute("DELETE FROM spans WHERE trace_id = ?1", [trace])?;
        for span in spans {
            let content: Json = written(span);
            self.execute(
                "INSERT INTO spans(trace_id, experiment_id, span_id, parent_span_id, name, type, status, \
                 start_time_unix_nano, end_time_unix_nano, content) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT DO NOTHING",
                params![
                    trace,
                    experiment,
                    span.id,
                    span.parent,
                    span.name,
                    span.kind(),
                    span.status.name(),
                    span.started_ns,
                    span.ended_ns,
                    dumped(&content)
                ],
            )?;
        }
        Ok(())
    }
}
