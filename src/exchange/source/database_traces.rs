//! The traces of MLflow's databases, since 2.14.

use std::path::PathBuf;

use rusqlite::{Row, params};
use serde_json::Value as Json;

use super::{
    RUNS,
    database::{Database, text},
    folder::read,
    trace_answers,
};
use crate::record::{Experiment, Owner, Pairs, Trace};
use api::{
    Page, Result, Time,
    imports::ImportedTrace,
    span_files,
    traces::{Assessment, AssessmentKind, Span},
};

/// The page is the number of the row that the last one ended with.
pub fn traces(
    database: &Database,
    experiment: &Experiment,
    page: Option<&str>,
) -> Result<Page<Trace>> {
    let mut found = Page {
        items: Vec::new(),
        next: None,
    };
    if !database.has("trace_info.request_id") {
        return Ok(found);
    }
    let after: i64 = page.and_then(|page| page.parse().ok()).unwrap_or(0);
    let more = if database.has("trace_info.client_request_id") {
        "client_request_id, request_preview, response_preview"
    } else {
        "NULL, NULL, NULL"
    };
    let rows = database.all(
        &format!(
            "SELECT request_id, timestamp_ms, execution_time_ms, status, {more}, rowid FROM trace_info \
             WHERE experiment_id = ?1 AND rowid > ?2 ORDER BY rowid LIMIT ?3"
        ),
        params![experiment.id, after, RUNS],
        |row| Ok((trace(row)?, row.get::<_, i64>(7)?)),
    )?;
    let last = rows.last().filter(|_| rows.len() == RUNS);
    found.next = last.map(|(_, row)| row.to_string());
    for (mut trace, _) in rows {
        complete(database, &mut trace)?;
        found.items.push(trace);
    }
    Ok(found)
}

fn trace(row: &Row<'_>) -> rusqlite::Result<Trace> {
    Ok(Trace {
        record: ImportedTrace {
            origin: text(row, 0)?,
            started_at: Time(row.get(1)?),
            duration_ms: row.get(2)?,
            state: trace_answers::state(&text(row, 3)?),
            client_request_id: row.get(4)?,
            request_preview: row.get(5)?,
            response_preview: row.get(6)?,
            metadata: Pairs::new(),
            tags: Pairs::new(),
            assessments: Vec::new(),
            spans: Vec::new(),
            runs: Vec::new(),
            artifacts: Vec::new(),
            stamp: None,
        },
        artifact_uri: String::new(),
        archived: false,
        folder: PathBuf::new(),
    })
}

fn complete(database: &Database, trace: &mut Trace) -> Result<()> {
    let record = &mut trace.record;
    let id = record.origin.clone();
    let tags = "SELECT key, value FROM trace_tags WHERE request_id = ?1";
    record.tags = database.pairs(tags, &id)?;
    let metadata = "SELECT key, value FROM trace_request_metadata WHERE request_id = ?1";
    record.metadata = database.pairs(metadata, &id)?;
    if database.has("assessments.assessment_id") {
        record.assessments = database.all(
            "SELECT assessment_id, name, assessment_type, value, error, created_timestamp, \
             last_updated_timestamp, source_type, source_id, span_id, rationale, overrides, valid, \
             assessment_metadata FROM assessments WHERE trace_id = ?1 \
             ORDER BY created_timestamp, rowid",
            params![id],
            assessment,
        )?;
    }
    if database.has("entity_associations.source_id") {
        record.runs = database.all(
            "SELECT destination_id FROM entity_associations WHERE source_type = 'trace' \
             AND source_id = ?1 AND destination_type = 'run' ORDER BY destination_id",
            params![id],
            |row| text(row, 0),
        )?;
    }
    Ok(())
}

fn assessment(row: &Row<'_>) -> rusqlite::Result<Assessment> {
    let json = |column: usize| -> rusqlite::Result<Json> {
        Ok(serde_json::from_str(&text(row, column)?).unwrap_or_default())
    };
    let value = json(3)?;
    let (kind, value) = match text(row, 2)?.as_str() {
        "expectation" => (AssessmentKind::Expectation, value),
        "issue" => (AssessmentKind::Issue, value["issue_name"].clone()),
        _ => (AssessmentKind::Feedback, value),
    };
    Ok(Assessment {
        id: text(row, 0)?,
        name: text(row, 1)?,
        kind,
        value,
        error: trace_answers::error(&json(4)?),
        created_at: Time(row.get(5)?),
        updated_at: Time(row.get(6)?),
        source: text(row, 7)?,
        source_id: text(row, 8)?,
        span: row.get(9)?,
        rationale: row.get(10)?,
        overrides: row.get(11)?,
        valid: row.get(12)?,
        metadata: serde_json::from_value(json(13)?).unwrap_or_default(),
    })
}

/// Its spans, from their rows or else from the file beside it; none when that is out of reach.
pub fn spans(database: &Database, trace: &Trace) -> Result<Option<Vec<Span>>> {
    let id = &trace.record.origin;
    if database.has("spans.content") {
        let rows = database.all(
            "SELECT content FROM spans WHERE trace_id = ?1 ORDER BY start_time_unix_nano, rowid",
            params![id],
            |row| text(row, 0),
        )?;
        if !rows.is_empty() {
            let span = |row: String| {
                let json: Json = serde_json::from_str(&row).unwrap_or_default();
                span_files::read(&json, id)
            };
            return rows.into_iter().map(span).collect::<Result<_>>().map(Some);
        }
    }
    if trace.archived {
        return Ok(None);
    }
    let Some(folder) = database.places.find(Owner::Trace(trace)) else {
        return Ok(None);
    };
    in_file(&folder, id).map(Some)
}

/// The spans in the file of a folder; a trace that did not end has none.
pub fn in_file(folder: &std::path::Path, trace: &str) -> Result<Vec<Span>> {
    let file = folder.join("traces.json");
    if !file.is_file() {
        return Ok(Vec::new());
    }
    span_files::read_file(&read(&file)?, trace)
}
