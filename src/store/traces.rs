//! Traces as stored: rows, their metadata, tags and assessments, and what they belong to.

use std::collections::{BTreeMap, HashMap};

use super::{
    Store, assessments,
    db::{Row, RowResult, Tx, count, json, params, to_json},
    experiments,
};
use api::{
    Error, Result, Time,
    traces::{Assessment, PromptVersion, Span, Trace, TraceState, WholeTrace},
};

/// A trace and its number in the store.
#[derive(Debug, Clone)]
pub struct TraceRow {
    pub id: i64,
    /// The run whose process made it.
    pub run: Option<i64>,
    pub trace: Trace,
}

/// What a client knows of a trace.
#[derive(Debug, Clone)]
pub struct NewTrace {
    pub workspace: i64,
    pub experiment: i64,
    pub run: Option<i64>,
    pub name: String,
    pub client_request_id: Option<String>,
    pub request_preview: Option<String>,
    pub response_preview: Option<String>,
    pub started_at: Time,
    pub duration_ms: Option<i64>,
    pub state: TraceState,
    pub metadata: BTreeMap<String, String>,
    pub tags: BTreeMap<String, String>,
    pub assessments: Vec<Assessment>,
}

/// What an update changes; absent fields stay.
#[derive(Debug, Clone, Default)]
pub struct TraceChange {
    pub state: Option<TraceState>,
    pub ended_at: Option<Time>,
    pub set_metadata: BTreeMap<String, String>,
    pub set_tags: BTreeMap<String, String>,
    pub remove_tags: Vec<String>,
}

/// Which traces of an experiment are removed.
#[derive(Debug, Clone, Default)]
pub struct TraceSelection {
    pub names: Option<Vec<String>>,
    pub until: Option<Time>,
    pub limit: Option<u32>,
}

/// A query for [`trace`] with what comes after `FROM`; tables are `t` (traces), `e` (its experiment).
pub(super) fn select(rest: &str) -> String {
    format!(
        "SELECT t.id, t.run_id, t.name, e.name, t.experiment_id, t.client_request_id, \
         t.request_preview, t.response_preview, t.started_at, t.duration, t.state, \
         e.artifact_location || '/traces/' || t.name || '/artifacts', \
         (SELECT COUNT(*) FROM spans s WHERE s.trace_id = t.id) \
         FROM traces t JOIN experiments e ON e.id = t.experiment_id {rest}"
    )
}

/// Reads a row of [`select`]; [`fill`] adds what other tables know.
pub(super) fn trace(row: &Row<'_>) -> RowResult<TraceRow> {
    let state = row.get_ref(10)?.as_str()?;
    let state = TraceState::ALL
        .into_iter()
        .find(|known| known.name() == state);
    Ok(TraceRow {
        id: row.get(0)?,
        run: row.get(1)?,
        trace: Trace {
            id: row.get(2)?,
            experiment: row.get(3)?,
            experiment_id: row.get::<i64>(4)?.to_string(),
            client_request_id: row.get(5)?,
            request_preview: row.get(6)?,
            response_preview: row.get(7)?,
            started_at: row.get(8)?,
            duration_ms: row.get(9)?,
            state: state.unwrap_or(TraceState::StateUnspecified),
            artifact_uri: row.get(11)?,
            spans: count(row, 12)?,
            metadata: BTreeMap::new(),
            tags: BTreeMap::new(),
            assessments: Vec::new(),
        },
    })
}

/// Adds metadata, tags and assessments to all traces with one query each.
pub(super) fn fill(tx: &Tx<'_>, rows: &mut [TraceRow]) -> Result<()> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let place: HashMap<i64, usize> = ids.iter().copied().zip(0..).collect();
    let ids = to_json(&ids)?;
    let of_traces = "WHERE trace_id IN (SELECT value FROM json_each(?1))";
    for (table, tags) in [("trace_metadata", false), ("trace_tags", true)] {
        tx.all(
            &format!("SELECT trace_id, key, value FROM {table} {of_traces}"),
            params![ids],
            |row| {
                let trace = &mut rows[place[&row.get(0)?]].trace;
                let pairs = if tags {
                    &mut trace.tags
                } else {
                    &mut trace.metadata
                };
                pairs.insert(row.get(1)?, row.get(2)?);
                Ok(())
            },
        )?;
    }
    tx.all(
        &format!("SELECT trace_id, assessment FROM assessments {of_traces} ORDER BY id"),
        params![ids],
        |row| {
            let trace = &mut rows[place[&row.get(0)?]].trace;
            trace.assessments.push(json(row, 1)?);
            Ok(())
        },
    )?;
    Ok(())
}

