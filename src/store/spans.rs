//! Spans as stored, and what they say of their trace until a client has said all of it.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::{
    Store,
    db::{Tx, params, to_json},
    traces::{check_experiment, id_of, set_metadata, set_tag},
};
use api::{
    Error, Result, Time,
    traces::{Span, TraceState, attributes, keys},
};

/// Spans of one trace, and what they say of it.
#[derive(Debug, Clone, Default)]
pub struct TraceSpans {
    /// The trace's id for clients.
    pub trace: String,
    pub spans: Vec<Span>,
    /// What the root says, when it is among them.
    pub state: Option<TraceState>,
    pub request_preview: Option<String>,
    pub response_preview: Option<String>,
    pub tags: BTreeMap<String, String>,
    /// Kept unless the trace has other values already.
    pub metadata: BTreeMap<String, String>,
}

const MILLISECOND: i64 = 1_000_000;

impl Store {
    /// Stores spans, all or none; a trace that is not there is made in the experiment, as made by the
    /// process of the run.
    pub async fn log_spans(
        &self,
        workspace: i64,
        experiment: i64,
        run: Option<i64>,
        traces: Vec<TraceSpans>,
    ) -> Result<()> {
        self.db
            .write(move |tx| {
                for trace in traces {
                    let id = match id_of(tx, workspace, &trace.trace)? {
                        Some(id) => id,
                        None => create(tx, workspace, experiment, run, &trace)?,
                    };
                    for span in &trace.spans {
                        put(tx, id, span)?;
                    }
                    tell(tx, id, &trace)?;
                }
                Ok(())
            })
            .await
    }

    /// The runs whose processes have made the traces of these names.
    pub async fn makers_of_traces(
        &self,
        workspace: i64,
        names: Vec<String>,
    ) -> Result<Vec<Option<i64>>> {
        self.db
            .read(move |tx| {
                tx.all(
                    "SELECT DISTINCT run_id FROM traces WHERE workspace_id = ?1 \
                     AND name IN (SELECT value FROM json_each(?2))",
                    params![workspace, to_json(&names)?],
                    |row| row.get(0),
                )
            })
            .await
    }
}

/// From when to when the spans are, in milliseconds.
fn extent(spans: &[Span]) -> (Time, Option<Time>) {
    let first = spans.iter().map(|span| span.started_ns).min();
    let last = spans.iter().filter_map(|span| span.ended_ns).max();
    let time = |ns: i64| Time(ns.div_euclid(MILLISECOND));
    (time(first.unwrap_or_default()), last.map(time))
}

fn create(
    tx: &Tx<'_>,
    workspace: i64,
    experiment: i64,
    run: Option<i64>,
    trace: &TraceSpans,
) -> Result<i64> {
    check_experiment(tx, workspace, experiment)?;
    let (started_at, ended_at) = extent(&trace.spans);
    let id = tx.one(
        "INSERT INTO traces(workspace_id, experiment_id, run_id, name, started_at, duration, state) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6 - ?5, ?7) RETURNING id",
        params![
            workspace,
            experiment,
            run,
            trace.trace,
            started_at,
            ended_at,
            TraceState::InProgress.name()
        ],
        |row| row.get(0),
    )?;
    id.ok_or_else(|| Error::internal("A trace was not stored"))
}

/// Adds a span or replaces the one of its id.
pub(super) fn put(tx: &Tx<'_>, trace: i64, span: &Span) -> Result<()> {
    tx.execute(
        "INSERT INTO spans(trace_id, span_id, parent, name, kind, status, started_at, ended_at, content) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT(trace_id, span_id) DO UPDATE SET \
         parent = ?3, name = ?4, kind = ?5, status = ?6, started_at = ?7, ended_at = ?8, content = ?9",
        params![
            trace,
            span.id,
            span.parent,
            span.name,
            span.kind(),
            span.status.name(),
            span.started_ns,
            span.ended_ns,
            to_json(span)?
        ],
    )?;
    Ok(())
}