pub(super) fn id_of(tx: &Tx<'_>, workspace: i64, name: &str) -> Result<Option<i64>> {
    tx.one(
        "SELECT id FROM traces WHERE workspace_id = ?1 AND name = ?2",
        params![workspace, name],
        |row| row.get(0),
    )
}

fn by_id(tx: &Tx<'_>, id: i64) -> Result<Option<TraceRow>> {
    let row = tx.one(&select("WHERE t.id = ?1"), params![id], trace)?;
    let mut rows: Vec<TraceRow> = row.into_iter().collect();
    fill(tx, &mut rows)?;
    Ok(rows.pop())
}

pub(super) fn set_tag(tx: &Tx<'_>, trace: i64, key: &str, value: &str) -> Result<()> {
    set_pair(tx, "trace_tags", trace, key, value)
}

pub(super) fn set_metadata(tx: &Tx<'_>, trace: i64, key: &str, value: &str) -> Result<()> {
    set_pair(tx, "trace_metadata", trace, key, value)
}

fn set_pair(tx: &Tx<'_>, table: &str, trace: i64, key: &str, value: &str) -> Result<()> {
    tx.execute(
        &format!(
            "INSERT INTO {table}(trace_id, key, value) VALUES (?1, ?2, ?3) \
             ON CONFLICT(trace_id, key) DO UPDATE SET value = ?3"
        ),
        params![trace, key, value],
    )?;
    Ok(())
}

/// Keeps what is known of a trace over what its spans said; answers its number.
pub(super) fn start(tx: &Tx<'_>, new: &NewTrace) -> Result<i64> {
    let id = tx.one(
        "INSERT INTO traces(workspace_id, experiment_id, run_id, name, client_request_id, \
         request_preview, response_preview, started_at, duration, state, complete) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 1) \
         ON CONFLICT(workspace_id, name) DO UPDATE SET experiment_id = ?2, \
         client_request_id = COALESCE(?5, client_request_id), \
         request_preview = COALESCE(?6, request_preview), \
         response_preview = COALESCE(?7, response_preview), \
         started_at = ?8, duration = ?9, state = ?10, complete = 1 RETURNING id",
        params![
            new.workspace,
            new.experiment,
            new.run,
            new.name,
            new.client_request_id,
            new.request_preview,
            new.response_preview,
            new.started_at,
            new.duration_ms,
            new.state.name()
        ],
        |row| row.get::<i64>(0),
    )?;
    let id = id.ok_or_else(|| Error::internal("A trace was not stored"))?;
    for (key, value) in &new.metadata {
        set_metadata(tx, id, key, value)?;
    }
    for (key, value) in &new.tags {
        set_tag(tx, id, key, value)?;
    }
    for assessment in &new.assessments {
        assessments::put(tx, id, assessment)?;
    }
    Ok(id)
}

/// Says that traces of these names belong to a run.
pub(super) fn link(tx: &Tx<'_>, run: i64, names: &[impl serde::Serialize]) -> Result<()> {
    tx.execute(
        "INSERT INTO trace_runs(run_id, trace) SELECT ?1, value FROM json_each(?2) WHERE 1 \
         ON CONFLICT DO NOTHING",
        params![run, to_json(&names)?],
    )?;
    Ok(())
}

/// Refuses an experiment that is not there or is deleted.
pub(super) fn check_experiment(tx: &Tx<'_>, workspace: i64, experiment: i64) -> Result<()> {
    match experiments::is_deleted(tx, workspace, experiment)? {
        Some(false) => Ok(()),
        Some(true) => Err(
            Error::conflict(format!("The experiment `{experiment}` is deleted"))
                .at("experiment_id"),
        ),
        None => Err(
            Error::not_found(format!("No experiment with the id `{experiment}`"))
                .at("experiment_id"),
        ),
    }
}

impl Store {
    pub async fn trace(&self, workspace: i64, name: &str) -> Result<Option<TraceRow>> {
        let name = name.to_owned();
        self.db
            .read(move |tx| match id_of(tx, workspace, &name)? {
                Some(id) => by_id(tx, id),
                None => Ok(None),
            })
            .await
    }

    /// Keeps what a client knows of a trace, over what is known of it from its spans.
    pub async fn start_trace(&self, new: NewTrace) -> Result<Trace> {
        self.db
            .write(move |tx| {
                check_experiment(tx, new.workspace, new.experiment)?;
                let id = start(tx, &new)?;
                stored(by_id(tx, id)?)
            })
            .await
    }