/// Keeps what the spans say of their trace, as far as no client has said it.
fn tell(tx: &Tx<'_>, id: i64, trace: &TraceSpans) -> Result<()> {
    let known = tx.one(
        "SELECT started_at, duration, complete FROM traces WHERE id = ?1",
        params![id],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let (mut started_at, mut duration, complete): (Time, Option<i64>, bool) =
        known.ok_or_else(|| Error::internal("A trace vanished in a transaction"))?;
    if !complete {
        let (first, last) = extent(&trace.spans);
        let ended_at = duration.map(|duration| started_at.0 + duration);
        started_at = started_at.min(first);
        let ended_at = ended_at.max(last.map(|last| last.0));
        duration = ended_at.map(|ended_at| ended_at - started_at.0);
    }
    tx.execute(
        "UPDATE traces SET started_at = ?2, duration = ?3, \
         request_preview = COALESCE(request_preview, ?4), \
         response_preview = COALESCE(response_preview, ?5), \
         state = CASE WHEN ?6 IS NOT NULL AND state IN ('IN_PROGRESS', 'STATE_UNSPECIFIED') \
         THEN ?6 ELSE state END WHERE id = ?1",
        params![
            id,
            started_at,
            duration,
            trace.request_preview,
            trace.response_preview,
            trace.state.map(TraceState::name)
        ],
    )?;
    for (key, value) in &trace.tags {
        if key == keys::NAME && has(tx, "trace_tags", id, key)? {
            continue;
        }
        set_tag(tx, id, key, value)?;
    }
    for (key, value) in &trace.metadata {
        if !has(tx, "trace_metadata", id, key)? {
            set_metadata(tx, id, key, value)?;
        }
    }
    for (attribute, key) in [
        (attributes::USAGE, keys::USAGE),
        (attributes::COST, keys::COST),
    ] {
        let counts = |span: &Span| span.attributes.contains_key(attribute);
        if trace.spans.iter().any(counts) {
            add_up(tx, id, attribute, key)?;
        }
    }
    Ok(())
}

fn has(tx: &Tx<'_>, table: &str, trace: i64, key: &str) -> Result<bool> {
    let found = tx.one(
        &format!("SELECT 1 FROM {table} WHERE trace_id = ?1 AND key = ?2"),
        params![trace, key],
        |_| Ok(()),
    )?;
    Ok(found.is_some())
}

/// Adds up what the spans of a trace have used. What a span says includes what is below it.
fn add_up(tx: &Tx<'_>, trace: i64, attribute: &str, key: &str) -> Result<()> {
    let complete = tx.one(
        "SELECT 1 FROM traces WHERE id = ?1 AND complete",
        params![trace],
        |_| Ok(()),
    )?;
    if complete.is_some() && has(tx, "trace_metadata", trace, key)? {
        return Ok(());
    }
    let path = format!("$.attributes.\"{attribute}\"");
    let mut parents: HashMap<String, Option<String>> = HashMap::new();
    let mut used: Vec<(String, Map<String, Value>)> = Vec::new();
    tx.all(
        "SELECT span_id, parent, json_extract(content, ?2) FROM spans WHERE trace_id = ?1",
        params![trace, path],
        |row| {
            let id: String = row.get(0)?;
            parents.insert(id.clone(), row.get(1)?);
            let usage = row.get_ref(2)?.as_str().ok();
            if let Some(usage) = usage.and_then(|text| serde_json::from_str(text).ok()) {
                used.push((id, usage));
            }
            Ok(())
        },
    )?;
    let mut sum: Map<String, Value> = Map::new();
    let counted: HashSet<&str> = used.iter().map(|(id, _)| id.as_str()).collect();
    for (id, usage) in &used {
        if above(&parents, id).any(|parent| counted.contains(parent)) {
            continue;
        }
        for (name, value) in usage {
            let entry = sum.entry(name.clone()).or_insert(json!(0));
            *entry = add(entry, value);
        }
    }
    if sum.is_empty() {
        return Ok(());
    }
    set_metadata(tx, trace, key, &Value::from(sum).to_string())
}

/// The spans that a span is in. Spans may name each other as parents, so no more than there are.
fn above<'a>(
    parents: &'a HashMap<String, Option<String>>,
    id: &'a str,
) -> impl Iterator<Item = &'a str> {
    let parent = |id: &&'a str| parents.get(*id).and_then(Option::as_deref);
    std::iter::successors(Some(id), parent)
        .skip(1)
        .take(parents.len())
}

fn add(a: &Value, b: &Value) -> Value {
    match (a.as_i64(), b.as_i64()) {
        (Some(a), Some(b)) => json!(a.saturating_add(b)),
        _ => json!(a.as_f64().unwrap_or_default() + b.as_f64().unwrap_or_default()),
    }
}