    pub async fn update_trace(&self, trace: i64, change: TraceChange) -> Result<Option<Trace>> {
        self.db
            .write(move |tx| {
                tx.execute(
                    "UPDATE traces SET state = COALESCE(?2, state), \
                     duration = COALESCE(?3 - started_at, duration) WHERE id = ?1",
                    params![trace, change.state.map(TraceState::name), change.ended_at],
                )?;
                for (key, value) in &change.set_metadata {
                    set_metadata(tx, trace, key, value)?;
                }
                for (key, value) in &change.set_tags {
                    set_tag(tx, trace, key, value)?;
                }
                for key in &change.remove_tags {
                    let removed = tx.execute(
                        "DELETE FROM trace_tags WHERE trace_id = ?1 AND key = ?2",
                        params![trace, key],
                    )?;
                    if removed == 0 {
                        return Err(Error::not_found(format!("The trace has no tag `{key}`"))
                            .at("remove_tags"));
                    }
                }
                Ok(by_id(tx, trace)?.map(|row| row.trace))
            })
            .await
    }

    /// Traces of these names, in that order, with their spans when asked for.
    pub async fn traces(
        &self,
        workspace: i64,
        names: Vec<String>,
        with_spans: bool,
    ) -> Result<Vec<WholeTrace>> {
        self.db
            .read(move |tx| {
                let mut rows = tx.all(
                    &select(
                        "JOIN json_each(?2) j ON j.value = t.name WHERE t.workspace_id = ?1 \
                         ORDER BY j.key",
                    ),
                    params![workspace, to_json(&names)?],
                    trace,
                )?;
                fill(tx, &mut rows)?;
                let mut whole = Vec::with_capacity(rows.len());
                for row in rows {
                    let mut spans = Vec::new();
                    if with_spans {
                        spans = spans_of(tx, row.id)?;
                    }
                    whole.push(WholeTrace {
                        trace: row.trace,
                        spans,
                    });
                }
                Ok(whole)
            })
            .await
    }

    /// Removes traces of an experiment, the oldest first; answers how many.
    pub async fn delete_traces(&self, experiment: i64, which: TraceSelection) -> Result<u64> {
        self.db
            .write(move |tx| {
                let names = which.names.map(|names| to_json(&names)).transpose()?;
                let limit = which.limit.map_or(-1, i64::from);
                let found: Vec<(i64, String)> = tx.all(
                    "SELECT id, name FROM traces WHERE experiment_id = ?1 \
                     AND (?2 IS NULL OR started_at <= ?2) \
                     AND (?3 IS NULL OR name IN (SELECT value FROM json_each(?3))) \
                     ORDER BY started_at, id LIMIT ?4",
                    params![experiment, which.until, names, limit],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?;
                for (id, name) in &found {
                    tx.execute("DELETE FROM traces WHERE id = ?1", params![id])?;
                    tx.execute(
                        "DELETE FROM trace_runs WHERE trace = ?1 \
                         AND NOT EXISTS (SELECT 1 FROM traces WHERE name = ?1)",
                        params![name],
                    )?;
                }
                Ok(found.len() as u64)
            })
            .await
    }

    /// Says that the traces of these names belong to a run; they may not be there yet.
    pub async fn link_traces(&self, run: i64, names: Vec<String>) -> Result<()> {
        self.db.write(move |tx| link(tx, run, &names)).await
    }

    pub async fn link_prompts(&self, trace: i64, prompts: Vec<PromptVersion>) -> Result<()> {
        self.db
            .write(move |tx| {
                for prompt in prompts {
                    tx.execute(
                        "INSERT INTO trace_prompts(trace_id, name, version) VALUES (?1, ?2, ?3) \
                         ON CONFLICT DO NOTHING",
                        params![trace, prompt.name, prompt.version],
                    )?;
                }
                Ok(())
            })
            .await
    }
}

fn stored(row: Option<TraceRow>) -> Result<Trace> {
    row.map(|row| row.trace)
        .ok_or_else(|| Error::internal("A trace was not stored"))
}

fn spans_of(tx: &Tx<'_>, trace: i64) -> Result<Vec<Span>> {
    tx.all(
        "SELECT content FROM spans WHERE trace_id = ?1 ORDER BY started_at, parent IS NOT NULL, rowid",
        params![trace],
        |row| json(row, 0),
    )
}
